"""Observations of any space as one array: the parts of a space, and what each becomes in the array."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from ddpg.envs.foreign import brief_value, describe_error
from ddpg.mistake import Mistake
from ddpg.types import Leaf, Spec

BYTES = (255.0,)
Path = tuple[str | int, ...]
NONE: Mapping[Path, spaces.Space] = {}


def leaves_of(space: spaces.Space, path: Path = ()) -> Iterator[Leaf]:
    """The parts of a space in their order, Dicts by sorted keys. ValueError if one has no fixed size."""
    if isinstance(space, spaces.Dict):
        for name, part in sorted(((_name(key), part) for key, part in space.spaces.items()), key=_order):
            yield from leaves_of(part, (*path, name))
    elif isinstance(space, spaces.Tuple):
        for i, part in enumerate(space.spaces):
            yield from leaves_of(part, (*path, i))
    elif isinstance(space, spaces.Discrete):
        yield Leaf(path, (), (int(space.n),), (int(space.start),))
    elif isinstance(space, spaces.MultiDiscrete):
        yield Leaf(path, space.shape, tuple(space.nvec.ravel().tolist()), tuple(space.start.ravel().tolist()))
    elif isinstance(space, spaces.Box | spaces.MultiBinary):
        yield Leaf(path, space.shape, high=_byte_bounds(space))
    elif isinstance(flat := spaces.flatten_space(space) if space.is_np_flattenable else None, spaces.Box):
        yield Leaf(path, flat.shape)
    else:
        raise ValueError("it has no fixed size")


def observation_spec(space: spaces.Space) -> tuple[tuple[int, ...], str, tuple[Leaf, ...]]:
    """Shape, dtype and leaves of the observations of a space; ValueError if it has no fixed size."""
    leaves = tuple(leaves_of(space))
    if not leaves or not all(leaf.size for leaf in leaves):
        raise ValueError("it has no numbers")
    dtype = "uint8" if all(leaf.high for leaf in leaves) else "float32"
    if isinstance(space, spaces.Box) and space.shape:
        return space.shape, dtype, () if leaves[0].high in ((), BYTES) else leaves
    return (sum(leaf.size for leaf in leaves),), dtype, leaves


def _byte_bounds(space: spaces.Box | spaces.MultiBinary) -> tuple[float, ...]:
    """The upper bounds of a space of bytes: one if all are equal."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return ()
    high = tuple(map(float, space.high.ravel()))
    return high[:1] if len(set(high)) == 1 else high


def _name(key: Any) -> str | int:
    return key if isinstance(key, str | int) else str(key)


def _order(pair: tuple[str | int, Any]) -> tuple[str, str | int]:
    return type(pair[0]).__name__, pair[0]


def flatten(spec: Spec, obs: Any, opaque: Mapping[Path, spaces.Space] = NONE) -> np.ndarray:
    """An observation as an array of the spec's shape and dtype, of its own. Raises Mistake if it does not fit.

    `opaque` are the parts, by their paths, that only Gymnasium can flatten.
    """
    if not spec.nested:
        array = numbers(spec.parts[0], as_array(spec.parts[0], obs))
    else:
        array = np.concatenate([_vector(leaf, obs, opaque) for leaf in spec.leaves])
    with np.errstate(over="ignore"):  # whoever asks for finite numbers finds infinity
        return np.array(array, spec.obs_dtype)


def opaque_parts(space: spaces.Space, leaves: tuple[Leaf, ...]) -> dict[Path, spaces.Space]:
    """The parts that only Gymnasium can flatten, such as Text."""
    known = spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    parts = {leaf.path: part_of(space, leaf.path) for leaf in leaves}
    return {path: part for path, part in parts.items() if not isinstance(part, known)}


def part_of(obs: Any, path: Path) -> Any:
    """The part of an observation, or of a space, at a path."""
    for key in path:
        named = {_name(own): part for own, part in obs.items()} if isinstance(obs, Mapping) else obs
        obs = named[key]
    return obs


def _vector(leaf: Leaf, obs: Any, opaque: Mapping[Path, spaces.Space]) -> np.ndarray:
    try:
        value = part_of(obs, leaf.path)
        if leaf.path in opaque:
            value = spaces.flatten(opaque[leaf.path], value)
    except Exception as error:  # whatever it is, it has no such part
        raise Mistake(f"observation {brief_value(obs)} has no {leaf.place} ({describe_error(error)})") from error
    array = as_array(leaf, value)
    return one_hot(leaf, array) if leaf.counts else numbers(leaf, array).ravel()


def as_array(leaf: Leaf, value: Any, batches: bool = False) -> np.ndarray:
    """A value of a part as an array of its shape, with `batches` perhaps of a batch of them."""
    try:
        array = np.asarray(value)
    except Exception as error:  # lists of different lengths; tensors on other devices raise what they like
        raise Mistake(f"{leaf.at} {brief_value(value)} is not an array ({describe_error(error)})") from error
    if array.shape != leaf.shape and not (batches and array.shape[1:] == leaf.shape):
        many = " or a batch of them" if batches else ""
        raise Mistake(f"{leaf.at} of shape {array.shape}, expected {leaf.shape}{many}")
    return array


def numbers(leaf: Leaf, array: np.ndarray) -> np.ndarray:
    """Raise Mistake unless they are numbers, of a part of bytes whole ones from 0 to 255: those are scaled later."""
    kind = array.dtype.kind
    if kind not in "fiub":
        raise Mistake(f"{leaf.at} of dtype {array.dtype}, expected numbers")
    if leaf.high and array.dtype != np.uint8:
        if kind == "f":
            raise Mistake(f"{leaf.at} of dtype {array.dtype}, expected bytes from 0 to 255, which ddpg divides itself")
        if not ((array >= 0) & (array <= 255)).all():
            raise Mistake(f"{leaf.at} from {array.min()} to {array.max()}, expected bytes from 0 to 255")
    return array


def one_hot(leaf: Leaf, array: np.ndarray) -> np.ndarray:
    """A number for each value that each component may have."""
    values, low = array.ravel(), np.array(leaf.starts)
    high = low + leaf.counts - 1
    if array.dtype.kind not in "iu" or not ((low <= values) & (values <= high)).all():
        bounds = f"{low} to {high}" if leaf.shape else f"{low[0]} to {high[0]}"
        raise Mistake(f"{leaf.at} {brief_value(array.tolist())}, expected whole numbers from {bounds}")
    return np.concatenate([np.arange(a, b + 1) == v for v, a, b in zip(values, low, high, strict=True)])
