"""What a run takes is made of what was measured."""

from dataclasses import replace
from typing import Any

import pytest

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.doctor import rehearse as rehearsing
from ddpg.doctor.rehearse import Duration, rehearse, roughly
from ddpg.envs.gymnasium_factory import by_callable
from ddpg.envs.pendulum import Pendulum
from tests.doctor.walk import findings_of, gym_of
from tests.gym_worlds import GymPointGoal
from tests.tiny import PAIR, TINY

SMALL = override(Config(), PAIR | {"steps": 1_000, "eval.every": 500})


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsing, "REPEATS", 1)


def test_a_slower_environment_makes_a_longer_run() -> None:
    findings = findings_of()
    fast = rehearse(SMALL, gym_of(), replace(findings, steps_per_second=1e9))
    slow = rehearse(SMALL, gym_of(), replace(findings, steps_per_second=10.0))
    assert slow.waits_for == "the environment"
    assert slow.training == pytest.approx(1_000 / 10 + fast.training, abs=5)
    assert slow.evaluation == pytest.approx(2 * 4 * 10 / 10, abs=1)  # evaluations, episodes, steps
    assert slow.total > slow.training + slow.evaluation
    async_config = override(SMALL, {"collect.vector": "async"})
    side_by_side = rehearse(async_config, gym_of(), replace(findings, steps_per_second=10.0))
    assert side_by_side.training <= slow.training


def test_episodes_that_terminate_are_expected_to_become_longer() -> None:
    findings = replace(findings_of(), steps_per_second=10.0)
    short = rehearse(SMALL, gym_of(), findings)
    crashing = rehearse(SMALL, gym_of(), replace(findings, terminated=20, time_limit=30))
    assert crashing.evaluation == pytest.approx(2 * short.evaluation, rel=0.1)


def test_a_compiled_environment_is_rehearsed_with_its_evaluations() -> None:
    duration = rehearse(override(Config(), TINY | {"steps": 1_000}), Pendulum(), findings_of())
    assert duration.waits_for == "learning"
    assert 0 < duration.training < 60
    assert 0 < duration.evaluation < 60


def test_goals_are_rehearsed_with_the_rewards_that_the_environment_computes() -> None:
    asked = list[tuple[int, ...]]()

    class Asked(GymPointGoal):
        unclosed = 0

        def __init__(self) -> None:
            super().__init__()
            Asked.unclosed += 1

        def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
            asked.append(achieved_goal.shape)
            return super().compute_reward(achieved_goal, desired_goal, info)

        def close(self) -> None:
            Asked.unclosed -= 1

    small = {"actor.widths": (8,), "critic.widths": (8,), "replay.batch": 8, "replay.capacity": 300, "steps": 2_000}
    duration = rehearse(override(PRESETS["her"], small), by_callable(Asked, Asked()), findings_of())
    assert duration.training > 0
    assert (40 * 8, 2) in asked  # 40 minibatches of 8 goals of two numbers
    assert Asked.unclosed == 0


def test_durations_are_said_roughly() -> None:
    said = {1.0: "1 s", 42.3: "42 s", 100.0: "1.7 min", 725.0: "12 min", 14_500.0: "4 h", 200_000.0: "2.3 days"}
    assert {seconds: roughly(seconds) for seconds in said} == said
    assert Duration(10.0, 5.0, "learning").total == 15.0 + rehearsing.START
