"""A run folder says how far its run is, and belongs to one run and one process."""

import errno
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any, get_args

import numpy as np
import pytest

import ddpg
from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.mistake import Mistake
from ddpg.records.tree_file import write
from ddpg.training.folder import HOLDS, RunFolder, RunStatus, absolute

CONFIG = PRESETS["ddpg"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.at(tmp_path / "run")


def saved(folder: RunFolder, iteration: Any) -> Path:
    """A checkpoint whose header says so."""
    folder.checkpoints.mkdir(exist_ok=True)
    path = folder.checkpoints / f"step-{iteration:012d}.safetensors"
    write(path, {"x": np.zeros(3)}, {"iteration": iteration})
    return path


def ended(folder: RunFolder, **fields: Any) -> None:
    folder.summary.write_text(json.dumps({"interrupted": False} | fields))


def test_every_file_is_within_the_folder_and_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = RunFolder.at("some/run")
    monkeypatch.chdir("/")
    assert str(folder) == "some/run"
    assert folder.path == tmp_path / "some" / "run"
    files = [folder.config, folder.metrics, folder.tensorboard, folder.checkpoints, folder.networks(3), folder.curve]
    files += [folder.film, folder.summary, folder.exported(".onnx")]
    assert [str(path.relative_to(folder.path)) for path in files] == [
        "config.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "models/seed-3",
        "learning_curve.png",
        "policy.gif",
        "summary.json",
        "policy.onnx",
    ]
    assert folder == RunFolder.at(str(tmp_path / "some" / "run"))


def test_a_run_passes_through_every_state(folder: RunFolder) -> None:
    seen = [folder.state()]
    folder.path.mkdir()
    seen.append(folder.state())
    folder.claim(CONFIG)
    seen.append(folder.state())
    with folder.locked():
        seen.append(folder.state())
    seen.append(folder.state())
    saved(folder, 100)
    seen.append(folder.state())
    ended(folder, interrupted=True)
    seen.append(folder.state())
    ended(folder)
    seen.append(folder.state())
    folder.config.unlink()
    seen.append(folder.state())
    assert seen == [
        *("empty", "empty", "started", "running", "started", "interrupted", "interrupted", "finished", "foreign")
    ]
    assert {*seen} == {*get_args(RunStatus)}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"interrupted": 0}', '{"interrupted": true}', "9" * 5_000])
def test_only_a_summary_that_says_so_is_an_end(text: str, folder: RunFolder) -> None:
    folder.claim(CONFIG)
    assert not folder.finished()
    folder.summary.write_text(text)
    assert not folder.finished()
    ended(folder, failure="training diverged")
    assert not folder.finished()
    ended(folder)
    assert folder.finished()


def in_use(folder: RunFolder) -> None:
    """Its lock is open elsewhere for as long as this test runs."""
    context = folder.locked()
    context.__enter__()
    HELD.append(context)


HELD = list[Any]()

CLAIMS: dict[str, tuple[Callable[[RunFolder], object], dict[str, Any]]] = {
    "foreign": (lambda folder: folder.config.rename(folder.path / "notes.txt"), {}),
    "running": (in_use, {}),
    "started": (lambda folder: None, {"steps": 10_000}),
    "interrupted": (lambda folder: saved(folder, 100), {}),
    "finished": (ended, {}),
    "shorter": (ended, {"steps": 30_000}),
    "other": (ended, {"gamma": 0.5}),
}


@pytest.mark.parametrize("found", HOLDS)
def test_a_folder_that_holds_anything_is_not_claimed(found: str, folder: RunFolder) -> None:
    prepare, changes = CLAIMS[found]
    folder.claim(CONFIG)
    prepare(folder)
    before = sorted(folder.path.rglob("*"))
    resume = f"ddpg resume {folder}{' --steps 30000' if found == 'shorter' else ''}"
    said = HOLDS[found].format(steps=20_000, resume=resume)
    try:
        with pytest.raises(Mistake) as error:
            folder.claim(replace(CONFIG, **changes))
    finally:
        while HELD:
            HELD.pop().__exit__(None, None, None)
    assert str(error.value) == f"run folder {folder} already holds {said}"
    assert sorted(folder.path.rglob("*")) == before


def test_a_configuration_that_cannot_be_read_is_of_another_run(folder: RunFolder) -> None:
    folder.claim(CONFIG)
    folder.config.write_text("{")
    with pytest.raises(Mistake, match="already holds another run"):
        folder.claim(CONFIG)


def test_one_process_at_a_time(folder: RunFolder) -> None:
    folder.claim(CONFIG)
    with folder.locked(), pytest.raises(Mistake, match=r"another process is training in .*; wait for"):
        folder.locked().__enter__()
    with folder.locked():
        pass


def test_the_newest_checkpoint_that_can_be_read_says_the_steps(folder: RunFolder) -> None:
    config = replace(CONFIG, collect=replace(CONFIG.collect, steps=5, envs=2))
    folder.claim(config)
    assert folder.steps_done(config) == 0
    saved(folder, 30)
    os.truncate(saved(folder, 40), 50)
    assert folder.steps_done(config) == 300


def test_runs_that_begin_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    n = 12
    runs, barrier = tmp_path / "somewhere" / "runs", Barrier(n)

    def claim(_: int) -> str:
        barrier.wait()
        return RunFolder.claim_new(runs, CONFIG).path.name

    with ThreadPoolExecutor(n) as pool:
        names = sorted(pool.map(claim, range(n)))
    assert names == sorted(f"Pendulum-v1-ddpg-{i + 1}" for i in range(n))
    assert all(ddpg.load_config(runs / name) == CONFIG for name in names)


def test_an_id_of_a_module_makes_one_folder(tmp_path: Path) -> None:
    folder = RunFolder.claim_new(tmp_path, replace(CONFIG, env="my_envs/room:Room-v0"))
    assert folder.path == tmp_path / "my_envs-room-Room-v0-ddpg-1"
    assert str(folder) == f"{tmp_path.name}/my_envs-room-Room-v0-ddpg-1"


def test_where_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("file", "nowhere"):
        with pytest.raises(Mistake, match=r"run folder .* cannot be written \(.*\); choose another --run"):
            RunFolder.claim_new(tmp_path / name, CONFIG)
    for path in (tmp_path / "file" / "run", tmp_path / ("n" * 300)):
        with pytest.raises(Mistake, match=r"run folder .* cannot be written \(.*\); choose another --run"):
            RunFolder.at(path).claim(CONFIG)


def test_a_working_directory_that_is_gone_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "getcwd", gone)
    assert absolute("/somewhere") == Path("/somewhere")
    with pytest.raises(Mistake, match="run: the working directory is lost"):
        RunFolder.at("run")


@pytest.mark.parametrize(
    ("env", "command"),
    [
        ("Pendulum-v1", "ddpg resume 'my runs/a'"),
        ("gym:Pendulum-v1", "ddpg resume 'my runs/a'"),
        ("my_module:MyEnv-v0", "ddpg resume 'my runs/a' --env my_module:MyEnv-v0"),
        ("gym:my_module:MyEnv-v0", "ddpg resume 'my runs/a' --env gym:my_module:MyEnv-v0"),
        ("MyEnv", "ddpg.resume('my runs/a', env=...)"),
    ],
)
def test_what_goes_on_with_a_run_is_a_command_as_it_is_typed(env: str, command: str) -> None:
    folder, config = RunFolder.at("my runs/a"), Config(env=env)
    assert folder.resume_command(config) == command
    more = folder.resume_command(config, 500)
    assert ", steps=500)" in more if env == "MyEnv" else "--steps 500" in more
