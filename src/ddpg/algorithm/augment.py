"""Augmentation: pictures of a minibatch shifted at random, so that the critic does not learn the pixels by heart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Shaped, UInt32
from pydantic import Discriminator

from ddpg.pictures import Part, layout_of, replaced
from ddpg.ranges import Natural


@dataclass(frozen=True)
class NoAugmentation:
    """Observations as they are."""

    kind: Literal["none"] = field(default="none", kw_only=True)
    words: ClassVar[int] = 0  # random ones that one call needs

    def __call__(self, obs: Shaped[Array, "b *obs"], words: UInt32[Array, "0"]) -> Shaped[Array, "b *obs"]:
        return obs


@dataclass(frozen=True)
class RandomShift:
    """Moves pictures by up to `pixels` in each direction; what comes in repeats the border (DrQ-v2, section 3.1).

    A minibatch is moved in so many `groups`, each in a direction of its own: a slice of many pictures costs what a
    slice of one does. As many groups as `replay.batch` move each picture on its own, as the paper does.
    """

    kind: Literal["shift"] = field(default="shift", kw_only=True)
    pixels: Natural = 4
    groups: Natural = 8

    @property
    def words(self) -> int:
        """Random ones that one call needs."""
        return self.groups

    def __call__(self, obs: Shaped[Array, "b *obs"], words: UInt32[Array, " g"]) -> Shaped[Array, "b *obs"]:
        layout = layout_of(obs.shape[1:])
        assert layout is not None, "observations are pictures: their encoder has said so"
        positions, pad = 2 * self.pixels + 1, [(0, 0)] * obs.ndim
        for axis in layout.spatial:
            pad[axis] = (self.pixels, self.pixels)
        padded = jnp.pad(obs, pad, mode="edge")
        moved, first, groups = [], 0, min(self.groups, len(obs))
        for g in range(groups):
            last = (g + 1) * len(obs) // groups
            start = [jnp.int32(0)] * obs.ndim
            for axis, word in zip(layout.spatial, (words[g] >> 16, words[g] & 0xFFFF), strict=True):
                start[axis] = (word % positions).astype(jnp.int32)
            moved.append(jax.lax.dynamic_slice(padded[first:last], start, (last - first, *obs.shape[1:])))
            first = last
        return jnp.concatenate(moved)


def augment_parts(
    augment: NoAugmentation | RandomShift,
    obs: Shaped[Array, "b *obs"],
    parts: Sequence[Part],
    words: UInt32[Array, " w"],
) -> Shaped[Array, "b *obs"]:
    """The whole observation if that is a picture, or those `parts` of it that are, all by the same `words`."""
    if not parts:
        return augment(obs, words)
    return replaced(obs, parts, [partial(augment, words=words)] * len(parts))


AnyAugmentation = Annotated[NoAugmentation | RandomShift, Discriminator("kind")]
