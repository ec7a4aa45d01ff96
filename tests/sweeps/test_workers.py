"""Trials in processes of a Ray cluster, one for this whole file."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ddpg
from ddpg.cli import main
from ddpg.sweeps.trial import Outcome, Task, run_trial
from ddpg.sweeps.workers import OnRay
from ddpg.training.folder import RunFolder
from ddpg.training.ray_cluster import Cluster
from ddpg.training.signals import interruptible
from tests.sweeps.test_search import SWEEP, Jumbled, formula, searched, without_time
from tests.sweeps.test_trial import OPTIONS

ray: Any = pytest.importorskip("ray")
TWO = replace(SWEEP, at_once=2)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    opened = Cluster("local", 2, asked="--jobs 2", named="--ray-address")
    yield
    opened.close()


def test_a_search_in_two_processes_is_that_of_any_two_workers(tmp_path: Path) -> None:
    with closing(OnRay(2, train=formula)) as workers:
        trials = searched(tmp_path / "ray", 14, workers, TWO)
    assert without_time(trials) == without_time(searched(tmp_path / "two", 14, Jumbled(0, 2), TWO))


def mistaken(task: Task) -> Outcome:
    raise ddpg.Mistake("critic.lr 0: expected more than 0")


def missing(task: Task) -> Outcome:
    raise FileNotFoundError(2, "no such file", "robot.xml")


def broken(task: Task) -> Outcome:
    raise TypeError("a bug")


@pytest.mark.parametrize(
    ("train", "kind", "words"),
    [
        (mistaken, ddpg.Mistake, "critic.lr 0: expected more than 0"),
        (missing, ddpg.Mistake, r"trial 0: .*robot.xml"),
        (broken, TypeError, "a bug"),
    ],
)
def test_what_a_trial_raises_is_raised_here(
    train: Callable[[Task], Outcome], kind: type[Exception], words: str, tmp_path: Path
) -> None:
    with closing(OnRay(2, train=train)) as workers, pytest.raises(kind, match=words):
        searched(tmp_path / "sweep", 1, workers)


def test_a_machine_that_does_not_see_the_folder_is_named(tmp_path: Path) -> None:
    with closing(OnRay(2, train=formula)) as workers:
        workers.begin(0, Task("Pendulum-v1", "ddpg", {}, tmp_path / "sweep" / "trials" / "0000"))
        with pytest.raises(ddpg.Mistake, match=r"does not see .*; choose an -o on a disk that all share"):
            workers.take()


# From here on processes end, and a new one takes seconds to import what it needs.


def dying(task: Task) -> Outcome:
    """By a signal that nothing catches, the first two times."""
    times = task.folder.parents[2] / f"{task.folder.name}.times"
    with times.open("a") as file:
        file.write(".")
    if len(times.read_text()) < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return formula(task)


def test_a_trial_whose_process_dies_is_done_in_another(tmp_path: Path) -> None:
    with closing(OnRay(2, train=dying)) as workers:
        trials = searched(tmp_path / "sweep", 2, workers, TWO)
    assert without_time(trials) == without_time(searched(tmp_path / "undisturbed", 2))
    assert [len(path.read_text()) for path in tmp_path.glob("*.times")] == [3, 3]


def dead(task: Task) -> Outcome:
    with (task.folder.parents[2] / "times").open("a") as file:
        file.write(".")
    os.kill(os.getpid(), signal.SIGKILL)
    return formula(task)


def test_a_trial_whose_processes_all_die_is_given_up(tmp_path: Path) -> None:
    words = r"trial 0: its process died 4 times \(.*\); run it with --jobs 1"
    with closing(OnRay(2, train=dead)) as workers, pytest.raises(ddpg.Mistake, match=words):
        searched(tmp_path / "sweep", 1, workers)
    assert (tmp_path / "times").read_text() == "...."


def endless(task: Task) -> Outcome:
    task.folder.parents[1].joinpath("begun").touch()
    while True:
        time.sleep(0.05)
        task.folder.parents[1].joinpath("alive").touch()


def test_nothing_is_trained_after_the_end(tmp_path: Path) -> None:
    """Also in a cluster that goes on, as here."""
    workers = OnRay(2, train=endless)
    workers.begin(0, Task("Pendulum-v1", "ddpg", {}, tmp_path / "trials" / "0"))
    while not (tmp_path / "alive").exists():
        time.sleep(0.05)
    workers.close()
    last = None
    while last is None or (tmp_path / "alive").stat().st_mtime != last:
        last = (tmp_path / "alive").stat().st_mtime
        time.sleep(1)


@pytest.mark.slow
def test_a_signal_saves_what_is_under_way(tmp_path: Path, cached_programs: dict[str, str]) -> None:
    task = Task("Pendulum-v1", "ddpg", OPTIONS | {"steps": 200_000, "checkpoint.every": 200_000}, tmp_path / "t" / "0")

    over = threading.Event()

    def press() -> None:
        metrics = task.folder / "metrics.jsonl"
        while not over.is_set() and (not metrics.exists() or not metrics.stat().st_size):
            time.sleep(0.1)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with interruptible(), closing(OnRay(2)) as workers:
        workers.begin(0, task)
        taken = workers.take()
        over.set()
        assert taken == signal.SIGINT
    folder = RunFolder.at(task.folder)
    assert folder.state() == "interrupted"
    done = folder.steps_done(folder.read_config())
    assert 0 < done < 200_000
    went_on = ddpg.resume(task.folder, steps=done + 200, quiet=True)
    alone = replace(task, folder=tmp_path / "alone", options={**task.options, "steps": done + 200})
    assert run_trial(alone).last == went_on.summary["iqm"]


def test_the_command_says_how_to_get_ray(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("ddpg.training.ray_cluster.find_spec", lambda name: None)
    assert main(["sweep", "Pendulum-v1", "--jobs", "4", "-o", str(tmp_path / "sweep")]) == 2
    assert capsys.readouterr().err == "ddpg: --jobs 4 needs Ray: pip install 'ddpg-jax[ray]'\n"
