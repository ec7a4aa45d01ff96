"""A run's log: one JSON object a log point and seed, and the same numbers for TensorBoard."""

import importlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

import numpy as np

from ddpg.mistake import Mistake
from ddpg.records.atomic import write_text
from ddpg.records.untrusted import check_plain

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

Record = dict[str, int | float]
"""What is said of one seed at one log point: step, seed and any keys of `TAGS`; NaN or absent is "not known yet"."""

TAGS = {  # key in metrics.jsonl -> tag in TensorBoard; the histogram of a key is `TAGS[key] + "_histogram"`
    "return": "eval/return",  # greedy, undiscounted, in the environment's units
    "gap_to_optimum": "eval/gap_to_optimum",  # only in environments whose optimum is known
    "episode_return": "train/episode_return",  # of the exploring policy
    "q": "critic/q",
    "critic_loss": "critic/loss",
    "actor_loss": "actor/loss",
    "dq_da": "critic/dq_da",
    "saturation": "actor/saturation",
    "q_bias": "eval/q_minus_monte_carlo",
    "noise_scale": "train/noise_scale",
    "steps_per_second": "train/steps_per_second",
}
OPTIONAL = {"gap_to_optimum"}
LARGEST = 2**53  # steps, and as many as a float can count
LONGEST, LARGEST_LOG = 2**16, 2**30  # characters of a line, which has a few hundred, and bytes of all


class Log:
    """Appends to METRICS, a file of JSON lines, and to TENSORBOARD/seed-S/; every write is the system's when it
    returns, so that a killed process loses none, and on the disk after `fsync`.

    `resume_at` is the step of the checkpoint that a run continues from: what an interrupted run had said of later
    steps is dropped, since it will be said again. Raises ValueError if the metrics already there cannot be read.
    """

    def __init__(self, metrics: Path, tensorboard: Path, seeds: Sequence[int], *, resume_at: int | None = None) -> None:
        metrics.parent.mkdir(parents=True, exist_ok=True)
        self._seeds = tuple(seeds)
        self._lines = _open_lines(metrics, resume_at)
        self._events = {s: _open_events(tensorboard / f"seed-{s}", resume_at) for s in self._seeds}

    def write(self, step: int, records: Sequence[Record], histograms: Mapping[str, np.ndarray] | None = None) -> None:
        """Say at `step` one record a seed, and of some keys whole samples, [seeds, ...] in the order of `seeds`."""
        self._lines.write("".join(json.dumps(_line(step, r), allow_nan=False) + "\n" for r in records))
        self._lines.flush()
        samples = {key: np.asarray(array) for key, array in (histograms or {}).items()}
        for record in records:
            seed = int(record["seed"])
            of_seed = {key: array[self._seeds.index(seed)] for key, array in samples.items()}
            _write_event(self._events[seed], step, record, of_seed)

    def fsync(self) -> None:
        """Have the lines on the disk, where a power cut leaves them: a checkpoint says that they are there."""
        os.fsync(self._lines.fileno())

    def close(self) -> None:
        self._lines.close()
        for events in self._events.values():
            events.close()
        self._events = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_records(path: Path) -> list[Record]:
    """All records of a file of JSON lines in the order written, `null` as NaN; a cut-off last line is left out.

    Raises Mistake, in one line with path and line number, if there is no such file or a line is no record.
    """
    try:
        return [record for _, record in _read_lines(path)]
    except FileNotFoundError:
        raise Mistake(f"{path}: no such file; expected the folder of a run, which holds its {path.name}") from None
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror})") from None


def _line(step: int, record: Record) -> dict[str, float | None]:
    """The record as JSON can say it, in the order of the table; JSON has no NaN and no infinity, so those are null."""
    keys = [key for key in TAGS if key in record or key not in OPTIONAL]
    keys += [key for key in record if key not in TAGS and key not in ("step", "seed")]
    return {"step": int(step), "seed": int(record["seed"])} | {key: _finite(record, key) for key in keys}


def _finite(record: Record, key: str) -> float | None:
    value = float(record.get(key, math.nan))
    return value if math.isfinite(value) else None


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
        found = json.loads(line, parse_constant=_refuse)
        whole = isinstance(found, dict) and type(found.get("step")) is type(found.get("seed")) is int
        if not whole or not all(v is None or type(v) in (int, float) for v in found.values()):
            raise ValueError
        if not (0 <= found["step"] < LARGEST and all(v is None or abs(v) < 1e300 for v in found.values())):
            raise ValueError
    except (ValueError, RecursionError):
        raise Mistake(
            f"{path}, line {number}: expected one JSON object of numbers with step and seed, "
            f"found {line[:60]!r}; delete or repair that line"
        ) from None
    return {key: math.nan if value is None else value for key, value in found.items()}


def _refuse(constant: str) -> float:
    raise Mistake(f"{constant} is not JSON")


def _open_lines(path: Path, resume_at: int | None) -> TextIO:
    """The file, open at its end, without a cut-off last line and without what was said of steps to be done again."""
    if path.exists():
        limit = math.inf if resume_at is None else resume_at
        kept = "".join(line + "\n" for line, record in _read_lines(path) if record["step"] <= limit)
        if len(kept) != path.stat().st_size:
            write_text(path, kept)
    return path.open("a", encoding="utf-8", newline="\n")


def _open_events(folder: Path, resume_at: int | None) -> "EventsWriter":
    # tensorboardX's SummaryWriter sends every number through a multiprocessing queue to a thread of its own: 4 ms a
    # seed and log point, against 1 ms with its file writer alone, which also has the data on disk after a flush.
    from tensorboardX.event_file_writer import EventsWriter

    folder.mkdir(parents=True, exist_ok=True)
    # TensorBoard reads files in the order of their names, which hold the seconds of a clock that may have been set
    # back since: one of a run that goes on has to come after those before it, also in the same second.
    before = len(list(folder.iterdir()))
    events = EventsWriter(str(folder / (f"events.resumed-{before:06d}" if before else "events")))
    if resume_at is not None:  # tells TensorBoard to forget later steps, as the JSON lines do
        pb = _protocol()
        start = pb.SessionLog(status=pb.SessionLog.START)
        events.write_event(pb.Event(wall_time=time.time(), step=resume_at + 1, session_log=start))
    events.flush()
    return events


def _write_event(events: "EventsWriter", step: int, record: Record, samples: Mapping[str, np.ndarray]) -> None:
    """All that is said of one seed at one step is one event."""
    from tensorboardX import summary

    event = _protocol().Event(wall_time=time.time(), step=int(step))
    for key, tag in TAGS.items():
        value = _finite(record, key)
        if value is not None:
            event.summary.MergeFrom(summary.scalar(tag, value))
    for key, sample in samples.items():
        finite = sample[np.isfinite(sample)]
        if finite.size:
            event.summary.MergeFrom(summary.histogram(f"{TAGS[key]}_histogram", finite, bins=32))
    events.write_event(event)
    events.flush()


def _protocol() -> Any:
    # By name, since protobuf makes these classes when the module is imported and no type checker can see them.
    return importlib.import_module("tensorboardX.proto.event_pb2")
