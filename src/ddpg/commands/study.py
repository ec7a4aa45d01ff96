"""`ddpg study`: what the tutorial article argues, as an experiment with a verdict, a figure and a table."""

import sys
from argparse import Namespace
from pathlib import Path

from ddpg.studies.catalogue import STUDIES, by_name
from ddpg.studies.study import Answer, run_study
from ddpg.studies.trainings import Stopped
from ddpg.terminal import count
from ddpg.training.signals import interruptible


def study(name: str, folder: str | Path | None = None, steps: int | None = None, seeds: int | None = None) -> Answer:
    """Do a study, or what is left of it, in `folder`, by default studies/NAME; `ddpg.study`.

    `steps` of each training and `seeds` change its size. Raises Mistake if there is no such study, or the folder
    holds something else.
    """
    with interruptible() as stopped:

        def note(text: str) -> None:
            print(text, file=sys.stderr, flush=True)
            if number := stopped():
                raise Stopped(number)

        return run_study(by_name(name), Path(folder or Path("studies") / name), steps, seeds, note)


def study_command(args: Namespace) -> int:
    if args.NAME is None:
        print(listing())
        return 0
    folder = args.o or Path("studies") / args.NAME
    try:
        answer = study(args.NAME, folder, args.steps, args.seeds)
    except Stopped as stopped:
        print(f"to go on: {_command(args)}", file=sys.stderr)
        return 128 + stopped.signal
    print(answer.verdict, file=sys.stderr)
    print(f"answer: {folder / 'answer.md'}", file=sys.stderr)
    return 0


def listing() -> str:
    """Every study with its question, its size and its time."""
    width = max(map(len, STUDIES))
    lines = [
        f"{name.ljust(width)}  {each.question} ({each.size}; about {count(round(each.minutes), 'minute')} on two cores)"
        for name, each in STUDIES.items()
    ]
    return "\n".join([*lines, "", "ddpg study NAME answers one; docs/studies.md has the answers."])


def _command(args: Namespace) -> str:
    chosen = {"--steps": args.steps, "--seeds": args.seeds, "-o": args.o}
    return " ".join(["ddpg study", args.NAME, *(f"{name} {x}" for name, x in chosen.items() if x is not None)])
