"""What random actions show of an environment is measured, and its misbehaviour is reported."""

import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ddpg.doctor import walk as walking
from ddpg.doctor.examine import examine
from ddpg.environment import gymnasium_version, resolve
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.gymnasium_factory import by_callable
from tests.doctor.walk import Walk, findings_of, gym_of


def test_an_ordinary_environment_is_measured() -> None:
    findings = findings_of()
    assert findings.obs_shape == (2,)
    assert (findings.obs_dtype, findings.action_low, findings.action_high) == ("float32", (-1.0,), (1.0,))
    assert findings.lengths == (10,) * 20
    assert (findings.terminated, findings.truncated, findings.both, findings.unfinished) == (0, 20, 0, 0)
    assert findings.differs_at is None
    assert findings.actions_matter
    assert not findings.reset_differs
    assert not findings.compiled
    assert findings.steps_per_second > 0
    assert findings.render_modes == ("rgb_array",)


def test_the_same_seed_gives_the_same_findings() -> None:
    one, other = (replace(findings_of(), steps_per_second=1.0, rendering=None) for _ in range(2))
    assert one == other
    assert one != replace(examine(gym_of(), 200, seed=1), steps_per_second=1.0, rendering=None)


def test_ends_of_both_kinds_at_once_are_counted_in_both() -> None:
    findings = findings_of(terminated=10)
    assert (findings.terminated, findings.truncated, findings.both) == (20, 20, 20)


def test_a_slow_environment_is_examined_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "PATIENCE", 0.05)
    findings = findings_of(10_000, reward=lambda self: time.sleep(0.005) or 1.0)
    assert findings.steps < 100
    assert findings.steps_per_second < 1_000


def test_what_differs_under_one_seed_is_measured() -> None:
    noise = np.random.default_rng(0)
    findings = findings_of(reward=lambda self: float(noise.normal()) if self.total >= 7 else 0.5)
    assert findings.differs_at == 7
    assert findings.actions_matter is None
    findings = findings_of(obs=lambda self: noise.normal(size=2).astype(np.float32))
    assert findings.differs_at == 0


def test_what_one_episode_leaves_for_the_next_is_measured() -> None:
    findings = findings_of(obs=lambda self: np.array([self.x, self.total / 200], np.float32))
    assert findings.differs_at is None
    assert findings.reset_differs


def test_misbehaviour_is_the_finding() -> None:
    with pytest.raises(EnvironmentFailure, match="environment 0 at its step 5"):
        findings_of(reward=lambda self: float("nan") if self.t == 5 else 1.0)


def test_what_can_be_made_only_once_is_the_finding() -> None:
    made = list[Walk]()

    def make() -> Walk:
        if made:
            raise OSError("the port\nis taken")
        made.append(Walk())
        return made[0]

    with pytest.raises(ValueError, match="environment 0 of 'Walk' cannot be made: OSError: the port is taken"):
        examine(by_callable(make, Walk()), 50)


def test_warnings_of_the_environment_are_remarks() -> None:
    def reward(self: Walk) -> float:
        warnings.warn("\x1b[33mWARN: it creaks\x1b[0m", UserWarning, stacklevel=1)
        return self.x

    findings = findings_of(reward=reward)
    assert findings.remarks == ("it creaks",)


def test_a_generator_that_seeds_do_not_reach_is_found() -> None:
    def obs(self: Walk) -> np.ndarray:
        return np.array([np.random.normal(), self.x], np.float32)  # noqa: NPY002  # as many environments do

    findings = findings_of(obs=obs)
    assert (findings.differs_at, findings.global_random) == (0, True)
    assert findings.seed_matters is None
    own = np.random.default_rng(0)
    findings = findings_of(obs=lambda self: np.array([own.normal(), self.x], np.float32))
    assert (findings.differs_at, findings.global_random) == (0, False)


def test_whether_the_seed_matters_is_measured() -> None:
    assert findings_of().seed_matters
    findings = findings_of(obs=lambda self: np.array([self.t, 1], np.float32), reward=lambda self: self.action)
    assert findings.seed_matters is False
    assert not findings.reset_differs


def test_drawing_is_measured() -> None:
    drawn = findings_of().rendering
    assert drawn is not None
    assert drawn.frames_per_second > 0
    assert (drawn.size, drawn.error) == ((4, 6), "")


def test_drawing_that_fails_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Walk, "render", lambda self: 1 / 0)
    drawn = findings_of().rendering
    assert drawn is not None
    assert drawn.frames_per_second == 0
    assert "ZeroDivisionError" in drawn.error


def test_a_simulator_of_which_there_is_but_one_is_examined() -> None:
    open_now = [0]

    class Single(Walk):
        def __init__(self, **traits: Any) -> None:
            if open_now[0]:
                raise RuntimeError("the port is taken")
            open_now[0] += 1
            super().__init__(**traits)

        def close(self) -> None:
            open_now[0] -= 1

    def make(**mode: Any) -> Walk:
        return Single(**mode)

    findings = examine(by_callable(make, make()), 50)
    assert (findings.differs_at, findings.seed_matters) == (None, True)


def test_what_exists_in_jax_alone_is_examined_with_its_parts_and_goals() -> None:
    findings = examine(gymnasium_version(resolve("jax:PointGoal-v0")), 60)
    assert (findings.compiled, findings.goals, findings.rewards_goals, findings.lengths) == (True, True, True, (50,))
    assert findings.components.names[:3] == ("achieved_goal[0]", "achieved_goal[1]", "desired_goal[0]")
    assert findings.rewards.low == -1.0
    ordinary = findings_of(50)
    assert (ordinary.goals, ordinary.rewards_goals) == (False, False)
