"""The loop: one iteration, collect beside learn, turned by `lax.scan`.

train()                                   training/train.py
  for chunk                               thousands of steps: then log, evaluate, save
    for seed, in turn on the cores        Scan         training/scan.py; with Python's environments host.py
      for iteration in chunk              Loop.chunk   one compiled program; there Loop.learn
        collect   K steps of N environments with beta, from the policy as it was
        learn     store the block collected before, then U updates on minibatches
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int, Shaped, UInt32

from ddpg.algorithm.agent import DPG, AgentState
from ddpg.algorithm.exploration import ParameterNoise, Perturbed
from ddpg.algorithm.networks import Actor
from ddpg.algorithm.normaliser import RunningStats, init_stats, normalise, update_stats
from ddpg.algorithm.random import draw_uniform, to_normal
from ddpg.envs.vector import Vector
from ddpg.experience.replay import Priorities, Replay, Ring
from ddpg.experience.return_scale import ReturnScale, init_return_scale, update_return_scale
from ddpg.types import AnyArray, Key, Keys, Metrics, PyTree, Row


class EnvState(NamedTuple):
    """Where the N environments stand."""

    env: PyTree
    obs: Array
    boundary: Bool[Array, " n"]  # obs is the last of its episode: the next step resets
    noise: Float[Array, "n ..."]
    start: Bool[Array, " n"]  # obs is the first of its episode
    episode_return: Float[Array, " n"]


class TrainState(NamedTuple):
    """Everything that training is at one moment; `key` never changes, since randomness is a function of (key, t)."""

    agent: AgentState
    stats: RunningStats | None  # of the observations, where they are normalised
    ring: Ring
    acting: EnvState | None  # None where Python steps the environments and knows
    block: Row | None  # [K, N, ...] collected and not yet stored; None there too
    key: Key
    earned: ReturnScale | None = None  # where returns are scaled by what they are
    perturbed: Perturbed | None = None  # what acts, where noise is on the actor's weights

    @property
    def behaviour(self) -> Actor:
        """The actor that acts, before noise on its actions."""
        return self.agent.online.actor if self.perturbed is None else self.perturbed.actor


class UpdateRandomness(NamedTuple):
    """The randomness of the updates of one iteration."""

    bits: UInt32[Array, "u b"]
    white: Float[Array, "u b m"]  # [u, b, 0] where nothing is smoothed


class IterationRandomness(NamedTuple):
    """The randomness of one iteration, drawn for a whole chunk at once: in the loop it would cost 10 % of a step."""

    white: Float[Array, "k n m"]
    uniform: Float[Array, "k n m"]
    lots: UpdateRandomness


class Report(NamedTuple):
    """What one chunk says of one seed: means over its updates, and over the episodes that ended in it."""

    metrics: Metrics
    episode_return: Float[AnyArray, ""]
    episodes: Int[AnyArray, ""]
    largest_reward: Float[AnyArray, ""]  # in absolute value


class Seen(NamedTuple):
    """What a chunk saw of one iteration's steps."""

    finished: Float[Array, "k n"]  # returns of the episodes that ended, else 0
    ended: Bool[Array, "k n"]


@dataclass(frozen=True)
class Loop:
    """`collect` steps of `vector.n` environments, then `updates` gradient steps, again and again.

    The first `warmup` environment steps act uniformly at random; updates begin after `learning_starts` of them.
    Collecting and learning read the same policy and replay, so neither waits for the other. The update sees rewards
    times `reward_scale`, and observations with mean 0 and variance 1 where `normalise` says so.
    """

    agent: DPG
    replay: Replay
    vector: Vector
    gamma: float
    collect: int
    updates: int
    warmup: int
    reward_scale: float = 1.0
    normalise: bool = False

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps in one iteration."""
        return self.collect * self.vector.n

    def init(self, key: Key) -> TrainState:
        agent_key, env_key = jax.random.split(jax.random.fold_in(key, 2**32 - 1))
        state, obs = self.vector.fresh(env_key)
        acting = self.acting(obs)._replace(env=state)
        block = self.nothing(obs)
        return self.learner(agent_key, block)._replace(acting=acting, block=block, key=key)

    def learner(self, key: Key, block: Row) -> TrainState:
        """The part that learns, before anything has been collected in blocks like `block`."""
        spec = self.vector.env.spec
        stats = init_stats(spec.obs_shape) if self.normalise else None
        agent, exploration = self.agent.init(key, spec), self.agent.exploration
        returns = init_return_scale(self.vector.n, self.gamma) if self.agent.value.scales_returns else None
        noisy = isinstance(exploration, ParameterNoise)
        perturbed = Perturbed(agent.online.actor, jnp.float32(exploration.begin_sigma)) if noisy else None
        return TrainState(agent, stats, self.replay.init(block), None, None, key, returns, perturbed)

    def acting(self, obs: Float[Array, "n *obs"]) -> EnvState:
        """All environments at the start of their first episode."""
        n, m = self.vector.n, self.vector.env.spec.action_dim
        none = jnp.zeros((n,), bool)
        return EnvState(None, obs, none, jnp.asarray(self.agent.exploration.init_state(n, m)), ~none, jnp.zeros((n,)))

    def nothing(self, obs: Float[Array, "n *obs"]) -> Row:
        """A block where none has been collected yet: all boundary rows, which are never sampled as transitions."""
        n, m = self.vector.n, self.vector.env.spec.action_dim
        none = jnp.zeros((n,), bool)
        row = Row(obs, jnp.zeros((n, m)), jnp.zeros((n,)), none, none, ~none)
        return jax.tree.map(lambda x: jnp.repeat(x[None], self.collect, axis=0), row)

    def draw(self, key: Key, t: Int[Array, ""]) -> IterationRandomness:
        n, k, m = self.vector.n, self.collect, self.vector.env.spec.action_dim
        batch, noise, _ = self._keys(key, t)
        # As few draws as can be: what is compiled first is mostly the making of random numbers.
        uniform, white = draw_uniform(noise, (2, k, n, m))
        bits = jax.random.bits(batch, (self.updates, self.replay.batch), jnp.uint32)
        smooth = draw_uniform(jax.random.fold_in(batch, 1), (*bits.shape, m if self.agent.smoothing.sigma else 0))
        return IterationRandomness(to_normal(white), uniform, UpdateRandomness(bits, to_normal(smooth)))

    def fresh(self, key: Key, t: Int[Array, ""]) -> PyTree:
        """[K] times N new episodes, for those that will end in iteration t."""
        *_, reset = self._keys(key, t)
        return jax.vmap(self.vector.fresh)(jax.random.split(reset, self.collect))

    def _keys(self, key: Key, t: Int[Array, ""]) -> Keys:
        return jax.random.split(jax.random.fold_in(key, t), 3)

    def iterate(
        self, carry: TrainState, t: Int[Array, ""], draws: IterationRandomness, fresh: PyTree, learning: bool
    ) -> tuple[TrainState, tuple[Metrics | None, Seen, Float[Array, ""]]]:
        """One iteration. `learning` is static: before it there is nothing to compile of the update."""
        assert carry.acting is not None
        assert carry.block is not None
        # Collect: a_t = mu(s_t) + N_t with the policy as it is now.
        actor, stats = carry.behaviour, carry.stats
        k = jnp.arange(self.collect)
        acting, (block, seen) = jax.lax.scan(
            lambda acting, x: self.step(actor, stats, acting, t, *x),
            carry.acting,
            (k, draws.white, draws.uniform, fresh),
        )
        carry, metrics = self.learn(carry, carry.block, t, draws.lots, learning)
        return carry._replace(acting=acting, block=block), (metrics, seen, jnp.max(jnp.abs(block.reward)))

    def step(
        self,
        actor: Actor,
        stats: RunningStats | None,
        acting: EnvState,
        t: Int[Array, ""],
        k: Int[Array, ""],
        white: Float[Array, "n m"],
        uniform: Float[Array, "n m"],
        fresh: PyTree,
    ) -> tuple[EnvState, tuple[Row, Seen]]:
        """Step k of iteration t in every environment."""
        action, noise = self.select_action(actor, stats, acting.obs, acting.noise, acting.start, t, k, white, uniform)
        env, outcome = self.vector.step(acting.env, action, acting.boundary, fresh)
        ended = outcome.terminated | outcome.truncated
        row = Row(acting.obs, action, outcome.reward, outcome.terminated, outcome.truncated, acting.boundary)
        total = acting.episode_return + outcome.reward
        after = EnvState(env, outcome.obs, ended, noise, acting.boundary, jnp.where(acting.boundary, 0.0, total))
        return after, (row, Seen(jnp.where(ended, total, 0.0), ended))

    def select_action(
        self,
        actor: Actor,
        stats: RunningStats | None,
        obs: Shaped[AnyArray, "n *obs"],
        noise: Float[AnyArray, "n ..."],
        start: Bool[AnyArray, " n"],
        t: Int[Array, ""] | np.integer,
        k: Int[Array, ""] | np.integer,
        white: Float[AnyArray, "n m"],
        uniform: Float[AnyArray, "n m"],
    ) -> tuple[Float[AnyArray, "n m"], Float[AnyArray, "n ..."]]:
        """The actions of step k of iteration t, and the state of the noise: compiled, or in NumPy."""
        step = (t * self.collect + k) * self.vector.n
        noise, perturbation = self.agent.exploration(noise, white, start, step)
        action = self.agent.act(actor, normalise(obs, stats), perturbation)
        xp = white.__array_namespace__()
        return xp.where(step < self.warmup, uniform, action) if self.warmup else action, noise

    def learn(
        self, carry: TrainState, block: Row, t: Int[Array, ""], lots: UpdateRandomness, learning: bool
    ) -> tuple[TrainState, Metrics | None]:
        """Store the block collected before, then the `updates` gradient steps of iteration t."""
        # Store first and sample after, or the compiler must copy the whole ring to keep the old one readable.
        ring = self.replay.add(carry.ring, block)
        stats = None if carry.stats is None else update_stats(carry.stats, block.obs, ~block.boundary)
        returns = None if carry.earned is None else update_return_scale(carry.earned, block, self.gamma)
        carry, metrics = carry._replace(stats=stats, earned=returns), None
        if learning:
            count = t * self.updates + jnp.arange(self.updates)
            update = partial(self.update, ring, stats, self.scale(returns), t * self.steps_per_iteration)
            (agent, priorities), metrics = jax.lax.scan(update, (carry.agent, ring.priorities), (lots, count))
            carry, ring = carry._replace(agent=agent), ring._replace(priorities=priorities)
        return self._perturb(carry._replace(ring=ring), block, t), metrics

    def update(
        self,
        ring: Ring,
        stats: RunningStats | None,
        scale: Float[Array, ""] | float,
        step: Int[Array, ""],
        state: tuple[AgentState, Priorities | None],
        lot: tuple[UpdateRandomness, Int[Array, ""]],
    ) -> tuple[tuple[AgentState, Priorities | None], Metrics]:
        """One gradient step, at so many environment steps."""
        (agent, priorities), ((bits, white), count) = state, lot
        ring = ring._replace(priorities=priorities)
        batch, place = self.replay.sample(ring, bits, step, self.gamma, self.vector.env.spec.obs_shape)
        if not (isinstance(scale, float) and scale == 1.0):
            batch = batch._replace(reward=scale * batch.reward)
        batch = batch._replace(obs=normalise(batch.obs, stats), next_obs=normalise(batch.next_obs, stats))
        agent, metrics, error = self.agent.update(agent, batch, white, count)
        return (agent, self.replay.on_update(priorities, place, error)), metrics

    def scale(self, returns: ReturnScale | None) -> Float[Array, ""] | float:
        """What rewards are multiplied by for the update."""
        return self.reward_scale if returns is None else returns.scale

    def _perturb(self, carry: TrainState, block: Row, t: Int[Array, ""]) -> TrainState:
        """Where noise is on the actor's weights: what acts in the next iteration."""
        exploration = self.agent.exploration
        if not isinstance(exploration, ParameterNoise) or carry.perturbed is None:
            return carry
        actor, (_, scale), step = carry.agent.online.actor, carry.perturbed, t * self.steps_per_iteration
        key = jax.random.fold_in(jax.random.fold_in(carry.key, step // exploration.steps), 2**32 - 2)
        perturbed = exploration.perturbed(actor, scale, key)
        obs = normalise(block.obs.reshape(-1, *self.vector.env.spec.obs_shape), carry.stats)
        scale = exploration.adapted(scale, actor, perturbed, obs, step, self.steps_per_iteration)
        return carry._replace(perturbed=Perturbed(perturbed, scale))

    def chunk(
        self, carry: TrainState, t0: Int[Array, ""], iterations: int, learning: bool
    ) -> tuple[TrainState, Report]:
        """So many iterations of one seed, from iteration t0 on."""
        t = t0 + jnp.arange(iterations)
        draws, fresh = jax.vmap(lambda t: (self.draw(carry.key, t), self.fresh(carry.key, t)))(t)
        carry, (metrics, seen, reward) = jax.lax.scan(
            lambda carry, x: self.iterate(carry, *x, learning), carry, (t, draws, fresh)
        )
        unknown = jnp.float32(jnp.nan)
        mean = over_updates(metrics) if metrics is not None else Metrics(*[unknown] * len(Metrics._fields))
        episodes = jnp.sum(seen.ended)
        episode_return = jnp.where(episodes > 0, jnp.sum(seen.finished) / episodes, unknown)
        return carry, Report(mean, episode_return, episodes, jnp.max(reward))


def over_updates(metrics: Metrics) -> Metrics:
    """Means over updates [u], of the actor's over those that moved it; what the critic says is never unknown."""
    mean = jax.tree.map(jnp.nanmean, metrics)
    return mean._replace(q=jnp.mean(metrics.q), critic_loss=jnp.mean(metrics.critic_loss))
