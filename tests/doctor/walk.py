"""An ordinary small environment, whose every trait a test may change, and what the doctor measures of it."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from ddpg.doctor.examine import Findings, examine
from ddpg.envs.gymnasium_factory import GymFactory, by_callable

PLANE, PUSH = spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(-1.0, 1.0, (1,))


class Walk(gymnasium.Env):
    """A point that actions push, in episodes of ten steps; a test may change every trait."""

    def __init__(
        self,
        *,
        obs: Callable[["Walk"], Any] = lambda self: np.array([self.x, np.sin(self.t)], np.float32),
        space: spaces.Space = PLANE,
        action: spaces.Box = PUSH,
        reward: Callable[["Walk"], float] = lambda self: 1 - self.x**2,
        terminated: int = 0,
        truncated: int = 10,
        push: float = 0.5,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space, self.action_space, self.render_mode = space, action, render_mode
        self.metadata = {"render_modes": ["rgb_array"]}
        self._obs, self._reward, self._push = obs, reward, push
        self._terminated, self._truncated = terminated, truncated
        self.total = self.t = 0
        self.x = self.action = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.t = self.np_random.uniform(-1, 1), 0
        return self._obs(self), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.action = float(action.flat[0])
        self.x = float(np.clip(self.x + self._push * self.action, -2, 2))
        self.t, self.total = self.t + 1, self.total + 1
        return self._obs(self), self._reward(self), self.t == self._terminated, self.t == self._truncated, {}

    def render(self) -> np.ndarray:
        return np.zeros((4, 6, 3), np.uint8)


def gym_of(**traits: Any) -> GymFactory:
    return by_callable(lambda **mode: Walk(**traits, **mode), Walk(**traits))


def findings_of(steps: int = 200, **traits: Any) -> Findings:
    return examine(gym_of(**traits), steps)
