"""One trial: its outcome is its run's, whether it is done at once, pruned, interrupted or read back."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddpg
from ddpg.sweeps.trial import Outcome, Task, run_trial
from ddpg.training.folder import RunFolder
from tests.tiny import TINY

pytestmark = pytest.mark.usefixtures("no_pictures")
OPTIONS = TINY | {"steps": 600, "seed": 3, "seeds": 2, "critic.lr": 0.003}


def done(folder: Path, stop: int = -1, options: dict[str, Any] | None = None) -> Outcome:
    """A trial, whose return cannot reach its bar after so many steps."""
    return run_trial(Task("Pendulum-v1", "ddpg", OPTIONS | (options or {}), folder, {stop: 0.0}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("trial") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddpg.training.session.Session.draw", lambda self, warn: self.folder.curve.touch())
        return folder, done(folder)


def untrained(*args: Any, **options: Any) -> Any:
    raise AssertionError("trained again")


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "resume"):
        monkeypatch.setattr(f"ddpg.sweeps.trial.{name}", untrained)


def test_outcome_is_the_summarys(whole: tuple[Path, Outcome]) -> None:
    folder, outcome = whole
    returns = [record["return"] for record in ddpg.read_metrics(folder)]
    assert [step for step, _ in outcome.curve] == [100, 200, 300, 400, 500, 600]
    np.testing.assert_allclose([value for _, value in outcome.curve], np.reshape(returns, (6, 2)).mean(axis=1))
    assert outcome.last == outcome.curve[-1][1]
    assert outcome.best == np.reshape(returns, (6, 2)).max(axis=0).mean()
    assert outcome == Outcome(outcome.last, outcome.best, 600, curve=outcome.curve)


@pytest.mark.usefixtures("no_training")
def test_an_ended_trial_is_read_back(whole: tuple[Path, Outcome]) -> None:
    assert done(whole[0]) == whole[1]


def test_a_trial_of_other_options_is_done_anew(whole: tuple[Path, Outcome], tmp_path: Path) -> None:
    shutil.copytree(whole[0], tmp_path / "trial")
    outcome = done(tmp_path / "trial", options={"tau": 0.3})
    assert len(outcome.curve) == 6
    assert outcome != whole[1]


def test_a_pruned_trial_is_pruned_again(whole: tuple[Path, Outcome], tmp_path: Path) -> None:
    outcome = done(tmp_path / "trial", stop=300)
    assert outcome.pruned
    assert outcome.steps == 300
    assert outcome.curve == whole[1].curve[:3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddpg.sweeps.trial.resume", untrained)
        assert done(tmp_path / "trial", stop=300) == outcome


def stopped_after(steps: int) -> Callable[..., Any]:
    def train(*args: Any, **options: Any) -> Any:
        def stop(point: ddpg.LogPoint) -> None:
            if point["step"] == steps:
                raise ddpg.StopTraining

        return ddpg.train(*args, **options | {"observers": [stop]})

    return train


def test_an_interrupted_trial_goes_on(whole: tuple[Path, Outcome], tmp_path: Path) -> None:
    """It reports what an uninterrupted one does, once each, and ends with the same numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddpg.sweeps.trial.train", stopped_after(300))
        done(tmp_path / "trial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddpg.sweeps.trial.train", untrained)
        assert done(tmp_path / "trial") == whole[1]


@pytest.mark.filterwarnings("ignore")
def test_a_diverged_trial_is_an_answer(tmp_path: Path) -> None:
    outcome = done(tmp_path / "trial", options={"critic.lr": 1e30, "actor.lr": 1e30})
    assert outcome.last == outcome.best == -np.inf
    assert outcome.failure
    assert "diverged" in outcome.failure or "Q is" in outcome.failure


@pytest.mark.filterwarnings("ignore")
def test_a_diverged_trial_is_read_back_as_one(tmp_path: Path) -> None:
    """Not as pruned, although nothing diverged reaches a bar."""
    options = {"critic.lr": 1e30, "actor.lr": 1e30, "checkpoint.every": 100}
    before = done(tmp_path / "trial", 200, options)
    assert before.failure
    assert not before.pruned
    assert done(tmp_path / "trial", 200, options) == before


def test_other_files_in_its_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ddpg.Mistake, match=r"holds other files than a run; move them away"):
        done(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_trial_that_another_process_trains_is_left_alone(whole: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder = RunFolder.at(shutil.copytree(whole[0], tmp_path / "trial"))
    with folder.locked(), pytest.raises(ddpg.Mistake, match="another process is training in"):
        done(folder.path, options={"critic.lr": 0.002})
    assert folder.metrics.exists()


def test_a_mistake_is_one(tmp_path: Path) -> None:
    with pytest.raises(ddpg.Mistake, match=r"replay.batch 200000"):
        done(tmp_path / "trial", options={"replay.batch": 200_000})
    assert not (tmp_path / "trial").exists()
