"""TensorBoard's event files."""

import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ddpg.terminal import plain

MODULES = (  # 30 ms of imports
    "tensorboard.compat.proto.event_pb2",
    "tensorboard.summary.writer.record_writer",
    "tensorboard.plugins.hparams.plugin_data_pb2",
    "tensorboard.plugins.custom_scalar.layout_pb2",
)
BINS = 32
TYPES = {bool: "DATA_TYPE_BOOL", float: "DATA_TYPE_FLOAT64", str: "DATA_TYPE_STRING"}
COLUMNS = ("actor.lr", "critic.lr", "env", "gamma", "preset")  # of the table of runs; it has room for five, by name
CHARTS = "The article's three charts"
THREE = {"Q(s, a)": "critic/q", "critic loss": "critic/loss", "|dQ/da|": "critic/dq_da"}


class EventFile:
    """A new file of events in `folder`; every event has reached the operating system when `write` returns.

    TensorBoard's own writer hands events to a queue, of which a killed process loses the rest. TensorBoard forgets
    what older files have after the step `resume_at`. The first file of a folder begins with `about`, values of a
    summary.
    """

    def __init__(self, folder: Path, resume_at: int | None = None, about: Sequence[dict[str, Any]] = ()) -> None:
        events, writer = map(import_module, MODULES[:2])  # by name: no type checker sees the classes of protobuf
        self._event = events.Event
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names. No clock decides it: one may have been set back.
        taken = {path.name for path in folder.iterdir()}
        names = (f"events.out.tfevents.{number:06d}" for number in count(len(taken)))
        self._records = writer.RecordWriter((folder / next(name for name in names if name not in taken)).open("xb"))
        self._append(file_version="brain.Event:2")
        if resume_at is not None:
            self._append(step=resume_at + 1, session_log={"status": events.SessionLog.START})
        if about and not taken:
            self._append(step=0, summary={"value": about})

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


def experiment(options: Mapping[str, Any], tags: Iterable[str]) -> dict[str, Any]:
    """Which options and which scalars the tab HPARAMS has, without domains, which other runs' values might be outside.

    It takes them from one of the runs. The options in COLUMNS and the tags in this order come first.
    """
    types = {path: TYPES[type(_any_value(value).popitem()[1])] for path, value in options.items()}
    hparams = [{"name": path, "type": name, "differs": path in COLUMNS} for path, name in types.items()]
    about = {"hparam_infos": hparams, "metric_infos": [{"name": {"tag": tag}} for tag in tags]}
    return _hparams("experiment", about)


def hyperparameters(options: Mapping[str, Any], group: str) -> dict[str, Any]:
    """The options of a run by path, for the tab HPARAMS; it shows the means over all seeds of one `group`."""
    known = {path: _any_value(value) for path, value in options.items() if value is not None}
    return _hparams("session_start_info", {"hparams": known, "group_name": group})


def _hparams(name: str, message: dict[str, Any]) -> dict[str, Any]:
    data = import_module(MODULES[2]).HParamsPluginData(**{name: message})
    empty = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": 0}]}}
    return _value(f"_hparams_/{name}", "hparams", empty, data.SerializeToString())


def configuration(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a table, for the tab TEXT."""
    rows = ["| option | value |", "|---|---|", *(f"| `{path}` | `{plain(value)}` |" for path, value in options.items())]
    return _value("config", "text", _string("\n".join(rows).encode()))


def three_charts() -> dict[str, Any]:
    """The article's charts side by side, for the tab CUSTOM SCALARS."""
    charts = [{"title": title, "multiline": {"tag": [f"^{tag}$"]}} for title, tag in THREE.items()]
    layout = import_module(MODULES[3]).Layout(category=[{"title": CHARTS, "chart": charts}])
    return _value("custom_scalars__config__", "custom_scalars", _string(layout.SerializeToString()))


def _value(tag: str, plugin: str, tensor: dict[str, Any], content: bytes = b"") -> dict[str, Any]:
    return {"tag": tag, "metadata": {"plugin_data": {"plugin_name": plugin, "content": content}}, "tensor": tensor}


def _string(text: bytes) -> dict[str, Any]:
    return {"dtype": "DT_STRING", "string_val": [text]}


def _any_value(value: Any) -> dict[str, Any]:
    """Of protobuf's type for JSON."""
    if isinstance(value, bool):
        return {"bool_value": value}
    return {"number_value": float(value)} if isinstance(value, int | float) else {"string_value": plain(value)}
