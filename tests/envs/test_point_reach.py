"""The optimum of the point that moves to the origin, by playing and by searching."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.envs.episodes import play, starts
from ddpg.envs.point_reach import PointReach
from ddpg.envs.protocol import Environment, HasOptimum


@pytest.mark.parametrize("k", [1, 2, 16])
def test_the_clipped_step_to_the_origin_has_the_optimal_return(k: int) -> None:
    env = PointReach(k)
    assert isinstance(env, Environment)
    assert isinstance(env, HasOptimum)
    begin = starts(env, 50)
    best = env.best_return(np.asarray(begin[1]))
    np.testing.assert_allclose(play(env, lambda x: jnp.clip(-2 * x, -1, 1), begin).returns, best, atol=1e-6)
    for gain in (-1.5, -3.0):
        assert (play(env, lambda x, gain=gain: jnp.clip(gain * x, -1, 1), begin).returns <= best + 1e-6).all()


def test_no_sequence_of_actions_is_better() -> None:
    env = PointReach(1, length=3)
    _, first = starts(env, 20)
    x = np.asarray(first, float)
    returns = []
    for actions in product(np.linspace(-1, 1, 21), repeat=3):
        at, total = x[:, 0], np.zeros(len(x))
        for action in actions:
            at = at + action / 2
            total -= at**2
        returns.append(total)
    found, best = np.max(returns, axis=0), env.best_return(x)
    assert (found <= best + 1e-12).all()
    np.testing.assert_allclose(found, best, atol=3 * 0.025**2)  # the grid is 0.05 apart, so x at most 0.025 off


def test_an_episode_is_cut_and_does_not_end() -> None:
    env = PointReach(2, length=2)
    state, obs = env.reset(jax.random.key(0))
    assert obs.shape == env.spec.obs_shape == (2,)
    state, obs, reward, terminated, truncated = env.step(state, jnp.array([5.0, 0.0]))  # clipped to 1
    np.testing.assert_allclose(reward, -np.square(np.asarray(obs)).mean(), rtol=1e-6)
    assert not terminated
    assert not truncated
    *_, terminated, truncated = env.step(state, jnp.zeros(2))
    assert not terminated
    assert truncated
