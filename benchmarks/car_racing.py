r"""Gymnasium's CarRacing-v3 from half of its pixels, grey and without the bar of instruments.

pip install 'gymnasium[box2d]'
cd examples && ddpg train car_racing:CarPicture-v0 --action_repeat 4 --steps 60000
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class CarPicture(gymnasium.ObservationWrapper):
    """[42, 48] of [96, 96, 3]: what is above the instruments, each 2 x 2 pixels as their mean brightness."""

    def __init__(self, **options: Any) -> None:
        super().__init__(gymnasium.make("CarRacing-v3", max_episode_steps=-1, **options))
        self.observation_space = spaces.Box(0, 255, (42, 48), np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[:84].reshape(42, 2, 48, 2, 3).mean(axis=(1, 3, 4)).astype(np.uint8)


gymnasium.register("CarPicture-v0", entry_point=f"{__name__}:CarPicture", max_episode_steps=1000)
