"""Move a point to the origin in k dimensions: the same task for any number of action dimensions, its optimum known."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from ddpg.types import Key, Spec


class PointState(NamedTuple):
    x: Float[Array, " k"]
    t: Int[Array, ""]


@dataclass(frozen=True)
class PointReach:
    """x <- x + a / 2 for x in R^k and a in [-1, 1]^k, rewarded by -|x|^2 / k of the new x; cut after `length` steps.

    An episode starts anywhere in [-1, 1]^k. The dimensions do not touch each other and the reward is their mean, so the
    optimal return is the same on average for every k. The best action is -2 x, clipped: it makes every |x_i| as small
    as it can be at every step.
    """

    k: int = 1
    length: int = 10

    @property
    def id(self) -> str:
        return f"point-reach-{self.k}"

    @property
    def spec(self) -> Spec:
        return Spec(obs_shape=(self.k,), action_low=(-1.0,) * self.k, action_high=(1.0,) * self.k)

    @property
    def max_episode_steps(self) -> int:
        return self.length

    def reset(self, key: Key) -> tuple[PointState, Float[Array, " k"]]:
        x = jax.random.uniform(key, (self.k,), minval=-1.0)
        return PointState(x, jnp.int32(0)), x

    def step(
        self, state: PointState, action: Float[Array, " k"]
    ) -> tuple[PointState, Float[Array, " k"], Float[Array, ""], Bool[Array, ""], Bool[Array, ""]]:
        x = state.x + jnp.clip(action, -1.0, 1.0) / 2
        state = PointState(x, state.t + 1)
        return state, x, -jnp.mean(jnp.square(x)), jnp.array(False), state.t >= self.length

    def best_return(self, obs: Float[np.ndarray, "b k"]) -> Float[np.ndarray, " b"]:
        """-sum_t mean_i max(|x_i| - t / 2, 0)^2, from the first observations."""
        steps = np.arange(1, self.length + 1)[:, None, None]
        return -np.square(np.maximum(np.abs(obs) - steps / 2, 0)).mean(axis=-1).sum(axis=0)
