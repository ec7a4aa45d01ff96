"""A camera is all that this agent has: it sees a target that moves, and itself, and is to stay on it.

    python examples/camera.py [--steps 20000] [--run FOLDER]
    cd examples && ddpg train camera:Chase-v0        # the same

Observations are pictures of 64 x 64 pixels in colour, so ddpg chooses the preset `pixels`. How the target moves is in
no single picture: stacks of three show it.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import ddpg

SIZE, HALF = 64, 28  # pixels of the picture, and of the way from its middle to a wall
AGENT, TARGET, FLOOR = (60, 220, 60), (220, 60, 60), (30, 30, 30)


class Chase(gymnasium.Env):
    """A green square follows a red one that bounces off four walls; the reward is minus their distance."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (2,))  # the speed to the right and downwards

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.agent, self.target = self.np_random.uniform(-1, 1, (2, 2))
        self.speed = self.np_random.uniform(-0.05, 0.05, 2)
        return self.render(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.agent = np.clip(self.agent + 0.1 * action, -1, 1)
        self.target = self.target + self.speed
        self.speed = np.where(np.abs(self.target) > 1, -self.speed, self.speed)
        self.target = np.clip(self.target, -1, 1)
        return self.render(), -float(np.linalg.norm(self.agent - self.target)), False, False, {}

    def render(self) -> np.ndarray:
        picture = np.full((SIZE, SIZE, 3), FLOOR, np.uint8)
        for place, size, colour in ((self.target, 4, TARGET), (self.agent, 3, AGENT)):
            column, row = (SIZE / 2 + HALF * place).astype(int)
            picture[max(0, row - size) : row + size, max(0, column - size) : column + size] = colour
        return picture


gymnasium.register("Chase-v0", entry_point=f"{__name__}:Chase", max_episode_steps=50)


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--run")
    args = parser.parse_args(argv)
    run = ddpg.train("Chase-v0", steps=args.steps, run=args.run)
    print(f"distance {-run.summary['iqm'] / 50:.2f} on average, where the walls are 2 apart")


if __name__ == "__main__":
    main()
