"""`ddpg train` and `ddpg resume`: their options, and how a run ended."""

import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpg.config.config import Config
from ddpg.terminal import gap, one_decimal, thousands
from ddpg.training.folder import RunFolder, absolute
from ddpg.training.run import Run
from ddpg.training.train import resume, train

OWN = ("preset", "run", "quiet", "from_run", "best", "small", "demonstrations")  # of `train` itself

CHANGEABLE = ("devices", "actors.number", "actors.address")  # options of `resume`


def train_command(args: Namespace) -> int:
    options = {name: value for name, value in vars(args).items() if name.islower() and value is not None}
    own = {name: options.pop(name, None) for name in OWN}
    here = absolute(".")  # before an environment, which may change it
    return _report(train(args.ENV, options=options, **own), here, args.quiet)


def resume_command(args: Namespace) -> int:
    here = absolute(".")
    options = {name: value for name, value in vars(args).items() if name in CHANGEABLE and value is not None}
    return _report(resume(args.RUN, args.steps, args.env, options=options, quiet=args.quiet), here, args.quiet)


def _report(run: Run, here: Path, quiet: bool = False) -> int:
    """Print how training ended, and what to do next as it is typed in folder `here`; returns the exit status."""
    summary, low, high = run.summary, run.summary["ci_low"], run.summary["ci_high"]
    interval = "" if low is None else f" [{low:.1f}, {high:.1f}]"
    speed = "no" if summary["steps_per_second"] is None else thousands(summary["steps_per_second"])
    print(
        f"{_best(summary)} {one_decimal(summary['iqm'])}{interval}{gap(summary)} · {speed} steps/s · "
        f"{summary['wall_seconds']:.1f} s",
        file=sys.stderr,
    )
    print(f"run folder: {run.path}", file=sys.stderr)
    name = run.path.relative_to(here) if run.path.is_relative_to(here) else run.path
    folder = RunFolder(run.path, str(name))
    if run.interrupted:
        print(f"to go on: {folder.resume_command(run.config)}", file=sys.stderr)
        return 128 + run.signal
    for line in () if quiet else _next(folder, run.config):
        print(line, file=sys.stderr)
    return 0


def _next(folder: RunFolder, config: Config) -> list[str]:
    """What one does with a run that has ended."""
    film = [] if not folder.film.exists() else ["--video", "film.gif"]
    charts = shlex.join(["tensorboard", "--logdir", str(Path(folder.name, folder.tensorboard.name))])
    return [
        f"to evaluate it{', with a film' if film else ''}: {folder.command('eval', config, *film)}",
        f"to see all charts: {charts}",
        f"to train on: {folder.resume_command(config, 2 * config.steps)}",
        *([] if config.seeds > 1 else ["one seed may be luck: compare with --seeds 4"]),
    ]


def _best(summary: Mapping[str, Any]) -> str:
    """What comes before the last return: the best one, if that was another."""
    best = summary.get("best")
    if best is None or set(best["steps"]) == {summary["steps"]}:
        return "return"
    (first, last) = min(best["steps"]), max(best["steps"])
    steps = f"step {thousands(first)}" if first == last else f"steps {thousands(first)} to {thousands(last)}"
    return f"best {one_decimal(best['iqm'])} at {steps} · last"
