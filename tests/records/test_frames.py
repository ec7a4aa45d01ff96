"""The pictures of a replay: written once, in files that checkpoints name, and back in their places."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import ddpg
from ddpg.mistake import Mistake
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.frames import KEY, Frames
from ddpg.records.tree_file import _digest, read_header
from tests.tiny import TURNS

# The replay has 200 rows: the files of older ones go.
# Checkpoints are of every second log point, or of each: both runs are of one program.
RUN: dict[str, Any] = TURNS | {"pixels": "drawn", "pixels.size": 16, "encoder.filters": "4", "actor.trunk": 8}
RUN |= {"critic.trunk": 8, "steps": 600, "replay.capacity": 200, "eval.every": 50}


def files_of(run: Path) -> list[Path]:
    return sorted((run / "checkpoints" / KEY).glob("*"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ddpg.train(preset="pixels", run=tmp_path_factory.mktemp("frames") / "run", options=RUN, quiet=True).path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def test_files_are_of_what_is_new_and_the_old_ones_go(trained: Path) -> None:
    """Three: two of the last checkpoint, and of the one before."""
    rows = [path.stem for path in files_of(trained)]
    assert rows == [f"rows-{begin:012d}-{begin + 100:012d}" for begin in (300, 400, 500)]
    newest, before = (read_header(path)[KEY] for path in list_checkpoints(trained / "checkpoints"))
    assert newest["rows"] - before["rows"] == 100
    assert len(newest["files"]) == len(before["files"]) == 2
    assert all(path.stat().st_size < 100 * 16 * 16 + 1000 for path in files_of(trained))


def test_the_replay_is_in_order(trained: Path) -> None:
    stored = ddpg.replay(trained)
    assert len(stored["reward"]) > 190
    np.testing.assert_array_equal(stored["obs"][1:5, ..., :2], stored["obs"][:4, ..., 1:])


def test_a_replay_that_does_not_fit_is_one_line(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpg.training.stored.available_bytes", lambda: 5e5)
    with pytest.raises(Mistake, match=r"the 200 steps of .* would take 0\.0 GB .* its pictures are in .*frames, once"):
        ddpg.replay(trained)


@pytest.mark.parametrize("env", ["Pendulum-v1", pytest.param("gym:Pendulum-v1", marks=pytest.mark.slow)])
def test_a_run_that_goes_on_is_one_that_was_never_stopped(env: str, tmp_path: Path) -> None:
    """From two checkpoints back: later files, of a process that was killed, are written again."""
    whole = ddpg.train(env, preset="pixels", run=tmp_path / "whole", options=RUN, quiet=True).path
    part = ddpg.train(env, preset="pixels", run=tmp_path / "part", options=RUN | {"steps": 500}, quiet=True).path
    list_checkpoints(part / "checkpoints")[0].unlink()
    later = files_of(part)[-1]
    later.write_bytes(b"cut off")
    ddpg.resume(part, steps=600, quiet=True)
    assert [path.name for path in files_of(part)] == [path.name for path in files_of(whole)]
    for name, array in ddpg.replay(whole).items():
        np.testing.assert_array_equal(array, ddpg.replay(part)[name])
    weights = [next((path / "models").rglob("networks.safetensors")).read_bytes() for path in (whole, part)]
    assert weights[0] == weights[1]


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def swapped(path: Path) -> None:
    """Of the same name, from another run."""
    shutil.copy(next(other for other in files_of(path.parent.parent.parent) if other != path), path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flipped, "its bytes are not those that were written"),
        (swapped, "it is not the file that the checkpoint names"),
        (Path.unlink, "cannot be used"),
    ],
)
def test_a_damaged_file_is_noticed(
    damage: Callable[[Path], None], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the newest alone, the checkpoint before goes on; in one that both need, none does."""
    damage(files_of(run)[-1])
    again = ddpg.resume(run, steps=700, quiet=True)
    assert again.summary["steps"] == 700
    error = capsys.readouterr().err
    assert said in error
    assert "trying the one before" in error
    damage(files_of(run)[1])
    with pytest.raises(Mistake, match="none of its checkpoints can be used"):
        ddpg.resume(run, steps=800, quiet=True)


def test_many_files_become_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A checkpoint's header names each, and would become too large."""
    monkeypatch.setattr("ddpg.records.frames.MOST", 2)
    run = ddpg.train(preset="pixels", run=tmp_path / "run", options=RUN | {"checkpoint.every": 50}, quiet=True)
    files = [len(read_header(path)[KEY]["files"]) for path in list_checkpoints(run.path / "checkpoints")]
    assert max(files) <= 2
    assert len(ddpg.replay(run.path)["reward"]) > 190
    ddpg.resume(run.path, steps=700, quiet=True)


def test_what_a_killed_process_leaves_goes(run: Path) -> None:
    left = run / "checkpoints" / KEY / ".tmpAbCdE"
    left.touch()
    ddpg.resume(run, steps=700, quiet=True)
    assert not left.exists()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (None, "it names no frames"),
        ({"rows": -1, "files": []}, "its frames are invalid"),
        ({"rows": 600, "files": []}, "of its frames, rows from 400 to 600 are missing"),
        ({"rows": 600, "files": [[300, 500, "a"]]}, "cannot be used"),
    ],
)
def test_what_a_header_may_say(named: Any, said: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = list_checkpoints(run / "checkpoints")[0]
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = {key: value for key, value in read_header(path).items() if key != KEY}
    text = json.dumps(header if named is None else header | {KEY: named}, sort_keys=True)
    about = {"format": "ddpg-checkpoint", "version": "1", "header": text, "sha256": _digest(arrays, text)}
    save_file(arrays, path, {"ddpg": json.dumps(about)})
    ddpg.resume(run, steps=700, quiet=True)
    error = capsys.readouterr().err
    assert said in error
    assert "trying the one before" in error


def test_what_no_checkpoint_names_goes(tmp_path: Path) -> None:
    frames, obs = Frames(tmp_path), np.zeros((1, 3, 1, 4, 4, 1), np.uint8)
    frames.add(obs, 3, 3)
    frames.add(obs, 6, 4)
    stranger = tmp_path / KEY / "rows-000000000009-000000000012.safetensors"
    stranger.touch()
    frames.drop_others([])
    assert [path.name[:17] for path in sorted((tmp_path / KEY).glob("*"))] == ["rows-000000000000", "rows-000000000003"]
    damaged = tmp_path / "step-000000000006.safetensors"
    damaged.touch()
    stranger.touch()
    frames.drop_others([damaged])  # which may name any
    assert stranger.exists()
