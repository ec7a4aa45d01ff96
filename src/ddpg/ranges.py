"""The values that a configuration's fields accept: ranges of numbers, and names in a registry."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import AllowInfNan, BeforeValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

INT32_MAX = 2**31 - 1  # compiled code counts steps in 32 bits

FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Choice:
    """Marks a string field as a name in a registry: `norm: Annotated[str, Choice(NORMS)]`.

    A new entry in the registry is accepted, listed by `--help` and named by errors, with no other edit.
    """

    registry: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.registry))


def _split_list(value: Any) -> Any:
    """Accept 64,64 from a command line, one number, and none, where JSON and Python have a sequence."""
    if value is None:
        return ()
    if isinstance(value, str):
        return value.replace(" ", "").strip("()[],").split(",")
    return [value] if isinstance(value, int | float) else value


def _split_if_list(value: Any) -> Any:
    """Split a string with a comma; anything else stays a single value."""
    return _split_list(value) if isinstance(value, str) and "," in value else value


def _parse_whole(value: Any) -> Any:
    """Accept 1e4 as a whole number from a command line."""
    try:
        return int(float(value)) if isinstance(value, str) and float(value).is_integer() else value
    except ValueError:
        return value


Rounded = BeforeValidator(_parse_whole)

Whole = Annotated[int, Ge(0), Le(INT32_MAX), Rounded]

Natural = Annotated[int, Ge(1), Le(INT32_MAX), Rounded]

Finite = Annotated[float, AllowInfNan(False)]

Positive = Annotated[Finite, Gt(0)]

NonNegative = Annotated[Finite, Ge(0)]

UnitInterval = Annotated[Finite, Gt(0), Le(1)]

Share = Annotated[Finite, Ge(0), Le(1)]

# At most 64 layers: a configuration from elsewhere must not make JAX trace for hours.
HiddenWidths = Annotated[tuple[Natural, ...], BeforeValidator(_split_list), MaxLen(64)]
Widths = Annotated[HiddenWidths, MinLen(1)]


# Of a schedule: as many as describe any curve.
Factors = Annotated[tuple[NonNegative, ...], BeforeValidator(_split_list), MinLen(1), MaxLen(10_000)]


def _check_seeding(value: Any) -> Any:
    ends = re.fullmatch(r"(\d{1,10}):(\d{1,10})", value) if isinstance(value, str) else None
    if value in ("episode", "once", "never") or (ends and int(ends[1]) < int(ends[2]) <= 2**31):
        return value
    raise PydanticCustomError("seeding", "episode, once, never, or a range of seeds such as 0:100")


Seeding = Annotated[str, BeforeValidator(_check_seeding)]

Words = Annotated[tuple[str, ...], BeforeValidator(_split_list)]

MOST_KEYS, LONGEST_KEY = 32, 80  # so that a line of a log stays short


def _check_info_keys(value: Any) -> Any:
    keys = [key.strip() for key in value.split(",")] if isinstance(value, str) else [] if value is None else value
    if isinstance(keys, list | tuple) and len(keys) <= MOST_KEYS and all(isinstance(key, str) for key in keys):
        fit = all(key.strip() and key.isprintable() and len(key) <= LONGEST_KEY for key in keys)
        if fit and len(set(keys)) == len(keys):
            return tuple(keys)
    raise PydanticCustomError("info_keys", "keys of info, each once, such as is_success,episode.r")


InfoKeys = Annotated[tuple[str, ...], BeforeValidator(_check_info_keys)]

# One number, or one per action dimension.
Scale = Annotated[NonNegative | Annotated[tuple[NonNegative, ...], MinLen(1)], BeforeValidator(_split_if_list)]
