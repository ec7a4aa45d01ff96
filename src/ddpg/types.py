"""The ground floor: the few records that every room hands to the next."""

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from jax import Array
from jaxtyping import Bool, Float, PRNGKeyArray, Shaped
from jaxtyping import Key as KeyArray

AnyArray = Any  # an array: JAX's in compiled code, NumPy's where Python steps the environments

Key = PRNGKeyArray

Keys = KeyArray[Array, " k"]

PyTree = Any  # a nest of arrays whose structure the function does not need to know


@dataclass(frozen=True)
class Spec:
    """What an environment looks like from outside.

    Inside the project actions live in [-1, 1]^m; `action_low` and `action_high` are the environment's own
    units, in which environments are driven, policies answer and files are written.
    """

    obs_shape: tuple[int, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    obs_dtype: str = "float32"

    @property
    def obs_size(self) -> int:
        return prod(self.obs_shape)

    @property
    def action_dim(self) -> int:
        return len(self.action_low)


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


class Metrics(NamedTuple):
    """What one update says of itself: means over the minibatch."""

    q: Float[AnyArray, ""]  # Q(s, a) of the online critic
    critic_loss: Float[AnyArray, ""]
    actor_loss: Float[AnyArray, ""]  # -Q(s, mu(s))
    dq_da: Float[AnyArray, ""]  # norm of the action gradient at mu(s)
    saturation: Float[AnyArray, ""]  # share of action components beyond 0.99 of their bound
