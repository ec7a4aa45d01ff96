"""The rewards of environments with goals: what a step would have given if another goal had been desired."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from ddpg.envs.foreign import EnvironmentFailure, Guard, brief_value, close_quietly
from ddpg.mistake import Mistake

NO_INFO: dict[str, Any] = {}


@runtime_checkable
class HasGoals(Protocol):
    """A JAX-native environment whose reward follows from the goal that a step achieved and the one that is desired.

    Its `spec` has the leaves `achieved_goal` and `desired_goal`. As in gymnasium-robotics `info` is a mapping, here
    empty. An environment may have `compute_terminated` of the same arguments; without, an end does not follow from
    goals.
    """

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Float[Array, ""]: ...


@dataclass(frozen=True)
class CompiledGoalReward:
    """Of a JAX-native environment, for any number of pairs of goals."""

    env: HasGoals

    def __call__(
        self, achieved: Float[Array, "n b *g"], desired: Float[Array, "b *g"]
    ) -> tuple[Float[Array, "n b"], Bool[Array, "n b"] | None]:
        """Rewards, and true ends if it computes those."""

        def of_each(compute: Any) -> Array:
            return jax.vmap(jax.vmap(lambda a, g: jnp.asarray(compute(a, g, NO_INFO))), (0, None))(achieved, desired)

        ends = getattr(self.env, "compute_terminated", None)
        return of_each(self.env.compute_reward).astype(jnp.float32), None if ends is None else of_each(ends) > 0


class GoalReward:
    """Of an environment that Python steps, by its own `compute_reward` and, if it has that, `compute_terminated`.

    Goals have `shape` there. Both get arrays of pairs, as in gymnasium-robotics, or pair by pair if they answer
    anything but one number for each. An environment that is not `lent` is closed with this.
    """

    def __init__(self, env: gymnasium.Env, name: str, shape: tuple[int, ...], lent: bool = True) -> None:
        self._shape, self._env = shape, None if lent else env
        self._reward, self._terminated = (_method(env, which) for which in ("compute_reward", "compute_terminated"))
        if self._reward is None:
            raise Mistake(
                f"replay.relabel: {name} has no method compute_reward(achieved_goal, desired_goal, info); "
                f"give it one, or use --replay.relabel none"
            )

    def __call__(
        self, achieved: Float[np.ndarray, "u n b g"], desired: Float[np.ndarray, "u b g"]
    ) -> tuple[Float[np.ndarray, "u n b"], Bool[np.ndarray, "u n b"] | None]:
        """Rewards, and true ends if it computes those. Raises EnvironmentFailure if the environment fails."""
        desired = np.broadcast_to(desired[..., None, :, :], achieved.shape)
        pairs = achieved.reshape(-1, *self._shape), desired.reshape(-1, *self._shape)
        reward = self._answer("compute_reward", self._reward, pairs).astype(np.float32)
        if not np.isfinite(reward).all():
            raise EnvironmentFailure("compute_reward answered NaN or infinity, expected finite numbers of 32 bits")
        reward = reward.reshape(achieved.shape[:-1])
        if self._terminated is None:
            return reward, None
        return reward, self._answer("compute_terminated", self._terminated, pairs).reshape(reward.shape) > 0

    def like(self, achieved: tuple[int, ...]) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct | None]:
        """The shapes of the answer for achieved goals of that shape."""
        ends = None if self._terminated is None else jax.ShapeDtypeStruct(achieved[:-1], bool)
        return jax.ShapeDtypeStruct(achieved[:-1], np.float32), ends

    def close(self) -> None:
        if self._env is not None:
            close_quietly(self._env)

    def _answer(self, name: str, compute: Any, pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """One number for each pair."""
        with Guard(lambda: f"{name} raised", may_change=False):
            try:
                answer = np.asarray(compute(*pairs, NO_INFO))
            except (TypeError, ValueError, IndexError):  # made for one pair
                answer = np.zeros(())
            if answer.shape != (len(pairs[0]),):
                answer = np.array([compute(*pair, NO_INFO) for pair in zip(*pairs, strict=True)])
        if answer.shape != (len(pairs[0]),) or answer.dtype.kind not in "fiub":
            raise EnvironmentFailure(
                f"{name} answered {brief_value(answer[0])} for one pair of goals, expected one number"
            )
        return answer


def rewards_goals(env: gymnasium.Env) -> bool:
    """Whether it computes the rewards of other goals."""
    return _method(env, "compute_reward") is not None


def _method(env: gymnasium.Env, name: str) -> Any:
    """A method of an environment or of what its wrappers wrap; None if it has none."""
    with Guard(lambda: f"{name} raised", may_change=False):
        return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None
