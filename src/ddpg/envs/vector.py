"""N copies of a JAX-native environment side by side, with autoreset."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from ddpg.envs.protocol import Environment, StepResult
from ddpg.types import Key, PyTree


@dataclass(frozen=True)
class Vector:
    """N copies of an environment with Gymnasium's NEXT_STEP autoreset.

    The step after an end ignores its action, gives reward 0 and returns the first observation of a new episode,
    so the last observation of every episode is stored once.
    """

    env: Environment
    n: int

    def fresh(self, key: Key) -> tuple[PyTree, Array]:
        """N new episodes: (states, observations), drawn ahead of the loop in one vectorised program."""
        return jax.vmap(self.env.reset)(jax.random.split(key, self.n))

    def step(
        self, state: PyTree, action: Float[Array, "n m"], boundary: Bool[Array, " n"], fresh: tuple[PyTree, Array]
    ) -> tuple[PyTree, StepResult]:
        moved, obs, reward, terminated, truncated = jax.vmap(self.env.step)(state, action)

        def choose(new: Array, old: Array) -> Array:
            return jnp.where(boundary.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

        state, obs = jax.tree.map(choose, fresh, (moved, obs))
        reward = jnp.where(boundary, 0.0, reward)
        return state, StepResult(obs, reward, terminated & ~boundary, truncated & ~boundary)
