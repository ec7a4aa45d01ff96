"""REINFORCE beside NumPy written from its papers, and what it learns."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.optimiser import init_optimiser
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.point_reach import PointReach
from ddpg.relatives.curve import learning_curve
from ddpg.relatives.reinforce import Episode, GaussianPolicy, Reinforce, ReinforceState, returns_to_go
from tests.relatives.perceptron import arrays, assert_close, differences, first_moment, random_layers, tanh_network
from tests.worlds import Cart

SMALL = NetworkConfig(widths=(4,), activation="tanh", lr=1e-2)
AGENT = Reinforce(actor=SMALL, baseline=SMALL, gamma=0.9, episodes=2, fits=1)


def episodes() -> Episode:
    """Two of them, of 3 observations and 2 actions: one is cut after 4 steps, the other ends after 2."""
    random = np.random.default_rng(1)
    terminated = np.zeros((4, 2), bool)
    terminated[1, 1] = True
    last = terminated.copy()
    last[3, 0] = True
    valid = np.ones((4, 2), bool)
    valid[2:, 1] = False
    shapes = (4, 2, 3), (4, 2, 2), (4, 2), (4, 2, 3)
    obs, action, reward, next_obs = (jnp.asarray(random.normal(size=shape), jnp.float32) for shape in shapes)
    return Episode(obs, action, reward, next_obs, *map(jnp.asarray, (terminated, last, valid)))


def by_hand(episode: Episode, after: np.ndarray) -> np.ndarray:
    """G_t of every step that is valid, written out."""
    G = np.zeros((4, 2))
    reward = np.asarray(episode.reward, float)
    for t in range(4):
        G[t, 0] = sum(0.9 ** (i - t) * reward[i, 0] for i in range(t, 4)) + 0.9 ** (4 - t) * after[3, 0]
    G[0, 1], G[1, 1] = reward[0, 1] + 0.9 * reward[1, 1], reward[1, 1]
    return G


def begin() -> ReinforceState:
    env = PointReach(3)
    state = jax.jit(AGENT.init, static_argnums=0)(env, jax.random.key(0))
    mu = replace(state.policy.mu, layers=random_layers(AGENT.actor.layers(jax.random.key(0), 3, 0, 2), 2))
    policy = GaussianPolicy(mu, jnp.array([-0.3, 0.2]))
    state = state._replace(policy=policy, baseline=random_layers(state.baseline, 3))
    return state._replace(policy_opt=init_optimiser(SMALL, policy), baseline_opt=init_optimiser(SMALL, state.baseline))


def test_returns_stop_at_an_end_and_go_on_after_a_time_limit() -> None:
    episode = episodes()
    after = np.arange(8.0).reshape(4, 2)
    found = np.asarray(returns_to_go(episode, jnp.asarray(after, jnp.float32), 0.9))
    valid = np.asarray(episode.valid)
    np.testing.assert_allclose(found[valid], by_hand(episode, after)[valid], rtol=1e-5)


def test_one_update_is_that_of_the_papers() -> None:
    episode, state = episodes(), begin()
    obs, action, next_obs, valid = (
        np.asarray(x, float) for x in (episode.obs, episode.action, episode.next_obs, episode.valid)
    )
    actor, baseline = arrays(state.policy), arrays(state.baseline)
    value = tanh_network(baseline, obs)[..., 0]
    G = by_hand(episode, tanh_network(baseline, next_obs)[..., 0])

    def objective(parameters: list[np.ndarray]) -> float:
        """-1/N sum_t log N(a_t; mu(s_t), sigma^2) (G_t - b(s_t)), over the valid steps."""
        *mu, log_sigma = parameters
        sigma = np.exp(log_sigma)
        z = (action - np.tanh(tanh_network(mu, obs))) / sigma
        log_probability = (-(z**2) / 2 - np.log(sigma) - np.log(2 * np.pi) / 2).sum(-1)
        return float(-(valid * log_probability * (G - value)).sum() / valid.sum())

    def error(parameters: list[np.ndarray]) -> float:
        return float((valid * (G - tanh_network(parameters, obs)[..., 0]) ** 2).sum() / valid.sum())

    after = jax.jit(AGENT.update)(state, episode)
    for before, opt, moved, loss in (
        (actor, after.policy_opt, after.policy, objective),
        (baseline, after.baseline_opt, after.baseline, error),
    ):
        gradient = differences(loss, before)
        assert_close(first_moment(opt), gradient)
        # Adam's first step: the learning rate times g / (|g| + 1e-8)
        adam = [x - 1e-2 * g / (np.abs(g) + 1e-8) for x, g in zip(before, gradient, strict=True)]
        assert_close(arrays(moved), adam)


def test_actions_are_drawn_from_the_policy() -> None:
    policy = begin().policy
    obs = jnp.zeros((20_000, 3))
    noise = jnp.float32(np.random.default_rng(0).normal(size=(20_000, 2)))
    action, mu = jax.device_get(jax.jit(lambda p: (p.sample(obs, noise), p.mu(obs)))(policy))
    np.testing.assert_allclose(action.mean(axis=0), mu[0], atol=0.03)
    np.testing.assert_allclose(action.std(axis=0), np.exp([-0.3, 0.2]), rtol=0.03)


def test_episodes_are_whole_and_nothing_after_an_end_counts() -> None:
    env = Cart()
    state = jax.jit(AGENT.init, static_argnums=0)(env, jax.random.key(0))
    agent = replace(AGENT, episodes=50)
    episode = jax.jit(lambda policy, key: agent.collect(env, policy, key))(state.policy, jax.random.key(1))
    valid, last = np.asarray(episode.valid), np.asarray(episode.last)
    assert (valid[0]).all()
    np.testing.assert_array_equal(valid[1:], valid[:-1] & ~last[:-1])
    assert (valid & last).sum(axis=0).tolist() == [1] * 50
    assert np.asarray(episode.terminated)[valid].any()


@pytest.mark.parametrize("k", [1, 3])
def test_it_learns_to_reach_the_origin(k: int) -> None:
    env = PointReach(k)
    plain = NetworkConfig(activation="tanh", lr=1e-2)
    agent = Reinforce(plain, plain, sigma=0.5, gamma=0.9, episodes=20)
    curve = learning_curve(agent, env, steps=30_000, every=30_000)
    assert curve.returns[0, 0] < -1.5
    assert curve.returns[0, 1] > -0.3  # the optimum is -0.04


@pytest.mark.slow
def test_it_learns_the_pendulum() -> None:
    curve = learning_curve(Reinforce(), Pendulum(), steps=600_000, every=200_000, seeds=2)
    assert (curve.returns[:, -1] > -220).all()
