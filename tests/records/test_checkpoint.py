"""The folder of checkpoints keeps the last ones and the best, whatever fails."""

import errno
import os
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from ddpg.records import tree_file
from ddpg.records.checkpoint import Checkpoints, Saved, list_checkpoints
from ddpg.records.tree_file import Written, read_header, write


def tree(seed: int = 0) -> dict[str, Any]:
    return {"rows": np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32)}


class Reports:
    """Of a writer, in order."""

    def __init__(self) -> None:
        self.all = list[tuple[int, Saved | OSError]]()

    def __call__(self, step: int, outcome: Saved | OSError) -> None:
        self.all.append((step, outcome))


def steps(folder: Path) -> list[int]:
    return [read_header(path)["step"] for path in list_checkpoints(folder)]


def test_the_last_stay(tmp_path: Path) -> None:
    reports, done = Reports(), list[int]()
    with Checkpoints(tmp_path / "checkpoints", 2, reports) as checkpoints:
        for step in range(8):
            checkpoints.save(step, tree(step), {"step": step}, lambda step=step: done.append(step))
    folder = tmp_path / "checkpoints"
    assert steps(folder) == [7, 6]
    assert [step for step, _ in reports.all] == done == list(range(8))
    for step, outcome in reports.all:
        assert isinstance(outcome, Saved)
        assert (outcome.step, outcome.size > 0, outcome.seconds > 0) == (step, True, True)


def test_what_a_killed_writer_left_is_cleared_and_foreign_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "step-000000000001.partial").write_bytes(b"half")
    (tmp_path / "step-1.safetensors").write_bytes(b"mine")
    (tmp_path / "notes.txt").write_text("mine")
    for step in (1, 2):  # killed before it could drop the first
        write(tmp_path / f"step-{step:012d}.safetensors", tree(), {"step": step})
    with Checkpoints(tmp_path, 1, Reports()):
        assert steps(tmp_path) == [2]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"step-000000000002.safetensors", "step-1.safetensors", "notes.txt"}


def test_a_full_disk_is_reported_and_the_next_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports, flush = Reports(), os.fsync

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Checkpoints(tmp_path, 1, reports) as checkpoints:
        for step, flushing in [(1, flush), (2, full), (3, flush)]:
            monkeypatch.setattr(os, "fsync", flushing)
            checkpoints.save(step, tree(), {"step": step}, lambda: None)
            vars(checkpoints)["_last"].result()
            assert steps(tmp_path) == [{1: 1, 2: 1, 3: 3}[step]]
    assert [type(outcome) for _, outcome in reports.all] == [Saved, OSError, Saved]


def test_training_waits_for_one_writing_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, begun, real = Event(), list[int](), tree_file.write

    def slow(path: Path, tree: Any, header: Any) -> Written:
        begun.append(header["step"])
        free.wait()
        return real(path, tree, header)

    monkeypatch.setattr(tree_file, "write", slow)
    with Checkpoints(tmp_path, 1, Reports()) as checkpoints:
        checkpoints.save(1, tree(), {"step": 1}, lambda: None)  # and goes on at once
        assert list_checkpoints(tmp_path) == []
        free.set()
        checkpoints.save(2, tree(), {"step": 2}, lambda: None)
    assert begun == [1, 2]
