"""Statistics in one pass are those of all observations and rewards."""

import numpy as np
import pytest
from gymnasium import spaces

from ddpg.doctor.examine import examine
from ddpg.doctor.statistics import RunningMoments, reward_stats
from tests.doctor.walk import Walk, gym_of


def test_the_moments_are_those_of_all_observations() -> None:
    observed = list[np.ndarray]()

    def obs(env: Walk) -> np.ndarray:
        observed.append(np.array([env.x, 100 * np.sin(env.t)], np.float32))
        return observed[-1]

    findings = examine(gym_of(obs=obs), 95)
    first = np.array(observed[: 95 + 10], np.float64)  # the first environment's, with a reset every ten steps
    for values, expected in (
        (findings.observations.low, first.min(axis=0)),
        (findings.observations.high, first.max(axis=0)),
        (findings.observations.mean, first.mean(axis=0)),
        (findings.observations.std, first.std(axis=0)),
    ):
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    low, high = sorted(first.std(axis=0))
    assert findings.observations.orders == pytest.approx(np.log10(high / low))
    assert findings.unfinished == 5


def test_what_the_action_explains_of_the_rewards() -> None:
    rng = np.random.default_rng(0)
    actions, noise = rng.uniform(-1, 1, (500, 2)), rng.normal(size=500)
    assert reward_stats(1 - abs(actions[:, 0]) + actions[:, 1] ** 2, actions).explained_by_action == pytest.approx(1)
    assert reward_stats(noise, actions).explained_by_action < 0.05
    assert reward_stats(np.ones(500), actions).explained_by_action == 0.0


def test_shares_and_sizes_of_rewards() -> None:
    stats = reward_stats(np.array([0.0, 0.0, 0.0, -4.0, 3.0]), np.zeros((5, 1)))
    assert (stats.zeros, stats.most_common, stats.low, stats.high, stats.largest) == (0.6, 0.6, -4.0, 3.0, 4.0)
    assert stats.rms == pytest.approx(np.sqrt(12.5))


def test_constant_components_and_those_outside_their_space() -> None:
    moments = RunningMoments((3,))
    for x in (0.0, 1.0, 2.0):
        moments.add(np.array([x, 5.0, 1000 * x], np.float32))
    stats = moments.stats(spaces.Box(-1.0, np.array([1.5, 5.0, 2000.0], np.float32), (3,)))
    assert (stats.constant, stats.outside) == ((1,), (0,))
    assert stats.orders == pytest.approx(3)
