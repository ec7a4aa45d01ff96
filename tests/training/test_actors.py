"""Runs whose blocks come from actors in a Ray cluster, one for this whole file."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddpg
from ddpg.cli import main
from ddpg.records.observer import LogPoint, StopTraining
from ddpg.training.ray_cluster import Cluster
from tests.gym_worlds import GymWalk, Puppet
from tests.tiny import PAIR
from tests.training.test_resume import stop_at

ray: Any = pytest.importorskip("ray")
__all__ = ["stop_at"]
pytestmark = pytest.mark.usefixtures("no_pictures", "one_device")
OPTIONS = PAIR | {"steps": 1_000, "eval.every": 200, "checkpoint.every": 200, "checkpoint.share": "none"}
OPTIONS |= {"actors.number": 2}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray runs, so that no run of this file starts its own."""
    opened = Cluster("local", 2, 2**20)
    yield
    opened.close()


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def actors() -> list[int]:
    """Processes of actors."""
    found = list[int]()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                command = (folder / "cmdline").read_bytes()
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                grandparent = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if command.startswith(b"ray::RemoteCollector") and grandparent == os.getpid():
                found.append(int(folder.name))
    return found


def test_without_ray_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpg.training.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(ddpg.Mistake, match=r"actors need Ray: pip install 'ddpg-jax\[ray\]'"):
        Cluster(None, 2, 1)


def test_a_cluster_that_does_not_answer() -> None:
    with pytest.raises(ddpg.Mistake, match=r"actors.address 127.0.0.1:1: no Ray cluster answers"):
        Cluster("127.0.0.1:1", 2, 1)
    assert not ray.is_initialized()


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
    size = {"pixels.size": 8, "encoder.filters": 2, "encoder.patches": 4, "actor.trunk": 4, "critic.trunk": 4}
    size |= {"augment.pixels": 1, "augment.groups": 2}
    options = OPTIONS | size | {"eval.every": 500, "collect.envs": 1, "replay.n_step": 3}
    run = ddpg.train("gym:Pendulum-v1", preset="pixels", run=tmp_path / "run", options=options, quiet=True)
    stacks = ddpg.replay(run.path)
    obs, following = stacks["obs"], stacks["next_obs"]
    assert (obs.shape[1:], obs.dtype) == ((8, 8, 3), np.uint8)
    np.testing.assert_array_equal(obs[..., 1:], following[..., :-1])


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
    ("words", "line"),
    [
        (["Pendulum-v1"], "actors.number 2: Pendulum-v1 is compiled into the learner; use gym:Pendulum-v1"),
        (
            ["gym:Pendulum-v1", "--seeds", "2"],
            "actors.number 2: they collect for one seed, and seeds is 2; use --seeds 1",
        ),
        (["gym:Pendulum-v1", "--collect.vector", "async"], "actors.number 2: each is a process of its own already"),
        (["gym:Pendulum-v1", "--eval.shared", "true"], "actors.number 2: their environments are in other processes"),
        (["gym:Pendulum-v1", "--preset", "td7"], "actors.number 2: each acts with a policy of another time"),
        (["gym:Pendulum-v1", "--actors.spread", "0.5"], "actors.spread '0.5': expected at least 1"),
    ],
)
def test_mistakes(words: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", *words, "--actors", "2", "--run", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
