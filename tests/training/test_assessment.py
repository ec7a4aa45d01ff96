"""Policies that are chosen by the episodes that they collect."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.networks import NetworkConfig
from ddpg.config.config import Config
from ddpg.config.reading import override
from ddpg.mistake import Mistake
from ddpg.training.assessment import Candidate, begin_assessment, played
from ddpg.training.backend import learner_for
from ddpg.types import Row, Spec
from tests.networks import init_agent

AGENT, SPEC = DPG(actor=NetworkConfig(widths=(2,)), critic=NetworkConfig(widths=(2,))), Spec((1,), (-1.0,), (1.0,))
LEARNING = True


def block_of(rewards: np.ndarray, ends: np.ndarray, boundary: np.ndarray) -> Row:
    """Rows [K, N] of which some end an episode, at a time limit or not."""
    nothing = np.zeros((*rewards.shape, 1), np.float32)
    row = Row(nothing, nothing, rewards.astype(np.float32), ends == 1, ends == 2, boundary)
    return jax.tree.map(jnp.asarray, row)


def nets(seed: int) -> Candidate:
    return Candidate(init_agent(AGENT, jax.random.key(seed), SPEC).online)


def same(one: Candidate, other: Candidate) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


@settings(max_examples=40)
@given(st.data(), st.integers(1, 3), st.integers(1, 5))
def test_the_worst_return_is_of_whole_episodes(data: st.DataObject, n: int, k: int) -> None:
    """Over several blocks of K rows, with a boundary row after every end."""
    rows = 4 * k
    ends = np.array(data.draw(st.lists(st.integers(0, 2), min_size=rows * n, max_size=rows * n))).reshape(rows, n)
    rewards = np.array(data.draw(st.lists(st.integers(-4, 4), min_size=rows * n, max_size=rows * n))).reshape(rows, n)
    boundary = np.zeros((rows, n), bool)
    for i in range(1, rows):
        boundary[i] = ends[i - 1] > 0
        ends[i][boundary[i]] = rewards[i][boundary[i]] = 0
    tenure = begin_assessment(nets(0), n).tenure
    for i in range(0, rows, k):
        tenure = played(tenure, block_of(rewards[i : i + k], ends[i : i + k], boundary[i : i + k]))
    for env in range(n):
        found, total = [], 0
        for reward, end in zip(rewards[:, env], ends[:, env], strict=True):
            total += reward
            if end:
                found.append(total)
                total = 0
        assert (float(tenure.worst[env]), int(tenure.ended[env])) == (min(found, default=np.inf), len(found))


def block(*rewards: float, ends: bool = True) -> Row:
    column = np.array(rewards)[:, None]
    over = np.zeros(column.shape, int)
    over[-1] = ends
    return block_of(column, over, np.zeros(column.shape, bool))


def test_the_best_is_the_one_that_played_the_best_episode() -> None:
    """Not the one that was trained meanwhile; random actions choose nothing, nor what was collected between two."""
    state = begin_assessment(nets(0), 1)
    state = state.after(block(9, 9), nets(0), not LEARNING, 1)
    assert not bool(state.fresh | state.begun)
    state = state.after(block(9, 9), nets(0), LEARNING, 1)  # of random actions, too
    assert bool(state.fresh)
    assert np.isneginf(state.best_score)
    state = state.after(block(8, 8), nets(1), LEARNING, 1)  # nets(0) act, but not from a first observation on
    assert not bool(state.fresh)
    state = state.after(block(1, 2, ends=False), nets(2), LEARNING, 1)
    assert same(state.acting, nets(0))
    state = state.after(block(0, 3), nets(3), LEARNING, 1)  # the end of that episode: 6
    assert (float(state.best_score), bool(state.fresh)) == (6, True)
    assert same(state.best, nets(0))
    assert same(state.acting, nets(3))
    state = state.after(block(50, 50), nets(4), LEARNING, 1)  # while it was decided
    state = state.after(block(1, 4), nets(5), LEARNING, 1)
    assert (float(state.best_score), same(state.best, nets(0)), same(state.acting, nets(5))) == (6, True, True)
    state = state.after(block(0, 0), nets(6), LEARNING, 1)
    state = state.after(block(3, 3), nets(7), LEARNING, 1)
    assert (float(state.best_score), same(state.best, nets(5)), same(state.acting, nets(7))) == (6, True, True)
    state = state.after(block(0, 0), nets(8), LEARNING, 1)
    state = state.after(block(np.nan, 9), nets(9), LEARNING, 1)
    assert same(state.best, nets(5))


def test_every_environment_must_end_an_episode() -> None:
    state = begin_assessment(nets(0), 2)._replace(begun=jnp.bool_(LEARNING))
    ends = np.array([[1, 0], [0, 0]])
    state = state.after(block_of(np.ones((2, 2)), ends, np.zeros((2, 2), bool)), nets(1), LEARNING, 1)
    assert not bool(state.fresh)
    ends = np.array([[0, 1], [0, 0]])
    state = state.after(block_of(np.ones((2, 2)), ends, np.zeros((2, 2), bool)), nets(2), LEARNING, 1)
    assert (bool(state.fresh), float(state.best_score)) == (True, 1)
    assert not np.asarray(state.tenure.ended).any()


def episode(reward: float) -> Row:
    """The boundary row after another one, and a step that ends it."""
    return block_of(np.array([[0.0], [reward]]), np.array([[0], [1]]), np.array([[True], [False]]))


def test_of_several_episodes_the_first_that_is_worse_than_the_best_decides() -> None:
    state, between = begin_assessment(nets(0), 1)._replace(begun=jnp.bool_(LEARNING)), 0
    for reward, decided in ((5, False), (7, False), (6, True)):
        state = state.after(episode(reward), nets(1), LEARNING, 3)
        assert bool(state.fresh) == decided
    assert (float(state.best_score), same(state.best, nets(0)), same(state.acting, nets(1))) == (5, True, True)
    for reward, decided in ((between, False), (6, False), (4, True)):
        state = state.after(episode(reward), nets(2), LEARNING, 3)
        assert bool(state.fresh) == decided
    assert (float(state.best_score), same(state.best, nets(0)), same(state.acting, nets(2))) == (5, True, True)
    for reward in (between, 8, 5, 9):
        state = state.after(episode(reward), nets(3), LEARNING, 3)
    assert (float(state.best_score), same(state.best, nets(2)), same(state.acting, nets(3))) == (5, True, True)


def test_a_running_mean_needs_more_than_one_lucky_episode() -> None:
    """The best is the policy at which the mean of all is highest; no policy ends early."""
    state, between, scores = begin_assessment(nets(0), 1)._replace(begun=jnp.bool_(LEARNING)), 0, []
    for i, reward in enumerate((0, 8, 4, 6, 0, 7), start=1):
        for each in (reward,) if i == 1 else (between, reward):
            state = state.after(episode(each), nets(i), LEARNING, 1, 0.5)
        assert bool(state.fresh)
        scores.append((float(state.score), float(state.best_score)))
    assert scores == [(0, 0), (4, 4), (4, 4), (5, 5), (2.5, 5), (4.75, 5)]
    assert same(state.best, nets(3))


def test_a_rate_needs_an_assessment_and_reaches_the_learner() -> None:
    with pytest.raises(Mistake, match=r"^collect.assess_rate 0.5: no policy is assessed; use --collect.assess 1, or"):
        override(Config(), {"collect.assess_rate": 0.5})
    config = override(Config(), {"collect.assess": 1, "collect.assess_rate": 0.5})
    assert learner_for(config, SPEC).assess_rate == 0.5
