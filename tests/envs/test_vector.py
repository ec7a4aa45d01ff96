"""Environments side by side: the autoreset beside Gymnasium's own, and the rescaling of actions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from jax import Array

from ddpg.envs.pendulum import Pendulum
from ddpg.envs.probes import PROBES
from ddpg.envs.protocol import Environment, HasOptimum
from ddpg.envs.repeat import Repeat
from ddpg.envs.vector import Vector
from tests.gym_worlds import GymWalk
from tests.worlds import Walk

N, STEPS = 4, 60


@pytest.fixture(scope="module")
def played() -> dict[str, np.ndarray]:
    """Our side: 60 random steps of 4 environments, [STEPS, N, ...]; `obs` is what a step returned."""
    vector = Vector(Walk(), N)
    actions = jax.random.uniform(jax.random.key(0), (STEPS, N, 1), minval=-0.3, maxval=0.6)
    start, first = vector.fresh(jax.random.key(1))
    assert first.shape == (N, 2)

    def step(carry: tuple[Any, Array], action: Array) -> tuple[tuple[Any, Array], Any]:
        state, boundary = carry
        state, out = vector.step(state, action, boundary, vector.fresh(jax.random.key(2)))
        return (state, out.terminated | out.truncated), (out, boundary)

    run = jax.jit(lambda start: jax.lax.scan(step, (start, jnp.zeros(N, bool)), actions)[1])
    out, boundary = jax.device_get(run(start))
    return {**out._asdict(), "boundary": boundary, "action": np.asarray(actions)}


def test_autoreset_is_gymnasiums(played: dict[str, np.ndarray]) -> None:
    envs = SyncVectorEnv([GymWalk] * N)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    envs.reset(seed=0)
    for t in range(STEPS):
        obs, reward, terminated, truncated, _ = envs.step(played["action"][t])
        np.testing.assert_allclose(played["obs"][t], obs, atol=1e-6)
        np.testing.assert_allclose(played["reward"][t], reward, atol=1e-5)
        np.testing.assert_array_equal(played["terminated"][t], terminated)
        np.testing.assert_array_equal(played["truncated"][t], truncated)
    envs.close()


def test_every_kind_of_end_was_played(played: dict[str, np.ndarray]) -> None:
    terminated, truncated = played["terminated"], played["truncated"]
    assert (terminated & ~truncated).any()
    assert (truncated & ~terminated).any()
    assert (terminated & truncated).any()


def test_step_after_an_end_resets_and_counts_for_nothing(played: dict[str, np.ndarray]) -> None:
    ended, boundary = played["terminated"] | played["truncated"], played["boundary"]
    np.testing.assert_array_equal(boundary[1:], ended[:-1])
    assert boundary.any()
    assert not ended[boundary].any()
    assert not played["reward"][boundary].any()
    np.testing.assert_array_equal(played["obs"][boundary], np.zeros((boundary.sum(), 2)))
    # The last observation of an episode is returned once, by the step that ended it.
    np.testing.assert_array_equal((played["obs"][..., 1] == Walk.max_episode_steps), truncated := played["truncated"])
    assert truncated.any()


def test_fresh_episodes_differ() -> None:
    _, obs = Vector(Pendulum(), 50).fresh(jax.random.key(0))
    assert len(np.unique(np.asarray(obs)[:, 0])) == 50


@pytest.mark.parametrize(
    ("action", "ends"),
    [
        ([0.1, 0.1], [(False, False), (False, True)]),  # cut after 6 steps, the second of the second action
        ([0.3], [(True, False)]),  # above 1 at the fourth and last
        ([0.6], [(True, False)]),  # at the second
        ([0.1, 0.4], [(False, False), (True, True)]),  # both at once: 0.4, then 0.8 and 1.2 at the sixth
        ([0.5, -0.1], [(True, False)]),  # and what comes after is nobody's
    ],
)
def test_repeat_holds_an_action_until_an_end(action: list[float], ends: list[tuple[bool, bool]]) -> None:
    env, repeated = Walk(), Repeat(Walk(), 4)
    assert (repeated.id, repeated.spec, repeated.max_episode_steps) == ("walk", env.spec, 2)
    state, obs = repeated.reset(jax.random.key(0))
    np.testing.assert_array_equal(obs, env.reset(jax.random.key(0))[1])
    plain, step = state, jax.jit(repeated.step)
    for a, (terminated, truncated) in zip(action, ends, strict=False):
        state, obs, reward, *over = step(state, jnp.array([a]))
        plain, expected, total, *ended = env.step(plain, jnp.array([a]))
        for _ in range(3):
            if not any(map(bool, ended)):
                plain, expected, one, *ended = env.step(plain, jnp.array([a]))
                total += one
        np.testing.assert_allclose(obs, expected, atol=1e-6)
        np.testing.assert_allclose(reward, total, rtol=1e-6)
        assert list(map(bool, over)) == list(map(bool, ended)) == [terminated, truncated]
        np.testing.assert_allclose(state.x, plain.x, atol=1e-6)
        assert state.t == plain.t


REPEATED = [Repeat(Pendulum(), 3), Repeat(PROBES[2], 2)]


@pytest.mark.parametrize("env", [Pendulum(), Walk(), *PROBES, *REPEATED], ids=lambda env: env.id)
def test_environments_keep_the_protocol(env: Environment) -> None:
    assert isinstance(env, Environment)
    assert isinstance(env, HasOptimum) == (env == Pendulum())  # another game if actions are held
    state, obs = jax.eval_shape(env.reset, jax.random.key(0))
    after, next_obs, reward, terminated, truncated = jax.eval_shape(env.step, state, jnp.zeros(env.spec.action_dim))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), after)
    assert (obs.shape, obs.dtype) == (next_obs.shape, next_obs.dtype) == (env.spec.obs_shape, env.spec.obs_dtype)
    assert (reward.shape, terminated.dtype, truncated.dtype) == ((), bool, bool)
