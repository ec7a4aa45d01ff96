"""What befalls a run, and what its user then sees: nothing that was saved is lost, and one line says what happened."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from safetensors import SafetensorError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ddpg
from ddpg.cli import main
from ddpg.envs.gymnasium_factory import by_callable
from ddpg.envs.python_vector import PythonVector
from ddpg.mistake import Mistake
from ddpg.records import tree_file
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.log import Log
from ddpg.training.folder import RunFolder, read_metrics
from ddpg.training.session import Session
from tests.gym_worlds import Unrepeatable
from tests.tiny import TINY, words

SAVING = TINY | {"steps": 300, "checkpoint.every": 100, "checkpoint.keep": 3}
SHORT = words(SAVING)
pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 steps, with checkpoints of step 100, 200 and 300."""
    folder = tmp_path_factory.mktemp("recovery") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "draw", lambda self, warn: self.folder.curve.touch())
        assert main(["train", *SHORT, "--run", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def expected(run: Path) -> dict[str, Any]:
    """What it is after 400, when nothing happens."""
    folder = Path(shutil.copytree(run, run.parent / "expected"))
    assert main(["resume", str(folder), "--steps", "400"]) == 0
    return left(folder)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def left(folder: Path) -> dict[str, Any]:
    rows = [json.dumps({**row, "steps_per_second": 0}) for row in read_metrics(folder)]
    return {"rows": rows, **{path.name: path.read_bytes() for path in sorted(folder.glob("models/*/*"))}}


def at(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step-{step:012d}.safetensors"


def steps(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in list_checkpoints(folder / "checkpoints"))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "flipped": (flipped, "cannot be used: its bytes are not those that were written; trying the one before"),
    "half": (lambda path: os.truncate(path, path.stat().st_size // 2), "cannot be used: it is cut off or damaged"),
    "empty": (lambda path: os.truncate(path, 0), "cannot be used: it is cut off, or no safetensors file"),
    "pipe": (
        piped,
        "cannot be used: it is a pipe or device, expected a plain file; "
        "put the file itself there; trying the one before",
    ),
    "missing": (Path.unlink, "what had come after it, up to step 300, is done again"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_without_the_newest_checkpoint_the_one_before_is_used(
    how: str, copy: Path, expected: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    damage, line = DAMAGE[how]
    damage(at(copy, 300))
    assert main(["resume", str(copy), "--steps", "400"]) == 0
    said = capsys.readouterr().err
    assert "resumed at step 200 of 400" in said
    assert sum(line in each for each in said.splitlines()) == 1
    assert left(copy) == expected


def test_without_any_nothing_is_touched(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (100, 200, 300):
        os.truncate(at(copy, step), 1_000)
    before = left(copy)
    assert main(["resume", str(copy), "--steps", "400"]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last == (
        f"ddpg: {copy} cannot be resumed: none of its checkpoints can be used; train again into another --run"
    )
    assert left(copy) == before
    assert steps(copy) == [100, 200, 300]


def test_a_bug_while_resuming_damages_no_checkpoint(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("operands could not be broadcast together")

    before = sorted((copy / "checkpoints").iterdir())
    # After a checkpoint was read, and in between.
    for place in ("ddpg.training.scan.Scan.resume", "ddpg.records.tree_file._digest"):
        with monkeypatch.context() as patch:
            patch.setattr(place, broken)
            with pytest.raises(ValueError, match=r"^operands could not be broadcast together$") as error:
                main(["resume", str(copy), "--steps", "400"])
        assert not isinstance(error.value, Mistake)
        assert sorted((copy / "checkpoints").iterdir()) == before


def test_too_little_memory_is_one_line_and_renames_nothing(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(*_: Any) -> None:
        raise MemoryError

    before = sorted((copy / "checkpoints").iterdir())
    monkeypatch.setattr("ddpg.records.tree_file._digest", exhausted)
    assert main(["resume", str(copy), "--steps", "400"]) == 2
    assert "needs more memory than there is; nothing was changed" in capsys.readouterr().err
    assert sorted((copy / "checkpoints").iterdir()) == before


def test_a_damaged_one_takes_no_other_ones_place(copy: Path) -> None:
    at(copy, 300).rename(at(copy, 900))
    flipped(at(copy, 900))
    for name in (".tmpAbCdEf", "step-000000000700.partial"):  # as a killed process leaves them
        (copy / "checkpoints" / name).write_bytes(b"half")
    assert main(["resume", str(copy), "--steps", "600"]) == 0
    assert {400, 500, 600} <= set(steps(copy))  # and that of the best return
    assert not [path for path in (copy / "checkpoints").iterdir() if path.suffix == ".partial" or ".tmp" in path.name]


def test_what_train_says_of_a_folder_that_is_a_run(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*options: str) -> str:
        assert main(["train", *SHORT, "--run", str(copy), *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "already holds this very run, at its end after 300 steps; choose another --run" in said()
    assert f"this run, of 300 steps; train on with `ddpg resume {copy} --steps 500`" in said("--steps=500")
    assert "already holds another run; choose another --run" in said("--gamma=0.5")
    (copy / "summary.json").unlink()
    assert f"this very run, not at its end; go on with `ddpg resume {copy}`" in said()
    with RunFolder.at(copy).locked():
        assert "a run that another process is training" in said()
    shutil.rmtree(copy / "checkpoints")
    assert "this very run, stopped before its first checkpoint" in said()


def test_a_second_process_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunFolder.at(copy).locked():
        assert main(["resume", str(copy), "--steps", "400"]) == 2
    assert f"ddpg: another process is training in {copy}; wait for its end, or stop it\n" == capsys.readouterr().err
    assert steps(copy) == [100, 200, 300]


@pytest.mark.parametrize(("number", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_signal_saves_and_exits(
    number: str, status: int, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session._advance
    before = signal.signal(getattr(signal, number), signal.SIG_DFL)  # pytest may run under nohup

    def advance(self: Session, *args: Any) -> Any:
        if self.step == 100:
            os.kill(os.getpid(), getattr(signal, number))
        return real(self, *args)

    monkeypatch.setattr(Session, "_advance", advance)
    assert main(["train", *SHORT, "--run", str(tmp_path / "run")]) == status
    signal.signal(getattr(signal, number), before)
    assert steps(tmp_path / "run") == [100, 200]
    monkeypatch.undo()
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert left(tmp_path / "run") == left(run)


FULL = [SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")]
FULL += [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]


@pytest.mark.parametrize("error", FULL, ids=["safetensors", "system"])
def test_a_full_disk_keeps_earlier_checkpoints_and_training_goes_on(
    error: Exception,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = tree_file.save_file

    def full(arrays: Any, path: Path, metadata: Any) -> None:
        if path.parent.name == "checkpoints" and at(tmp_path / "run", 100).exists():
            raise error
        real(arrays, path, metadata)

    monkeypatch.setattr(tree_file, "save_file", full)
    assert main(["train", *SHORT, "--run", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err.splitlines()
    for step in (200, 300):
        line = f"the checkpoint of step {step} could not be written (No space left on device); earlier ones stay"
        assert line in said
    assert steps(tmp_path / "run") == [100]
    assert left(tmp_path / "run") == left(run)


def test_an_environment_that_is_not_deterministic_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = SAVING | {"eval.episodes": 1, "collect.envs": 2, "collect.warmup": 200}
    maker = gymnasium.wrappers.TimeLimit
    env: Callable[[], gymnasium.Env] = lambda: maker(Unrepeatable(), 1_000)  # noqa: E731
    ddpg.train(env, run=tmp_path / "run", options=options)
    ddpg.resume(tmp_path / "run", steps=400, env=env)
    said = capsys.readouterr().err
    assert (
        "environment 0, 1 is not deterministic: its open episode went differently when replayed, so a new one begins"
        in said
    )
    assert main(["resume", str(tmp_path / "run"), "--steps", "500"]) == 2  # there is no id to make it by
    (line,) = capsys.readouterr().err.splitlines()
    assert "Unrepeatable" in line


def test_worker_processes_hear_no_signal_that_is_for_all() -> None:
    others = multiprocessing.active_children()  # of tests before
    hosted = PythonVector(by_callable(Unrepeatable, Unrepeatable()), [0], 1, "async")
    try:
        hosted.reset()
        (worker,) = set(multiprocessing.active_children()) - set(others)
        assert worker.pid is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker.pid, number)
        assert hosted.step(np.zeros((1, 1, 1), np.float32)).obs.item() == 1
    finally:
        hosted.close()
    assert worker.exitcode == -signal.SIGKILL


def test_a_clock_that_was_set_back_leaves_tensorboard_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, ahead = time.time(), [10_000.0]
    monkeypatch.setattr(time, "time", lambda: now + ahead[0])
    for until, start in ((300, None), (500, 200), (600, 400)):
        with Log(tmp_path / "metrics.jsonl", tmp_path / "tensorboard", {}, resume_at=start) as log:
            for step in range((start or 0) + 100, until + 1, 100):
                point: Any = {"step": step, "seeds": (0,), "return": np.array([until])}
                log(point)
        ahead[0] -= 10_000
    board = EventAccumulator(str(tmp_path / "tensorboard/seed-0")).Reload()
    expected = [(100, 300), (200, 300), (300, 500), (400, 500), (500, 600), (600, 600)]
    assert [(event.step, event.value) for event in board.Scalars("eval/return")] == expected
