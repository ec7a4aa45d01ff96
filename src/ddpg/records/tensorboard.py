"""TensorBoard's event files."""

import time
from collections.abc import Mapping
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

MODULES = ("tensorboard.compat.proto.event_pb2", "tensorboard.summary.writer.record_writer")  # 30 ms of imports
BINS = 32


class EventFile:
    """A new file of events in `folder`; every event has reached the operating system when `write` returns.

    TensorBoard's own writer hands events to a queue, of which a killed process loses the rest. TensorBoard forgets
    what older files have after the step `resume_at`.
    """

    def __init__(self, folder: Path, resume_at: int | None = None) -> None:
        events, writer = map(import_module, MODULES)  # by name: no type checker sees the classes that protobuf makes
        self._event = events.Event
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names. No clock decides it: one may have been set back.
        taken = {path.name for path in folder.iterdir()}
        names = (f"events.out.tfevents.{number:06d}" for number in count(len(taken)))
        self._records = writer.RecordWriter((folder / next(name for name in names if name not in taken)).open("xb"))
        self._append(file_version="brain.Event:2")
        if resume_at is not None:
            self._append(step=resume_at + 1, session_log={"status": events.SessionLog.START})

    def write(self, step: int, scalars: Mapping[str, float], samples: Mapping[str, np.ndarray]) -> None:
        """One event: numbers by tag, and histograms of whole samples; what is not finite is left out."""
        values: list[dict[str, Any]] = [
            {"tag": tag, "simple_value": number} for tag, number in scalars.items() if np.isfinite(number)
        ]
        for tag, sample in samples.items():
            if (finite := sample[np.isfinite(sample)].astype(float)).size:
                values.append({"tag": tag, "histo": _histogram(finite)})
        self._append(step=step, summary={"value": values})

    def close(self) -> None:
        self._records.close()

    def _append(self, **fields: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())
        self._records.flush()


def _histogram(sample: np.ndarray) -> dict[str, Any]:
    counts, edges = np.histogram(sample, BINS)
    moments = {"num": sample.size, "sum": sample.sum(), "sum_squares": sample @ sample}
    # Buckets are named by their upper limit, so an empty one begins the first.
    buckets = {"bucket_limit": edges.tolist(), "bucket": [0, *counts.tolist()]}
    return {"min": sample.min(), "max": sample.max(), **moments, **buckets}
