"""Ten demonstrations of a mediocre controller: does an agent learn sooner that has them in its replay?

    python examples/demonstrations.py [--steps 20000] [--seeds 3] [--runs runs]

The car must first roll back and gain momentum, and is paid when it reaches the flag: random actions never show that.
The controller pushes half-heartedly in the direction of the car's speed, and reaches the flag late. With Gaussian noise
alone the agent learns to stand still; with the controller's ten episodes it learns to drive.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import gymnasium
import numpy as np

import ddpg

ENV = "MountainCarContinuous-v0"


def demonstrations(episodes: int) -> dict[str, np.ndarray]:
    """What the controller saw, did and got."""
    env, random = gymnasium.make(ENV), np.random.default_rng(0)
    steps = []
    for episode in range(episodes):
        obs, _ = env.reset(seed=episode)
        terminated = truncated = False
        while not (terminated or truncated):
            action = np.clip(0.5 * np.sign(obs[1:]) + 0.3 * random.standard_normal(1), -1, 1).astype(np.float32)
            following, reward, terminated, truncated, _ = env.step(action)
            steps.append((obs, action, reward, following, terminated, truncated))
            obs = following
    names = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
    return {name: np.array(column) for name, column in zip(names, zip(*steps, strict=True), strict=True)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args(argv)
    given = demonstrations(10)
    print(f"{len(given['reward'])} steps of demonstrations, return {given['reward'].sum() / 10:.1f} per episode")
    options = {"normalise": True, "eval.every": max(1, args.steps // 10)}
    for name, start in (("without", None), ("with", given)):
        run = ddpg.train(
            ENV,
            steps=args.steps,
            seeds=args.seeds,
            run=args.runs / f"{name}-demonstrations",
            options=options,
            demonstrations=start,
            quiet=True,
        )
        last, best = np.round(run.summary["returns"], 1).tolist(), run.summary["best"]["iqm"]
        print(f"{name}: last returns {last}, best {best:.1f}")


if __name__ == "__main__":
    main()
