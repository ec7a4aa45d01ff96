"""Collecting: the behaviour policy beta, and K steps of N compiled environments with it."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int, Shaped

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.layers import STATIC
from ddpg.algorithm.nets import GreedyPolicy
from ddpg.algorithm.random import draw_uniform, to_normal
from ddpg.envs.protocol import HasInfo
from ddpg.envs.resets import FreshResets, ResetPool, resets_of
from ddpg.envs.vector import Vector
from ddpg.training.data_parallel import in_parts
from ddpg.training.randomness import ActionRandomness, init_keys, iteration_keys
from ddpg.types import AnyArray, Key, PyTree, Row, Spec


@dataclass(frozen=True)
class BehaviourPolicy:
    """beta: the agent's policy with its exploration; uniformly random for the first `warmup` environment steps.

    After those a share of `random_actions` is. `steps` of `envs` environments make an iteration. Noise on actions is
    multiplied by `scale`. It computes with JAX in compiled code and with NumPy if Python steps the environments.
    """

    agent: DPG
    spec: Spec = field(metadata=STATIC)
    envs: int
    steps: int
    warmup: int
    random_actions: float = field(default=0.0, metadata=STATIC)  # decides which random numbers are drawn
    scale: float = 1.0

    def scaled(self, scale: float) -> "BehaviourPolicy":
        return replace(self, scale=scale)

    def init_noise(self) -> Float[np.ndarray, "n ..."]:
        """The state of the noise before the first step."""
        return self.agent.exploration.init_state(self.envs, self.spec.action_dim)

    def randomness(self, key: Key, t: Int[Array, ""]) -> ActionRandomness:
        _, actions, _ = iteration_keys(key, t)
        # One draw for both: most of the first compilation is the making of random numbers.
        uniform, normal = draw_uniform(actions, (2, self.steps, self.envs, self.spec.action_dim))
        if not self.random_actions:
            return ActionRandomness(to_normal(normal), uniform)
        random = jax.random.bernoulli(jax.random.fold_in(actions, 1), self.random_actions, (self.steps, self.envs))
        return ActionRandomness(to_normal(normal), uniform, random)

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
        normal, uniform, random = randomness
        step = (t * self.steps + k) * self.envs
        noise, perturbation = self.agent.exploration(noise, normal, start, step)
        if self.scale != 1:
            perturbation = np.float32(self.scale) * perturbation
        action = self.agent.act(policy, obs, perturbation)
        xp, exploring = normal.__array_namespace__(), step < self.warmup
        if isinstance(exploring, np.bool_):  # where the steps done are a number of NumPy
            action = uniform if exploring else action
        elif self.warmup:
            action = xp.where(exploring, uniform, action)
        return action if random is None else xp.where(random[:, None], uniform, action), noise


class EnvState(NamedTuple):
    """Where N compiled environments stand."""

    env: PyTree
    obs: Array
    boundary: Bool[Array, " n"]  # obs is the last of its episode: the next step resets
    noise: Float[Array, "n ..."]
    start: Bool[Array, " n"]  # obs is the first of its episode
    episode_return: Float[Array, " n"]
    pool: PyTree = None  # of new episodes, if there is one


class EndedEpisodes(NamedTuple):
    """The episodes that ended in K steps; `own` are the numbers of `info` at their ends, NaN if none ended."""

    returns: Float[Array, "k n"]  # 0 if none ended
    done: Bool[Array, "k n"]
    own: tuple[Float[Array, "k n"], ...] = ()


@dataclass(frozen=True)
class Collector:
    """Steps JAX-native environments with the behaviour policy, as pure functions; `log` are keys of their `info`.

    Episodes begin with resets of a pool of `reset_pool`, or, if that is 0, each with a reset of its own. Each of
    `devices` steps its part of the environments, if they can be divided among them.
    """

    vector: Vector = field(metadata=STATIC)
    behaviour: BehaviourPolicy
    log: tuple[str, ...] = ()
    reset_pool: int = 0
    devices: int = 1

    @property
    def resets(self) -> FreshResets | ResetPool:
        return resets_of(self.vector, self.reset_pool, self.behaviour.steps)

    def init(self, key: Key) -> EnvState:
        """All environments at the start of their first episode."""
        _, env_key = init_keys(key)
        env, obs = self.vector.fresh(env_key)
        n = self.behaviour.envs
        no = jnp.zeros((n,), bool)
        pool = self.resets.init(jax.random.fold_in(env_key, 2**32 - 1))
        return EnvState(env, obs, no, jnp.asarray(self.behaviour.init_noise()), ~no, jnp.zeros((n,)), pool)

    def fresh(self, key: Key, t: Int[Array, ""]) -> PyTree:
        """The resets of iteration t, for the episodes that end in it."""
        *_, reset = iteration_keys(key, t)
        return self.resets.draw(reset)

    def truncated(self, state: EnvState, now: Bool[Array, ""]) -> tuple[EnvState, Bool[Array, " n"]]:
        """With the open episodes ended if `now`, and which these are; those that have only begun go on."""
        mask = now & ~(state.boundary | state.start)
        return state._replace(boundary=state.boundary | mask), mask

    def collect(
        self, policy: GreedyPolicy, state: EnvState, t: Int[Array, ""], randomness: ActionRandomness, fresh: PyTree
    ) -> tuple[EnvState, tuple[Row, EndedEpisodes]]:
        """The K steps of iteration t: a block of rows [K, N, ...], and the episodes that ended."""
        resets: Any = self.resets
        pool, fresh = resets.renewed(state.pool, fresh, t)

        def step(
            state: EnvState, inputs: tuple[Array, ActionRandomness, PyTree]
        ) -> tuple[EnvState, tuple[Row, EndedEpisodes]]:
            k, randomness, fresh = inputs
            state = in_parts(self.devices, state)
            action, noise = self.behaviour.select_action(policy, state.obs, state.noise, state.start, t, k, randomness)
            env, result = self.vector.step(state.env, action, state.boundary, resets.take(pool, fresh))
            done = result.terminated | result.truncated
            row = Row(state.obs, action, result.reward, result.terminated, result.truncated, state.boundary)
            total = state.episode_return + result.reward
            after = EnvState(env, result.obs, done, noise, state.boundary, jnp.where(state.boundary, 0.0, total))
            return after, (row, EndedEpisodes(jnp.where(done, total, 0.0), done, self._own(result.obs, done)))

        # The pool is not of what each step changes.
        inputs = jnp.arange(self.behaviour.steps), randomness, fresh
        state, collected = jax.lax.scan(step, state._replace(pool=None), inputs)
        return state._replace(pool=pool), collected

    def _own(self, obs: Shaped[Array, "n *obs"], done: Bool[Array, " n"]) -> tuple[Float[Array, " n"], ...]:
        """Numbers of the `info` of episodes that are `done` with these observations."""
        env = self.vector.env
        info = env.info(obs) if self.log and isinstance(env, HasInfo) else {}
        return tuple(jnp.where(done, info[key], jnp.nan) for key in self.log)
