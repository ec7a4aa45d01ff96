"""A camera sees the target, and numbers say where the agent is: each without the other is useless.

    python examples/camera_and_position.py [--steps 20000] [--run FOLDER]
    cd examples && ddpg train camera_and_position:Meet-v0        # the same

Observations are a Dict, so the picture goes through an encoder of its own, and the numbers join what it gives.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import ddpg

SIZE, HALF = 48, 21  # pixels of the picture, and of the way from its middle to a wall


class Meet(gymnasium.Env):
    """Follow a square that bounces off four walls, without being seen oneself; the reward is minus the distance."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    observation_space = spaces.Dict(
        {"camera": spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8), "position": spaces.Box(-1.0, 1.0, (2,))}
    )
    action_space = spaces.Box(-1.0, 1.0, (2,))  # the speed to the right and downwards

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.agent, self.target = self.np_random.uniform(-1, 1, (2, 2))
        self.speed = self.np_random.uniform(-0.05, 0.05, 2)
        return self.observation(), {}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.agent = np.clip(self.agent + 0.1 * action, -1, 1)
        self.target = self.target + self.speed
        self.speed = np.where(np.abs(self.target) > 1, -self.speed, self.speed)
        self.target = np.clip(self.target, -1, 1)
        return self.observation(), -float(np.linalg.norm(self.agent - self.target)), False, False, {}

    def observation(self) -> dict[str, Any]:
        return {"camera": self.render(), "position": self.agent.astype(np.float32)}

    def render(self) -> np.ndarray:
        picture = np.full((SIZE, SIZE, 3), 30, np.uint8)
        column, row = (SIZE / 2 + HALF * self.target).astype(int)
        picture[max(0, row - 3) : row + 3, max(0, column - 3) : column + 3] = (220, 60, 60)
        return picture


gymnasium.register("Meet-v0", entry_point=f"{__name__}:Meet", max_episode_steps=50)


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--run")
    args = parser.parse_args(argv)
    run = ddpg.train("Meet-v0", steps=args.steps, run=args.run)
    print(f"distance {-run.summary['iqm'] / 50:.2f} on average, where the walls are 2 apart")


if __name__ == "__main__":
    main()
