"""Stop at a return, schedules as functions of progress, and a tracker: each a few lines around `ddpg.train`.

    python examples/observers.py [--steps 20000] [--stop -170] [--tracker trackio]

An observer is any function of one log point (docs/own_environment.md). It cannot change what is learned, so that every
run can be resumed exactly: what changes with progress is in the options from the beginning.
"""

import math
import os
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

import ddpg


class StopAt:
    """Ends the run once every seed's evaluation reaches a return."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, point: ddpg.LogPoint) -> None:
        if (worst := point["return"].min()) >= self.threshold:
            raise ddpg.StopTraining(f"every seed has a return of at least {self.threshold:g} (the lowest: {worst:.1f})")


def cosine(progress: float) -> float:
    """From 1 to 0 in half a period."""
    return (1 + math.cos(math.pi * progress)) / 2


class Tracker:
    """Sends the mean over seeds of every number to `trackio` or `wandb`, which have the same functions."""

    NUMBERS = ("return", "episode_return", "q", "critic_loss", "actor_loss", "noise_scale", "steps_per_second")

    def __init__(self, module: str, **config: Any) -> None:
        os.environ.setdefault("WANDB_MODE", "offline")  # `wandb sync` sends it later; trackio is local anyway
        try:
            self.tracker: Any = import_module(module)
        except ModuleNotFoundError:
            self.tracker = None
            print(f"{module} is not installed (pip install {module}): nothing is tracked")
        else:
            self.tracker.init(project="ddpg", config=config)

    def __call__(self, point: ddpg.LogPoint) -> None:
        numbers: dict[str, Any] = {key: point.get(key) for key in self.NUMBERS} | dict(point.get("info", {}))
        known = {key: float(np.mean(value)) for key, value in numbers.items() if np.isfinite(value).all()}
        if self.tracker is not None:
            self.tracker.log(known, step=point["step"])

    def finish(self) -> None:
        if self.tracker is not None:
            self.tracker.finish()


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description="Train with a schedule, a tracker, and a return to stop at.")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--stop", type=float, default=-170.0, help="the return (-170)")
    parser.add_argument("--tracker", default="trackio", help="trackio or wandb (trackio)")
    args = parser.parse_args(argv)

    options = {
        "exploration.schedule": ddpg.schedule(lambda progress: 1 - 0.9 * progress**2, steps=args.steps),
        "actor.schedule": ddpg.schedule(cosine, steps=args.steps),  # of updates, one per step here
    }
    tracker = Tracker(args.tracker, steps=args.steps)
    try:
        run = ddpg.train(steps=args.steps, options=options, observers=[tracker, StopAt(args.stop)], quiet=True)
    finally:
        tracker.finish()
    print(f"step {run.summary['steps']}: {run.summary.get('stopped', 'not stopped early')}")


if __name__ == "__main__":
    main()
