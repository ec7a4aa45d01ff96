"""An environment whose every step takes 5 ms and no processor, as one that waits for a robot: `sleepy:Sleepy-v0`."""

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SECONDS = 0.005


class Sleepy(gymnasium.Env):
    """Stay at 0: x <- x + push / 10."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return self.x.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        time.sleep(SECONDS)
        self.x += action[0] / 10
        return self.x.copy(), -float(abs(self.x).sum()), False, False, {}


gymnasium.register("Sleepy-v0", "sleepy:Sleepy", max_episode_steps=200)
