"""Numbers of `info` at the end of episodes: their means are evaluated, logged, shown, and the same after a resume."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ddpg
from ddpg.cli import main
from ddpg.records.observer import LogPoint
from tests.gym_worlds import PLANE, UNIT, GymReset, GymStep
from tests.tiny import TURNS
from tests.training.test_resume import Stopping, same, stop_at, stopped_and_resumed
from tests.worlds import Cart

__all__ = ["stop_at"]
pytestmark = pytest.mark.usefixtures("no_pictures", "one_device")
OPTIONS = TURNS | {"collect.envs": 2, "log": "goal,episode.r,odd", "eval.seed": 9}
LENGTHS = [4, 6, 3, 5]  # of the episodes that are evaluated, by their seeds


class Goal(gymnasium.Env):
    """Three to six steps by the seed; `goal` is how many, and `odd` too, which even ones have not."""

    observation_space, action_space = PLANE, UNIT

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        super().reset(seed=seed)
        self.t, self.length, self.total = 0, int(self.np_random.integers(3, 7)), 0.0
        return np.zeros(2, np.float32), {"goal": 100.0}

    def step(self, action: np.ndarray) -> GymStep:
        self.t += 1
        self.total += float(action[0])
        info: dict[str, Any] = {"goal": np.int64(self.t), "note": "no number"}
        if self.t == self.length:
            info["episode"] = {"r": np.array([self.total], np.float32)}
            info |= {"odd": self.t} if self.t % 2 else {"odd": None}
        return np.array([self.t, self.length], np.float32), float(action[0]), False, self.t >= self.length, info


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_means_are_logged_shown_and_given_to_observers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = list[LogPoint]()
    options = OPTIONS | {"seeds": 2}
    run = ddpg.train(Goal, run=tmp_path / "run", options=options, observers=[points.append])
    shown = capsys.readouterr().err
    assert "warning" not in shown
    rows = records(run.path)
    for row in rows:
        assert row["info/goal"] == np.mean(LENGTHS)
        assert row["info/odd"] == 4  # of the two episodes that have it
        assert row["info/episode.r"] == pytest.approx(row["return"], abs=1e-5)
        assert row["episode_info/episode.r"] == pytest.approx(row["episode_return"], abs=1e-5)
        assert 3 < row["episode_info/goal"] < 6
        assert 3 < row["episode_info/odd"] < 5
    assert list(rows[0])[-6:] == [f"{part}/{key}" for part in ("info", "episode_info") for key in run.config.log]
    assert f"goal {np.mean(LENGTHS):>8.2f}   episode.r" in shown
    last = points[-1]
    assert last.get("info", {})["goal"].tolist() == [row["info/goal"] for row in rows[-2:]]
    assert last.get("episode_info", {})["odd"].tolist() == [row["episode_info/odd"] for row in rows[-2:]]
    board = EventAccumulator(str(run.path / "tensorboard/seed-1")).Reload()
    for tag, key in (("eval/info/goal", "info/goal"), ("train/info/episode.r", "episode_info/episode.r")):
        assert [event.value for event in board.Scalars(tag)] == pytest.approx([row[key] for row in rows[1::2]])


def test_processes_of_their_own_send_the_same(tmp_path: Path) -> None:
    runs = [
        ddpg.train(Goal, run=tmp_path / mode, quiet=True, options=OPTIONS | {"steps": 300, "collect.vector": mode})
        for mode in ("sync", "async")
    ]
    both = [records(run.path) for run in runs]
    for row in both[0] + both[1]:
        del row["steps_per_second"]
    assert both[0] == both[1]
    assert 3 < both[0][0]["episode_info/odd"] < 5


def test_a_resumed_run_logs_what_one_never_stopped_does(tmp_path: Path, stop_at: Stopping) -> None:
    """Stopped between log points too, with means of the episodes since the last one."""
    options = OPTIONS | {"eval.every": 160}
    ddpg.train(Goal, run=tmp_path / "whole", options=options)
    stopped_and_resumed(Goal, "ddpg", options, tmp_path / "parts", stop_at, (4, 13), alone="Goal")
    same(tmp_path / "whole", tmp_path / "parts")


def test_evaluate_has_the_runs_keys_or_others(tmp_path: Path) -> None:
    run = ddpg.train(Goal, run=tmp_path / "run", quiet=True, options=OPTIONS | {"steps": 200})
    found = ddpg.evaluate(run.path, episodes=4, seed=9, env=Goal)
    assert (found["info"]["goal"], found["info"]["odd"]) == (np.mean(LENGTHS), 4)
    assert list(found["info"]) == ["goal", "episode.r", "odd"]
    other = ddpg.evaluate(run.path, episodes=4, seed=9, env=Goal, log="gaol,goal")
    assert other["info"] == {"gaol": None, "goal": found["info"]["goal"]}
    (line,) = other["warnings"]
    assert line == "log gaol: not in info at the end of any episode of the evaluation; it has goal, episode.r, odd"
    assert "info" not in ddpg.evaluate(run.path, episodes=4, env=Goal, log=())


def test_a_key_that_is_nowhere_is_warned_of_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ddpg.train(Goal, run=tmp_path / "run", options=OPTIONS | {"steps": 300, "log": "gaol"})
    assert capsys.readouterr().err.count("warning: log gaol: not in info") == 1
    assert len(run.summary["warnings"]) == 1
    assert {row["info/gaol"] for row in records(run.path)} == {row["episode_info/gaol"] for row in records(run.path)}


def test_without_an_evaluation_there_are_those_of_training(tmp_path: Path) -> None:
    run = ddpg.train(Goal, run=tmp_path / "run", quiet=True, options=OPTIONS | {"steps": 300, "eval.episodes": 0})
    assert {row["info/goal"] for row in records(run.path)} == {None}
    assert all(3 < row["episode_info/goal"] < 6 for row in records(run.path))


def test_the_command_line_evaluates_with_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`gym:Pendulum-v1` has an empty `info`: all that it can log is that."""
    options = [f"--{path}={value}" for path, value in (TURNS | {"steps": 200}).items()]
    run = str(tmp_path / "run")
    assert main(["train", "gym:Pendulum-v1", "--log", "is_success", "--run", run, *options]) == 0
    assert (
        "log is_success: not in info at the end of any episode of the evaluation; it has no" in capsys.readouterr().err
    )
    assert main(["eval", run, "--episodes", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["info"] == {"is_success": None}
    assert main(["eval", run, "--episodes", "1", "--log", "distance"]) == 0
    assert " · distance unknown · 1 episodes on gym:Pendulum-v1" in capsys.readouterr().err
    assert main(["eval", run, "--log", "a,a"]) == 2
    assert capsys.readouterr().err.startswith("ddpg: log 'a,a': expected keys of info, each once")


def test_the_environment_that_trains_can_be_the_one_that_is_evaluated(tmp_path: Path) -> None:
    options = OPTIONS | {"steps": 300, "eval.shared": True, "log": "goal"}
    run = ddpg.train(Goal, run=tmp_path / "run", quiet=True, options=options)
    assert {row["info/goal"] for row in records(run.path)} == {np.mean(LENGTHS)}
    assert all(3 < row["episode_info/goal"] < 6 for row in records(run.path))


def test_a_compiled_environment_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--log", "is_success", "--run", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "ddpg: log is_success: Pendulum-v1 is compiled and has no info; use gym:Pendulum-v1, or --log none"
    with pytest.raises(ValueError, match=r"log x: cart is compiled and has no info; only Gymnasium's environments"):
        ddpg.train(Cart(), run=tmp_path / "run", options={"log": ["x"]})
    assert not (tmp_path / "run").exists()
