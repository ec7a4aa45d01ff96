"""The loop: one iteration, collect beside learn, turned by `lax.scan`; seeds are the leading axis.

train()                                   training/train.py
  for chunk                               thousands of steps: then log, evaluate, save
    for seed, spread over the cores       Loop.run     one compiled program
      for iteration in chunk              Loop.iterate
        collect   K steps of N environments with beta, from the policy as it was
        learn     store the block collected before, then U updates on minibatches
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Bool, Float, Int, UInt32

from ddpg.algorithm.agent import DPG, AgentState
from ddpg.algorithm.noise import normal, unit
from ddpg.envs.base import Vector
from ddpg.experience.replay import Replay, Ring
from ddpg.training.devices import over_seeds
from ddpg.types import Key, Keys, Metrics, PyTree, Row


class Acting(NamedTuple):
    """Where the N environments stand."""

    env: PyTree
    obs: Array
    boundary: Bool[Array, " n"]  # obs is the last of its episode: the next step resets
    noise: Float[Array, "n m"]
    start: Bool[Array, " n"]  # obs is the first of its episode
    episode_return: Float[Array, " n"]


class Carry(NamedTuple):
    """Everything that training is at one moment; `key` never changes, since randomness is a function of (key, t)."""

    agent: AgentState
    ring: Ring
    acting: Acting
    block: Row  # [K, N, ...] collected and not yet stored
    key: Key


class Draws(NamedTuple):
    """The randomness of one iteration, drawn for a whole chunk at once: in the loop it would cost 10 % of a step."""

    fresh: PyTree  # [K] times N new episodes
    white: Float[Array, "k n m"]
    uniform: Float[Array, "k n m"]
    bits: UInt32[Array, "u b"]


class Report(NamedTuple):
    """What one chunk says of one seed: means over its updates, and over the episodes that ended in it."""

    metrics: Metrics
    episode_return: Float[Array, ""]
    episodes: Int[Array, ""]


@dataclass(frozen=True)
class Loop:
    """`collect` steps of `vector.n` environments, then `updates` gradient steps, again and again.

    The first `warmup` environment steps act uniformly at random; updates begin after `learning_starts` of them.
    Collecting and learning read the same policy and replay, so neither waits for the other.
    """

    agent: DPG
    replay: Replay
    vector: Vector
    gamma: float
    collect: int
    updates: int
    warmup: int

    @property
    def stride(self) -> int:
        """Environment steps in one iteration."""
        return self.collect * self.vector.n

    def init(self, key: Key) -> Carry:
        agent_key, env_key = jax.random.split(jax.random.fold_in(key, 2**32 - 1))
        spec, n = self.vector.env.spec, self.vector.n
        state, obs = self.vector.fresh(env_key)
        none = jnp.zeros((n,), bool)
        acting = Acting(state, obs, none, jnp.zeros((n, spec.action_dim)), ~none, jnp.zeros((n,)))
        # No block has been collected yet: this one is all boundary rows, which are never sampled as transitions.
        row = Row(obs, jnp.zeros((n, spec.action_dim)), jnp.zeros((n,)), none, none, ~none)
        block = jax.tree.map(lambda x: jnp.repeat(x[None], self.collect, axis=0), row)
        return Carry(self.agent.init(agent_key, spec), self.replay.init(block), acting, block, key)

    def draw(self, key: Key, t: Int[Array, ""]) -> Draws:
        spec, n, k = self.vector.env.spec, self.vector.n, self.collect
        batch, noise, reset = jax.random.split(jax.random.fold_in(key, t), 3)
        # As few draws as can be: what is compiled first is mostly the making of random numbers.
        uniform, white = unit(noise, (2, k, n, spec.action_dim))
        return Draws(
            fresh=jax.vmap(self.vector.fresh)(jax.random.split(reset, k)),
            white=normal(white),
            uniform=uniform,
            bits=jax.random.bits(batch, (self.updates, self.replay.batch), jnp.uint32),
        )

    def iterate(
        self, carry: Carry, t: Int[Array, ""], draws: Draws, learning: bool
    ) -> tuple[Carry, tuple[Metrics | None, Float[Array, "k n"], Bool[Array, "k n"]]]:
        """One iteration. `learning` is static: before it there is nothing to compile of the update."""
        # Collect: a_t = mu(s_t) + N_t with the policy as it is now.
        actor = carry.agent.online.actor
        steps = (t * self.collect + jnp.arange(self.collect)) * self.vector.n
        collect = partial(self.step, actor)
        acting, (block, finished, ended) = jax.lax.scan(
            collect, carry.acting, (steps, draws.fresh, draws.white, draws.uniform)
        )
        # Learn: store first and sample after, or the compiler must copy the whole ring to keep the old one readable.
        ring = self.replay.add(carry.ring, carry.block)
        agent, metrics = carry.agent, None
        if learning:
            agent, metrics = jax.lax.scan(partial(self.learn, ring), agent, draws.bits)
        return Carry(agent, ring, acting, block, carry.key), (metrics, finished, ended)

    def step(
        self, actor: PyTree, acting: Acting, x: tuple[Int[Array, ""], PyTree, Float[Array, "n m"], Float[Array, "n m"]]
    ) -> tuple[Acting, tuple[Row, Float[Array, " n"], Bool[Array, " n"]]]:
        step, fresh, white, uniform = x
        noise, perturbation = self.agent.exploration(acting.noise, white, acting.start, step)
        action = self.agent.act(actor, acting.obs, perturbation)
        action = jnp.where(step < self.warmup, uniform, action) if self.warmup else action
        env, outcome = self.vector.step(acting.env, action, acting.boundary, fresh)
        ended = outcome.terminated | outcome.truncated
        row = Row(acting.obs, action, outcome.reward, outcome.terminated, outcome.truncated, acting.boundary)
        total = acting.episode_return + outcome.reward
        after = Acting(env, outcome.obs, ended, noise, acting.boundary, jnp.where(acting.boundary, 0.0, total))
        return after, (row, jnp.where(ended, total, 0.0), ended)

    def learn(self, ring: Ring, agent: AgentState, bits: UInt32[Array, " b"]) -> tuple[AgentState, Metrics]:
        batch = self.replay.sample(ring, bits, self.gamma, self.vector.env.spec.obs_shape)
        return self.agent.update(agent, batch)

    def chunk(self, carry: Carry, t0: Int[Array, ""], iterations: int, learning: bool) -> tuple[Carry, Report]:
        """The scan driver of one seed: `iterations` from iteration t0 on."""
        t = t0 + jnp.arange(iterations)
        draws = jax.vmap(partial(self.draw, carry.key))(t)
        carry, (metrics, finished, ended) = jax.lax.scan(
            lambda carry, x: self.iterate(carry, *x, learning), carry, (t, draws)
        )
        unknown = jnp.float32(jnp.nan)
        mean = jax.tree.map(jnp.mean, metrics) if learning else Metrics(*[unknown] * len(Metrics._fields))
        episodes = jnp.sum(ended)
        return carry, Report(mean, jnp.where(episodes > 0, jnp.sum(finished) / episodes, unknown), episodes)

    def start(self, keys: Keys) -> Carry:
        """The state before the first step, of every seed: leaves [K, ...]."""
        return _start(self)(keys)

    def run(self, carry: Carry, t0: int, iterations: int, learning: bool) -> tuple[Carry, Report]:
        """One chunk of every seed: leaves [K, ...]. The carry given is consumed."""
        return _program(self, iterations, learning)(carry, np.int32(t0))

    def compile(self, carry: Carry, *, iterations: int, learning: bool) -> Callable[..., tuple[Carry, Report]]:
        """`run` compiled ahead, (carry, t0) -> (carry, report), for whoever times the one without the other."""
        return _program(self, iterations, learning).lower(carry, np.int32(0)).compile()


@cache
def _program(loop: Loop, iterations: int, learning: bool) -> Wrapped:
    return over_seeds(partial(loop.chunk, iterations=iterations, learning=learning), shared=1, donate=True)


@cache
def _start(loop: Loop) -> Callable[..., Carry]:
    return over_seeds(loop.init)
