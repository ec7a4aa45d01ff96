"""The host driver: the same iterations with environments that Python steps, while the compiled learner learns.

for iteration in chunk
  learn     one dispatch per seed: store the block collected before, then U updates
  collect   meanwhile, K steps of S x N environments with beta, from the policy as it was before
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Wrapped

from ddpg.algorithm.nets import GreedyPolicy
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.goals import GoalReward
from ddpg.experience.relabel import HindsightRewards
from ddpg.experience.ring import cut, fewer
from ddpg.hyperparameters import split
from ddpg.training.collector import BehaviourPolicy
from ddpg.training.data_parallel import device_notes, place
from ddpg.training.driver import ChunkInterrupted, Learned, Lent, Program, Report, reward_range
from ddpg.training.interruption import Interruption, Pace, never
from ddpg.training.learner import Learner, LearnerState
from ddpg.training.learner_programs import (
    ask_program,
    learn_program,
    restored,
    saved,
    saved_shapes,
    stacked,
    start_program,
)
from ddpg.training.python_collector import CollectorSnapshot, PythonCollector, PythonVectorEnv
from ddpg.training.randomness import ActionRandomness, IterationRandomness
from ddpg.types import Key, Keys, Metrics, Row


class HostSnapshot(NamedTuple):
    """All that a host is at one moment, of every seed [S, ...]."""

    learner: LearnerState
    block: Row  # collected and not yet stored
    collector: CollectorSnapshot


class Host:
    """One learner per seed, and a collector for all of them.

    Every seed learns in a program of its own, the same for all, and seeds take turns on the devices: mapped over
    inside one program, each would copy its whole ring at every iteration. Episodes end with `numbers` of `info`. If
    goals are relabelled, `goal_reward` is asked for the rewards of all minibatches of an iteration before its updates.
    """

    def __init__(
        self,
        learner: Learner,
        behaviour: BehaviourPolicy,
        envs: PythonVectorEnv,
        numbers: int = 0,
        goal_reward: GoalReward | None = None,
    ) -> None:
        self.learner, self.collector = learner, PythonCollector(behaviour, envs, numbers)
        self._goal_reward = goal_reward
        self._structure, self._numbers = split(learner)
        self.notes = device_notes(learner.devices)
        self._behaviour, _ = split(behaviour)
        self._interruption = Interruption()

    def start(self, keys: Keys) -> None:
        """Once only: the environments have begun their first episode."""
        placed = place(self.learner.devices, list(keys))
        first = self.collector.first
        start = start_program(self._structure)
        started = [start(self._numbers, key, obs) for key, obs in zip(placed, first, strict=True)]
        self._states, self._blocks = [state for state, _ in started], [block for _, block in started]

    def read(self) -> Learned:
        if self._interruption.left is not None:
            return Learned.of(self._interruption.left.learner)
        return stacked([Learned.of(state) for state in self._states])

    def snapshot(self, newest: int | None = None) -> HostSnapshot:
        if (left := self._interruption.left) is not None:
            return left._replace(learner=left.learner._replace(ring=cut(left.learner.ring, newest)))
        return HostSnapshot(saved(self._states, newest), stacked(self._blocks), self.collector.snapshot())

    def _held(self) -> HostSnapshot:
        return self.snapshot(fewer(self._states[0].ring, self._interruption.unsaved()))

    def snapshot_shapes(self, keys: Keys) -> HostSnapshot:
        first = jnp.asarray(self.collector.first)
        learner, block = saved_shapes(self._structure, self._numbers, keys, first)
        collector = self.collector.snapshot()
        actions = collector.history.actions
        any_length = jax.ShapeDtypeStruct((-(2**31), *actions.shape[1:]), actions.dtype)
        collector = collector._replace(history=collector.history._replace(actions=any_length))
        return HostSnapshot(learner, block, collector)

    def resume(self, snapshot: HostSnapshot, keys: Keys) -> list[str]:
        first = jnp.asarray(self.collector.first[0])
        self._states = restored(self._structure, self._numbers, snapshot.learner, keys, first)
        truncated, notes = self.collector.resume(snapshot.collector), list[str]()
        self._blocks = [jax.tree.map(itemgetter(s), snapshot.block) for s in range(len(keys))]
        if truncated.any():
            self._truncate(truncated)
            self._assess_anew(truncated)
            which = ", ".join(str(env) for env in np.flatnonzero(truncated.ravel()))
            notes.append(f"environment {which} {self.collector.envs.why_cut}, so a new one begins")
        return notes

    def lend(self) -> Lent | None:
        """Its environments, if they are in this process; giving them back truncates their open episodes."""
        envs = self.collector.envs.lent()
        return Lent(envs, self._cut) if envs else None

    def _cut(self, count: int) -> None:
        """Truncate the open episodes of the first `count` environments, which others have used."""
        cut = self.collector.truncate(count)
        self._truncate(cut)
        self._assess_anew(cut)

    def _begin_anew(self) -> None:
        """New episodes for the policies that are to be assessed from here on."""
        fresh = [state.assessed is not None and bool(state.assessed.fresh) for state in self._states]
        if any(fresh):
            self._truncate(self.collector.begin_anew(np.array(fresh)))

    def _assess_anew(self, mask: np.ndarray) -> None:
        """Of the seeds whose episodes [s, n] were cut by others: these are no whole ones."""
        for s, state in enumerate(self._states):
            if state.assessed is not None and bool(state.assessed.begun) and mask[s].any():
                device = state.assessed.fresh.sharding
                fresh = jax.device_put(jnp.bool_(True), device)
                self._states[s] = state._replace(assessed=state.assessed._replace(fresh=fresh))

    def _truncate(self, mask: np.ndarray) -> None:
        """Episodes [s, n] end with the last row that was collected."""
        for s, block in enumerate(self._blocks):
            truncated = np.array(block.truncated)
            truncated[-1] |= mask[s]
            self._blocks[s] = block._replace(truncated=truncated)

    def stop_when(self, soon: Callable[[], bool], now: Callable[[], bool], unsaved: Callable[[], int | None]) -> None:
        self._interruption.soon, self._interruption.now, self._interruption.unsaved = soon, now, unsaved

    def close(self) -> None:
        self.collector.close()
        if self._goal_reward is not None:
            self._goal_reward.close()

    def compile(self, *, longest: int, learning: bool) -> Program:
        programs = []
        for state, block in list(zip(self._states, self._blocks, strict=True))[: jax.device_count()]:
            draw = _draw(self._structure, self._behaviour, longest).lower(state.key, np.int32(0)).compile()
            like = jax.tree.map(
                lambda x, sharding=state.key.sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
                draw.out_info.updates,
            )
            zero, ask, hindsight_rewards = np.int32(0), None, None
            if learning and self._goal_reward is not None:
                ask = ask_program(self._structure).lower(state, self._numbers, block, like, zero, zero).compile()
                hindsight_rewards = HindsightRewards(*self._goal_reward.like(ask.out_info[1].achieved.shape))
            learn = learn_program(self._structure, learning)
            learn = learn.lower(state, self._numbers, block, like, hindsight_rewards, zero, zero).compile()
            programs.append((draw, ask, learn))
        return partial(self._chunk, programs, Pace(most=1))

    def _chunk(self, programs: Sequence[tuple[Any, Any, Any]], pace: Pace, t0: np.int32, n: int) -> Report:
        programs = [programs[s % len(programs)] for s in range(len(self._states))]
        draws: list[IterationRandomness] = [
            draw(state.key, t0) for state, (draw, *_) in zip(self._states, programs, strict=True)
        ]
        actions: list[ActionRandomness] = [jax.tree.map(np.asarray, draw.actions) for draw in draws]

        def iterate(i: int, count: int, held: bool) -> Callable[[], Report]:
            """Iteration t0 + i, and what reports it [1, S]; `count` is 1."""
            self._begin_anew()
            # Calls return at once: XLA's threads learn, and begin these updates when the last ones are done.
            acting = [_copy(state.acting) for state in self._states]  # the learner consumes its own
            now, leave = [jax.tree.map(itemgetter(i), each) for each in actions], self._interruption.now
            try:
                hindsight_rewards = self._hindsight_rewards([ask for _, ask, _ in programs], draws, t0, np.int32(i))
                turns = [
                    learn(state, self._numbers, block, draw.updates, said, t0, np.int32(i))
                    for state, block, draw, said, (*_, learn) in zip(
                        self._states, self._blocks, draws, hindsight_rewards, programs, strict=True
                    )
                ]
                self._states = [state for state, _ in turns]
                policies = jax.tree.map(np.asarray, acting)  # there when the last iteration's updates are done
                block = self.collector.collect(policies, np.int32(t0 + i), now, leave if held else never)
            except EnvironmentFailure as error:
                raise ChunkInterrupted(i + 1, error, None) from error
            if held:
                self._interruption.wait(partial(jax.block_until_ready, turns))
            self._blocks = [jax.tree.map(itemgetter(s), block) for s in range(len(turns))]
            return self._report([each for _, each in turns], block)

        return self._interruption.chunk(n, pace, self._held, iterate)

    def _hindsight_rewards(
        self, asks: Sequence[Any], draws: Sequence[IterationRandomness], t0: np.int32, i: np.int32
    ) -> list[HindsightRewards | None]:
        """Of each seed what the environment says of the hindsight of its minibatches; their blocks are stored then."""
        if self._goal_reward is None or asks[0] is None:
            return [None] * len(asks)
        asked = [
            ask(state, self._numbers, block, draw.updates, t0, i)
            for ask, state, block, draw in zip(asks, self._states, self._blocks, draws, strict=True)
        ]
        self._states = [state for state, _ in asked]
        goals = [(np.asarray(hindsight.achieved), np.asarray(hindsight.goal)) for _, hindsight in asked]
        return [HindsightRewards(*self._goal_reward(*each)) for each in goals]

    def _report(self, metrics: Sequence[Metrics | None], block: Row) -> Callable[[], Report]:
        """What reports one iteration, leaves [1, S], whose updates may be under way."""
        unknown = Metrics(*[np.full(len(metrics), np.nan)] * len(Metrics._fields))
        episodes, rewards, own = self.collector.episodes(block), reward_range(block, (1, 2)), self.collector.own_means()

        def report() -> Report:
            known = unknown if metrics[0] is None else stacked(metrics)
            return jax.tree.map(lambda x: x[None], Report(known, *episodes, *rewards, own))

        return report


@jax.jit
def _copy(policy: GreedyPolicy) -> GreedyPolicy:
    return jax.tree.map(jnp.copy, policy)


@cache
def _draw(learner: Learner, behaviour: BehaviourPolicy, longest: int) -> Wrapped:
    def draw(key: Key, t0: Array) -> IterationRandomness:
        """For a whole chunk; no number matters."""
        return jax.vmap(lambda t: IterationRandomness(behaviour.randomness(key, t), learner.randomness(key, t)))(
            t0 + jnp.arange(longest)
        )

    return jax.jit(draw)
