"""One trial of a sweep: seeds trained side by side in a run folder of its own, or what is left of them.

Nothing here knows who searches: a trial gets options and what its return must reach, and answers with its curve.
"""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddpg.config.file import read_preset
from ddpg.config.reading import override, values
from ddpg.mistake import Mistake
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.log import Record
from ddpg.records.observer import LogPoint, StopTraining
from ddpg.records.statistics import iqm
from ddpg.records.tree_file import Damaged, read_header
from ddpg.training.folder import RunFolder, read_metrics
from ddpg.training.train import resume, train

PRUNED = "pruned"


@dataclass(frozen=True)
class Task:
    """What a trial trains, and where; plain data, so that another process or machine can do it."""

    env: str
    preset: str  # a name or a file
    options: Mapping[str, Any]  # with steps, seed and seeds
    folder: Path
    bar: Mapping[int, float] = field(default_factory=dict)  # it ends at a step where its best return is below this


class Outcome(NamedTuple):
    """How a trial ended. -inf is worse than any return: a seed has diverged."""

    last: float  # interquartile mean over the seeds of the last evaluation
    best: float  # of the best evaluation of each seed
    steps: int
    pruned: bool = False
    failure: str | None = None
    signal: int = 0  # that interrupted it; the rest is of no use then
    curve: tuple[tuple[int, float], ...] = ()  # environment steps, interquartile mean over the seeds, -inf if unknown

    def value(self, objective: str) -> float:
        return self.best if objective == "best" else self.last


def run_trial(task: Task) -> Outcome:
    """Train, or go on with what an interrupted sweep has left, which gives the same numbers.

    Raises Mistake if the options do not go together, or the folder cannot be used: it is another process's, or holds
    other files than a run.
    """
    folder = RunFolder.at(task.folder)
    if folder.own_state() != "empty" and not _is_left_of(folder, task):
        shutil.rmtree(folder.path)
    curve = dict[int, float]()

    def falls_short(step: int, value: float) -> bool:
        curve[step] = value if np.isfinite(value) else -np.inf
        return max(curve.values()) < task.bar.get(step, -np.inf)

    def observe(point: LogPoint) -> None:
        if falls_short(point["step"], float(iqm(point["return"]))):
            raise StopTraining(PRUNED)

    def ended(pruned: bool = False, signal: int = 0) -> Outcome:
        return outcome_of(folder, curve, pruned, signal)

    if _diverged(folder):
        for point in _reported(folder):
            falls_short(*point)
        return ended()
    if any(falls_short(*point) for point in _reported(folder)):
        return ended(pruned=True)
    if folder.finished():
        return ended()
    try:
        if folder.state() == "interrupted":
            run = resume(folder.path, env=task.env, observers=[observe], quiet=True)
        else:
            options = dict(task.options)
            run = train(task.env, preset=task.preset, run=folder.path, options=options, observers=[observe], quiet=True)
    except Mistake:
        if not _diverged(folder):
            raise
        return ended()  # which is an answer, too: every seed has diverged
    return ended(run.summary.get("stopped") == PRUNED, run.signal)


def has_ended(task: Task) -> bool:
    """Whether `run_trial` has only to read. Raises Mistake if the folder cannot be used."""
    folder = RunFolder.at(task.folder)
    return folder.own_state() != "empty" and _is_over(folder) and _is_left_of(folder, task)


def _is_over(folder: RunFolder) -> bool:
    return folder.finished() or _diverged(folder) or folder.read_summary().get("stopped") == PRUNED


def _is_left_of(folder: RunFolder, task: Task) -> bool:
    """Whether a folder has a run of these options that has ended, or can be gone on with."""
    if not _is_over(folder) and (folder.failed() or folder.state() != "interrupted"):
        return False
    try:
        there, asked = values(folder.read_config()), values(override(read_preset(task.preset), task.options))
    except Mistake:
        return False
    return all(there.get(path) == asked[path] for path in task.options)


def _diverged(folder: RunFolder) -> bool:
    """Whether all seeds of a run have diverged."""
    return folder.failed() and "diverged" in folder.read_summary()


def _reported(folder: RunFolder) -> list[tuple[int, float]]:
    """The log points that a run will not come to again: all if it has ended, else those of its newest checkpoint."""
    if not folder.metrics.exists():
        return []
    logged = float("inf") if _is_over(folder) else _logged(folder)
    points = groupby(read_metrics(folder.path), key=itemgetter("step"))
    return [(int(step), _mean(list(records))) for step, records in points if step <= logged]


def _logged(folder: RunFolder) -> float:
    for path in list_checkpoints(folder.checkpoints):
        with suppress(Damaged):
            return float(read_header(path).get("logged", 0))
    return 0.0


def _mean(records: list[Record]) -> float:
    return float(iqm(np.array([record["return"] for record in records], float)))


def outcome_of(folder: RunFolder, curve: Mapping[int, float], pruned: bool, signal: int = 0) -> Outcome:
    """What the summary of a trial's run says."""
    summary = folder.read_summary()
    last, best = summary.get("iqm"), (summary.get("best") or {}).get("iqm")
    failure = summary.get("failure") or "; ".join((summary.get("diverged") or {}).values()) or None
    worst = failure is not None
    return Outcome(
        -np.inf if worst or last is None else float(last),
        -np.inf if worst or best is None else float(best),
        int(summary.get("steps", 0)),
        pruned,
        failure,
        signal,
        tuple(curve.items()),
    )
