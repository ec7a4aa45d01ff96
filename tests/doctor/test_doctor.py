"""What the doctor finds in environments made to have it, and that all it advises can be typed."""

import json
import shlex
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from ddpg import cli
from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.doctor import examine as doctor
from ddpg.doctor.advise import Advice, advise, command_line
from ddpg.doctor.examine import Findings, examine
from ddpg.doctor.report import as_data
from ddpg.envs import catalogue
from ddpg.envs.gymnasium_edge import Misbehaved
from ddpg.envs.gymnasium_factory import GymFactory, by_callable

PLANE, PUSH = spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(-1.0, 1.0, (1,))


class Walk(gymnasium.Env):
    """A point that is pushed about, in episodes of ten steps; every trait can be another."""

    def __init__(
        self,
        *,
        obs: Callable[["Walk"], Any] = lambda self: np.array([self.x, np.sin(self.t)], np.float32),
        space: spaces.Space = PLANE,
        action: spaces.Box = PUSH,
        reward: Callable[["Walk"], float] = lambda self: 1 - self.x**2,
        terminated: int = 0,
        truncated: int = 10,
        push: float = 0.5,
    ) -> None:
        self.observation_space, self.action_space, self.render_mode = space, action, None
        self.metadata = {"render_modes": ["rgb_array"]}
        self._obs, self._reward, self._push = obs, reward, push
        self._terminated, self._truncated = terminated, truncated
        self.total = self.t = 0
        self.x = self.action = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.t = self.np_random.uniform(-1, 1), 0
        return self._obs(self), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.action = float(action.flat[0])
        self.x = float(np.clip(self.x + self._push * self.action, -2, 2))
        self.t, self.total = self.t + 1, self.total + 1
        return self._obs(self), self._reward(self), self.t == self._terminated, self.t == self._truncated, {}


def gym_of(**traits: Any) -> GymFactory:
    return by_callable(lambda: Walk(**traits), Walk(**traits))


def found_of(steps: int = 200, **traits: Any) -> Findings:
    return examine(gym_of(**traits), steps)


def said_of(found: Findings) -> str:
    return " | ".join(advice.why for advice in advise(found))


def options_of(advice: list[Advice]) -> dict[str, str]:
    """All options advised; a run with them can be configured."""
    words = shlex.split(command_line("Pendulum-v1", (), advice))
    args, rest = cli.parser(of_train=True).parse_known_args(words[1:])
    assert not rest
    given = {name: value for name, value in vars(args).items() if name.islower() and value is not None}
    assert isinstance(override(PRESETS[given.pop("preset")], given), Config)
    return {path: value for each in reversed(advice) for path, value in each.options}


def test_an_ordinary_environment_needs_nothing() -> None:
    found = found_of()
    assert found.obs_shape == (2,)
    assert (found.obs_dtype, found.action_low, found.action_high) == ("float32", (-1.0,), (1.0,))
    assert found.lengths == (10,) * 20
    assert (found.terminated, found.truncated, found.both, found.unfinished) == (0, 20, 0, 0)
    assert found.differs_at is None
    assert found.effect
    assert not found.leaks
    assert not found.compiled
    assert found.steps_per_second > 0
    assert found.render_modes == ("rgb_array",)
    assert advise(found) == []
    assert command_line("Walk-v0", (), []) == "ddpg train Walk-v0"


def test_the_same_seed_finds_the_same() -> None:
    one, other = (replace(found_of(), steps_per_second=1.0) for _ in range(2))
    assert one == other
    assert one != replace(examine(gym_of(), 200, seed=1), steps_per_second=1.0)


def test_the_moments_are_those_of_what_was_seen() -> None:
    seen = list[np.ndarray]()

    def obs(env: Walk) -> np.ndarray:
        seen.append(np.array([env.x, 100 * np.sin(env.t)], np.float32))
        return seen[-1]

    found = examine(gym_of(obs=obs), 95)
    first = np.array(seen[: 95 + 10], np.float64)  # the first environment's, with a reset every ten steps
    for values, expected in (
        (found.observations.low, first.min(axis=0)),
        (found.observations.high, first.max(axis=0)),
        (found.observations.mean, first.mean(axis=0)),
        (found.observations.std, first.std(axis=0)),
    ):
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    low, high = sorted(first.std(axis=0))
    assert found.observations.orders == pytest.approx(np.log10(high / low))
    assert found.unfinished == 5


ADVICE: list[tuple[dict[str, Any], str, dict[str, str]]] = [  # traits, what is said, options among those advised
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
        "observations reach no more than 0.0",
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
    ({"truncated": 0}, "nothing ended an episode in 200 steps", {"env_args": "max_episode_steps=1000"}),
    ({"truncated": 0, "terminated": 7}, "there is no time limit", {}),
    ({"truncated": 0, "terminated": 7}, "every episode terminated after exactly 7 steps", {}),
    ({"push": 0.0}, "other actions changed neither observations nor rewards in 200 steps", {}),
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


@pytest.mark.parametrize(("traits", "said", "options"), ADVICE, ids=[said for _, said, _ in ADVICE])
def test_a_finding_leads_to_advice(traits: dict[str, Any], said: str, options: dict[str, str]) -> None:
    found = found_of(**traits)
    assert said in said_of(found)
    assert options.items() <= options_of(advise(found)).items()


def test_bytes_are_not_normalised() -> None:
    found = found_of(
        space=spaces.Box(0, 255, (2,), np.uint8), obs=lambda self: np.array([100 + 40 * self.x, 3 * self.t], np.uint8)
    )
    assert found.obs_dtype == "uint8"
    assert "normalise" not in options_of(advise(found))


def test_a_reward_for_staying_alive_is_not_blind() -> None:
    found = found_of(reward=lambda self: 1.0, truncated=0, terminated=7)
    assert found.rewards.commonest == 1.0
    assert "preset" not in options_of(advise(found))


def test_ends_of_both_kinds_at_once_are_counted_in_both() -> None:
    found = found_of(terminated=10)
    assert (found.terminated, found.truncated, found.both) == (20, 20, 20)


def test_long_episodes_need_more_steps_and_a_longer_warm_up() -> None:
    found = found_of(1_200, truncated=500)
    assert options_of(advise(found)).items() >= {"steps": "25000", "collect.warmup": "2500"}.items()
    longer = replace(found, lengths=(30_000, 30_000))
    assert "longer than the 20,000 of a run" in said_of(longer)
    assert options_of(advise(longer))["steps"] == "1500000"


def test_a_slow_environment_gets_processes_and_fewer_evaluations() -> None:
    found = replace(found_of(), steps_per_second=20.0)
    given = options_of(advise(found))
    assert given["collect.vector"] == "async"
    assert 2 <= int(given["collect.envs"]) <= 8
    assert given["eval.episodes"] == "3"
    assert "--envs" in command_line("Walk-v0", (), advise(found))


def test_a_slow_environment_is_examined_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", 0.05)
    found = found_of(10_000, reward=lambda self: time.sleep(0.005) or 1.0)
    assert found.steps < 100
    assert found.steps_per_second < 1_000


def test_what_differs_under_one_seed_is_found() -> None:
    noise = np.random.default_rng(0)
    found = found_of(reward=lambda self: float(noise.normal()) if self.total >= 7 else 0.5)
    assert found.differs_at == 7
    assert found.effect is None
    assert "differ at step 7" in said_of(found)
    found = found_of(obs=lambda self: noise.normal(size=2).astype(np.float32))
    assert found.differs_at == 0
    assert "differ at their first observation" in said_of(found)


def test_what_one_episode_leaves_for_the_next_is_found() -> None:
    found = found_of(obs=lambda self: np.array([self.x, self.total / 200], np.float32))
    assert found.differs_at is None
    assert found.leaks
    assert "another observation after some episodes" in said_of(found)


def test_asymmetric_bounds_and_nested_observations_are_described() -> None:
    found = found_of(
        space=spaces.Dict({"b": spaces.Box(-9.0, 9.0, (2, 2)), "a": spaces.Discrete(3)}),
        obs=lambda self: {"a": self.t % 3, "b": np.full((2, 2), self.x, np.float32)},
        action=spaces.Box(np.array([0.0, -2.0], np.float32), np.array([1.0, 2.0], np.float32)),
    )
    assert found.obs_shape == (7,)
    text = "\n".join(fact for _, fact in doctor._facts(found))
    assert "Dict('a': Discrete(3), 'b': Box(-9.0, 9.0, (2, 2), float32))" in text
    assert "[0, 1] [-2, 2], asymmetric, not all equal" in text


def test_misbehaviour_is_the_finding() -> None:
    with pytest.raises(Misbehaved, match="environment 0 at its step 5"):
        found_of(reward=lambda self: float("nan") if self.t == 5 else 1.0)


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

    found = found_of(reward=reward)
    assert found.remarks == ("it creaks",)
    assert "Gymnasium remarks: it creaks" in said_of(found)


def test_every_advice_together_can_be_typed() -> None:
    found = found_of(
        reward=lambda self: 1e4 * float(self.x > 1.999), obs=lambda self: np.array([self.x, 99.0 * self.t])
    )
    given = options_of(advise(replace(found, steps_per_second=5.0, lengths=(3_000,), compiled=True)))
    assert given["reward_scale"] == "0.0001"
    assert given.keys() == {"preset", "steps", "reward_scale", "collect.envs", "collect.vector", "eval.episodes"}


def test_many_actions_get_the_preset_of_robots_and_what_it_does_not_set() -> None:
    found = found_of(
        action=spaces.Box(-1.0, 1.0, (3,)), obs=lambda self: np.array([self.x, 20 * np.sin(self.t)], np.float32)
    )
    assert command_line("Walk-v0", (), advise(found)) == "ddpg train Walk-v0 --preset mujoco --normalise true"
    assert options_of(advise(replace(found, lengths=(1_000,)))) == {"preset": "mujoco", "normalise": "true"}


def test_data_of_images_is_condensed() -> None:
    found = found_of(
        space=spaces.Box(0, 255, (40, 40), np.uint8), obs=lambda self: np.full((40, 40), 100 + 40 * self.x, np.uint8)
    )
    data = json.loads(json.dumps(as_data(found), allow_nan=False))
    assert data["observations"]["constant"] == 0
    assert data["lengths"] == {"count": 20, "min": 10, "median": 10, "max": 10}


@pytest.mark.parametrize(("steps", "rounded"), [(51, 55), (4_995, 5_000), (5_001, 5_500), (51_234, 55_000)])
def test_numbers_are_rounded_up(steps: int, rounded: int) -> None:
    assert doctor._round_up(steps) == rounded


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> str:
    spec = EnvSpec("Examined-v0", entry_point=lambda **traits: Walk(**traits), disable_env_checker=True)
    monkeypatch.setitem(gymnasium.registry, "Examined-v0", spec)
    return spec.id


def test_the_command_prints_what_can_be_pasted(registered: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", registered, "--steps", "100", "--env-args", "push=0.25", "truncated=0"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    heads = ["Examined-v0 · 100 random steps", "observations", "actions", "reward", "episodes", "same seed", "speed"]
    at = [err.index(head) for head in heads]
    assert all(a < b for a, b in pairwise(at))
    last = err.splitlines()[-1]
    assert last == "ddpg train Examined-v0 --env-args push=0.25 truncated=0 max_episode_steps=1000"


def test_the_command_answers_in_json(registered: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", registered, "--steps", "100", "--json", "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    said = json.loads(out, parse_constant=pytest.fail)
    assert said["steps"] == 100
    assert said["seed"] == 3
    assert said["advice"] == []
    assert said["command"] == "ddpg train Examined-v0"


def test_a_compiled_version_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Pendulum-v1" in catalogue.NATIVE
    for id in ("Pendulum-v1", "jax:Pendulum-v1"):
        assert cli.main(["doctor", id, "--steps", "300", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["compiled"]
        assert "compiled version" in said["advice"][-1]["why"]


def test_a_task_that_needs_momentum_gets_the_preset_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "MountainCarContinuous-v0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == "ddpg train MountainCarContinuous-v0 --preset sparse"


@pytest.mark.parametrize(
    ("line", "said"),
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
def test_a_mistake_is_one_line(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err


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
