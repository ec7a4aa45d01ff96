"""Pictures as [b, height, width, channels], however a space orders its axes, and where observations have them."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from jaxtyping import Shaped

from ddpg.types import AnyArray, Spec

SMALLEST = 16  # pixels that bytes have at least, in both directions, if they are taken for a picture
MOST_CHANNELS = 16  # an axis of so many at most may be channels, or pictures that follow each other


class Layout(NamedTuple):
    """How observations become pictures: by which order of their axes, and of what shape they are then."""

    axes: tuple[int, ...]
    shape: tuple[int, int, int]  # height, width, channels

    @property
    def spatial(self) -> tuple[int, int]:
        """Where height and width are in a batch of observations."""
        return self.axes[0] + 1, self.axes[1] + 1

    def __call__(self, obs: Shaped[AnyArray, "b *obs"]) -> Shaped[AnyArray, "b h w c"]:
        return obs.transpose(0, *(axis + 1 for axis in self.axes)).reshape(len(obs), *self.shape)


def layout_of(shape: tuple[int, ...]) -> Layout | None:
    """The layout of observations of this shape; None if they cannot be pictures.

    [h, w], [h, w, c] and [c, h, w], and stacks [k, h, w], [k, h, w, c] and [k, c, h, w] of them. Channels come first
    if their axis is the shortest, of MOST_CHANNELS at most.
    """
    if len(shape) == 2:
        axes = (0, 1)
    elif len(shape) == 3:
        axes = (1, 2, 0) if shape[0] <= MOST_CHANNELS and shape[0] < min(shape[1:]) else (0, 1, 2)
    elif len(shape) == 4 and shape[0] <= MOST_CHANNELS:
        axes = (2, 3, 0, 1) if shape[1] <= MOST_CHANNELS and shape[1] < min(shape[2:]) else (1, 2, 0, 3)
    else:
        return None
    channels = 1
    for axis in axes[2:]:
        channels *= shape[axis]
    height, width = shape[axes[0]], shape[axes[1]]
    return Layout(axes, (height, width, channels)) if min(height, width) > 1 else None


def seems_picture(shape: tuple[int, ...]) -> bool:
    """Whether bytes of this shape are taken for a picture: less than SMALLEST in a direction is a board, say."""
    layout = layout_of(shape)
    return layout is not None and min(layout.shape[:2]) >= SMALLEST


class Part(NamedTuple):
    """A picture in a nested observation: where it lies in the flat one, and its own shape."""

    begin: int
    end: int
    shape: tuple[int, ...]


def replaced(
    obs: Shaped[AnyArray, "b i"], parts: Sequence[Part], functions: Iterable[Callable[[AnyArray], AnyArray]]
) -> Shaped[AnyArray, "b o"]:
    """Flat observations with what a function makes of each picture [b, *shape], a row of numbers, in its place."""
    pieces, done = [], 0
    for (begin, end, shape), function in zip(parts, functions, strict=True):
        row = function(obs[:, begin:end].reshape(len(obs), *shape)).reshape(len(obs), -1)
        pieces += [obs[:, done:begin], row]
        done = end
    return obs.__array_namespace__().concatenate([*pieces, obs[:, done:]], axis=-1)


def picture_parts(spec: Spec) -> list[Part]:
    """The parts of a nested observation that are pictures, bytes of a height and a width; none of one array."""
    places = zip(spec.leaves if spec.nested else (), pairwise([0, *spec.ends]), strict=False)
    return [Part(*ends, leaf.shape) for leaf, ends in places if leaf.high and seems_picture(leaf.shape)]


def taken_apart(
    obs: Shaped[AnyArray, "*b i"], parts: Sequence[Part]
) -> tuple[Shaped[AnyArray, "*b p"], Shaped[AnyArray, "*b n"]]:
    """What flat observations have in these pictures, and what they have beside them."""
    xp, bounds = obs.__array_namespace__(), [0, *(at for part in parts for at in part[:2]), obs.shape[-1]]
    pieces = [obs[..., begin:end] for begin, end in pairwise(bounds)]  # in turn beside pictures and in one
    return xp.concatenate([obs[..., :0], *pieces[1::2]], axis=-1), xp.concatenate(pieces[::2], axis=-1)


def joined(
    pictures: Shaped[AnyArray, "*b p"], numbers: Shaped[AnyArray, "*b n"], parts: Sequence[Part]
) -> Shaped[AnyArray, "*b i"]:
    """The flat observations that `taken_apart` took apart."""
    pieces, seen, done = [], 0, 0
    for begin, end, _ in parts:
        beside, size = begin - seen - done, end - begin
        pieces += [numbers[..., done : done + beside], pictures[..., seen : seen + size]]
        seen, done = seen + size, done + beside
    return numbers.__array_namespace__().concatenate([*pieces, numbers[..., done:]], axis=-1)
