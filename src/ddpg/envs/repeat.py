"""Action repeat for JAX-native environments."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ddpg.envs.protocol import Environment
from ddpg.types import Key, PyTree, Spec


@dataclass(frozen=True)
class Repeat:
    """An environment that holds every action for `repeat` steps, or until an end, and adds their rewards."""

    env: Environment
    repeat: int

    @property
    def id(self) -> str:
        return self.env.id

    @property
    def spec(self) -> Spec:
        return self.env.spec

    @property
    def max_episode_steps(self) -> int:
        return -(-self.env.max_episode_steps // self.repeat)

    def reset(self, key: Key) -> tuple[PyTree, Array]:
        return self.env.reset(key)

    def step(self, state: PyTree, action: Float[Array, " m"]) -> tuple[PyTree, Array, Array, Array, Array]:
        def again(result: tuple, _: None) -> tuple[tuple, None]:
            state, _, total, terminated, truncated = result
            *moved, reward, next_terminated, next_truncated = self.env.step(state, action)
            after = (*moved, total + reward, next_terminated, next_truncated)
            return jax.tree.map(lambda old, new: jnp.where(terminated | truncated, old, new), result, after), None

        result, _ = jax.lax.scan(again, self.env.step(state, action), None, length=self.repeat - 1)
        return result
