"""A run and its observers: they get every log point, end it early and complete, and never change what it learns."""

import json
import sys
import traceback
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ddpg
from ddpg.cli import main
from ddpg.envs.probes import ACTION
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.log import TAGS
from ddpg.records.tree_file import read_header
from tests.tiny import TINY, TURNS, words

SHORT = TINY | {"steps": 600}
DRIVERS = ("Pendulum-v1", "gym:Pendulum-v1")
pytestmark = pytest.mark.usefixtures("no_pictures")


def options(env: str) -> dict[str, Any]:
    return SHORT if env == "Pendulum-v1" else TURNS | {"steps": 600, "collect.envs": 2}


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) | {"steps_per_second": 0} for line in lines]


def networks(folder: Path) -> dict[str, Any]:
    """Every network's bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("models/*/*.*")}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


COMPLETE = {
    "config.json",
    "metrics.jsonl",
    "tensorboard",
    "models",
    "checkpoints",
    "learning_curve.png",
    "summary.json",
}


def stop_at(step: int, reason: str) -> ddpg.Observer:
    def observe(point: ddpg.LogPoint) -> None:
        if point["step"] == step:
            raise ddpg.StopTraining(reason)

    return observe


@pytest.mark.parametrize("env", DRIVERS)
def test_an_observer_ends_a_run_that_then_resumes_exactly(env: str, tmp_path: Path) -> None:
    whole = ddpg.train(env, seed=3, seeds=2, run=tmp_path / "whole", options=options(env))
    points = list[Any]()

    def spoil(point: ddpg.LogPoint) -> None:
        """Whatever an observer does to its point."""
        point["return"][:] = np.nan
        point["q"][:] = 7

    observers = [lambda point: points.append(dict(point)), stop_at(300, "no progress"), spoil]
    run = ddpg.train(env, seed=3, seeds=2, run=tmp_path / "run", options=options(env), observers=observers)
    assert [point["step"] for point in points] == [100, 200, 300]
    assert files(run.path) == COMPLETE
    assert run.interrupted
    assert (run.summary["steps"], run.summary["stopped"]) == (300, "no progress")
    assert run.summary["returns"] == [row["return"] for row in rows(run.path)[-2:]]
    assert json.loads((run.path / "summary.json").read_text()) == run.summary
    assert read_header(list_checkpoints(run.path / "checkpoints")[0])["step"] == 300
    assert ddpg.load(run.path, seed=4)(np.zeros(3)).shape == (1,)
    with pytest.raises(ValueError, match="this very run, not at its end; go on with `ddpg resume"):
        ddpg.train(env, seed=3, seeds=2, run=run.path, options=options(env))
    again = ddpg.resume(run.path, observers=[observers[0], stop_at(600, "at its end")])
    assert [point["step"] for point in points] == [100, 200, 300, 400, 500, 600]
    assert (again.interrupted, again.summary["stopped"], again.summary["steps"]) == (False, "at its end", 600)
    assert rows(again.path) == rows(whole.path)
    assert networks(again.path) == networks(whole.path)


def test_a_log_point_is_what_is_documented(tmp_path: Path) -> None:
    points = list[Any]()
    every = TINY | {"steps": 300, "eval.every": 200}
    run = ddpg.train(seed=3, seeds=2, run=tmp_path / "run", options=every, observers=[points.append])
    logged = rows(run.path)
    assert [point["step"] for point in points] == [200, 300]
    for i, point in enumerate(points):
        assert type(point) is dict
        assert point.keys() == ddpg.LogPoint.__required_keys__ | {"gap_to_optimum"}  # without `log`
        assert (point["run"], point["seeds"]) == (run.path, (3, 4))
        assert point["dq_da_at_starts"].shape == (2, 4)
        assert [type(point[key]) for key in ("noise_scale", "steps_per_second")] == [float, float]
        for key in (TAGS.keys() & point.keys()) - {"noise_scale", "steps_per_second"}:
            assert (point[key].shape, point[key].dtype.kind) == ((2,), "f"), key
            for number, row in zip(point[key].tolist(), logged[2 * i : 2 * i + 2], strict=True):
                assert number == row[key] or (np.isnan(number) and row[key] is None)
        assert point["noise_scale"] == logged[2 * i]["noise_scale"]
    probe = list[Any]()
    ddpg.train(ACTION, run=tmp_path / "probe", options=TINY | {"steps": 400}, observers=[probe.append])
    assert probe[0].keys() == ddpg.LogPoint.__required_keys__  # its optimum is unknown


class Broken:
    """An observer that fails at its second log point."""

    def __init__(self, error: Exception) -> None:
        self.error, self.steps = error, list[int]()

    def __call__(self, point: ddpg.LogPoint) -> None:
        self.steps.append(point["step"])
        if len(self.steps) == 2:
            raise self.error


@pytest.mark.parametrize("error", [ZeroDivisionError("a\nbug"), OSError(28, "No space left", "/elsewhere")])
def test_what_an_observer_raises_reaches_the_caller_once_all_is_written(error: Exception, tmp_path: Path) -> None:
    broken, others = Broken(error), list[Any]()
    with pytest.raises(type(error)) as caught:
        ddpg.train(run=tmp_path / "run", options=SHORT, observers=[broken, others.append])
    assert caught.value is error
    assert error.__cause__ is None
    assert "Broken.__call__" in {frame.f_code.co_qualname for frame, _ in traceback.walk_tb(error.__traceback__)}
    assert [point["step"] for point in others] == broken.steps == [100, 200]
    assert files(tmp_path / "run") == COMPLETE
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["interrupted"], summary["steps"]) == (True, 200)
    assert summary["stopped"].startswith(f"{type(error).__name__}: ")
    assert "\n" not in summary["stopped"]
    again = ddpg.resume(tmp_path / "run", observers=[others.append])
    assert [point["step"] for point in others] == [100, 200, 300, 400, 500, 600]
    assert "stopped" not in again.summary
    assert not again.interrupted


ENDS = (["return", "run"], ["best", "run"])


def test_quiet_is_the_result_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ddpg.train(run=tmp_path / "python", options=SHORT, quiet=True)
    assert capfd.readouterr() == ("", "")
    assert main(["train", "--quiet", "--steps=400", *words(TINY), "--run", str(tmp_path / "run")]) == 0
    out, err = capfd.readouterr()
    assert [line.split(" ")[0] for line in err.splitlines() if "warning: " not in line] in ENDS
    assert main(["resume", str(tmp_path / "run"), "--steps=600", "--quiet"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.split(" ")[0] for line in err.splitlines() if "warning: " not in line] in ENDS
    assert main(["resume", str(tmp_path / "run"), "--quiet"]) == 2
    out, err = capfd.readouterr()
    assert "has had its 600 steps" in err
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))
    assert main(["resume", str(tmp_path / "run"), "--steps=700", "--quiet"]) == 0
    warning, *rest = capfd.readouterr().err.splitlines()  # what is lost is not quiet
    assert warning.startswith("metrics.jsonl ends at step 500")
    assert [line.split(" ")[0] for line in rest if "warning: " not in line] in ENDS


def test_a_notebook_ends_with_the_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    outputs, frames = list[Any](), list[str]()
    display: Any = ModuleType("IPython.display")
    display.HTML, display.Image = str, lambda filename: ("image", filename)
    display.display = lambda what, display_id=False: outputs.append(what) or SimpleNamespace(update=frames.append)
    ipython: Any = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    run = ddpg.train(run=tmp_path / "run", options=SHORT)
    assert len(outputs) == 2
    assert outputs[1] == ("image", str(run.path / "learning_curve.png"))
    assert "600 / 600" in frames[-1]
    ddpg.train(run=tmp_path / "quiet", options=SHORT, quiet=True)
    assert len(outputs) == 2
    assert capfd.readouterr() == ("", "")


def test_a_run_says_in_one_line_what_it_is(trained: ddpg.Run) -> None:
    iqm = f"{trained.summary['iqm']:.1f}"
    assert repr(trained) == f"Run(Pendulum-v1, ddpg, 600 steps, 3 seeds, IQM {iqm}, {trained.path})"
    lost = ddpg.Run(Path("run"), trained.config, trained.summary | {"iqm": None, "seeds": [0]})
    assert repr(lost).endswith("IQM unknown, run)")
    assert repr(ddpg.load(trained.path)) == "Policy(obs [3] -> action [1] in [-2, 2], seed 3)"
