"""Findings lead to advice, and everything that is advised can be typed."""

import shlex
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from ddpg.arguments import parser
from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.doctor.advice import Advice, command_line, config_of
from ddpg.doctor.advise import advise, round_up
from ddpg.doctor.components import Components
from ddpg.doctor.examine import Findings, examine
from ddpg.doctor.render import Rendering
from ddpg.envs.gymnasium_factory import by_callable
from tests.doctor.walk import Walk, findings_of


def reasons_in(findings: Findings) -> str:
    return " | ".join(advice.why for advice in advise(findings))


def options_in(advice: list[Advice]) -> dict[str, str]:
    """All options advised; a run can be configured with them."""
    words = shlex.split(command_line("Pendulum-v1", (), advice))
    args, rest = parser(of_train=True).parse_known_args(words[1:])
    assert not rest
    typed = {name: value for name, value in vars(args).items() if name.islower() and value is not None}
    del typed["quiet"], typed["best"], typed["small"]  # no options of a configuration
    assert isinstance(override(PRESETS[typed.pop("preset", "ddpg")], typed), Config)
    return {path: value for each in advice for path, value in each.options}


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
    ({"reward": lambda self: 0.0}, "or begin with episodes of another controller", {"preset": "sparse"}),
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
        "observations are pictures",
        {"preset": "pixels"},
    ),
]


@pytest.mark.parametrize(("traits", "reason", "options"), ADVICE, ids=[reason for _, reason, _ in ADVICE])
def test_a_finding_leads_to_advice(traits: dict[str, Any], reason: str, options: dict[str, str]) -> None:
    findings = findings_of(**traits)
    assert reason in reasons_in(findings)
    assert options.items() <= options_in(advise(findings)).items()


@pytest.mark.parametrize(
    ("reward", "end", "amount", "scale"),
    [(1.0, "truncated", "little", "1"), (2.0, "terminated", "little", "10"), (1e5, "truncated", "much", "1e-05")],
)
def test_the_scale_of_a_reward_that_only_steady_noise_meets(reward: float, end: str, amount: str, scale: str) -> None:
    ends = {"terminated": 0, "truncated": 0} | {end: 40}
    findings = findings_of(2000, reward=lambda self: reward * (self.x > 1.8), push=0.05, **ends)
    assert findings.rewards.largest == 0
    assert f"a rare reward of {reward:.3g} would count too {amount}" in reasons_in(findings)
    assert options_in(advise(findings)) == {"preset": "sparse", "reward_scale": scale}


def test_faults_of_an_environment_are_warnings() -> None:
    findings = findings_of()
    faulty = replace(findings, differs_at=7, reset_differs=True, actions_matter=False, remarks=("it creaks",))
    reasons = reasons_in(faulty)
    assert "differ at step 7" in reasons
    assert "after some episodes a reset with the same seed gives another observation" in reasons
    assert "different actions gave the same" in reasons
    assert "Gymnasium warns: it creaks" in reasons
    assert "differ at their first observation" in reasons_in(replace(findings, differs_at=0))


def test_pictures_are_not_normalised_but_bytes_that_are_none_are() -> None:
    picture = findings_of(
        space=spaces.Box(0, 255, (32, 16, 1), np.uint8),
        obs=lambda self: np.repeat(np.array([100 + 40 * self.x, self.t % 2], np.uint8), 256).reshape(32, 16, 1),
    )
    assert "normalise" not in options_in(advise(picture))
    cards = findings_of(
        space=spaces.Dict({"hand": spaces.Box(0, 255, (2,), np.uint8), "x": spaces.Box(-2.0, 2.0, (1,))}),
        obs=lambda self: {"hand": np.array([self.t % 13, 200], np.uint8), "x": np.array([self.x], np.float32)},
    )
    assert "observation hand[0]: bytes that are no picture, divided by 255, reach only 10" in reasons_in(cards)
    assert options_in(advise(cards))["normalise"] == "true"
    flags = findings_of(
        space=spaces.Box(0, 1, (2,), np.uint8), obs=lambda self: np.array([self.t % 2, self.x > 0], np.uint8)
    )
    assert "normalise" not in options_in(advise(flags))


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


def test_the_budget_is_for_episodes_that_failures_no_longer_end() -> None:
    findings = replace(findings_of(), lengths=(20, 30, 25), terminated=3, time_limit=1_000)
    assert "3 of 3 episodes terminated, the first after 20 steps" in reasons_in(findings)
    pink = {"exploration": "pink", "exploration.sigma": "0.3"}
    assert options_in(advise(findings)) == {"preset": "td3", "steps": "200000", "collect.warmup": "10000"} | pink
    same = replace(findings, rewards=replace(findings.rewards, most_common=1.0))
    assert options_in(advise(same)) == {"preset": "td3", "steps": "50000", "collect.warmup": "1000"}
    shorter = options_in(advise(replace(findings, time_limit=250)))
    assert shorter == {"preset": "td3", "steps": "20000", "collect.warmup": "1000"}


def test_rewards_that_only_punish_get_two_critics() -> None:
    findings = findings_of(reward=lambda self: -abs(self.x))
    assert "no reward is positive" in reasons_in(findings)
    assert config_of(advise(findings)).agent.critics == 2
    assert config_of(advise(findings_of())).agent.critics == 1


def test_a_slow_environment_gets_processes_and_fewer_evaluations() -> None:
    findings = replace(findings_of(), steps_per_second=20.0)
    given = options_in(advise(findings))
    assert given["collect.vector"] == "async"
    assert 2 <= int(given["collect.envs"]) <= 8
    assert "eval.episodes" not in given  # they take a tenth of the steps of training
    assert "--envs" in command_line("Walk-v0", (), advise(findings))
    longer = replace(findings, lengths=(400,))
    assert options_in(advise(longer))["eval.episodes"] == "2"
    assert options_in(advise(replace(longer, seed_matters=False)))["eval.episodes"] == "1"


def test_every_advice_together_can_be_typed() -> None:
    findings = findings_of(
        reward=lambda self: 1e4 * float(self.x > 1.999), obs=lambda self: np.array([self.x, 99.0 * self.t])
    )
    given = options_in(advise(replace(findings, steps_per_second=5.0, lengths=(3_000,))))
    assert given["reward_scale"] == "0.0001"
    assert given.keys() == {"preset", "steps", "reward_scale", "collect.envs", "collect.vector", "eval.episodes"}


def test_many_actions_alone_make_no_robot() -> None:
    findings = findings_of(
        action=spaces.Box(-1.0, 1.0, (4,)), obs=lambda self: np.array([self.x, 20 * np.sin(self.t)], np.float32)
    )
    assert command_line("Walk-v0", (), advise(findings)) == "ddpg train Walk-v0 --normalise true"
    sensors = Components(tuple(map(str, range(17))), (1.0,) * 2, (True,) * 2)
    robot = replace(findings, lengths=(1_000,), components=sensors)
    assert options_in(advise(robot)) == {"preset": "td7_plus", "steps": "300000"}
    # It scales rewards itself, and its environments are in one process.
    large = replace(robot.rewards, rms=1e4)
    assert options_in(advise(replace(robot, rewards=large, steps_per_second=500.0)))["preset"] == "td7_plus"
    slow = options_in(advise(replace(robot, rewards=large, steps_per_second=50.0)))
    assert slow["preset"] == "td3_plus"
    assert slow["collect.vector"] == "async"
    assert "reward_scale" in slow


def test_seeds_without_effect_are_warnings_with_their_cause() -> None:
    findings = findings_of()
    reasons = reasons_in(replace(findings, differs_at=0, global_random=True))
    assert "reset(seed=...) has no effect: it draws from a global generator" in reasons
    assert "call super().reset(seed=seed)" in reasons
    reasons = reasons_in(replace(findings, differs_at=3, global_random=True))
    assert "differ at step 3 because step draws from a global generator" in reasons
    reasons = reasons_in(replace(findings, reset_differs=True, seed_matters=False))
    assert "reset(seed=...) has no effect: episodes come in an order" in reasons
    assert "one is as good an evaluation as ten" in reasons_in(replace(findings, seed_matters=False))


def test_drawing_that_fails_or_is_slow_is_a_warning() -> None:
    findings = findings_of()
    assert "no render mode rgb_array" in reasons_in(replace(findings, rendering=None))
    failed = Rendering(0.0, (), "", "no display")
    assert "drawing failed, so there will be no film: no display" in reasons_in(replace(findings, rendering=failed))
    slow = Rendering(4.64, (480, 480), "EGL on llvmpipe")
    assert "drawing by EGL on llvmpipe makes 4.6 frames per second" in reasons_in(replace(findings, rendering=slow))


GOALS = spaces.Dict({name: spaces.Box(-2.0, 2.0, (1,)) for name in ("achieved_goal", "desired_goal")})


class GoalWalk(Walk):
    """To be at 1.9."""

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return -(abs(achieved_goal - desired_goal) > 0.1).astype(float)[..., 0]


@pytest.mark.parametrize(
    ("kind", "traits", "reason", "options"),
    [
        (GoalWalk, {}, "observations have goals: an episode that missed", {"preset": "her", "gamma": "0.9"}),
        (GoalWalk, {"truncated": 40}, "observations have goals: an episode that missed", {"preset": "her"}),
        (GoalWalk, {"truncated": 150}, "looks 50 steps ahead, in episodes of 150", {"gamma": "0.9933"}),
        (GoalWalk, {"reward": lambda self: 10.0 * (self.x > 1.999)}, "an episode that missed", {"gamma": "0.9"}),
        (GoalWalk, {"reward": lambda self: -abs(self.x - 1.9)}, "no reward is positive", {"preset": "td3"}),
        (Walk, {}, "no method compute_reward(achieved_goal, desired_goal, info)", {"preset": "sparse"}),
    ],
)
def test_goals_are_relabelled(
    kind: type[Walk], traits: dict[str, Any], reason: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def obs(self: Walk) -> dict[str, np.ndarray]:
        return {"achieved_goal": np.array([self.x], np.float32), "desired_goal": np.array([1.9], np.float32)}

    traits = {"obs": obs, "space": GOALS, "reward": lambda self: -float(abs(self.x - 1.9) > 0.1)} | traits
    findings = examine(by_callable(lambda **mode: kind(**traits, **mode), kind(**traits)), 400)
    assert (findings.goals, findings.rewards_goals) == (True, kind is GoalWalk)
    advice = advise(findings)
    assert reason in reasons_in(findings)
    assert options.items() <= options_in(advice).items()
    assert ("gamma" in options_in(advice)) == ("gamma" in options)
    assert "reward_scale" not in options_in(advice)
    if options.get("preset") == "her":
        long = advise(replace(findings, lengths=(40_000,), truncated=1))
        assert options_in(long)["gamma"] == "0.999975"


def test_an_action_that_cannot_vary_is_a_warning() -> None:
    findings = replace(findings_of(), action_low=(-1.0, 0.5), action_high=(1.0, 0.5))
    assert "action 1 is fixed" in reasons_in(findings)


@pytest.mark.parametrize(("steps", "rounded"), [(51, 55), (4_995, 5_000), (5_001, 5_500), (51_234, 55_000)])
def test_numbers_are_rounded_up(steps: int, rounded: int) -> None:
    assert round_up(steps) == rounded
