"""The actors' driver: blocks come from processes anywhere in a Ray cluster, and one learner learns from all of them.

for iteration in chunk
  take      the block that is ready first; its actor begins the next one, with the newest parameters
  learn     store it, then U updates

Every actor has one block: it is being collected, or waits to be stored. So neither side runs away from the other:
U updates follow every K x N steps, and parameters are about as many iterations old as there are actors.
"""

from collections.abc import Callable
from functools import cache, partial
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Int

from ddpg.algorithm.parameter_noise import ParameterNoise
from ddpg.config.config import ActorsConfig
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.experience.ring import cut, fewer
from ddpg.hyperparameters import split
from ddpg.training.collector import BehaviourPolicy
from ddpg.training.crew import Crew
from ddpg.training.driver import ActorsReport, ChunkInterrupted, Learned, Program, Report, reward_range
from ddpg.training.interruption import Interruption, Pace
from ddpg.training.learner import Learner, LearnerState
from ddpg.training.learner_programs import learn_program, restored, saved, saved_shapes, stacked, start_program
from ddpg.training.randomness import UpdateRandomness
from ddpg.training.remote_collector import Collected
from ddpg.types import Key, Keys, Metrics, Row


class ActorsSnapshot(NamedTuple):
    """All that a run with actors is at one moment, leaves [S, ...] of its one seed.

    Blocks and open episodes of actors are no part of it: those that follow begin new ones.
    """

    learner: LearnerState
    begun: np.ndarray  # [s], actors so far


class Actors:
    """One learner, and actors that collect for it; episodes end with the numbers of `info` that `gym` logs."""

    def __init__(
        self, config: ActorsConfig, learner: Learner, behaviour: BehaviourPolicy, gym: GymFactory, seed: int
    ) -> None:
        self.learner = learner
        self._structure, self._numbers = split(learner)
        obs = np.zeros((learner.envs, *gym.spec.obs_shape), gym.spec.obs_dtype)
        self._obs, stack = jnp.asarray(obs), gym.spec.stack
        newest_alone = stack > 1 and not learner.normalise and not isinstance(learner.agent.exploration, ParameterNoise)
        block = jax.eval_shape(learner.empty_block, self._obs)
        if newest_alone:
            *shape, channels = block.obs.shape
            block = block._replace(obs=jax.ShapeDtypeStruct((*shape, channels // stack), block.obs.dtype))
        self._block: Row = block
        self._interruption, self._updates, self._taken = Interruption(), 0, 0.0
        self.crew = Crew(config, behaviour, gym, seed, newest_alone, _bytes(block))
        self.notes = self.crew.notes

    def start(self, keys: Keys) -> None:
        """Once only."""
        state, _ = start_program(self._structure)(self._numbers, keys[0], self._obs)
        self._state: LearnerState = state
        self.crew.begin()

    def read(self) -> Learned:
        if self._interruption.left is not None:
            return Learned.of(self._interruption.left.learner)
        return stacked([Learned.of(self._state)])

    def snapshot(self, newest: int | None = None) -> ActorsSnapshot:
        if (left := self._interruption.left) is not None:
            return left._replace(learner=left.learner._replace(ring=cut(left.learner.ring, newest)))
        return ActorsSnapshot(saved([self._state], newest), np.array([self.crew.begun]))

    def _held(self) -> ActorsSnapshot:
        return self.snapshot(fewer(self._state.ring, self._interruption.unsaved()))

    def snapshot_shapes(self, keys: Keys) -> ActorsSnapshot:
        learner, _ = saved_shapes(self._structure, self._numbers, keys, self._obs[None])
        return ActorsSnapshot(learner, np.array([0]))

    def resume(self, snapshot: ActorsSnapshot, keys: Keys) -> list[str]:
        (self._state,) = restored(self._structure, self._numbers, snapshot.learner, keys, self._obs)
        self.crew.begin(int(snapshot.begun[0]))
        return []

    def stop_when(self, soon: Callable[[], bool], now: Callable[[], bool], unsaved: Callable[[], int | None]) -> None:
        self._interruption.soon, self._interruption.now, self._interruption.unsaved = soon, now, unsaved

    def lend(self) -> None:
        """Nothing can be lent: environments are in other processes."""

    def close(self) -> None:
        self.crew.close()

    def compile(self, *, longest: int, learning: bool) -> Program:
        state = self._state
        draw = _draw(self._structure, longest).lower(state.key, np.int32(0)).compile()
        learn = learn_program(self._structure, learning)
        compiled = learn.lower(
            state, self._numbers, self._block, draw.out_info, None, np.int32(0), np.int32(0)
        ).compile()
        return partial(self._chunk, draw, compiled, self.learner.updates if learning else 0, Pace(most=1))

    def _chunk(
        self, draw: Callable[..., Any], learn: Callable[..., Any], updates: int, pace: Pace, t0: np.int32, n: int
    ) -> Report:
        draws: UpdateRandomness = draw(self._state.key, t0)

        def iterate(i: int, count: int, held: bool) -> Callable[[], Report]:
            """Iteration t0 + i, and what reports it [1, S]; `count` is 1."""
            # A copy, since the learner consumes its own; it is there when the last iteration's updates are.
            policy, began = jax.tree.map(np.array, self._state.acting), perf_counter()
            try:
                taken, had = self.crew.take(policy, int(t0) + i, self._updates, self._interruption.now)
            except EnvironmentFailure as error:
                raise ChunkInterrupted(i, error, None) from error
            now = perf_counter()
            share, self._taken = (now - began) / (now - self._taken), now
            self._state, metrics = learn(self._state, self._numbers, taken.block, draws, None, t0, np.int32(i))
            if held:
                self._interruption.wait(partial(jax.block_until_ready, self._state))
            actors = ActorsReport(self._updates - had, share, self.crew.count_replaced())
            self._updates += updates
            report = _report(taken, metrics, actors)
            return lambda: report

        self._taken = perf_counter()
        return self._interruption.chunk(n, pace, self._held, iterate)


def _report(taken: Collected, metrics: Metrics | None, actors: ActorsReport) -> Report:
    """Of one iteration of one seed, leaves [1, 1]."""
    known = Metrics(*[np.nan] * len(Metrics._fields)) if metrics is None else metrics
    rewards = reward_range(taken.block)
    report = Report(known, taken.episode_return, taken.episodes, *rewards, taken.own, actors)
    return jax.tree.map(lambda x: np.asarray(x)[None, None], report)


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


@cache
def _draw(learner: Learner, longest: int) -> Wrapped:
    def draw(key: Key, t0: Int[Array, ""]) -> UpdateRandomness:
        """For a whole chunk."""
        return jax.vmap(lambda t: learner.randomness(key, t))(t0 + jnp.arange(longest))

    return jax.jit(draw)
