"""Hyperparameters as inputs of a compiled program, so that settings that differ in them alone share it.

structure, numbers = split(part)               what is compiled, and what goes in
with_numbers(structure, numbers)               the part again, inside the program
"""

from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar

import numpy as np
from jaxtyping import Float

from ddpg.types import AnyArray

Number = float | Float[AnyArray, ""]
"""A hyperparameter: a float, or a traced one inside a compiled program."""


Part = TypeVar("Part")


class _Hole:
    """Stands in a structure for a number."""


HOLE: Final = _Hole()


def split(part: Part) -> tuple[Part, Float[np.ndarray, " n"]]:
    """A tree of frozen dataclasses with a hole in the place of each number, and these numbers in order.

    A number is a float of a field that is not marked STATIC, of a dataclass in such a field. Integers, 0.0, 1.0, None
    and tuples stay: they are shapes, or switch a part off, or the code computes with them while it is traced.
    """
    numbers = list[float]()

    def taken(value: Any) -> Any:
        if not isinstance(value, float) or value in (0, 1):
            return value
        numbers.append(value)
        return HOLE

    structure = _mapped(part, taken)
    with np.errstate(over="ignore", under="ignore"):
        return structure, np.array(numbers, np.float32)


def with_numbers(structure: Part, numbers: Float[AnyArray, " n"] | list[float]) -> Part:
    """The part that was split, with these numbers in its holes."""
    left = iter(range(len(numbers)))
    return _mapped(structure, lambda value: numbers[next(left)] if value is HOLE else value)


def equals(number: object, value: int) -> bool:
    """Whether a hyperparameter is `value`, which is 0 or 1: that stays in the structure, so it is known while tracing.

    `number == value` would be traced, too, and nothing can be left out because of a traced answer.
    """
    return isinstance(number, float | int) and number == value


def _mapped(part: Any, change: Any) -> Any:
    """The tree with every leaf changed; without `__init__`, which may check types."""
    if not is_dataclass(part):
        return change(part)
    whole = copy(part)
    for field in fields(part):
        if not field.metadata.get("static"):
            object.__setattr__(whole, field.name, _mapped(getattr(part, field.name), change))
    return whole
