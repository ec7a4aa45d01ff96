"""A seed is lost once its critic is NaN, or Q keeps growing beyond any possible return; large values alone are not."""

import math

import numpy as np
import pytest

from ddpg.training.divergence import EXPLODED, FIXES, GROWTH, DivergenceState, check_divergence, init_divergence
from ddpg.training.driver import Report
from ddpg.types import Metrics


def report(q: list[float], loss: float = 1.0, reward: float = 1.0) -> Report:
    """One chunk of as many seeds as there are values."""
    ones = np.ones(len(q))
    return Report(Metrics(np.array(q), loss * ones, *[ones] * 4), ones, ones, -abs(reward) * ones, reward * ones)


def after(*qs: list[float], reward: float = 1.0, reward_scale: float = 1.0) -> tuple[DivergenceState, dict[int, str]]:
    """Chunks one after the other, with gamma 0.9; the last one's answer."""
    state, diverged = init_divergence(len(qs[0])), dict[int, str]()
    for q in qs:
        state, diverged = check_divergence(
            state, report(q, reward=reward), gamma=0.9, reward_scale=reward_scale, learning=True
        )
    return state, diverged


BOUND = EXPLODED * 10  # rewards of 1 with gamma 0.9 are worth at most 10


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_lost_at_once(number: float) -> None:
    _, diverged = after([1.0, number, 2.0])
    assert diverged == {1: f"Q is {number:.3g} and the critic's loss 1; {FIXES}"}
    state = init_divergence(2)
    _, diverged = check_divergence(state, report([1.0, 2.0], loss=number), gamma=0.9, reward_scale=1.0, learning=True)
    assert diverged.keys() == {0, 1}


def test_growth_beyond_any_return_is_lost_after_some_chunks() -> None:
    grown = [[sign * BOUND * factor for sign in (1, -1)] + [1.0] for factor in (1.1, 1.2, 1.3, 1.4, 1.5)]
    for chunks in range(1, 6):
        state, diverged = after(*grown[:chunks])
        # Of the first chunk nothing is known to have grown.
        assert diverged.keys() == (set() if chunks < GROWTH + 1 else {0, 1})
        assert state.growth.tolist() == [chunks - 1, chunks - 1, 0]
    _, diverged = after(*grown)
    assert f", and growing, while rewards are at most 1 in size; {FIXES}" in diverged[0]


def test_large_values_that_learning_reduces_are_not_lost() -> None:
    for qs in ([5.0, 4.0, 3.0, 2.0, 1.5], [2.0, 3.0, 2.5, 2.6, 2.7, 2.6], [0.5, 0.6, 0.7, 0.8, 0.9]):
        state, diverged = after(*([BOUND * q] for q in qs))
        assert not diverged
        assert state.last_q.tolist() == [BOUND * qs[-1]]


def test_the_bound_follows_the_largest_reward_as_the_update_sees_it() -> None:
    grown = [[BOUND * factor] for factor in (1.1, 1.2, 1.3, 1.4, 1.5)]
    assert not after(*grown, reward=2.0)[1]
    assert after(*grown, reward=2.0, reward_scale=0.5)[1]
    assert after(*grown, reward=-0.0)[1]  # a return of at least 1 is assumed
    state = init_divergence(1)
    for reward in (3.0, 1.0):
        state, _ = check_divergence(state, report([0.0], reward=reward), gamma=0.9, reward_scale=2.0, learning=True)
    assert state.largest_reward == [6.0]


def test_before_learning_only_rewards_count() -> None:
    state, diverged = check_divergence(
        init_divergence(1), report([math.nan], reward=4.0), gamma=0.9, reward_scale=1.0, learning=False
    )
    assert not diverged
    assert (state.largest_reward, state.last_q, state.growth) == ([4.0], [np.inf], [0])
