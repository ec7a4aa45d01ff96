"""What a sweep searches for, and the mark by which its folder knows it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ddpg.config.config import Config
from ddpg.config.file import read_preset
from ddpg.config.reading import override, to_data
from ddpg.mistake import Mistake
from ddpg.records.atomic import write_text
from ddpg.records.untrusted import check_plain
from ddpg.sweeps.space import Space
from ddpg.sweeps.trial import Task

FORMAT = 1  # of a sweep's folder
LARGEST_MARK = 2**20  # bytes


@dataclass(frozen=True)
class Sweep:
    """What is searched for, and how; all that decides about the trials.

    The `objective` is the interquartile mean over the seeds of the "last" evaluation, or of the "best" one of each
    seed. With pruning "median" a trial ends early whose best evaluation so far is below the median of the others at
    the same step, after a third of its steps. Of trials `at_once` each knows less of those before it.
    """

    env: str
    preset: str
    space: Space
    steps: int | None = None
    seed: int = 0
    seeds: int = 3
    objective: Literal["last", "best"] = "last"
    pruning: Literal["median", "none"] = "median"
    at_once: int = 1

    @cached_property
    def base(self) -> Config:
        """The configuration before any varied option; a preset's file is read once."""
        own = {"steps": self.steps, "seed": self.seed, "seeds": self.seeds}
        own = {path: value for path, value in own.items() if value is not None}
        return override(read_preset(self.preset), {**self.space.fixed, **own})

    def task(self, index: int, suggested: Mapping[str, Any], bar: Mapping[int, float], folder: Path) -> Task:
        """A trial by its place among all, with the options that vary."""
        own = {"steps": self.base.steps, "seed": self.seed, "seeds": self.seeds}
        options = {**self.space.fixed, **suggested, **own}
        return Task(self.env, self.preset, options, trial_folder(folder, index), bar)

    def check(self) -> None:
        """Raise Mistake if an option does not exist or does not accept its range, or nothing would be evaluated."""
        self.space.check(self.base)
        if not self.base.eval.episodes:
            raise Mistake("eval.episodes 0: a sweep compares evaluations; use a preset with eval.episodes above 0")

    def claim(self, folder: Path) -> None:
        """Mark a folder as this sweep's. Raises Mistake if it is another's."""
        base = self.base
        own = asdict(self) | {"preset": base.preset, "space": self.space.described(), "base": to_data(base)}
        own, mark = json.loads(json.dumps({"format": FORMAT, **own})), folder / "sweep.json"
        if not mark.exists():
            if any(path.name != "lock" for path in folder.iterdir()):
                raise Mistake(f"{folder} holds other files than a sweep; choose another -o")
            write_text(mark, json.dumps(own, indent=2) + "\n")
            return
        check_plain(mark, LARGEST_MARK)
        try:
            there = json.loads(mark.read_text(encoding="utf-8"))
            differing = next((key for key in own if there.get(key) != own[key]), None)
        except (ValueError, AttributeError):
            raise Mistake(f"{mark} is damaged; choose another -o") from None
        if differing is not None:
            differing = {"base": "preset", "at_once": "--jobs or --population"}.get(differing, differing)
            raise Mistake(f"{folder} holds a sweep with another {differing}; choose another -o, or move it away")


def trial_folder(folder: Path, index: int) -> Path:
    return folder / "trials" / f"{index:04d}"
