"""DQN beside NumPy written from its paper, and what it learns."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.optimiser import init_optimiser
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.point_reach import PointReach
from ddpg.experience.replay import Replay
from ddpg.relatives.curve import learning_curve
from ddpg.relatives.dqn import DQN, DQNState
from ddpg.types import Transition
from tests.relatives.perceptron import arrays, assert_close, differences, first_moment, random_layers, tanh_network

SMALL = NetworkConfig(widths=(4,), activation="tanh", lr=1e-2)
AGENT = DQN(SMALL, Replay(capacity=200, batch=8), values=3, warmup=20, period=7, anneal=40)


def test_the_number_of_an_action_has_one_digit_per_dimension() -> None:
    actions = np.asarray(replace(AGENT, values=3).action(jnp.arange(9), 2))
    assert sorted(map(tuple, actions.tolist())) == [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    np.testing.assert_allclose(replace(AGENT, values=5).action(jnp.arange(5), 1)[:, 0], [-1, -0.5, 0, 0.5, 1])


@pytest.mark.parametrize(("values", "k", "outputs"), [(5, 1, 5), (3, 2, 9), (3, 4, 81)])
def test_the_network_has_an_output_per_action(values: int, k: int, outputs: int) -> None:
    agent, env = replace(AGENT, values=values), PointReach(k)
    state = jax.jit(agent.init, static_argnums=0)(env, jax.random.key(0))

    @jax.jit
    def both(state: DQNState, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        return agent.q(state.online, obs), agent.policy(env, state)(obs)

    q, action = jax.device_get(both(state, jnp.zeros((7, k))))
    assert q.shape == (7, outputs)
    assert action.shape == (7, k)
    assert (np.abs(action) <= 1).all()


def test_one_update_is_that_of_the_paper() -> None:
    layers = SMALL.layers(jax.random.key(0), 3, 0, 9)
    online, target = random_layers(layers, 1), random_layers(layers, 2)
    random = np.random.default_rng(3)
    numbers = [
        random.normal(size=(6, 3)),
        [[0], [8], [3], [3], [5], [1]],
        [0.1, -0.3, 5.0, -7.0, 0.2, 0.4],  # two whose error is clipped
        [0.9, 0.0, 0.9, 0.9, 0.9, 0.9],
        random.normal(size=(6, 3)),
        [1.2, 1.2, 1.2, 1.2, 1.2, 0.0],
    ]
    batch = Transition(*(jnp.asarray(x, jnp.float32) for x in numbers))
    best = tanh_network(arrays(target), np.asarray(batch.next_obs, float)).max(axis=1)
    y = np.asarray(batch.reward, float) + np.asarray(batch.discount, float) * best
    index = np.asarray(batch.action, int)[:, 0]

    def loss(parameters: list[np.ndarray]) -> float:
        """Squared error / 2 up to an error of 1, then its absolute value: the gradient is the clipped error."""
        error = np.abs(y - tanh_network(parameters, np.asarray(batch.obs, float))[np.arange(6), index])
        return float((np.asarray(batch.weight) * np.where(error < 1, error**2 / 2, error - 0.5)).mean())

    moved, opt = jax.jit(AGENT.update)(online, target, init_optimiser(SMALL, online), batch)
    gradient = differences(loss, arrays(online))
    assert_close(first_moment(opt), gradient)
    adam = [x - 1e-2 * g / (np.abs(g) + 1e-8) for x, g in zip(arrays(online), gradient, strict=True)]
    assert_close(arrays(moved), adam)


def test_the_target_is_a_copy_from_time_to_time() -> None:
    env = PointReach(2)
    state = jax.jit(AGENT.init, static_argnums=0)(env, jax.random.key(0))
    one = jax.jit(lambda state: AGENT.advance(env, state, 1))
    first = arrays(state.online)
    for step in range(1, 36):
        state = one(state)
        online, target = arrays(state.online), arrays(state.target)
        assert all(map(np.array_equal, online, first)) == (step <= 20)  # the warm-up
        if step % 7 == 0:
            assert all(map(np.array_equal, online, target))
        elif step > 21:
            assert not all(map(np.array_equal, online, target))


def test_epsilon_falls_from_one() -> None:
    env = PointReach(1)
    agent = replace(AGENT, epsilon=0.0, warmup=1000)
    state = jax.jit(agent.init, static_argnums=0)(env, jax.random.key(0))
    state = jax.jit(lambda state: agent.advance(env, state, 100))(state)
    obs, number = np.asarray(state.ring.columns)[:100, 0, :1], np.asarray(state.ring.columns)[:100, 0, 1]
    greedy = np.argmax(np.asarray(agent.q(state.online, jnp.asarray(obs))), axis=-1)
    np.testing.assert_array_equal(number[41:], greedy[41:])
    assert (number[:20] != greedy[:20]).any()


@pytest.mark.parametrize("k", [1, 2])
def test_it_learns_to_reach_the_origin(k: int) -> None:
    agent = DQN(NetworkConfig(widths=(32,)), values=5, warmup=500, anneal=1_500)
    curve = learning_curve(agent, PointReach(k), steps=4_000, every=4_000)
    assert curve.returns[0, 0] < -0.5
    assert curve.returns[0, 1] > -0.3


@pytest.mark.slow
def test_it_learns_the_pendulum() -> None:
    curve = learning_curve(DQN(), Pendulum(), steps=15_000, every=5_000, seeds=2)
    assert (curve.returns[:, -1] > -250).all()
