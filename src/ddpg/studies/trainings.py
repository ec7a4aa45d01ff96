"""The trainings of a study: variants of a preset, each done once, their curves and their last returns."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddpg.mistake import Mistake
from ddpg.records.log import optimum_of
from ddpg.records.plot import Curve, curve_of
from ddpg.records.statistics import interval, iqm
from ddpg.studies.study import Bench, Table, shown
from ddpg.terminal import plain
from ddpg.training.folder import RunFolder, read_metrics
from ddpg.training.train import resume, train

SOLVED = -200.0  # a return on Pendulum that only policies have which swing up from nearly every start


class Stopped(Exception):
    """A signal ended a training of the study before its last step; what is there stays."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


@dataclass(frozen=True)
class Variant:
    """One row of a study: what `ddpg.train` is asked for, and what it is called in the figure."""

    label: str
    options: Mapping[str, Any]
    preset: str | None = None
    env: str = "Pendulum-v1"

    @property
    def command(self) -> str:
        """As it is typed."""
        words = [f"--preset {self.preset}"] if self.preset else []
        words += [f"--{path} {plain(value)}" for path, value in self.options.items()]
        return " ".join(["ddpg train", *([] if self.env == "Pendulum-v1" else [self.env]), *words])


@dataclass(frozen=True)
class Trained:
    """A variant's seeds at their last step."""

    variant: Variant
    folder: Path
    curve: Curve
    optimum: float | None

    @property
    def last(self) -> np.ndarray:
        """The last return of every seed [seeds]."""
        return self.curve.returns[:, -1]

    @property
    def iqm(self) -> float:
        return float(iqm(self.last))

    @property
    def end(self) -> str:
        """The interquartile mean of the last returns, to read."""
        return shown(self.iqm, 0)

    @property
    def interval(self) -> tuple[float, float]:
        low, high = interval(self.last[:, None])
        return float(low[0]), float(high[0])

    def steps_until(self, level: float) -> list[int | None]:
        """For each seed, at which step its return first is at least `level`."""
        return [
            int(self.curve.steps[at[0]]) if (at := np.flatnonzero(row >= level)).size else None
            for row in self.curve.returns
        ]


def trained(bench: Bench, variants: Sequence[Variant]) -> list[Trained]:
    """Every variant trained, in folders of its own under runs/; those that are there are read. Stopped by a signal."""
    return [_trained(bench, variant, f"{i}/{len(variants)}") for i, variant in enumerate(variants, start=1)]


def _trained(bench: Bench, variant: Variant, which: str) -> Trained:
    began, folder = time.perf_counter(), RunFolder.at(bench.folder / "runs" / slug(variant.label))
    new = not (folder.finished() or folder.failed())
    if new:
        _train(bench, variant, folder)
    if not (records := read_metrics(folder.path)):
        raise Mistake(f"{folder} ended before its first return; read its warnings, and use another number of --steps")
    done = Trained(variant, folder.path, curve_of(records, variant.label), optimum_of(records))
    seconds = f" · {time.perf_counter() - began:.0f} s" if new else ""
    bench.note(f"{which} {variant.label}: return {shown(done.iqm)}{seconds}")
    return done


def _train(bench: Bench, variant: Variant, folder: RunFolder) -> None:
    """Train, or go on. A run that fails, as by diverging, is an answer too. Stopped by a signal."""
    state = folder.own_state()
    if state == "started":  # there is nothing to go on from
        shutil.rmtree(folder.path)
    try:
        if state == "interrupted":
            run = resume(folder.path, quiet=True)
        else:
            run = train(
                variant.env,
                preset=variant.preset or "ddpg",
                steps=bench.size.steps,
                seeds=bench.size.seeds,
                run=folder.path,
                options=variant.options,
                quiet=True,
            )
    except Mistake as mistake:
        if not folder.failed():
            raise
        bench.note(str(mistake))
        return
    if run.interrupted:
        raise Stopped(run.signal)


def returns_table(rows: Sequence[Trained], level: float) -> Table:
    """Last returns with their intervals, the command of each row, and when the return first was at least `level`."""
    lines = list[list[Any]]()
    for row in rows:
        low, high = row.interval
        steps = [step for step in row.steps_until(level) if step is not None]
        reached, median = f"{len(steps)}/{len(row.last)}", int(np.median(steps)) if steps else "never"
        lines.append([row.variant.label, row.iqm, low, high, reached, median, f"`{row.variant.command}`"])
    columns = "variant", "last return (IQM)", "95 % from", "to", f"seeds that reach {level:g}", "median step", "command"
    return Table(columns, lines)


def slug(label: str) -> str:
    """A label as the name of a file."""
    return "".join(c if c.isalnum() else "-" for c in label.lower()).strip("-")
