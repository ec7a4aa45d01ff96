"""The randomness of one iteration: a function of (key, t) alone, drawn for a whole chunk ahead.

Drawn inside the loop it would cost 10 % of a step.
"""

from typing import NamedTuple

import jax
from jax import Array
from jaxtyping import Bool, Float, Int, UInt32

from ddpg.types import AnyArray, Key, Keys


class ActionRandomness(NamedTuple):
    """For K steps of N environments: of the exploration, and of random actions."""

    normal: Float[AnyArray, "k n m"]
    uniform: Float[AnyArray, "k n m"]  # in (-1, 1)
    random: Bool[AnyArray, "k n"] | None = None  # which actions are `uniform` after the warm-up; None: none are

    def of_steps(self) -> list["ActionRandomness"]:
        """Those of each step."""
        random = [None] * len(self.normal) if self.random is None else self.random
        return [ActionRandomness(*own) for own in zip(self.normal, self.uniform, random, strict=True)]


class UpdateRandomness(NamedTuple):
    """For U updates: of the minibatches, of target smoothing, of augmentation and of hindsight."""

    bits: UInt32[Array, "u b"]
    normal: Float[Array, "u b m"]  # [u, b, 0] without smoothing
    augment: UInt32[Array, "u two w"]  # of the pictures of s and of s', w 0 without augmentation
    hindsight: UInt32[Array, "u two b"] | None = None  # None if no goal is relabelled


class IterationRandomness(NamedTuple):
    actions: ActionRandomness
    updates: UpdateRandomness


def init_keys(key: Key) -> Keys:
    """Of the networks, and of the first episodes."""
    return jax.random.split(jax.random.fold_in(key, 2**32 - 1))


def iteration_keys(key: Key, t: Int[Array, ""]) -> Keys:
    """Of the updates, of the actions, and of the resets of iteration t."""
    return jax.random.split(jax.random.fold_in(key, t), 3)
