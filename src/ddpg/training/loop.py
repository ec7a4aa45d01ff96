"""The loop on JAX-native environments: one iteration, collect beside learn, turned by `lax.scan`.

train()                                   commands/train.py
  for chunk                               schedule.py    thousands of steps: then log, evaluate, save
    for seed, in turn on the cores        scan.py        with Python's environments host.py
      for iteration in chunk              Loop.chunk     one compiled program
        collect   K steps of N environments with beta, from the policy as it was    Collector.collect
        learn     store the block collected before, then U updates on minibatches   Learner.learn
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from ddpg.training.collector import Collector, EndedEpisodes, EnvState
from ddpg.training.driver import Report, mean_metrics, reward_range
from ddpg.training.learner import Learner, LearnerState
from ddpg.training.randomness import IterationRandomness
from ddpg.types import Key, Metrics, PyTree, Row


class TrainState(NamedTuple):
    """Everything that training is at one moment."""

    learner: LearnerState
    env: EnvState
    block: Row  # [K, N, ...], collected and not yet stored


@dataclass(frozen=True)
class Loop:
    """Collect and learn, again and again. Both use the policy and replay as they were, so neither waits."""

    learner: Learner
    collector: Collector

    def init(self, key: Key) -> TrainState:
        env = self.collector.init(key)
        block = self.learner.empty_block(env.obs)
        return TrainState(self.learner.init(key, block), env, block)

    def randomness(self, key: Key, t: Int[Array, ""]) -> IterationRandomness:
        behaviour = self.collector.behaviour
        return IterationRandomness(behaviour.randomness(key, t), self.learner.randomness(key, t))

    def iterate(
        self, state: TrainState, t: Int[Array, ""], randomness: IterationRandomness, fresh: PyTree, learning: bool
    ) -> tuple[TrainState, tuple[Metrics | None, EndedEpisodes, tuple[Array, Array]]]:
        """Iteration t; also its metrics, the episodes that ended and the lowest and highest reward."""
        env, (block, episodes) = self.collector.collect(state.learner.acting, state.env, t, randomness.actions, fresh)
        learner, metrics = self.learner.learn(state.learner, state.block, t, randomness.updates, learning)
        return TrainState(learner, env, block), (metrics, episodes, reward_range(block))

    def chunk(
        self, state: TrainState, t0: Int[Array, ""], iterations: int, learning: bool
    ) -> tuple[TrainState, Report]:
        """So many iterations of one seed, from iteration t0 on."""
        t, key = t0 + jnp.arange(iterations), state.learner.key
        inputs = jax.vmap(lambda t: (self.randomness(key, t), self.collector.fresh(key, t)))(t)
        state, (metrics, episodes, (low, high)) = jax.lax.scan(
            lambda state, x: self.iterate(state, *x, learning), state, (t, *inputs)
        )
        unknown = jnp.float32(jnp.nan)
        mean = mean_metrics(metrics) if metrics is not None else Metrics(*[unknown] * len(Metrics._fields))
        count = jnp.sum(episodes.ended)
        episode_return = jnp.where(count > 0, jnp.sum(episodes.returns) / count, unknown)
        return state, Report(mean, episode_return, count, jnp.min(low), jnp.max(high))
