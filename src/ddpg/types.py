"""The ground floor: the few records that every room hands to the next."""

from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Gt, Le, MinLen
from jax import Array
from jaxtyping import Bool, Float, PRNGKeyArray, Shaped
from jaxtyping import Key as KeyArray
from pydantic import AllowInfNan, BeforeValidator

Some = Any  # an array: JAX's in compiled code, NumPy's where Python steps the environments
Key = PRNGKeyArray
Keys = KeyArray[Array, " k"]
PyTree = Any  # a nest of arrays whose structure the function does not need to know


def _listed(value: Any) -> Any:
    """A command line writes 64,64 where JSON and Python have a sequence."""
    if isinstance(value, str):
        return value.replace(" ", "").strip("()[],").split(",")
    return [value] if isinstance(value, int | float) else value


def _maybe_listed(value: Any) -> Any:
    return _listed(value) if isinstance(value, str) and "," in value else value


def _round(value: Any) -> Any:
    """1e4 is a whole number too, on a command line."""
    try:
        return int(float(value)) if isinstance(value, str) and float(value).is_integer() else value
    except ValueError:
        return value


# The ranges of a configuration's numbers, checked where a configuration is read (training/config.py). Compiled code
# counts steps in 32 bits.
Rounded = BeforeValidator(_round)
Whole = Annotated[int, Ge(0), Le(2**31 - 1), Rounded]
Natural = Annotated[int, Ge(1), Le(2**31 - 1), Rounded]
Finite = Annotated[float, AllowInfNan(False)]
Positive = Annotated[Finite, Gt(0)]
NonNegative = Annotated[Finite, Ge(0)]
UnitInterval = Annotated[Finite, Gt(0), Le(1)]
Widths = Annotated[tuple[Natural, ...], BeforeValidator(_listed), MinLen(1)]
Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Scale = Annotated[NonNegative | Annotated[tuple[NonNegative, ...], MinLen(1)], BeforeValidator(_maybe_listed)]


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

    obs: Shaped[Some, "..."]  # [*time, n, *obs], of the environment's own dtype
    action: Float[Some, "*time n m"]
    reward: Float[Some, "*time n"]
    terminated: Bool[Some, "*time n"]
    truncated: Bool[Some, "*time n"]
    boundary: Bool[Some, "*time n"]


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

    q: Float[Some, ""]  # Q(s, a) of the online critic
    critic_loss: Float[Some, ""]
    actor_loss: Float[Some, ""]  # -Q(s, mu(s))
    dq_da: Float[Some, ""]  # norm of the action gradient at mu(s)
    saturation: Float[Some, ""]  # share of action components beyond 0.99 of their bound
