"""Environments that Python steps come back to where they stood, or it is said that they cannot."""

from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpg.envs import python_vector as hosted
from ddpg.envs.gymnasium_factory import GymFactory, by_callable
from ddpg.envs.python_vector import PythonStepResult, PythonVector


class Wander(gymnasium.Env):
    """A random walk with episodes of random length, ended in either way; `whim` is added by each life to its pushes."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,))
    lives = 0

    def __init__(self, whimsical: bool = False) -> None:
        Wander.lives += 1
        self.whim = 0.001 * Wander.lives * whimsical

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.t, self.length = 0.0, 0, int(self.np_random.integers(1, 9))
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.x += float(action[0]) + self.np_random.normal() + self.whim
        over = self.t >= self.length
        return self.observe(), self.x, over and self.length % 2 == 0, over and self.length % 2 == 1, {}

    def observe(self) -> np.ndarray:
        return np.array([self.x, self.t])


def recipe(whimsical: bool = False, repeat: int = 1) -> GymFactory:
    return by_callable(lambda: Wander(whimsical), Wander(), repeat)


def go(envs: PythonVector, actions: np.ndarray) -> list[PythonStepResult]:
    return [envs.step(action) for action in actions]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 40), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 12))
def test_what_follows_is_what_would_have_followed(before: int, seeds: int, n: int, repeat: int, kept: int) -> None:
    actions = np.random.default_rng(before).uniform(-1, 1, (before + 30, seeds, n, 1)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hosted, "PRUNE_EVERY", kept)
        one = PythonVector(recipe(repeat=repeat), range(seeds), n)
        obs, over = one.reset(), np.zeros((seeds, n), bool)
        for said in go(one, actions[:before]):
            obs, over = said.obs, said.terminated | said.truncated
        history = one.history()
        other = PythonVector(recipe(repeat=repeat), range(seeds), n)
        other.reset()
        stood = other.replay_history(history, obs, over)
        np.testing.assert_array_equal(stood.obs, obs)
        np.testing.assert_array_equal(stood.terminated | stood.truncated, over)
        for expected, found in zip(go(one, actions[before:]), go(other, actions[before:]), strict=True):
            for a, b in zip(expected, found, strict=True):
                np.testing.assert_array_equal(a, b)
        for a, b in zip(one.history(), other.history(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_only_what_is_open_is_kept() -> None:
    envs = PythonVector(recipe(), [0], 2)
    envs.reset()
    go(envs, np.zeros((3 * hosted.PRUNE_EVERY, 1, 2, 1), np.float32))
    history = envs.history()
    assert (history.lengths < 9).all()
    assert len(history.actions) == history.lengths.sum()
    assert (history.episodes > 300).all()
    assert (history.episodes + history.steps == 3 * hosted.PRUNE_EVERY + 1).all()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_environment_that_comes_out_differently_is_cut_there(mode: Literal["sync", "async"]) -> None:
    actions = np.zeros((4, 1, 3, 1), np.float32)
    gym = recipe(whimsical=True)
    one = PythonVector(gym, [5], 3)
    one.reset()
    said = go(one, actions)[-1]
    over = said.terminated | said.truncated
    assert not over.all()
    other = PythonVector(gym, [5], 3, mode)
    other.reset()
    if mode == "async":  # where every process counts its own lives
        Wander.lives += 1
    stood = other.replay_history(one.history(), said.obs, over)
    np.testing.assert_array_equal(stood.obs, said.obs)  # what was seen stays
    assert (stood.terminated | stood.truncated).all()
    assert not stood.terminated.any()
    after = other.step(actions[0])  # the next episodes begin
    np.testing.assert_array_equal(after.obs[..., 1], 0)
    assert not (after.terminated | after.truncated).any()
    other.close()
