"""The numbers of a flat observation: their names, by its parts, and what bytes among them are divided by."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ddpg.pictures import seems_picture
from ddpg.types import Leaf, Spec


class Components(NamedTuple):
    """One entry per number."""

    names: tuple[str, ...]  # 0, or in a nested observation battery, zones[0], robot.joints[2], gear=3
    divisors: tuple[float, ...]  # of bytes their upper bound, of other numbers 1
    flat: tuple[bool, ...]  # whether it is no part of a picture


def components_of(spec: Spec) -> Components:
    names, divisors, flat = list[str](), list[float](), list[bool]()
    for part in spec.parts:
        names += _names(part)
        divisors += np.broadcast_to([high or 1.0 for high in part.high or (1.0,)], part.size).tolist()
        flat += [not (part.high and seems_picture(part.shape))] * part.size
    return Components(tuple(names) if spec.nested else tuple(map(str, range(len(names)))), tuple(divisors), tuple(flat))


def _names(part: Leaf) -> Iterator[str]:
    path = ""
    for key in part.path:
        path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else key
    places = [",".join(map(str, place)) for place in np.ndindex(part.shape)]
    where = [path] if path and len(places) == 1 else [f"{path}[{place}]" if path else place or "0" for place in places]
    if not part.counts:
        yield from where
    for name, low, count in zip(where, part.starts, part.counts, strict=bool(part.counts)):
        yield from (f"{name}={value}" for value in range(low, low + count))
