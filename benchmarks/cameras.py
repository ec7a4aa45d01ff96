"""Environments of one's own with a camera: how well two of the examples are solved, and how long that takes.

    python benchmarks/cameras.py [NAME ...] [--out benchmarks/results/cameras.json] [--table]

`Chase` sees a moving target and itself from above; `Meet` sees the target, and is told where it is itself, and is also
trained without the camera and without the numbers. Two seeds of 20 000 steps of the preset that ddpg chooses, one after
the other. Returns are means over 100 episodes: of the last policy, of random actions, and of one that knows where both
are and goes straight to the target, as fast as it may.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np

import ddpg

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import camera  # noqa: F401  # pyright: ignore[reportMissingImports]
import camera_and_position  # noqa: F401  # pyright: ignore[reportMissingImports]

SEEDS, STEPS, EPISODES, FIRST = (0, 1), 20_000, 100, 10_000
Act = Callable[[Any], Any]  # the environment itself -> an action


def part(name: str, **how: Any) -> gymnasium.Env:
    """`Meet` of which one part is seen."""
    env: Any = gymnasium.make("Meet-v0", **how)
    return gymnasium.wrappers.TransformObservation(env, itemgetter(name), env.observation_space[name])


RUNS: dict[str, Callable[..., gymnasium.Env]] = {
    "Chase": partial(gymnasium.make, "Chase-v0"),
    "Meet": partial(gymnasium.make, "Meet-v0"),
    "Meet, the camera alone": partial(part, "camera"),
    "Meet, the position alone": partial(part, "position"),
}


def played(make: Callable[..., gymnasium.Env], act: Act) -> float:
    """Mean return of the episodes."""
    env, total = make(), 0.0
    for episode in range(EPISODES):
        env.reset(seed=FIRST + episode)
        over = False
        while not over:
            _, reward, terminated, truncated, _ = env.step(act(env.unwrapped))
            total, over = total + float(reward), terminated or truncated
    return round(total / EPISODES, 2)


def straight(env: Any) -> np.ndarray:
    return np.clip((env.target + env.speed - env.agent) / 0.1, -1, 1)


def measure(make: Callable[..., gymnasium.Env]) -> dict[str, Any]:
    random = np.random.default_rng(0)
    said: dict[str, Any] = {
        "random": played(make, lambda env: random.uniform(-1, 1, 2)),
        "straight": played(make, straight),
        "seeds": [],
    }
    for seed in SEEDS:
        with TemporaryDirectory() as folder:
            began = perf_counter()
            run = ddpg.train(make, steps=STEPS, seed=seed, run=f"{folder}/run", quiet=True)
            seconds = perf_counter() - began
            said["preset"] = run.config.preset
            judged = ddpg.evaluate(run.path, episodes=EPISODES, env=make)
        said["seeds"].append({"return": round(judged["returns"][0], 2), "seconds": round(seconds)})
        print(said, flush=True)
    return said


def table(results: dict[str, Any]) -> str:
    lines = [
        "| Task | preset | return, each seed | straight to the target | random | seconds |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name, said in results.items():
        returns, seconds = (", ".join(str(seed[key]) for seed in said["seeds"]) for key in ("return", "seconds"))
        lines.append(f"| {name} | `{said['preset']}` | {returns} | {said['straight']} | {said['random']} | {seconds} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", help="of the runs to measure anew (all)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/cameras.json"))
    parser.add_argument("--table", action="store_true", help="print the result in Markdown, and measure nothing")
    args = parser.parse_args()
    before = json.loads(args.out.read_text())["runs"] if args.out.exists() else {}
    for name in [] if args.table else args.names or RUNS:
        before[name] = measure(RUNS[name])
        result = {
            "command": "python benchmarks/cameras.py",
            "runs": {each: before[each] for each in RUNS if each in before},
        }
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(before))


if __name__ == "__main__":
    main()
