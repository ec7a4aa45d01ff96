"""A simulator of which there is one at a time: evaluations play in the training's environment, or there are none."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import ddpg
from ddpg.records.checkpoint import list_checkpoints
from ddpg.training.folder import read_metrics
from tests.gym_worlds import Alone, GymReset, GymStep, Puppet
from tests.tiny import PAIR

ONE = PAIR | {"collect.envs": 1}


class Port(Puppet):
    """One at a time; x <- 0.9 x + 0.1 a, ends after 25 steps, which no evaluation's period is a multiple of."""

    taken = 0
    most = 0

    def __init__(self, most: int = 1) -> None:
        super().__init__()
        if Port.taken >= most:
            raise OSError("address already in use")
        Port.taken += 1
        Port.most = max(Port.most, Port.taken)

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        super().reset(seed=seed)
        self.rng = np.random.default_rng(seed)
        self.x, self.t = self.rng.normal(), 0
        return np.array([self.x, self.t]), {}

    def step(self, action: np.ndarray) -> GymStep:
        self.x, self.t = 0.9 * self.x + 0.1 * float(action[0]) + 0.01 * self.rng.normal(), self.t + 1
        return np.array([self.x, self.t]), -abs(self.x), False, self.t >= 25, {}

    def close(self) -> None:
        Port.taken -= 1


@pytest.fixture(autouse=True)
def free() -> None:
    Port.taken = Port.most = 0


def returns(folder: Path) -> list[float]:
    return [record["return"] for record in read_metrics(folder)]


class Costly(Port):
    """Every step costs 1."""

    def step(self, action: np.ndarray) -> GymStep:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, -1.0, terminated, truncated, info


@pytest.mark.usefixtures("no_pictures")
def test_episodes_that_an_evaluation_cut_are_not_assessed(tmp_path: Path) -> None:
    """They would be the cheapest of all."""
    run = ddpg.train(Costly, steps=400, run=tmp_path / "run", options=ONE | {"collect.assess": 1})
    newest, *_ = list_checkpoints(run.path / "checkpoints")
    (worst,) = [array for name, array in load_file(newest).items() if name.endswith("assessed.best_score")]
    assert worst.tolist() == [-25]


@pytest.mark.usefixtures("no_pictures")
def test_before_learning_nothing_is_assessed_so_that_no_episode_is_cut_for_it(tmp_path: Path) -> None:
    """Only by the evaluations, after every hundred steps."""
    options = ONE | {"collect.assess": 1, "collect.warmup": 350}
    run = ddpg.train(Costly, steps=400, run=tmp_path / "run", options=options)
    replay = ddpg.replay(run.path)
    early = replay["truncated"] & (replay["obs"][:, 1] != 24)
    assert 2 <= early[:300].sum() <= 3


@pytest.mark.usefixtures("no_pictures")
def test_evaluations_share_the_environment_that_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ddpg.train(Port, steps=400, run=tmp_path / "run", options=ONE)
    shown = capsys.readouterr().err
    assert "warning: environment 0 of 'Port' cannot be made: OSError: address already in use (in " in shown
    assert "evaluations play in the training's environments and truncate their episodes; there is no film" in shown
    assert (Port.taken, Port.most) == (0, 1)
    assert len(returns(run.path)) == 4
    assert np.isfinite(returns(run.path)).all()
    chosen = ddpg.train(partial(Port, 9), steps=400, run=tmp_path / "chosen", options=ONE | {"eval.shared": True})
    assert Port.most == 1
    assert returns(chosen.path) == returns(run.path)
    assert ddpg.evaluate(run.path, 4, env=Port)["episodes"] == 4  # by one environment
    assert Port.most == 1
    # Episodes that were cut by an evaluation are in the replay as truncated, and none leads into the next.
    replay = ddpg.replay(run.path)
    t = replay["obs"][:, 1].astype(int)
    early = replay["truncated"] & (t != 24)
    assert 2 <= early.sum() <= 4
    np.testing.assert_array_equal(replay["next_obs"][:, 1], t + 1)


@pytest.mark.usefixtures("no_pictures")
def test_such_a_run_resumes_exactly(tmp_path: Path, assert_identical: Callable[[Any, Any], None]) -> None:
    whole = ddpg.train(Port, steps=600, run=tmp_path / "whole", options=ONE, quiet=True)
    part = ddpg.train(Port, steps=300, run=tmp_path / "part", options=ONE, quiet=True)
    part = ddpg.resume(part.path, 600, Port, quiet=True)
    assert_identical(ddpg.load(part.path).nets, ddpg.load(whole.path).nets)
    assert returns(part.path) == returns(whole.path)


@pytest.mark.usefixtures("no_pictures")
def test_one_instance_for_all_is_noticed(tmp_path: Path) -> None:
    only = Port()
    run = ddpg.train(lambda: only, steps=200, run=tmp_path / "run", options=ONE, quiet=True)
    assert np.isfinite(returns(run.path)).all()
    with pytest.raises(
        ValueError, match="cannot be made: ValueError: it is in use already; its function must return a"
    ):
        ddpg.train(lambda: only, steps=200, run=tmp_path / "two", options=PAIR, quiet=True)


def test_without_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ddpg.train(Port, steps=300, run=tmp_path / "run", options=ONE | {"eval.episodes": 0})
    assert (
        "eval.episodes 0: no evaluation, so no return, no best policy, no warnings of its own, and no film"
        in capsys.readouterr().err
    )
    assert Port.most == 1
    assert (run.summary["iqm"], "best" in run.summary) == (None, False)
    assert np.isnan(returns(run.path)).all()
    assert np.isfinite([record["q"] for record in read_metrics(run.path)[-2:]]).all()
    assert not (run.path / "learning_curve.png").exists()
    with pytest.raises(ValueError, match="the run has not been evaluated yet"):
        ddpg.load(run.path, best=True)


def test_processes_of_their_own_cannot_be_shared(tmp_path: Path) -> None:
    options = ONE | {"eval.shared": True, "collect.vector": "async"}
    make = partial(Alone, str(tmp_path / "port"))
    with pytest.raises(ValueError, match=r"^eval.shared true: .*; use --collect.vector sync$"):
        ddpg.train(make, steps=300, run=tmp_path / "run", options=options)
    (tmp_path / "port").unlink(missing_ok=True)
    with pytest.raises(
        ValueError, match=r"cannot be made: FileExistsError.*; --collect.vector sync evaluates in the tr"
    ):
        ddpg.train(make, steps=300, run=tmp_path / "run", options=options | {"eval.shared": False})


@pytest.mark.usefixtures("no_pictures")
def test_episodes_without_an_end_are_cut_with_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make = partial(Puppet, length=10_000)
    run = ddpg.train(make, steps=200, run=tmp_path / "run", options=ONE | {"eval.episodes": 1})
    shown = capsys.readouterr().err
    assert shown.count("warning: episodes of the evaluation had no end and were cut after 1,000 steps") == 1
    assert "2 evaluations of 1 episode may take 2 000 steps of the environment, the run itself 200" in shown
    assert returns(run.path) == [1000.0, 1000.0]
    assert run.summary["warnings"][0].startswith("episodes of the evaluation had no end")
    assert ddpg.evaluate(run.path, 1, env=make)["warnings"] == run.summary["warnings"]
