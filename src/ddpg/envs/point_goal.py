"""Move a point to a goal that is new in every episode, rewarded only there: the smallest task for hindsight."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from ddpg.types import Key, Leaf, Spec


class PointGoalState(NamedTuple):
    x: Float[Array, " k"]
    goal: Float[Array, " k"]
    t: Int[Array, ""]


@dataclass(frozen=True)
class PointGoal:
    """x <- clip(x + a / 10, -1, 1) for x in R^k and a in [-1, 1]^k; cut after `length` steps.

    The reward is 0 if the new x is within `radius` of the goal, and -1 else, as in the Fetch tasks. Start and goal are
    anywhere in [-1, 1]^k. Observations have the parts of gymnasium-robotics; `observation` and `achieved_goal` are x.
    """

    k: int = 2
    radius: float = 0.05
    length: int = 50

    @property
    def id(self) -> str:
        return "PointGoal-v0" if self == PointGoal() else f"point-goal-{self.k}"

    @property
    def spec(self) -> Spec:
        names, ones = ("achieved_goal", "desired_goal", "observation"), (1.0,) * self.k
        leaves = tuple(Leaf((name,), (self.k,)) for name in names)
        return Spec((3 * self.k,), tuple(-x for x in ones), ones, leaves=leaves)

    @property
    def max_episode_steps(self) -> int:
        return self.length

    def reset(self, key: Key) -> tuple[PointGoalState, Float[Array, " d"]]:
        x, goal = jax.random.uniform(key, (2, self.k), minval=-1.0)
        state = PointGoalState(x, goal, jnp.int32(0))
        return state, self._observe(state)

    def step(
        self, state: PointGoalState, action: Float[Array, " k"]
    ) -> tuple[PointGoalState, Float[Array, " d"], Float[Array, ""], Bool[Array, ""], Bool[Array, ""]]:
        x = jnp.clip(state.x + jnp.clip(action, -1.0, 1.0) / 10, -1.0, 1.0)
        state = PointGoalState(x, state.goal, state.t + 1)
        reward = self.compute_reward(x, state.goal, {})
        return state, self._observe(state), reward, jnp.array(False), state.t >= self.length

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Float[Array, "*b"]:
        return -(jnp.linalg.norm(achieved_goal - desired_goal, axis=-1) > self.radius).astype(jnp.float32)

    def info(self, obs: Float[Array, "*b d"]) -> dict[str, Array]:
        """`is_success` of the last observation of an episode."""
        achieved, desired, _ = jnp.split(obs, 3, axis=-1)
        return {"is_success": 1 + self.compute_reward(achieved, desired, {})}

    def best_return(self, obs: Float[np.ndarray, "b d"]) -> Float[np.ndarray, " b"]:
        """Minus the steps until straight moves of 1/10 per dimension are within the radius."""
        achieved, desired, _ = np.split(np.asarray(obs, np.float64), 3, axis=-1)
        steps = np.arange(1, self.length + 1)[:, None, None]
        left = np.maximum(np.abs(achieved - desired) - steps / 10, 0)
        return -(np.linalg.norm(left, axis=-1) > self.radius).sum(axis=0).astype(float)

    def _observe(self, state: PointGoalState) -> Float[Array, " d"]:
        return jnp.concatenate([state.x, state.goal, state.x])
