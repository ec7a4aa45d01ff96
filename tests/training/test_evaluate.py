"""Greedy evaluation beside Gymnasium, and its value bias beside critics that are exact."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import ddpg
from ddpg.algorithm.encoders import FlatEmbedding
from ddpg.algorithm.layers import Dense
from ddpg.algorithm.nets import Nets
from ddpg.algorithm.networks import Actor, Critic, NetworkConfig
from ddpg.algorithm.values import Scalar
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.probes import DISCOUNT, SPEC, TIME_LIMIT, Probe, ProbeState
from ddpg.envs.protocol import Environment
from ddpg.training.evaluate import CompiledEvaluator
from ddpg.training.evaluation import CriticComparison
from ddpg.types import Key, Spec

GAMMA, EPISODES = 0.9, 6


def exact(q_of_0: float, slope: float, of_action: float = 0.0) -> Nets:
    """Q(s, a) = q_of_0 + slope s + of_action a for s >= 0 and a > -1, and mu(s) = tanh(0.3)."""
    shift = 10.0 * of_action  # keeps the rectifier open
    critic = Critic(
        layers=(
            Dense(jnp.array([[[slope], [of_action]]]), jnp.array([[shift]])),
            Dense(jnp.array([[[1.0]]]), jnp.array([[q_of_0 - shift]])),
        ),
        activation="relu",
        action_layer=0,
    )
    return Nets(FlatEmbedding(), Actor((Dense(jnp.zeros((1, 1)), jnp.array([0.3])),), "relu"), critic)


def stacked(*nets: Nets) -> Nets:
    """Two seeds, one a device."""
    return jax.tree.map(lambda *x: jnp.stack(x), *nets)


def evaluator(env: Environment, gamma: float = GAMMA, seed: int = 0, reward_scale: float = 1.0) -> CompiledEvaluator:
    return CompiledEvaluator(env, CriticComparison(Scalar(), gamma, reward_scale), EPISODES, seed)


def test_returns_are_gymnasiums_from_the_same_starts() -> None:
    recipe = NetworkConfig(widths=(8,))
    # Policies that push weakly: what a strong one does with a rounding error is chaos.
    seeds = [
        Nets(
            FlatEmbedding(),
            recipe.init_actor(jax.random.key(s), 3, 1),
            recipe.init_critic(jax.random.key(9), 3, 1, 1, 1),
        )
        for s in (0, 1)
    ]
    play = evaluator(Pendulum())
    got = play(stacked(*seeds))
    assert got.returns.shape == got.q_bias.shape == got.dq_da.shape == (2, EPISODES)
    starts, _ = play.starts()
    env: Any = gymnasium.make("Pendulum-v1")
    for nets, returns in zip(seeds, np.asarray(got.returns), strict=True):
        layers = [(np.float64(layer.weight), np.float64(layer.bias)) for layer in nets.actor.layers]
        for episode in range(EPISODES):
            env.reset(seed=0)
            state = env.unwrapped.state = np.array([starts.theta[episode], starts.theta_dot[episode]], np.float64)
            obs, total, over = np.array([np.cos(state[0]), np.sin(state[0]), state[1]]), 0.0, False
            while not over:
                hidden = np.maximum(obs @ layers[0][0] + layers[0][1], 0)
                action = np.tanh(hidden @ layers[1][0] + layers[1][1])
                obs, reward, terminated, truncated, _ = env.step(2 * action)
                total, over = total + float(reward), terminated or truncated
            np.testing.assert_allclose(returns[episode], total, rtol=2e-3)
    env.close()


def test_starts_depend_on_the_seed_alone() -> None:
    first, again = (evaluator(Pendulum(), gamma).starts()[1] for gamma in (0.9, 0.5))
    np.testing.assert_array_equal(first, again)
    assert (evaluator(Pendulum(), seed=1).starts()[1] != first).any()


def test_optimum_is_of_the_same_starts() -> None:
    play = evaluator(Pendulum())
    starts, obs = play.starts()
    np.testing.assert_allclose(obs[:, 0], np.cos(starts.theta), atol=1e-6)
    optimum = play.optimum()
    assert optimum == pytest.approx(np.mean(Pendulum().optimum(starts.theta, starts.theta_dot)))
    assert evaluator(DISCOUNT).optimum() is None


def test_exact_critics_have_no_bias_and_shifted_ones_theirs() -> None:
    # A true end: Q(s_0) = gamma, Q(s_1) = 1 at the observation 1/2; the return is 1, and what is added to Q is bias.
    got = evaluator(DISCOUNT)(stacked(exact(GAMMA, 2 * (1 - GAMMA)), exact(GAMMA + 0.7, 0.0)))
    np.testing.assert_allclose(got.returns, 1.0, atol=1e-6)
    np.testing.assert_allclose(got.q_bias, [[0.0] * EPISODES, [0.7] * EPISODES], atol=1e-5)
    # A time limit: Q = 1 + gamma Q; Q continues the return itself, so that of what is added gamma is hidden.
    value = 1 / (1 - GAMMA)
    got = evaluator(TIME_LIMIT)(stacked(exact(value, 0.0), exact(value + 0.7, 0.0)))
    np.testing.assert_allclose(got.returns, 1.0, atol=1e-6)
    np.testing.assert_allclose(got.q_bias, [[0.0] * EPISODES, [0.7 * (1 - GAMMA)] * EPISODES], atol=1e-5)


def test_discounted_returns_are_scaled_and_what_q_adds_is_not() -> None:
    # DISCOUNT's reward of 1 comes at its second step and is all; after TIME_LIMIT's first, Q = 4 stands for the rest.
    for probe, expected in ((DISCOUNT, 0.5 * GAMMA), (TIME_LIMIT, 0.5 + GAMMA * 4.0)):
        play = evaluator(probe, reward_scale=0.5)
        got = play(stacked(exact(4.0, 0.0), exact(4.0, 0.0)))
        np.testing.assert_allclose(got.returns, 1.0, atol=1e-6)
        np.testing.assert_allclose(got.discounted, expected, rtol=1e-5)
        np.testing.assert_allclose(got.q_bias, 4.0 - expected, rtol=1e-5)


@dataclass(frozen=True)
class Longer:
    """Ends after a probe's length, but might have taken 7 steps, and goes on giving rewards if it is stepped."""

    probe: Probe
    id: str = "longer"
    spec: Spec = SPEC
    max_episode_steps: int = 7

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        return self.probe.reset(key)

    def step(self, state: ProbeState, action: Array) -> tuple[ProbeState, Array, Array, Array, Array]:
        return self.probe.step(state, action)


def test_nothing_counts_after_an_end() -> None:
    nets = stacked(exact(GAMMA, 0.0, of_action=0.25), exact(1.0, 0.0, of_action=2.0))
    for probe in (DISCOUNT, TIME_LIMIT):
        short, long = evaluator(probe)(nets), evaluator(Longer(probe))(nets)
        np.testing.assert_allclose(long.returns, 1.0, atol=1e-6)
        np.testing.assert_allclose(long.q_bias, short.q_bias, atol=1e-6)
        np.testing.assert_allclose(short.dq_da, [[0.25] * EPISODES, [2.0] * EPISODES], rtol=1e-5)


def test_a_function_that_makes_environments_and_their_end(trained: ddpg.Run) -> None:
    closed = list[gymnasium.Env]()

    class Door(gymnasium.Wrapper):
        def close(self) -> None:
            closed.append(self)
            super().close()

    made = list[gymnasium.Env]()

    def make() -> gymnasium.Env:
        made.append(Door(gymnasium.make("Pendulum-v1")))
        return made[-1]

    said = ddpg.evaluate(trained.path, episodes=2, env=make)
    assert said["episodes"] == 6
    assert "optimum" not in said  # nothing is known of what a function changes
    assert len(made) == 3  # one to see what it is, two that play
    assert closed == made
    assert said["returns"] == ddpg.evaluate(trained.path, 2, env="gym:Pendulum-v1")["returns"]
