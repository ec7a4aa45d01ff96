"""COPDAC-Q beside NumPy written from its paper, and what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.envs.pendulum import Pendulum
from ddpg.envs.point_reach import PointReach
from ddpg.relatives.copdac import COPDAC, PENDULUM, Fourier, Parameters
from ddpg.relatives.curve import learning_curve
from tests.relatives.perceptron import arrays, differences
from tests.worlds import Cart

FEATURES = Fourier(low=(-1.0, -2.0), high=(1.0, 2.0), order=2)
AGENT = COPDAC(FEATURES, actor_lr=0.1, advantage_lr=0.2, value_lr=0.3, gamma=0.9)


def phi(obs: np.ndarray) -> np.ndarray:
    """cos(pi c x) of x in [0, 1]^2 for every c in {0, 1, 2}^2, in the order of the digits of c."""
    x = (obs + np.array([1, 2])) / [2, 4]
    return np.array([np.cos(np.pi * (i * x[0] + j * x[1])) for i in range(3) for j in range(3)])


def test_the_features_are_cosines_of_all_combinations_of_frequencies() -> None:
    obs = np.array([0.3, -1.1])
    np.testing.assert_allclose(FEATURES(jnp.asarray(obs, jnp.float32)), phi(obs), atol=1e-6)
    norms = np.array([max(np.hypot(i, j), 1) for i in range(3) for j in range(3)])
    np.testing.assert_allclose(FEATURES.rates[:, 0], 1 / norms, rtol=1e-6)
    assert PENDULUM.frequencies.shape == (125, 3)


@pytest.mark.parametrize("discount", [0.9, 0.0])
def test_one_update_is_equations_19_to_22(discount: float) -> None:
    random = np.random.default_rng(0)
    theta, w, v = random.normal(size=(9, 2)), random.normal(size=(9, 2)), random.normal(size=(9, 1))
    s, s_next, a, r = np.array([0.3, -1.1]), np.array([-0.5, 0.4]), np.array([0.7, -0.2]), -1.3

    def mu(theta: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.tanh(phi(s) @ theta)

    # The Jacobian nabla_theta mu(s) [parameters, m] by differences, parameters in one vector as in the paper
    jacobian = np.stack([differences(lambda x, i=i: mu(x[0], s)[i], [theta])[0].ravel() for i in range(2)], axis=1)

    def Q(s: np.ndarray, a: np.ndarray, jacobian: np.ndarray) -> float:
        return float((a - mu(theta, s)) @ jacobian.T @ w.ravel() + v[:, 0] @ phi(s))

    delta = r + discount * Q(s_next, mu(theta, s_next), np.zeros((18, 2))) - Q(s, a, jacobian)
    rates = np.repeat(FEATURES.rates[:, 0], 2)
    expected = [
        theta + 0.1 * (rates * (jacobian @ (jacobian.T @ w.ravel()))).reshape(9, 2),
        w + 0.2 * (rates * delta * (jacobian @ (a - mu(theta, s)))).reshape(9, 2),
        v + 0.3 * FEATURES.rates * delta * phi(s)[:, None],
    ]
    numbers = [jnp.asarray(x, jnp.float32) for x in (theta, w, v, s, a, r, discount, s_next)]
    found = jax.jit(AGENT.update)(Parameters(*numbers[:3]), *numbers[3:])
    for one, other in zip(arrays(found), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_step_that_resets_teaches_nothing() -> None:
    env = Cart()
    state = jax.jit(AGENT.init, static_argnums=0)(env, jax.random.key(0))._replace(boundary=jnp.array([True]))
    state = state._replace(parameters=jax.tree.map(lambda x: x + 0.1, state.parameters))
    advance = jax.jit(lambda state: AGENT.advance(env, state, 1))
    after = advance(state)
    assert (np.asarray(after.parameters.theta) == np.asarray(state.parameters.theta)).all()
    moved = advance(after)
    assert (np.asarray(moved.parameters.theta) != np.asarray(after.parameters.theta)).any()


@pytest.mark.parametrize("k", [1, 2])
def test_it_learns_to_reach_the_origin(k: int) -> None:
    env, features = PointReach(k), Fourier((-1.5,) * k, (1.5,) * k, order=3)
    agent = COPDAC(features, actor_lr=0.03, advantage_lr=0.05, value_lr=0.05, gamma=0.9)
    curve = learning_curve(agent, env, steps=20_000, every=20_000)
    assert curve.returns[0, 0] < -2.5
    assert curve.returns[0, 1] > -0.7  # the optimum is -0.04


@pytest.mark.slow
def test_it_learns_the_pendulum() -> None:
    curve = learning_curve(COPDAC(), Pendulum(), steps=200_000, every=100_000, seeds=3)
    assert (curve.returns[:, -1] > -250).all()
