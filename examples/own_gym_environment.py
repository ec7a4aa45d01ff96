"""Your own Gymnasium environment: a heat pump and a fan bring a room to a temperature and hold it there.

    python examples/own_gym_environment.py [--steps 20000] [--run FOLDER]

docs/own_environment.md explains this file, from `ddpg doctor` to the policy in a loop.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

import ddpg


class Room(gymnasium.Env):
    """Air and walls of a room, in °C, in steps of ten minutes.

    The heat pump heats with up to 3 kW and cools with up to 1 kW.
    The fan replaces up to a fifth of the air by air from outside.
    The episode terminates if the pipes freeze or the air is hotter than 40 °C.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, insulation: float = 1.0, render_mode: str | None = None) -> None:
        self.insulation, self.render_mode = insulation, render_mode
        self.observation_space = spaces.Dict(
            {
                "inside": spaces.Box(-50.0, 60.0, (2,), np.float64),  # air and walls
                "outside": spaces.Box(-50.0, 60.0, (1,), np.float64),
                "setpoint": spaces.Box(15.0, 25.0, (1,), np.float64),
            }
        )
        self.action_space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.2], np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)  # seeds self.np_random, the source of all randomness
        self.air, self.walls = self.np_random.uniform(10, 30, 2)
        self.outside = self.np_random.uniform(-10, 30)
        self.setpoint = self.np_random.uniform(18, 22)
        return self.observation(), {}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        power, fan = map(float, action)  # kW, and the share of the air that the fan replaces
        exchange = 0.2 * (self.walls - self.air)
        self.walls += 0.02 * (self.outside - self.walls) / self.insulation - 0.25 * exchange
        self.air += 1.5 * power + exchange + fan * (self.outside - self.air)
        self.outside += self.np_random.normal(0, 0.2)
        reward = float(np.exp(-((self.air - self.setpoint) ** 2) / 8)) - 0.02 * abs(power)
        terminated = not 0 < self.air < 40
        info = {"is_success": abs(self.air - self.setpoint) < 1}  # `--log is_success` counts it at the end of the day
        return self.observation(), reward, terminated, False, info  # the time limit is Gymnasium's, below

    def observation(self) -> dict[str, np.ndarray]:
        return {
            "inside": np.array([self.air, self.walls]),
            "outside": np.array([self.outside]),
            "setpoint": np.array([self.setpoint]),
        }

    def render(self) -> np.ndarray:
        """A bar for the air, one for the walls, and a line at the setpoint."""
        frame = np.full((120, 160, 3), 255, np.uint8)
        for column, degrees in ((30, self.air), (90, self.walls)):
            frame[120 - int(np.clip(3 * degrees, 0, 120)) :, column : column + 40] = (200, 80, 40)
        frame[120 - int(3 * self.setpoint), :] = 0
        return frame


gymnasium.register("Room-v0", entry_point="own_gym_environment:Room", max_episode_steps=144)  # a day


def make(render_mode: str | None = None) -> gymnasium.Env:
    """The same without a registry: called once per environment, with a render mode for the video."""
    return TimeLimit(Room(insulation=2.0, render_mode=render_mode), 144)


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description="Train DDPG on your own Gymnasium environment.")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--run", help="the run folder (a new one under runs/)")
    args = parser.parse_args(argv)

    run = ddpg.train(make, steps=args.steps, run=args.run, options={"normalise": True})

    policy = ddpg.load(run.path)
    env = make()
    obs, _ = env.reset(seed=0)
    total, over = 0.0, False
    while not over:
        obs, reward, terminated, truncated, _ = env.step(policy(obs))
        total, over = total + float(reward), terminated or truncated
    print(f"return {total:.1f} in one day; at its end {obs['inside'][0]:.1f} °C, setpoint {obs['setpoint'][0]:.1f} °C")


if __name__ == "__main__":
    main()
