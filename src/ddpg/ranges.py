"""Ranges of numbers that a configuration allows, checked wherever one is read."""

from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AllowInfNan, BeforeValidator


def _listed(value: Any) -> Any:
    """A command line writes 64,64 where JSON and Python have a sequence."""
    if isinstance(value, str):
        return value.replace(" ", "").strip("()[],").split(",")
    return [value] if isinstance(value, int | float) else value


def _maybe_listed(value: Any) -> Any:
    return _listed(value) if isinstance(value, str) and "," in value else value


def _round(value: Any) -> Any:
    """1e4 is a whole number too, on a command line."""
    try:
        return int(float(value)) if isinstance(value, str) and float(value).is_integer() else value
    except ValueError:
        return value


# The ranges of a configuration's numbers, checked where a configuration is read (training/config.py). Compiled code
# counts steps in 32 bits.
Rounded = BeforeValidator(_round)

Whole = Annotated[int, Ge(0), Le(2**31 - 1), Rounded]

Natural = Annotated[int, Ge(1), Le(2**31 - 1), Rounded]

Finite = Annotated[float, AllowInfNan(False)]

Positive = Annotated[Finite, Gt(0)]

NonNegative = Annotated[Finite, Ge(0)]

UnitInterval = Annotated[Finite, Gt(0), Le(1)]

Widths = Annotated[tuple[Natural, ...], BeforeValidator(_listed), MinLen(1)]

Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]

Scale = Annotated[NonNegative | Annotated[tuple[NonNegative, ...], MinLen(1)], BeforeValidator(_maybe_listed)]
