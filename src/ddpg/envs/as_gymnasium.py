"""A compiled environment as Python steps it, one copy at a time: what `ddpg doctor` examines."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from ddpg.envs.goals import HasGoals
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.types import Spec


@dataclass(frozen=True)
class Stepper:
    """Makes one. It cannot draw itself."""

    env: Environment

    def __call__(self, render_mode: str | None = None) -> gymnasium.Env:
        return SteppedEnv(self.env)


class SteppedEnv(gymnasium.Env):
    """One copy; its actions are in the environment's units."""

    def __init__(self, env: Environment) -> None:
        spec, (self._reset, self._step) = env.spec, _compiled(env)
        byte = spec.obs_dtype == "uint8"
        dtype: Any = np.dtype(spec.obs_dtype).type
        self.observation_space = spaces.Box(0 if byte else -np.inf, 255 if byte else np.inf, spec.obs_shape, dtype)
        self.action_space = spaces.Box(*spec.bounds32)
        self._middle, self._half = spec.middle_and_half
        self._state: Any = None
        if isinstance(env, HasGoals):
            self.compute_reward = env.compute_reward

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._state, obs = self._reset(jax.random.key(self.np_random.integers(2**31)))
        return np.asarray(obs), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        unit = np.divide(action - self._middle, self._half, out=np.zeros_like(self._half), where=self._half > 0)
        self._state, obs, reward, terminated, truncated = self._step(self._state, unit.astype(np.float32))
        return np.asarray(obs), float(reward), bool(terminated), bool(truncated), {}


@cache
def _compiled(env: Environment) -> tuple[Any, Any]:
    return jax.jit(env.reset), jax.jit(env.step)


def as_gymnasium(env: Environment, repeat: int = 1) -> GymFactory:
    """The recipe of one that Python steps; `env` itself repeats no action. Observations are arrays without parts."""
    return GymFactory(env.id, replace(env.spec, leaves=()), Stepper(env), repeat, env.max_episode_steps, changed=True)


def is_compiled(gym: GymFactory) -> bool:
    """Whether it is `as_gymnasium`."""
    return isinstance(gym.maker, Stepper)


def spec_of(gym: GymFactory) -> Spec:
    """As it is seen, with the parts that `as_gymnasium` takes away if it is seen as it is."""
    return gym.maker.env.spec if isinstance(gym.maker, Stepper) and gym.own is None else gym.spec
