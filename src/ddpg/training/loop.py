"""The loop on JAX-native environments: one iteration, collect beside learn, turned by compiled code.

train()                                   train.py
  for chunk                               schedule.py    thousands of steps: then log, evaluate, save
    for seed, in turn on the cores        scan.py        with Python's environments host.py
      for iteration in chunk              Loop.chunk     one compiled program
        collect   K steps of N environments with beta, from the policy as it was    Collector.collect
        learn     store the block collected before, then U updates on minibatches   Learner.learn
"""

from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from ddpg.training.collector import Collector, EnvState
from ddpg.training.driver import OwnMean, Report, mean_metrics, own_mean, reward_range
from ddpg.training.learner import Learner, LearnerState
from ddpg.training.randomness import IterationRandomness
from ddpg.types import Key, Metrics, PyTree, Row

DRAWN = 100  # iterations whose random numbers are drawn at once


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
    ) -> tuple[TrainState, Report]:
        """Iteration t, and its report."""
        if (assessed := state.learner.assessed) is not None:
            env, cut = self.collector.truncated(state.env, assessed.fresh)
            before = state.block._replace(truncated=state.block.truncated.at[-1].set(state.block.truncated[-1] | cut))
            state = state._replace(env=env, block=before)
        env, (block, episodes) = self.collector.collect(state.learner.acting, state.env, t, randomness.actions, fresh)
        learner, metrics = self.learner.learn(state.learner, state.block, t, randomness.updates, learning)
        unknown = jnp.float32(jnp.nan)
        mean = mean_metrics(metrics) if metrics is not None else Metrics(*[unknown] * len(Metrics._fields))
        count = jnp.sum(episodes.done)
        episode_return = jnp.where(count > 0, jnp.sum(episodes.returns) / count, unknown)
        report = Report(mean, episode_return, count, *reward_range(block), tuple(map(own_mean, episodes.own)))
        return TrainState(learner, env, block), report

    def chunk(
        self, state: TrainState, t0: Int[Array, ""], n: Int[Array, ""], longest: int, learning: bool
    ) -> tuple[TrainState, Report]:
        """n iterations of one seed, at most `longest`, from iteration t0 on; a report of each, [longest]."""
        key, drawn = state.learner.key, min(longest, DRAWN)

        def inputs(t: Int[Array, ""]) -> tuple[Array, IterationRandomness, PyTree]:
            return t, self.randomness(key, t), self.collector.fresh(key, t)

        def some(j: Int[Array, ""], after: tuple[TrainState, Report]) -> tuple[TrainState, Report]:
            """Those whose random numbers are drawn together."""
            first = j * drawn
            drawings = jax.vmap(inputs)(t0 + first + jnp.arange(drawn))

            def one(i: Int[Array, ""], after: tuple[TrainState, Report]) -> tuple[TrainState, Report]:
                state, reports = after
                t, randomness, fresh = jax.tree.map(itemgetter(i), drawings)
                state, report = self.iterate(state, t, randomness, fresh, learning)
                return state, jax.tree.map(lambda all, own: all.at[first + i].set(own), reports, report)

            return jax.lax.fori_loop(0, jnp.minimum(drawn, n - first), one, after)

        zeros = jnp.zeros(longest)
        whole = jnp.zeros(longest, int)
        own = (OwnMean(zeros, whole),) * len(self.collector.log)
        none = Report(Metrics(*[zeros] * len(Metrics._fields)), zeros, whole, zeros, zeros, own)
        # No scan: its length would be a part of the program, and a run needs many.
        return jax.lax.fori_loop(0, -(-n // drawn), some, (state, none))
