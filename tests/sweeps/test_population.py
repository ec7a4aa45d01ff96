"""Trials as one compiled program: each is what it is alone."""

import os
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import ddpg
from ddpg.cli import main
from ddpg.sweeps import population
from ddpg.sweeps.population import Population
from ddpg.sweeps.trial import Outcome, Task, run_trial
from ddpg.training.folder import RunFolder
from ddpg.training.signals import interruptible
from tests.sweeps.test_trial import OPTIONS

pytestmark = pytest.mark.usefixtures("no_pictures")
LOW, HIGH = {"critic.lr": 0.001, "gamma": 0.9, "tau": 0.02}, {"critic.lr": 0.01, "gamma": 0.99, "tau": 0.1}


def tasks(folder: Path, *options: dict[str, Any], bars: dict[int, dict[int, float]] | None = None) -> list[Task]:
    bars = bars or {}
    return [
        Task("Pendulum-v1", "ddpg", OPTIONS | own, folder / "trials" / str(i), bars.get(i, {}))
        for i, own in enumerate(options)
    ]


def together(asked: list[Task], number: int = 10) -> list[Outcome]:
    workers = Population(number)
    for index, task in enumerate(asked):
        workers.begin(index, task)
    taken = [workers.take() for _ in asked]
    ended = {each.index: each.outcome for each in taken if not isinstance(each, int)}
    return [ended[index] for index in range(len(asked))]


@pytest.mark.filterwarnings("ignore")
def test_trials_of_a_population_are_what_they_are_alone(tmp_path: Path) -> None:
    """Whole, pruned and diverged ones, and one whose networks are of another size, bit for bit."""
    lost, wide = {"critic.lr": 1e30, "actor.lr": 1e30, "gamma": 0.99, "tau": 0.02}, HIGH | {"actor.widths": "16"}
    options, bars = (LOW, HIGH, lost, wide, LOW | {"gamma": 0.95}), {1: {300: 0.0}}
    found = together(tasks(tmp_path / "together", *options, bars=bars))
    alone = [run_trial(task) for task in tasks(tmp_path / "alone", *options, bars=bars)]
    assert [each.pruned for each in found] == [False, True, False, False, False]
    assert [each.failure is not None for each in found] == [False, False, True, False, False]
    assert found == alone
    for i in range(len(options)):
        one, other = (RunFolder.at(tmp_path / where / "trials" / str(i)) for where in ("together", "alone"))
        assert one.config.read_text() == other.config.read_text()
        assert without_speed(one) == without_speed(other)


def without_speed(folder: RunFolder) -> list[dict[str, Any]]:
    records = ddpg.read_metrics(folder.path)
    return [{key: repr(x) for key, x in record.items() if key != "steps_per_second"} for record in records]


@pytest.mark.usefixtures("one_device")
def test_on_an_accelerator_they_are_batched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {"steps": 200}
    alone = [run_trial(task) for task in tasks(tmp_path / "alone", LOW | short, HIGH | short)]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = together(tasks(tmp_path / "together", LOW | short, HIGH | short))
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(one.curve, other.curve, rtol=1e-3)
    assert abs(found[0].last - found[1].last) > 1e-2 * abs(found[0].last)


def test_no_more_than_the_number_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, whole = list[int](), {"actor.widths": "16"}

    def trained(tasks: list[Task], plans: list[Any], most_seeds: int) -> list[Outcome]:
        assert most_seeds == 6
        sizes.append(len(tasks))
        return [Outcome(0.0, 0.0, int(task.folder.name)) for task in tasks]

    monkeypatch.setattr(population, "train_together", trained)
    outcomes = together(tasks(tmp_path, LOW, whole, HIGH, LOW, HIGH, LOW), number=3)
    assert [each.steps for each in outcomes] == list(range(6))
    assert sizes == [3, 1, 2]  # of one size, the other size, what is left of the first


@pytest.mark.filterwarnings("ignore")
def test_trials_that_have_ended_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, pruned on the way and at the end, and diverged ones."""
    options, bars = (LOW, LOW, LOW, {"critic.lr": 1e30, "actor.lr": 1e30}), {1: {300: 0.0}, 2: {600: 0.0}}
    before = together(tasks(tmp_path, *options, bars=bars))
    assert [each.pruned for each in before] == [False, True, True, False]
    monkeypatch.setattr(population, "train_together", None)
    assert together(tasks(tmp_path, *options, bars=bars)) == before


def test_what_others_have_left_of_a_trial_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A population has no checkpoints, and does not go on from those of --jobs; it takes nothing if it cannot begin."""
    (task,), (other,) = tasks(tmp_path, LOW), tasks(tmp_path / "other", LOW)
    ddpg.train(task.env, options={**task.options, "steps": 300}, run=task.folder, quiet=True)
    config = RunFolder.at(task.folder).config
    config.write_text(config.read_text().replace('"steps": 300', '"steps": 600'))
    RunFolder.at(task.folder).summary.unlink()
    with monkeypatch.context() as full:
        full.setattr("ddpg.training.train.check_accelerator", refuse)
        with pytest.raises(ddpg.Mistake, match="no room"):
            together([task])
    assert RunFolder.at(task.folder).state() == "interrupted"
    assert together([task]) == [run_trial(other)]


def refuse(*args: Any) -> None:
    raise ddpg.Mistake("no room")


def test_other_files_in_a_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "trials" / "1").mkdir(parents=True)
    (tmp_path / "trials" / "1" / "notes.txt").write_text("mine")
    with pytest.raises(ddpg.Mistake, match=r"holds other files than a run; move them away"):
        together(tasks(tmp_path, LOW, HIGH))
    assert (tmp_path / "trials" / "1" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"actors.number": 2, "seeds": 1}, "actors.number: the trials of a population"),
        ({"devices": 2, "seeds": 1}, "devices: the trials of a population"),
        ({"eval.shared": True}, "eval.shared true: Pendulum-v1 is compiled"),
        ({"log": "x"}, "log x: Pendulum-v1 is compiled"),
    ],
)
def test_what_no_population_can_have(option: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ddpg.Mistake, match=message):
        together(tasks(tmp_path, LOW | option))


def test_a_signal_ends_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = population.prepared_jax

    def pressed(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(population, "prepared_jax", pressed)
    workers = Population(2)
    for index, task in enumerate(tasks(tmp_path, LOW, HIGH)):
        workers.begin(index, task)
    with interruptible():
        assert workers.take() == signal.SIGINT


@pytest.mark.parametrize(("jobs", "numbers", "name"), [(0, 1, "jobs"), (1, 0, "population")])
def test_numbers_below_one(jobs: int, numbers: int, name: str, tmp_path: Path) -> None:
    with pytest.raises(ddpg.Mistake, match=f"{name} 0: expected at least 1"):
        ddpg.sweep("Pendulum-v1", jobs=jobs, population=numbers, folder=tmp_path / "sweep")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gym:Pendulum-v1 --population 2", ["Python steps Pendulum-v1", "use --jobs"]),
        ("Pendulum-v1 --population 2 --jobs 2", ["population 2 and jobs 2"]),
        ("Pendulum-v1 --population 2 --ray-address 10.0.0.1:6379", ["population 2 and ray_address 10.0.0.1:6379"]),
    ],
)
def test_mistakes_are_one_line(line: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*["sweep", "--steps", "3000"], *line.split(), "-o", str(tmp_path / "sweep")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(word in said for word in words), said
    assert not (tmp_path / "sweep").exists()
