"""A run's log: metrics.jsonl, one JSON object per log point and seed, and the same numbers for TensorBoard."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np

from ddpg.mistake import Mistake
from ddpg.records.atomic import write_text
from ddpg.records.observer import LogPoint
from ddpg.records.tensorboard import EventFile, configuration, experiment, hyperparameters, three_charts
from ddpg.records.untrusted import check_plain

Record = dict[str, int | float]
"""One seed at one log point: step, seed and any keys of `numbers`; NaN or missing is "unknown"."""

TAGS = {  # key of a log point and in metrics.jsonl -> tag in TensorBoard
    "return": "eval/return",
    "gap_to_optimum": "eval/gap_to_optimum",
    "episode_return": "train/episode_return",
    "success_rate": "eval/success_rate",
    "episode_success_rate": "train/success_rate",
    "q": "critic/q",
    "critic_loss": "critic/loss",
    "actor_loss": "actor/loss",
    "dq_da": "critic/dq_da",
    "saturation": "actor/saturation",
    "stuck": "actor/stuck",
    "q_bias": "eval/q_minus_monte_carlo",
    "noise_scale": "train/noise_scale",
    "steps_per_second": "train/steps_per_second",
    "staleness": "actors/staleness",
    "waiting": "actors/waiting",
    "replaced": "actors/replaced",
}
OWN = {"info": "eval/info", "episode_info": "train/info"}  # numbers of the user's own: info/KEY -> eval/info/KEY
HISTOGRAMS = {"dq_da_at_starts": "critic/dq_da_histogram"}  # of whole samples, in TensorBoard alone
LARGEST_STEP = 2**53  # steps, and as many as a float can count
LONGEST, LARGEST_LOG = 2**16, 2**30  # characters of a line, which has a few hundred, and bytes of all


def numbers(point: LogPoint) -> dict[str, Any]:
    """The numbers of a log point, by their keys in metrics.jsonl: each one number, or one per seed."""
    own = {f"{part}/{key}": column for part in OWN for key, column in point.get(part, {}).items()}
    return {key: point[key] for key in TAGS if key in point} | own


def tag(key: str) -> str:
    """Of a key in metrics.jsonl, in TensorBoard."""
    part, _, own = key.partition("/")
    return f"{OWN[part]}/{own}" if own else TAGS[key]


class Log:
    """The observer that appends to METRICS, a file of JSON lines, and to TENSORBOARD/seed-S/.

    Every write has reached the operating system when it returns, so that a killed process loses none; `fsync` takes
    the lines to the disk. `resume_at` is the step of the checkpoint that a run continues from: what the log has of
    later steps is dropped, since they will be done again. `options` are the run's, by path, which TensorBoard shows
    too. Raises Mistake if the metrics already there cannot be read.
    """

    def __init__(
        self, metrics: Path, tensorboard: Path, options: Mapping[str, Any], *, resume_at: int | None = None
    ) -> None:
        self._tensorboard, self._options, self._resume_at = tensorboard, options, resume_at
        metrics.parent.mkdir(parents=True, exist_ok=True)
        self._lines = _open_lines(metrics, resume_at)
        self._events = dict[int, EventFile]()

    def __call__(self, point: LogPoint) -> None:
        step, seeds = point["step"], point["seeds"]
        if not self._events:  # not before the first log point: until then the imports can pass in the background
            self._events = {seed: self._open_events(seed, seeds[0]) for seed in seeds}
        columns = {key: np.broadcast_to(np.asarray(x, float), len(seeds)) for key, x in numbers(point).items()}
        rows = {seed: {key: float(column[i]) for key, column in columns.items()} for i, seed in enumerate(seeds)}
        self._lines.write("".join(_line(step, seed, row) for seed, row in rows.items()))
        self._lines.flush()
        samples = {name: np.asarray(point[key]) for key, name in HISTOGRAMS.items() if key in point}
        for i, (seed, row) in enumerate(rows.items()):
            scalars = {tag(key): number for key, number in row.items()}
            self._events[seed].write(step, scalars, {name: sample[i] for name, sample in samples.items()})

    def _open_events(self, seed: int, first: int) -> EventFile:
        """What is the same for all seeds is with the first."""
        run = self._tensorboard.parent
        about = [hyperparameters({**self._options, "seed": seed}, f"{run.parent.name}/{run.name}")]
        if seed == first:
            own = [f"{part}/{key}" for key in self._options.get("log", ()) for part in OWN]
            tags = [tag(key) for key in (*TAGS, *own)]
            about += [experiment(self._options, tags), configuration(self._options), three_charts()]
        return EventFile(self._tensorboard / f"seed-{seed}", self._resume_at, about)

    def fsync(self) -> None:
        """Take the lines to the disk, where a power cut leaves them: a checkpoint relies on them."""
        os.fsync(self._lines.fileno())

    def close(self) -> None:
        self._lines.close()
        for events in self._events.values():
            events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_records(path: Path) -> list[Record]:
    """All records of a file of JSON lines in the order written, `null` as NaN; a cut-off last line is left out.

    Mistake, in one line with path and line number, if there is no such file or a line is no record.
    """
    try:
        return [record for _, record in _read_lines(path)]
    except FileNotFoundError:
        raise Mistake(f"{path}: no such file; expected the folder of a run, which holds its {path.name}") from None
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror})") from None


def optimum_of(records: Iterable[Record]) -> float | None:
    """The best mean return from the run's own starts, if it was known when they were evaluated (catalogue.solved)."""
    sums = (record["return"] + record["gap_to_optimum"] for record in records if "gap_to_optimum" in record)
    return next(filter(math.isfinite, sums), None)


def _line(step: int, seed: int, numbers: Mapping[str, float]) -> str:
    """JSON has neither NaN nor infinity, so those are null."""
    known = {key: x if math.isfinite(x) else None for key, x in numbers.items()}
    return json.dumps({"step": step, "seed": seed} | known, allow_nan=False) + "\n"


def _read_lines(path: Path) -> Iterator[tuple[str, Record]]:
    try:
        check_plain(path, LARGEST_LOG)
    except Mistake as error:
        raise Mistake(f"{path}: {error}") from None
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST), ""), start=1):
            # A line is whole when its newline is there: a killed process can only cut off the last one.
            if line.endswith("\n") or len(line) == LONGEST:
                yield line[:-1], _record(line[:-1], path, number)


def _record(line: str, path: Path, number: int) -> Record:
    try:
        record = json.loads(line, parse_constant=_refuse)
        whole = isinstance(record, dict) and type(record.get("step")) is type(record.get("seed")) is int
        if not whole or not all(v is None or type(v) in (int, float) for v in record.values()):
            raise ValueError
        if not (0 <= record["step"] < LARGEST_STEP and all(v is None or abs(v) < 1e300 for v in record.values())):
            raise ValueError
    except (ValueError, RecursionError):
        raise Mistake(
            f"{path}, line {number}: expected one JSON object of numbers with step and seed, "
            f"found {line[:60]!r}; delete or repair that line"
        ) from None
    return {key: math.nan if value is None else value for key, value in record.items()}


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _open_lines(path: Path, resume_at: int | None) -> TextIO:
    """The file, open at its end, without a cut-off last line and without the steps that will be done again."""
    if path.exists():
        limit = math.inf if resume_at is None else resume_at
        whole = "".join(line + "\n" for line, record in _read_lines(path) if record["step"] <= limit)
        if len(whole) != path.stat().st_size:
            write_text(path, whole)
    return path.open("a", encoding="utf-8", newline="\n")
