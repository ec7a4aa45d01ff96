"""Collecting: the behaviour policy beta, and K steps of N compiled environments with it."""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int, Shaped

from ddpg.algorithm.agent import DPG, GreedyPolicy
from ddpg.algorithm.layers import STATIC
from ddpg.algorithm.random import draw_uniform, to_normal
from ddpg.envs.vector import Vector
from ddpg.training.randomness import ActionRandomness, init_keys, iteration_keys
from ddpg.types import AnyArray, Key, PyTree, Row, Spec


@dataclass(frozen=True)
class BehaviourPolicy:
    """beta: the agent's policy with its exploration; uniformly random for the first `warmup` environment steps.

    `steps` of `envs` environments make an iteration. It computes with JAX in compiled code and with NumPy if
    Python steps the environments.
    """

    agent: DPG
    spec: Spec = field(metadata=STATIC)
    envs: int
    steps: int
    warmup: int

    def init_noise(self) -> Float[np.ndarray, "n ..."]:
        """The state of the noise before the first step."""
        return self.agent.exploration.init_state(self.envs, self.spec.action_dim)

    def randomness(self, key: Key, t: Int[Array, ""]) -> ActionRandomness:
        _, actions, _ = iteration_keys(key, t)
        # One draw for both: most of the first compilation is the making of random numbers.
        uniform, normal = draw_uniform(actions, (2, self.steps, self.envs, self.spec.action_dim))
        return ActionRandomness(to_normal(normal), uniform)

    def select_action(
        self,
        policy: GreedyPolicy,
        obs: Shaped[AnyArray, "n *obs"],
        noise: Float[AnyArray, "n ..."],
        start: Bool[AnyArray, " n"],
        t: Int[Array, ""] | np.integer,
        k: Int[Array, ""] | np.integer,
        randomness: ActionRandomness,
    ) -> tuple[Float[AnyArray, "n m"], Float[AnyArray, "n ..."]]:
        """The actions of step k of iteration t, and the state of the noise after it; `randomness` is that step's."""
        normal, uniform = randomness
        step = (t * self.steps + k) * self.envs
        noise, perturbation = self.agent.exploration(noise, normal, start, step)
        action = self.agent.act(policy, obs, perturbation)
        xp = normal.__array_namespace__()
        return xp.where(step < self.warmup, uniform, action) if self.warmup else action, noise


class EnvState(NamedTuple):
    """Where N compiled environments stand."""

    env: PyTree
    obs: Array
    boundary: Bool[Array, " n"]  # obs is the last of its episode: the next step resets
    noise: Float[Array, "n ..."]
    start: Bool[Array, " n"]  # obs is the first of its episode
    episode_return: Float[Array, " n"]


class EndedEpisodes(NamedTuple):
    """The episodes that ended in K steps."""

    returns: Float[Array, "k n"]  # 0 if none ended
    done: Bool[Array, "k n"]


@dataclass(frozen=True)
class Collector:
    """Steps JAX-native environments with the behaviour policy, as pure functions."""

    vector: Vector = field(metadata=STATIC)
    behaviour: BehaviourPolicy

    def init(self, key: Key) -> EnvState:
        """All environments at the start of their first episode."""
        _, env_key = init_keys(key)
        env, obs = self.vector.fresh(env_key)
        n = self.behaviour.envs
        no = jnp.zeros((n,), bool)
        return EnvState(env, obs, no, jnp.asarray(self.behaviour.init_noise()), ~no, jnp.zeros((n,)))

    def fresh(self, key: Key, t: Int[Array, ""]) -> PyTree:
        """[K] times N first states, for the episodes that end in iteration t."""
        *_, reset = iteration_keys(key, t)
        return jax.vmap(self.vector.fresh)(jax.random.split(reset, self.behaviour.steps))

    def truncated(self, state: EnvState, now: Bool[Array, ""]) -> tuple[EnvState, Bool[Array, " n"]]:
        """With the open episodes ended if `now`, and which these are; those that have only begun go on."""
        mask = now & ~(state.boundary | state.start)
        return state._replace(boundary=state.boundary | mask), mask

    def collect(
        self, policy: GreedyPolicy, state: EnvState, t: Int[Array, ""], randomness: ActionRandomness, fresh: PyTree
    ) -> tuple[EnvState, tuple[Row, EndedEpisodes]]:
        """The K steps of iteration t: a block of rows [K, N, ...], and the episodes that ended."""

        def step(
            state: EnvState, inputs: tuple[Array, ActionRandomness, PyTree]
        ) -> tuple[EnvState, tuple[Row, EndedEpisodes]]:
            k, randomness, fresh = inputs
            action, noise = self.behaviour.select_action(policy, state.obs, state.noise, state.start, t, k, randomness)
            env, result = self.vector.step(state.env, action, state.boundary, fresh)
            done = result.terminated | result.truncated
            row = Row(state.obs, action, result.reward, result.terminated, result.truncated, state.boundary)
            total = state.episode_return + result.reward
            after = EnvState(env, result.obs, done, noise, state.boundary, jnp.where(state.boundary, 0.0, total))
            return after, (row, EndedEpisodes(jnp.where(done, total, 0.0), done))

        return jax.lax.scan(step, state, (jnp.arange(self.behaviour.steps), randomness, fresh))
