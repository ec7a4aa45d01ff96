"""Findings lead to advice, and everything that is advised can be typed."""

import shlex
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from ddpg import cli
from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.doctor.advise import Advice, advise, command_line, round_up
from ddpg.doctor.examine import Findings
from tests.doctor.walk import findings_of


def reasons_in(findings: Findings) -> str:
    return " | ".join(advice.why for advice in advise(findings))


def options_in(advice: list[Advice]) -> dict[str, str]:
    """All options advised; a run can be configured with them."""
    words = shlex.split(command_line("Pendulum-v1", (), advice))
    args, rest = cli.parser(of_train=True).parse_known_args(words[1:])
    assert not rest
    typed = {name: value for name, value in vars(args).items() if name.islower() and value is not None}
    del typed["quiet"], typed["best"]  # no options of a configuration
    assert isinstance(override(PRESETS[typed.pop("preset", "ddpg")], typed), Config)
    return {path: value for each in reversed(advice) for path, value in each.options}


def test_an_ordinary_environment_needs_nothing() -> None:
    assert advise(findings_of()) == []
    assert command_line("Walk-v0", (), []) == "ddpg train Walk-v0"


ADVICE: list[tuple[dict[str, Any], str, dict[str, str]]] = [  # traits, part of a reason, some of the options
    (
        {"obs": lambda self: np.array([self.x, 20 * np.sin(self.t)], np.float32)},
        "standard deviations of observations differ by a factor",
        {"normalise": "true"},
    ),
    (
        {"obs": lambda self: np.array([50 + self.x, 50 + np.sin(self.t)], np.float32)},
        "observations reach 52, far from 1",
        {"normalise": "true"},
    ),
    (
        {"obs": lambda self: np.array([0.01 * self.x, 0.01 * np.sin(self.t)], np.float32)},
        "observations reach only 0.0",
        {"normalise": "true"},
    ),
    ({"reward": lambda self: 1000 - 500 * self.x}, "rewards of about 1", {"reward_scale": "0.001"}),
    ({"reward": lambda self: 1e-4 * self.x**2}, "rewards of about", {"reward_scale": "10000"}),
    (
        {"reward": lambda self: float(self.x > 1.999)},
        "of the rewards are 0",
        {"preset": "sparse"},
    ),
    ({"reward": lambda self: -1.0}, "100.0 % of the rewards are the same", {"preset": "sparse"}),
    (
        {"reward": lambda self: -0.1 * self.action**2},
        "the rewards depend on the action alone",
        {"preset": "sparse"},
    ),
    (
        {"truncated": 1, "obs": lambda self: np.array([self.x, self.x / 2], np.float32)},
        "every episode lasts one step",
        {"steps": "40000"},
    ),
    (
        {"truncated": 0},
        "no episode ended in 200 steps and there is no time limit",
        {"env_args": "max_episode_steps=1000"},
    ),
    ({"truncated": 0, "terminated": 7}, "there is no time limit", {}),
    ({"truncated": 0, "terminated": 7}, "every episode terminated after exactly 7 steps", {}),
    ({"push": 0.0}, "different actions gave the same observations and rewards in 200 steps", {}),
    ({"obs": lambda self: np.array([self.x, 3.0], np.float32)}, "observation 1 never changed in 200 steps", {}),
    (
        {"space": spaces.Box(np.array([-0.5, -1], np.float32), np.array([0.5, 1], np.float32))},
        "observation 0 left the bounds of its space",
        {},
    ),
    (
        {
            "space": spaces.Box(0, 255, (40, 40), np.uint8),
            "obs": lambda self: np.full((40, 40), 100 + 40 * self.x, np.uint8),
        },
        "1,600 inputs of fully connected layers",
        {},
    ),
]


@pytest.mark.parametrize(("traits", "reason", "options"), ADVICE, ids=[reason for _, reason, _ in ADVICE])
def test_a_finding_leads_to_advice(traits: dict[str, Any], reason: str, options: dict[str, str]) -> None:
    findings = findings_of(**traits)
    assert reason in reasons_in(findings)
    assert options.items() <= options_in(advise(findings)).items()


def test_faults_of_an_environment_are_warnings() -> None:
    findings = findings_of()
    faulty = replace(findings, differs_at=7, reset_differs=True, actions_matter=False, remarks=("it creaks",))
    reasons = reasons_in(faulty)
    assert "differ at step 7" in reasons
    assert "after some episodes a reset with the same seed gives another observation" in reasons
    assert "different actions gave the same" in reasons
    assert "Gymnasium warns: it creaks" in reasons
    assert "differ at their first observation" in reasons_in(replace(findings, differs_at=0))


def test_bytes_are_not_normalised() -> None:
    findings = findings_of(
        space=spaces.Box(0, 255, (2,), np.uint8), obs=lambda self: np.array([100 + 40 * self.x, 3 * self.t], np.uint8)
    )
    assert findings.obs_dtype == "uint8"
    assert "normalise" not in options_in(advise(findings))


def test_a_reward_for_staying_alive_is_not_blind() -> None:
    findings = findings_of(reward=lambda self: 1.0, truncated=0, terminated=7)
    assert findings.rewards.most_common == 1.0
    assert "preset" not in options_in(advise(findings))


def test_long_episodes_need_more_steps_and_a_longer_warm_up() -> None:
    findings = findings_of(1_200, truncated=500)
    assert options_in(advise(findings)).items() >= {"steps": "25000", "collect.warmup": "2500"}.items()
    longer = replace(findings, lengths=(30_000, 30_000))
    assert "longer than the 20,000 of a run" in reasons_in(longer)
    assert options_in(advise(longer))["steps"] == "1500000"


def test_a_slow_environment_gets_processes_and_fewer_evaluations() -> None:
    findings = replace(findings_of(), steps_per_second=20.0)
    given = options_in(advise(findings))
    assert given["collect.vector"] == "async"
    assert 2 <= int(given["collect.envs"]) <= 8
    assert given["eval.episodes"] == "3"
    assert "--envs" in command_line("Walk-v0", (), advise(findings))


def test_every_advice_together_can_be_typed() -> None:
    findings = findings_of(
        reward=lambda self: 1e4 * float(self.x > 1.999), obs=lambda self: np.array([self.x, 99.0 * self.t])
    )
    given = options_in(advise(replace(findings, steps_per_second=5.0, lengths=(3_000,), compiled=True)))
    assert given["reward_scale"] == "0.0001"
    assert given.keys() == {"preset", "steps", "reward_scale", "collect.envs", "collect.vector", "eval.episodes"}


def test_many_actions_get_the_preset_of_robots_and_what_it_does_not_set() -> None:
    findings = findings_of(
        action=spaces.Box(-1.0, 1.0, (3,)), obs=lambda self: np.array([self.x, 20 * np.sin(self.t)], np.float32)
    )
    assert command_line("Walk-v0", (), advise(findings)) == "ddpg train Walk-v0 --preset mujoco --normalise true"
    assert options_in(advise(replace(findings, lengths=(1_000,)))) == {"preset": "mujoco", "normalise": "true"}


@pytest.mark.parametrize(("steps", "rounded"), [(51, 55), (4_995, 5_000), (5_001, 5_500), (51_234, 55_000)])
def test_numbers_are_rounded_up(steps: int, rounded: int) -> None:
    assert round_up(steps) == rounded
