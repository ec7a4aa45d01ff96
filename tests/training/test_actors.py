"""Runs whose blocks come from actors in a Ray cluster, one for this whole file."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddpg
from ddpg.cli import main
from ddpg.config.config import ActorsConfig, Config
from ddpg.config.reading import override
from ddpg.records.observer import LogPoint, StopTraining
from ddpg.training.folder import RunFolder, load_config
from ddpg.training.plan import _in as within
from ddpg.training.ray_cluster import Cluster
from tests.gym_worlds import GymWalk, Puppet
from tests.tiny import PAIR, words
from tests.training.test_resume import stop_at

ray: Any = pytest.importorskip("ray")
__all__ = ["stop_at"]
pytestmark = pytest.mark.usefixtures("no_pictures", "one_device")
OPTIONS = PAIR | {"steps": 1_000, "eval.every": 200, "checkpoint.every": 200, "checkpoint.share": "none"}
OPTIONS |= {"actors.number": 2}


def opened_at(address: str | None) -> Cluster:
    return Cluster(address, 2, asked="actors.number 2", named="actors.address")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray runs, so that no run of this file starts its own."""
    opened = opened_at("local")
    yield
    opened.close()


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def descendants(root: int) -> dict[int, bytes]:
    """The command lines of all processes that a process has started, itself left out."""
    parents, lines = dict[int, int](), dict[int, bytes]()
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):  # of a process that has ended
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            lines[pid] = (folder / "cmdline").read_bytes()
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return {pid: lines[pid] for pid in family - {root} if pid in lines}


def actors() -> list[int]:
    """Processes of actors."""
    return [pid for pid, line in descendants(os.getpid()).items() if line.startswith(b"ray::RemoteCollector")]


@pytest.mark.slow
def test_a_learner_that_is_killed_leaves_no_process_and_can_go_on(
    tmp_path: Path, cached_programs: dict[str, str]
) -> None:
    run = tmp_path / "run"
    command = ["train", "gym:Pendulum-v1", f"--run={run}", *words(OPTIONS | {"steps": 1_000_000})]
    process = subprocess.Popen([sys.executable, "-m", "ddpg", *command], env={**os.environ, **cached_programs})
    while not list((run / "checkpoints").glob("*.safetensors")):
        assert process.poll() is None
        time.sleep(0.1)
    started = descendants(process.pid)
    assert sum(line.startswith(b"ray::RemoteCollector") for line in started.values()) == 2
    process.kill()
    process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        time.sleep(0.1)
    at = RunFolder.at(run).steps_done(load_config(run))
    went_on = ddpg.resume(run, steps=at + 200, quiet=True)  # with a Ray of its own
    assert went_on.summary["steps"] == at + 200
    assert not ray.is_initialized()


def test_without_ray_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpg.training.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(ddpg.Mistake, match=r"actors.number 2 needs Ray: pip install 'ddpg-jax\[ray\]'"):
        opened_at(None)


def test_a_cluster_that_does_not_answer() -> None:
    with pytest.raises(ddpg.Mistake, match=r"actors.address 127.0.0.1:1: no Ray cluster answers"):
        opened_at("127.0.0.1:1")
    assert not ray.is_initialized()


def test_no_cluster_is_joined_because_a_folder_names_it(tmp_path: Path) -> None:
    named = override(Config(env="gym:Pendulum-v1"), {"actors.number": 2, "actors.address": "10.0.0.1:6379"})
    folder = RunFolder.at(tmp_path / "run")
    folder.claim(named)
    with pytest.raises(ddpg.Mistake, match=r"add --ray-address 10.0.0.1:6379 if you trust it, or --ray-address local"):
        ddpg.resume(folder.path)
    assert folder.resume_command(named).endswith("--ray-address 10.0.0.1:6379")
    assert within(None, named).actors == ActorsConfig(2)


@pytest.mark.parametrize(("options", "joined"), [({}, "None"), ({"actors.address": "10.0.0.2:1"}, "10.0.0.2:1")])
def test_no_cluster_is_joined_because_a_presets_file_names_it(
    options: dict[str, str], joined: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = override(Config(env="gym:Pendulum-v1"), {"actors.number": 2, "actors.address": "10.0.0.1:6379"})
    folder = RunFolder.at(tmp_path / "run")
    folder.claim(named)

    def cluster(address: str | None, *_: int, **__: Any) -> None:
        raise ddpg.Mistake(f"joins {address}")

    monkeypatch.setattr("ddpg.training.crew.Cluster", cluster)
    with pytest.raises(ddpg.Mistake, match=f"joins {joined}$"):
        ddpg.train(preset=folder.config, run=tmp_path / "other", options=options, quiet=True)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_run_whose_actors_are_killed_and_that_is_resumed(tmp_path: Path) -> None:
    threads, killed = list[str](), list[int]()

    def observe(point: LogPoint) -> None:
        if point["step"] == 400:
            while len(there := actors()) < 2:  # each process takes a while to begin
                time.sleep(0.1)
            victim, other = there
            threads.extend(path.read_text() for path in Path(f"/proc/{other}/task").glob("*/comm"))
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
        if point["step"] == 800:
            raise StopTraining("to go on later")

    first = ddpg.train(GymWalk, run=tmp_path / "run", options=OPTIONS, observers=[observe], quiet=True)
    assert killed
    assert not any("XLA" in name or "pjrt" in name.lower() for name in threads), "an actor started JAX"
    run = ddpg.resume(first.path, env=GymWalk, options={"actors.number": 1}, quiet=True)
    assert run.summary["steps"] == 1_000
    rows = records(run.path)
    assert [row["step"] for row in rows] == [200, 400, 600, 800, 1_000]
    assert sum(row["replaced"] for row in rows) == 1
    for row in rows[1:4]:
        # 2 actors with a block each: an iteration collects with parameters from before the one before it.
        assert 5 <= row["staleness"] <= 15
    assert all(0 < row["waiting"] <= 1 for row in rows)
    assert all(row["episode_return"] is not None for row in rows)
    transitions = ddpg.replay(run.path)
    obs, following = transitions["obs"], transitions["next_obs"]
    ends = transitions["terminated"] | transitions["truncated"]
    assert len(obs) > 600
    np.testing.assert_allclose(following[:, 0] - obs[:, 0], transitions["action"][:, 0], atol=1e-6)
    np.testing.assert_array_equal(following[:-1][~ends[:-1]], obs[1:][~ends[:-1]])
    free = 0.0
    for _ in range(100):  # the store tells its size every now and then
        if (free := ray.available_resources()["object_store_memory"]) == ray.cluster_resources()["object_store_memory"]:
            break
        time.sleep(0.1)
    assert free == ray.cluster_resources()["object_store_memory"]


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_pictures_with_those_before_them(tmp_path: Path) -> None:
    size = {"pixels.size": 16, "encoder.filters": 2, "encoder.patches": 8, "actor.trunk": 4, "critic.trunk": 4}
    size |= {"augment.pixels": 1, "augment.groups": 2}
    options = OPTIONS | size | {"eval.every": 500, "collect.envs": 1, "replay.n_step": 3}
    run = ddpg.train("gym:Pendulum-v1", preset="pixels", run=tmp_path / "run", options=options, quiet=True)
    stacks = ddpg.replay(run.path)
    obs, following = stacks["obs"], stacks["next_obs"]
    assert (obs.shape[1:], obs.dtype) == ((16, 16, 3), np.uint8)
    np.testing.assert_array_equal(obs[..., 1:], following[..., :-1])


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_an_environment_that_misbehaves_ends_the_run_in_one_line(tmp_path: Path) -> None:
    # That of the evaluation does not come so far.
    failing = FailsLate
    with pytest.raises(ddpg.Mistake, match=r"environment \d at its step 30 .*: step raised ValueError: late"):
        ddpg.train(failing, run=tmp_path / "run", options=OPTIONS, quiet=True)


class FailsLate(Puppet):
    """Fails at its thirtieth step."""

    def __init__(self) -> None:
        super().__init__(length=3)
        self.steps = 0

    def step(self, action: np.ndarray) -> Any:
        self.steps += 1
        if self.steps == 30:
            raise ValueError("late")
        return super().step(action)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["Pendulum-v1"], "actors.number 2: Pendulum-v1 is compiled into the learner; use gym:Pendulum-v1"),
        (
            ["gym:Pendulum-v1", "--seeds", "2"],
            "actors.number 2: they collect for one seed, and seeds is 2; use --seeds 1",
        ),
        (["gym:Pendulum-v1", "--collect.vector", "async"], "actors.number 2: each is a process of its own already"),
        (["gym:Pendulum-v1", "--eval.shared", "true"], "actors.number 2: their environments are in other processes"),
        (["gym:Pendulum-v1", "--preset", "her"], "use --replay.relabel none, or --actors 0"),
        (["gym:Pendulum-v1", "--preset", "td7"], "actors.number 2: each acts with a policy of another time"),
        (["gym:Pendulum-v1", "--actors.spread", "0.5"], "actors.spread '0.5': expected at least 1"),
    ],
)
def test_mistakes(typed: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", *typed, "--actors", "2", "--run", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
