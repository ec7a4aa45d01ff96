"""The point with goals: its optimum by playing, and the same task for Gymnasium beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.envs.catalogue import NATIVE
from ddpg.envs.episodes import play, starts
from ddpg.envs.gymnasium_factory import by_callable
from ddpg.envs.point_goal import PointGoal
from ddpg.envs.protocol import Environment, HasInfo, HasOptimum
from tests.gym_worlds import GymPointGoal


def straight(obs: jax.Array) -> jax.Array:
    achieved, desired, _ = jnp.split(obs, 3, axis=-1)
    return jnp.clip(10 * (desired - achieved), -1, 1)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_straight_moves_have_the_optimal_return(k: int) -> None:
    env = PointGoal(k)
    assert isinstance(env, Environment)
    assert isinstance(env, HasOptimum)
    assert isinstance(env, HasInfo)
    begin = starts(env, 200)
    episodes, best = play(env, straight, begin), env.best_return(np.asarray(begin[1]))
    # Within rounding of the radius a step may count or not.
    assert (np.abs(episodes.returns - best) <= 1).all()
    assert np.mean(episodes.returns != best) < 0.02
    assert np.asarray(env.info(episodes.last)["is_success"]).all()
    lazy = play(env, lambda obs: 0.5 * straight(obs), begin)
    assert (lazy.returns <= best).all()
    still = play(env, lambda obs: 0 * straight(obs), begin)
    assert np.asarray(env.info(still.last)["is_success"]).mean() < 0.1


def test_it_is_what_gymnasium_plays() -> None:
    env, gym = NATIVE["PointGoal-v0"], by_callable(GymPointGoal, GymPointGoal())
    assert env == PointGoal()
    assert gym.spec == env.spec
    edge = gym.make()
    obs, _ = edge.reset(seed=3)
    x, goal, _ = np.split(obs, 3)
    state, _ = env.reset(jax.random.key(0))
    state = state._replace(x=jnp.asarray(x), goal=jnp.asarray(goal))
    step = jax.jit(env.step)
    reward, truncated = -1.0, False
    for t in range(50):
        action = np.asarray(straight(jnp.asarray(obs))) if t > 20 else np.full(2, (-1) ** t, np.float32)
        obs, reward, terminated, truncated, _ = edge.step(action)
        state, expected, *rest = step(state, action)
        np.testing.assert_allclose(obs, expected, atol=1e-6)
        assert (reward, terminated, truncated) == tuple(rest)
    assert truncated
    assert reward == 0
