"""`ddpg train` and `ddpg resume`: their options, and how a run ended."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ddpg.terminal import gap, one_decimal, thousands
from ddpg.training.folder import RunFolder
from ddpg.training.run import Run
from ddpg.training.train import resume, train

OWN = ("preset", "run", "quiet", "from_run", "best", "small", "demonstrations")  # of `train` itself


def train_command(args: Namespace) -> int:
    options = {name: value for name, value in vars(args).items() if name.islower() and value is not None}
    own = {name: options.pop(name, None) for name in OWN}
    return _report(train(args.ENV, options=options, **own))


def resume_command(args: Namespace) -> int:
    return _report(resume(args.RUN, args.steps, args.env, quiet=args.quiet))


def _report(run: Run) -> int:
    """Print how training ended; returns the exit status."""
    summary, low, high = run.summary, run.summary["ci_low"], run.summary["ci_high"]
    interval = "" if low is None else f" [{low:.1f}, {high:.1f}]"
    speed = "no" if summary["steps_per_second"] is None else thousands(summary["steps_per_second"])
    print(
        f"{_best(summary)} {one_decimal(summary['iqm'])}{interval}{gap(summary)} · {speed} steps/s · "
        f"{summary['wall_seconds']:.1f} s",
        file=sys.stderr,
    )
    print(f"run folder: {run.path}", file=sys.stderr)
    if run.interrupted:
        print(f"to go on: {RunFolder.at(run.path).resume_command(run.config)}", file=sys.stderr)
    return 128 + run.signal if run.interrupted else 0


def _best(summary: Mapping[str, Any]) -> str:
    """What comes before the last return: the best one, if that was another."""
    best = summary.get("best")
    if best is None or set(best["steps"]) == {summary["steps"]}:
        return "return"
    (first, last) = min(best["steps"]), max(best["steps"])
    steps = f"step {thousands(first)}" if first == last else f"steps {thousands(first)} to {thousands(last)}"
    return f"best {one_decimal(best['iqm'])} at {steps} · last"
