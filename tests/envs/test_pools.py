"""Environments of EnvPool, which is not installed here: a stand-in has its API, of version 1.2."""

import re
import sys
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import ddpg
from ddpg.cli import main
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.doctor.advice import options_of
from ddpg.doctor.advise import advise
from ddpg.doctor.examine import examine
from ddpg.environment import imports_module, resolve, was_stepped
from ddpg.envs import simulator_prefixes
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.python_vector import PythonVector
from ddpg.mistake import Mistake
from tests.tiny import PAIR

Config = namedtuple("Config", ["num_envs", "seed", "max_episode_steps", "power"])
POOLS = list[Any]()  # made so far


class FakePool:
    """N points: x moves by the action, and beyond 4 is a true end. Its arrays are filled again at every step."""

    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-2.0, 2.0, (1,), np.float64)

    def __init__(self, num_envs: int, seed: int, max_episode_steps: int = 5, power: float = 1.0) -> None:
        POOLS.append(self)
        self.seed, self.limit, self.power = seed, max_episode_steps, power
        self.obs, self._random = np.zeros((num_envs, 2)), np.random.default_rng(seed)
        self._time, self._done = np.zeros(num_envs, int), np.zeros(num_envs, bool)
        self.actions, self.closed = list[np.ndarray](), False

    def reset(self, ids: np.ndarray | None = None) -> tuple[Any, dict[str, Any]]:
        ids = np.arange(len(self.obs)) if ids is None else ids
        self._begin(ids)
        return self._seen(ids), {"elapsed_step": self._time[ids]}

    def step(self, action: np.ndarray, ids: np.ndarray | None = None) -> tuple[Any, ...]:
        ids = np.arange(len(self.obs)) if ids is None else ids
        assert action.shape == (len(ids), 1)
        assert action.dtype == np.float64
        self.actions.append(action.copy())
        begun = self._done[ids]
        self._time[ids] += 1
        self.obs[ids, 0] += self.power * action[:, 0]
        self._begin(ids[begun])
        self.obs[ids, 1] = self._time[ids]
        ends = np.array([self.obs[ids, 0] > 4, self._time[ids] >= self.limit]) & ~begun
        ends[1] &= ~ends[0]
        self._done[ids] = ends.any(axis=0)
        reward = np.where(begun, 0, self.obs[ids, 0]).astype(np.float32)
        return self._seen(ids), reward, *ends, {"distance": self.obs[ids, 0].copy(), "players": {"env_id": ids}}

    def close(self) -> None:
        self.closed = True

    def _begin(self, ids: np.ndarray) -> None:
        self.obs[ids], self._time[ids], self._done[ids] = 0, 0, False
        self.obs[ids, 0] = self._random.uniform(-0.1, 0.1, len(ids))

    def _seen(self, ids: np.ndarray) -> Any:
        return self.obs if len(ids) == len(self.obs) else self.obs[ids]


class FakeDict(FakePool):
    observation_space = spaces.Dict({"b": spaces.Box(-9, 9, (1,)), "a": spaces.Box(-9, 9, (1,))})

    def _seen(self, ids: np.ndarray) -> Any:
        return {"b": self.obs[ids, :1], "a": self.obs[ids, 1:]}


class FakePictures(FakePool):
    observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)


class FakeSwitch(FakePool):
    action_space: Any = spaces.Discrete(2)


KINDS = {"Point-v1": FakePool, "Dict-v1": FakeDict, "Pictures-v1": FakePictures, "Switch-v1": FakeSwitch}


@pytest.fixture(autouse=True)
def envpool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    module = ModuleType("envpool")
    vars(module).update(
        list_all_envs=lambda: list(KINDS),
        make_spec=lambda name: SimpleNamespace(config=Config(1, 42, 5, 1.0)),
        make_gymnasium=lambda name, **args: KINDS[name](**args),
    )
    monkeypatch.setitem(sys.modules, "envpool", module)
    simulator_prefixes.by_prefix.cache_clear()
    POOLS.clear()
    yield module
    simulator_prefixes.by_prefix.cache_clear()


def recipe(id: str = "envpool:Point-v1", *args: str) -> GymFactory:
    made = resolve(id, args)
    assert isinstance(made, GymFactory)
    return made


def ones(seeds: int, n: int, action: float = 1.0) -> np.ndarray:
    return np.full((seeds, n, 1), action, np.float32)


def test_a_pool_for_each_seed_whose_rows_are_those_of_next_step_autoreset() -> None:
    envs = PythonVector(recipe(), [3, 4], 2)
    first = envs.reset()
    two = POOLS[-2:]
    assert two[0].seed != two[1].seed
    assert (first.shape, first.dtype) == ((2, 2, 2), np.float32)
    a = envs.step(ones(2, 2, 0.5))
    before = a.obs.copy()
    np.testing.assert_allclose(a.obs[..., 0], first[..., 0] + 1, rtol=1e-6)  # in its units
    b, c, d = (envs.step(ones(2, 2)) for _ in range(3))
    np.testing.assert_array_equal(a.obs, before)  # a copy
    assert not (a.terminated | b.terminated | a.truncated | b.truncated).any()
    true = first[..., 0] + 5 > 4
    assert true.all()
    assert (c.terminated | b.terminated).all()
    assert (c.obs[..., 0] > 4).all()  # the last observation
    assert not d.reward.any()
    assert (np.abs(d.obs[..., 0]) <= 0.1).all()
    envs.close()
    assert all(pool.closed for pool in two)


def test_time_limits_are_apart_and_seeds_do_not_depend_on_each_other() -> None:
    both, alone = PythonVector(recipe(), [3, 4], 2), PythonVector(recipe(), [4], 2)
    np.testing.assert_array_equal(both.reset()[1], alone.reset()[0])
    for i in range(7):
        one, other = both.step(ones(2, 2, -0.1)), alone.step(ones(1, 2, -0.1))
        np.testing.assert_array_equal(one.obs[1], other.obs[0])
        assert (one.truncated.all(), one.terminated.any()) == (i == 4, False)


def test_actions_of_nan_and_beyond_the_bounds_stay_within_them() -> None:
    envs = PythonVector(recipe(), [0], 3)
    envs.reset()
    envs.step(np.array([[[np.nan], [7.0], [-1.0]]], np.float32))
    assert np.isin(POOLS[-1].actions[-1], [-2, 2]).all()


def test_environments_that_are_truncated_begin_anew_and_the_others_go_on() -> None:
    envs = PythonVector(recipe(), [0, 1], 2)
    envs.reset()
    before = envs.step(ones(2, 2, 0.2))
    envs.truncate(np.array([[True, False], [False, False]]))
    after = envs.step(ones(2, 2, 0.2))
    np.testing.assert_array_equal(after.reward == 0, [[True, False], [False, False]])
    np.testing.assert_array_equal(after.obs[..., 1], [[0, 2], [2, 2]])
    np.testing.assert_allclose(after.obs[1, :, 0], before.obs[1, :, 0] + 0.4, rtol=1e-6)
    assert envs.history().lengths.tolist() == [0, 2, 2, 2]


def test_what_cannot_be_replayed_is_truncated_and_goes_on_with_other_episodes() -> None:
    envs = PythonVector(recipe(), [0], 2)
    first = envs.reset()
    last = envs.step(ones(1, 2, 0.2))
    other = PythonVector(recipe(), [0], 2)
    np.testing.assert_array_equal(other.reset(), first)
    now = other.replay_history(envs.history(), last.obs, last.terminated)
    np.testing.assert_array_equal(now.obs, last.obs)
    assert now.truncated.all()
    begun = other.step(ones(1, 2))
    assert not begun.reward.any()
    assert not np.isin(begun.obs[..., 0], first[..., 0]).any()


def test_dict_observations_by_sorted_keys_and_numbers_of_info_at_ends() -> None:
    envs = PythonVector(recipe("envpool:Dict-v1"), [0], 2)
    assert (envs.reset()[..., 0] == 0).all()  # a, the time
    logged = PythonVector(replace(recipe(), log=("distance",)), [0], 2)
    logged.reset()
    for _ in range(4):
        own = logged.step(ones(1, 2, -0.1)).own
        assert own is not None
        assert np.isnan(own).all()
    end = logged.step(ones(1, 2, -0.1))
    np.testing.assert_allclose(np.asarray(end.own)[..., 0], end.obs[..., 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"power": np.nan}, r"environment 0 at its step 1: reward nan, expected a finite number of 32 bits"),
        ({"_time": np.array([1, 1e300])}, r"environment 1 at its step 1: observation inf at index 1, expected finite"),
        ({"obs": np.zeros((2, 3))}, r"'envpool:Point-v1' at step 1: step raised ValueError: observations of shape"),
        ({"_begin": None}, r"'envpool:Point-v1' at step 1: step raised TypeError"),
    ],
)
def test_whatever_a_pool_does_is_one_line(change: dict[str, Any], message: str) -> None:
    envs = PythonVector(recipe(), [0], 2)
    envs.reset()
    vars(POOLS[-1]).update(change)
    with pytest.raises(Mistake, match=message) as caught:
        envs.step(ones(1, 2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("Point-v1", {"collect.vector": "async"}, r"^collect.vector async: .* threads of its own; use .* sync$"),
        ("Point-v1", {"env_seeds": "once"}, r"^env_seeds once: .* use --env-seeds episode$"),
        ("Point-v1", {"action_repeat": 2}, r"^action_repeat 2: .* use --action_repeat 1, or frame_skip"),
        ("Point-v1", {"pixels": "drawn"}, r"^pixels: .* use gym:ID with --pixels$"),
        ("Pictures-v1", {}, r"^pixels: .* use gym:ID with --pixels$"),
        ("Point-v1", {"eval.shared": True}, r"^eval.shared true: those of EnvPool .* use --eval.shared false$"),
        ("Point-v1", {"env_args": "mass=3"}, r"^env-args mass: envpool:Point-v1 takes max_episode_steps, power$"),
        ("Point-v1", {"env_args": "seed=3"}, r"^env-args seed: "),
        ("Poin-v1", {}, r"^unknown environment 'envpool:Poin-v1'; did you mean envpool:Point-v1"),
        ("Switch-v1", {}, r"has the action space Discrete\(2\), but ddpg controls continuous ones"),
    ],
)
def test_options_that_cannot_hold_are_refused(id: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=message) as caught:
        ddpg.train(f"envpool:{id}", run=tmp_path / "run", options={**PAIR, "steps": 200} | options, quiet=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(Mistake, match=r"'envpool:X' needs envpool, which is not installed: pip install envpool$"):
        resolve("envpool:X")


def test_its_prefix_imports_no_module_of_anyones_and_is_stepped_by_python() -> None:
    assert not imports_module("envpool:X")
    assert was_stepped(override(PRESETS["ddpg"], {"env": "envpool:Point-v1"}))
    assert resolve("envpool:Point-v1", ["max_episode_steps=3"]).max_episode_steps == 3


def test_doctor_examines_a_pool_of_one_and_recommends_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examine(recipe(), steps=200)
    assert (found.compiled, found.differs_at, found.seed_matters, found.actions_matter) == (False, None, True, True)
    assert found.terminated + found.truncated > 30
    monkeypatch.setattr("ddpg.doctor.advise.SLOW", np.inf)
    options = options_of(advise(found))
    assert int(options["collect.envs"]) > 1
    assert "collect.vector" not in options


def test_a_run_is_trained_resumed_and_evaluated(
    tmp_path: Path, no_pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"--{path}={value}" for path, value in PAIR.items()]
    run = tmp_path / "run"
    assert main(["train", "envpool:Point-v1", *words, "--seeds=2", "--steps=200", f"--run={run}"]) == 0
    assert "drawing" not in capsys.readouterr().err
    assert main(["resume", str(run), "--steps", "300"]) == 0
    note = r"environment [0-3, ]+ of EnvPool cannot return to where it was: its open episode is truncated, so a new one"
    assert re.search(note, capsys.readouterr().err)
    assert ddpg.evaluate(run, episodes=3)["episodes"] == 6


def test_assessed_policies_get_whole_episodes(tmp_path: Path, no_pictures: None) -> None:
    options = {**PAIR, "collect.assess": 1, "collect.learning_starts": "none"}
    run = ddpg.train("envpool:Point-v1", steps=300, run=tmp_path / "run", options=options, quiet=True)
    assert run.path.exists()
