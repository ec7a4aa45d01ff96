"""Many environments, each trained for a few thousand steps with the default preset: what happened, as a table.

    python benchmarks/environments.py [NAME ...] [--steps 3000] [--out benchmarks/results/environments.json]

Needs the extra `mujoco`, gymnasium[box2d] and shimmy[dm-control]; what is not installed is said in its row. Returns are
greedy, over ten episodes: after so short a run they say that something is learned, not how well.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import ddpg
from ddpg import read_metrics


class Reach(gymnasium.Env):
    """Bring x to a goal within ten steps: x <- x + push; the reward is minus the distance."""

    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (2,))
    action_space: spaces.Space = spaces.Box(-1, 1, (1,))
    length = 10

    def push(self, action: Any) -> float:
        return float(action[0])

    def see(self) -> Any:
        return np.array([self.x, self.goal], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        (self.x, self.goal), self.t = self.np_random.uniform(-1, 1, 2), 0
        return self.see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.x, self.t = self.x + 0.5 * self.push(action), self.t + 1
        off = abs(self.x - self.goal)
        return self.see(), -off, off > 4, self.t >= self.length, {}


class Nested(Reach):
    observation_space = spaces.Dict(
        {
            "where": spaces.Box(-np.inf, np.inf, (1,)),
            "what": spaces.Tuple((spaces.Box(-1, 1, (1,)), spaces.Discrete(3))),
        }
    )

    def see(self) -> Any:
        return {"where": np.array([self.x], np.float32), "what": (np.array([self.goal], np.float32), self.t % 3)}


class Asymmetric(Reach):
    action_space = spaces.Box(np.array([[-3.0, 0.0]], np.float32), np.array([[1.0, 10.0]], np.float32))

    def push(self, action: Any) -> float:
        return float((action[0, 0] + 1) / 2 + (action[0, 1] - 5) / 10)


class OneStep(Reach):
    length = 1


class Doubles(Reach):
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-1, 1, (1,), np.float64)

    def see(self) -> Any:
        return np.array([self.x, self.goal])


class Integers(Reach):
    observation_space = spaces.Box(-100, 100, (2,), np.int64)

    def see(self) -> Any:
        return np.clip(np.rint([10 * self.x, 10 * self.goal]), -100, 100).astype(np.int64)


class Picture(Reach):
    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)

    def see(self) -> Any:
        image = np.zeros((8, 8, 3), np.uint8)
        for channel, value in enumerate((self.x, self.goal)):
            image[:, int(np.clip(2 * value + 4, 0, 7)), channel] = 255
        return image


class Scalar(Reach):
    observation_space = spaces.Box(-np.inf, np.inf, ())

    def see(self) -> Any:
        return np.float32(self.x - self.goal)


class Endless(Reach):
    length = 10**9

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, over, cut, info = super().step(action)
        return obs, reward, over, cut, info


class BothEnds(Reach):
    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, over, cut, info = super().step(action)
        return obs, reward, over or cut, cut, info


CUSTOM: dict[str, tuple[Callable[[], gymnasium.Env], str]] = {
    "Dict of Box and Tuple": (Nested, "nested observations with a Discrete part"),
    "asymmetric (1, 2) actions": (Asymmetric, "bounds [-3, 1] and [0, 10], shape (1, 2)"),
    "one-step episodes": (OneStep, "every other row is a reset"),
    "float64": (Doubles, "observations and actions"),
    "int64 observations": (Integers, ""),
    "8 x 8 x 3 bytes": (Picture, "image-shaped"),
    "scalar observation": (Scalar, "shape ()"),
    "endless": (Endless, "no time limit, ends only when it is lost"),
    "both ends at once": (BothEnds, "terminated and truncated in the same step"),
}
IDS: dict[str, tuple[str, dict[str, str]]] = {
    "Pendulum-v1": ("compiled", {}),
    "gym:Pendulum-v1": ("", {}),
    "gym:Pendulum-v1, 4 processes": ("AsyncVectorEnv", {"collect.envs": "4", "collect.vector": "async"}),
    "MountainCarContinuous-v0": ("", {}),
    "InvertedPendulum-v5": ("MuJoCo", {}),
    "InvertedDoublePendulum-v5": ("MuJoCo", {}),
    "Reacher-v5": ("MuJoCo", {}),
    "Pusher-v5": ("MuJoCo", {}),
    "Swimmer-v5": ("MuJoCo", {}),
    "Hopper-v5": ("MuJoCo", {}),
    "Walker2d-v5": ("MuJoCo, action repeat 2", {"action_repeat": "2"}),
    "HalfCheetah-v5": ("MuJoCo", {}),
    "Ant-v5": ("MuJoCo, normalised observations", {"normalise": "true"}),
    "Humanoid-v5": ("MuJoCo, normalised observations, 4 environments", {"normalise": "true", "collect.envs": "4"}),
    "LunarLanderContinuous-v3": ("Box2D", {}),
    "BipedalWalker-v3": ("Box2D", {}),
    "CarRacing-v3": (
        "Box2D, 96 x 96 x 3 bytes",
        {
            "action_repeat": "8",
            "replay.capacity": "5000",
            "collect.steps": "50",
            "collect.updates": "5",
            "eval.episodes": "1",
        },
    ),
    "shimmy:dm_control/cartpole-swingup-v0": ("dm_control, Dict observations", {}),
}


def measure(name: str, steps: int) -> dict[str, Any]:
    said, options = IDS.get(name, ("", {}))
    env: Any = CUSTOM[name][0] if name in CUSTOM else name.split(",")[0]
    options = {"eval.every": str(steps - 1_000), "eval.episodes": "10"} | options
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = ddpg.train(env, steps=steps, run=f"{folder}/run", options=options)
        except ValueError as error:
            return {"note": said, "failed": str(error).replace(folder, "")}
        records = [record for record in read_metrics(run.path) if np.isfinite(record["return"])]
        return {
            "note": CUSTOM[name][1] if name in CUSTOM else said,
            "options": options,
            "steps": steps,
            "return": run.summary["iqm"],
            "episode_return_while_random": records[0]["episode_return"],
            "steps_per_second": run.summary["steps_per_second"],
            "film": (run.path / "policy.gif").exists(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/environments.json"))
    args = parser.parse_args()
    result = json.loads(args.out.read_text()) if args.names and args.out.exists() else {}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for name in args.names or [*CUSTOM, *IDS]:
        result[name] = measure(name, args.steps)
        args.out.write_text(json.dumps(result, indent=2) + "\n")
        print(name, result[name], flush=True)


if __name__ == "__main__":
    main()
