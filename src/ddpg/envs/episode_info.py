"""Numbers of the user's own: what `info` has when an episode ends."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import nan
from numbers import Real
from typing import Any

import numpy as np

from ddpg.ranges import FLOAT32_MAX


def numbers_of(info: Any, keys: Sequence[str]) -> np.ndarray:
    """The number of each key [k]; NaN if `info` has none under it. `episode.r` is that of `r` in `info["episode"]`."""
    numbers = np.full(len(keys), nan)
    for i, key in enumerate(keys):
        with suppress(Exception):  # a mapping or a tensor of somebody else's raises what it likes
            numbers[i] = _number(_value(info, key))
    return numbers


def numbers_in(info: Any) -> Iterator[str]:
    """The keys under which `info` has numbers."""
    for key, value in info.items() if isinstance(info, Mapping) else ():
        if isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in numbers_in(value))
        elif np.isfinite(numbers_of({"": value}, [""])).all():
            yield str(key)


def _value(info: Any, key: str) -> Any:
    if not isinstance(info, Mapping):
        return None
    if key in info:
        return info[key]
    outer, _, inner = key.partition(".")
    return _value(info.get(outer), inner)


def _number(value: Any) -> float:
    """Of a number, or an array or tensor of one; NaN of anything else, and of what 32 bits cannot hold."""
    one = value.item() if hasattr(value, "item") else value
    number = float(one) if isinstance(one, Real) else nan
    return number if abs(number) <= FLOAT32_MAX else nan
