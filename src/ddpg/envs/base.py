"""What an environment must offer, N of them side by side, and their autoreset."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

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
class Solved(Protocol):
    """An environment whose best achievable undiscounted return is known from the first observation of an episode."""

    def best_return(self, obs: Float[np.ndarray, "b *obs"]) -> Float[np.ndarray, " b"]: ...


class Outcome(NamedTuple):
    """What N environments answer to one step."""

    obs: Float[Array, "n *obs"]
    reward: Float[Array, " n"]
    terminated: Bool[Array, " n"]
    truncated: Bool[Array, " n"]


@dataclass(frozen=True)
class Vector:
    """N copies of an environment with Gymnasium's NEXT_STEP autoreset.

    The step after an end ignores its action, gives reward 0 and returns the first observation of a new episode,
    so the last observation of every episode is seen, and stored, once.
    """

    env: Any  # an Environment; where Python steps it a Gym, of which only the spec is read
    n: int

    def fresh(self, key: Key) -> tuple[PyTree, Array]:
        """N new episodes: (states, observations), drawn ahead of the loop in one vectorised program."""
        return jax.vmap(self.env.reset)(jax.random.split(key, self.n))

    def step(
        self, state: PyTree, action: Float[Array, "n m"], boundary: Bool[Array, " n"], fresh: tuple[PyTree, Array]
    ) -> tuple[PyTree, Outcome]:
        moved, obs, reward, terminated, truncated = jax.vmap(self.env.step)(state, action)

        def choose(new: Array, old: Array) -> Array:
            return jnp.where(boundary.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

        state, obs = jax.tree.map(choose, fresh, (moved, obs))
        reward = jnp.where(boundary, 0.0, reward)
        return state, Outcome(obs, reward, terminated & ~boundary, truncated & ~boundary)


@dataclass(frozen=True)
class Repeat:
    """An environment in which every action is held for `times` steps, their rewards added, or until an end."""

    env: Environment
    times: int

    @property
    def id(self) -> str:
        return self.env.id

    @property
    def spec(self) -> Spec:
        return self.env.spec

    @property
    def max_episode_steps(self) -> int:
        return -(-self.env.max_episode_steps // self.times)

    def reset(self, key: Key) -> tuple[PyTree, Array]:
        return self.env.reset(key)

    def step(self, state: PyTree, action: Float[Array, " m"]) -> tuple[PyTree, Array, Array, Array, Array]:
        def again(said: tuple, _: None) -> tuple[tuple, None]:
            state, _, total, terminated, truncated = said
            *moved, reward, over, cut = self.env.step(state, action)
            after = (*moved, total + reward, over, cut)
            return jax.tree.map(lambda old, new: jnp.where(terminated | truncated, old, new), said, after), None

        said, _ = jax.lax.scan(again, self.env.step(state, action), None, length=self.times - 1)
        return said


def to_units(action: Float[Array, "*b m"], spec: Spec) -> Float[Array, "*b m"]:
    """From [-1, 1]^m to the environment's own units, per dimension, asymmetric bounds too."""
    low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
    return low + (action + 1.0) * (high - low) / 2.0
