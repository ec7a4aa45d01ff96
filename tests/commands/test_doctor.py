"""`ddpg doctor` prints what can be pasted, answers in JSON, and reports mistakes in one line."""

import json
from itertools import pairwise
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec

from ddpg import cli
from ddpg.commands import doctor as doctoring
from ddpg.doctor.rehearse import Duration
from ddpg.envs import catalogue
from tests.doctor.walk import Walk


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No programs are compiled to see how long a run takes."""
    monkeypatch.setattr(doctoring, "rehearse", lambda *_: Duration(600.0, 120.0, "learning"))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> str:
    spec = EnvSpec("Examined-v0", entry_point=lambda **traits: Walk(**traits), disable_env_checker=True)
    monkeypatch.setitem(gymnasium.registry, "Examined-v0", spec)
    return spec.id


@pytest.mark.usefixtures("quickly")
def test_the_command_prints_what_can_be_pasted(registered: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", registered, "--steps", "100", "--env-args", "push=0.25", "truncated=0"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    heads = ["Examined-v0 · 100 random steps", "observations", "actions", "reward", "episodes", "same seed", "speed"]
    at = [err.index(head) for head in heads]
    assert all(a < b for a, b in pairwise(at))
    *_, duration, last = err.splitlines()
    assert duration == "about 12 min here for 20 000 steps, which learning limits; evaluations take 2 min of it:"
    assert last == "ddpg train Examined-v0 --env-args push=0.25 truncated=0 max_episode_steps=1000"


def test_the_command_answers_in_json(registered: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", registered, "--steps", "100", "--json", "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    printed = json.loads(out, parse_constant=pytest.fail)
    assert printed["steps"] == 100
    assert printed["seed"] == 3
    assert printed["advice"] == []
    assert printed["command"] == "ddpg train Examined-v0"
    assert printed["seconds"]["total"] > printed["seconds"]["training"] > 0


@pytest.mark.usefixtures("quickly")
def test_a_compiled_version_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Pendulum-v1" in catalogue.NATIVE
    for id in ("Pendulum-v1", "jax:Pendulum-v1"):
        assert cli.main(["doctor", id, "--steps", "300", "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["compiled"]
        assert "compiled version" in printed["advice"][-1]["why"]


@pytest.mark.parametrize("id", ["Pendulum-v1", "gym:Pendulum-v1"])
def test_an_environment_is_examined_as_it_draws_itself(
    id: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pygame")
    seen = list[Any]()
    monkeypatch.setattr(doctoring, "rehearse", lambda *of: seen.append(of) or Duration(600.0, 120.0, "learning"))
    assert cli.main(["doctor", id, "--pixels", "--steps", "100", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["command"].startswith(f"ddpg train {id} --preset pixels")
    assert not [each["why"] for each in printed["advice"] if "never changed" in each["why"]]  # as many pixels do
    ((config, env, _),) = seen
    assert (config.preset, env.spec.obs_shape) == ("pixels", (48, 48, 3))


@pytest.mark.usefixtures("quickly")
def test_a_task_that_needs_momentum_gets_the_preset_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "MountainCarContinuous-v0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == "ddpg train MountainCarContinuous-v0 --preset sparse"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("doctor", "ENV"),
        ("doctor Pendulm-v1", "did you mean Pendulum-v1"),
        ("doctor CartPole-v1", "Discrete(2)"),
        ("doctor Pendulum-v1 --env-args gravity", "expected key=value"),
        ("doctor Pendulum-v1 --env-args colour=red", "cannot be made"),
        ("doctor Pendulum-v1 --steps 0", "--steps"),
        ("doctor Pendulum-v1 --jsno", "did you mean --json"),
    ],
)
def test_a_mistake_is_one_line(line: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err


def test_a_misbehaving_environment_is_one_line(
    registered: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Walk, "step", lambda self, action: 1 / 0)
    assert cli.main(["doctor", registered]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "environment 0 at its step 1" in err
    assert "ZeroDivisionError" in err
