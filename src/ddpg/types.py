"""The ground floor: the few records that every room hands to the next."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Bool, Float, PRNGKeyArray, Shaped
from jaxtyping import Key as KeyArray

AnyArray = Any  # an array: JAX's in compiled code, NumPy's where Python steps the environments

Key = PRNGKeyArray

Keys = KeyArray[Array, " k"]

PyTree = Any  # a nest of arrays whose structure the function does not need to know


@dataclass(frozen=True)
class Leaf:
    """One part of a nested observation, or the whole of one that is not nested."""

    path: tuple[str | int, ...]  # keys of Dicts and indices of Tuples that lead to it
    shape: tuple[int, ...]
    counts: tuple[int, ...] = ()  # if it is one-hot: how many values each of its components has
    starts: tuple[int, ...] = ()  # and the lowest of them
    high: tuple[float, ...] = ()  # if it is of bytes: their upper bound, or one for each component

    @property
    def size(self) -> int:
        """How many numbers it is in the flat observation."""
        return sum(self.counts) if self.counts else prod(self.shape)

    @property
    def place(self) -> str:
        return "".join(f"[{key!r}]" for key in self.path)

    @property
    def at(self) -> str:
        return f"observation{self.place}"


@dataclass(frozen=True)
class Spec:
    """What an environment looks like from outside.

    Inside the project actions live in [-1, 1]^m; `action_low` and `action_high` are the environment's own
    units, in which environments are driven, policies answer and files are written. `leaves` are the parts of a nested
    observation in the order in which they lie in the flat one; none if an observation is an array, as it is. An
    observation is of `stack` pictures in a row [height, width, stack * channels], the newest last.
    """

    obs_shape: tuple[int, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    obs_dtype: str = "float32"
    leaves: tuple[Leaf, ...] = ()
    stack: int = 1

    @property
    def obs_size(self) -> int:
        return prod(self.obs_shape)

    @property
    def root(self) -> Leaf:
        """The whole observation as one part: an array, bytes of a picture if it is of bytes."""
        return Leaf((), self.obs_shape, high=(255.0,) if self.obs_dtype == "uint8" else ())

    @cached_property
    def parts(self) -> tuple[Leaf, ...]:
        return self.leaves or (self.root,)

    @cached_property
    def ends(self) -> list[int]:
        """Where each part ends in the flat observation."""
        return list(accumulate(part.size for part in self.parts))

    @cached_property
    def nested(self) -> bool:
        """Whether an observation is more than one array of numbers."""
        return self.parts != (replace(self.root, high=self.parts[0].high),)

    @property
    def action_dim(self) -> int:
        return len(self.action_low)

    @cached_property
    def bounds(self) -> Float[np.ndarray, "2 m"]:
        """`action_low` and `action_high` in 64 bits."""
        return np.array([self.action_low, self.action_high], np.float64)

    @cached_property
    def bounds32(self) -> Float[np.ndarray, "2 m"]:
        """The same in 32 bits, rounded inwards: of 32-bit numbers the nearest to 0.1 is above it."""
        low, high = self.bounds
        with np.errstate(over="ignore"):
            nearest = self.bounds.astype(np.float32)
        outside = (low < high) & [nearest[0] < low, nearest[1] > high]
        return np.where(outside, np.nextafter(nearest, nearest[::-1]), nearest)

    @cached_property
    def middle_and_half(self) -> Float[np.ndarray, "2 m"]:
        """Of the action's range; by halves of the bounds, since the range itself may overflow."""
        low, high = self.bounds / 2
        return np.array([low + high, high - low])

    def to_units(self, action: Float[AnyArray, "*b m"]) -> Float[AnyArray, "*b m"]:
        """From [-1, 1]^m to the environment's units, within the bounds: in 64 bits if `action` is of NumPy, else 32."""
        xp = action.__array_namespace__()
        (low, high), (middle, half) = self.bounds, self.middle_and_half
        return xp.minimum(xp.maximum(middle + action * half, low), high)


class Row(NamedTuple):
    """One stored step of N environments, in the order of Gymnasium's NEXT_STEP autoreset.

    The last observation of an episode has a row of its own (`boundary`), whose action is ignored and whose
    step resets the environment; so every observation is stored once, and row t + 1 holds the next one of row t.
    """

    obs: Shaped[AnyArray, "..."]  # [*time, n, *obs], of the environment's own dtype
    action: Float[AnyArray, "*time n m"]
    reward: Float[AnyArray, "*time n"]
    terminated: Bool[AnyArray, "*time n"]
    truncated: Bool[AnyArray, "*time n"]
    boundary: Bool[AnyArray, "*time n"]


class Transition(NamedTuple):
    """All that the update sees. `discount` is gamma^n, and 0 only after a true end, never at a time limit."""

    obs: Float[Array, "b *obs"]
    action: Float[Array, "b m"]
    reward: Float[Array, " b"]
    discount: Float[Array, " b"]
    next_obs: Float[Array, "b *obs"]
    weight: Float[Array, " b"]
    following: Float[Array, "b *obs"] | None = None  # s_{t+1}, if next_obs may be s_{t+n}


class Metrics(NamedTuple):
    """What one update measures: means over the minibatch; Q and the losses by `Transition.weight`."""

    q: Float[AnyArray, ""]  # Q(s, a) of the online critic
    critic_loss: Float[AnyArray, ""]  # sum over the critics
    actor_loss: Float[AnyArray, ""]  # -Q(s, a) at the actor's action, without the penalty on preactivations
    dq_da: Float[AnyArray, ""]  # norm of the action gradient there
    saturation: Float[AnyArray, ""]  # share of action components beyond 0.99 of their bound
    stuck: Float[AnyArray, ""]  # share of action dimensions that are at one and the same bound in every state
