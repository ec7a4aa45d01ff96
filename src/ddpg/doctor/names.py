"""Names of the numbers of a flat observation, by its parts: battery, zones[0], robot.joints[2], gear=3."""

from collections.abc import Iterator
from math import prod

import numpy as np
from gymnasium import spaces

from ddpg.envs.gymnasium_edge import in_order


def component_names(space: spaces.Space, size: int) -> tuple[str, ...]:
    """One name for each of `size` numbers, in their order: its index, or in a nested space its part and its place."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        names = tuple(_names(in_order(space), ""))
        if len(names) == size:
            return names
    return tuple(map(str, range(size)))


def _names(space: spaces.Space, path: str) -> Iterator[str]:
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from _names(part, f"{path}.{key}" if path else str(key))
    elif isinstance(space, spaces.Tuple):
        for i, part in enumerate(space.spaces):
            yield from _names(part, f"{path}[{i}]")
    elif isinstance(space, spaces.Discrete):
        yield from (f"{path}={value}" for value in range(int(space.start), int(space.start + space.n)))
    elif isinstance(space, spaces.MultiDiscrete):
        starts = np.broadcast_to(space.start, space.nvec.shape)
        for place in np.ndindex(space.nvec.shape):
            low = int(starts[place])
            yield from (f"{_at(path, place)}={value}" for value in range(low, low + int(space.nvec[place])))
    else:
        shape = space.shape or ()
        yield from [path] if prod(shape) == 1 else (_at(path, place) for place in np.ndindex(shape))


def _at(path: str, place: tuple[int, ...]) -> str:
    return f"{path}[{','.join(map(str, place))}]"
