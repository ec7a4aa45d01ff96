"""What an environment must offer."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Shaped

from ddpg.types import Key, PyTree, Spec


@runtime_checkable
class Environment(Protocol):
    """A JAX-native environment: pure functions of its state, compiled together with the learner.

    It is hashable by value, as a frozen dataclass is, and its observations have the dtype that `spec` says.
    `reset(key)` -> (state, obs); `step(state, action)` -> (state, obs, reward, terminated, truncated) with the
    action in [-1, 1]^m. Time limits are the environment's own and arrive as `truncated`.
    """

    @property
    def id(self) -> str: ...
    @property
    def spec(self) -> Spec: ...
    @property
    def max_episode_steps(self) -> int: ...
    def reset(self, key: Key) -> tuple[PyTree, Array]: ...
    def step(self, state: PyTree, action: Float[Array, " m"]) -> tuple[PyTree, Array, Array, Array, Array]: ...


@runtime_checkable
class HasOptimum(Protocol):
    """An environment whose best achievable undiscounted return is known from the first observation of an episode."""

    def best_return(self, obs: Float[np.ndarray, "b *obs"]) -> Float[np.ndarray, " b"]: ...


@runtime_checkable
class HasInfo(Protocol):
    """A JAX-native environment whose episodes end with numbers of their own, such as `is_success`.

    They are functions of an episode's last observation, under the keys that the configuration's `log` may name.
    """

    def info(self, obs: Shaped[Array, "*b d"]) -> dict[str, Float[Array, "*b"]]: ...


class StepResult(NamedTuple):
    """One step of N environments."""

    obs: Shaped[Array, "n *obs"]
    reward: Float[Array, " n"]
    terminated: Bool[Array, " n"]
    truncated: Bool[Array, " n"]
