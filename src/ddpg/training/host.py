"""The host driver: the same iterations with environments that Python steps, while the compiled learner learns.

for iteration in chunk
  learn     of every seed one dispatch: store the block collected before, then U updates
  collect   meanwhile, K steps of S x N environments with beta, from the policy as it was before
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import cycle
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Bool, Float

from ddpg.algorithm.networks import Actor
from ddpg.algorithm.normaliser import RunningStats
from ddpg.envs.gymnasium_edge import Misbehaved
from ddpg.envs.python_vector import History, StepResult
from ddpg.experience.replay import any_rows, refilled, trimmed
from ddpg.records.checkpoint import copied, restored
from ddpg.training.loop import IterationRandomness, Loop, Report, TrainState, UpdateRandomness, over_updates
from ddpg.types import AnyArray, Key, Keys, Metrics, Row


class SteppedEnvs(Protocol):
    """S x N environments with NEXT_STEP autoreset, in one array each."""

    def reset(self) -> np.ndarray: ...
    def step(self, action: Float[np.ndarray, "s n m"]) -> StepResult: ...
    def history(self) -> History: ...
    def recall(self, history: History, obs: np.ndarray, over: Bool[np.ndarray, "s n"]) -> StepResult: ...
    def close(self) -> None: ...


class ChunkInterrupted(Exception):
    """A chunk that ended early, after so many iterations: an environment misbehaved, or it was to stop (a report)."""

    def __init__(self, iterations: int, error: Misbehaved | None, report: Report | None) -> None:
        super().__init__(str(error))
        self.iterations, self.error, self.report = iterations, error, report


class HostEnvState(NamedTuple):
    """Where the environments stand: of every seed [n, ...]."""

    obs: np.ndarray
    boundary: np.ndarray
    noise: Sequence[np.ndarray] | np.ndarray
    start: np.ndarray


class Kept(NamedTuple):
    """All that a host is at one moment, of every seed [S, ...]."""

    carry: TrainState  # with the block not yet stored
    standing: HostEnvState
    running: np.ndarray  # returns of the episodes under way
    history: History


class Host:
    """A loop over `environments`, with the interface of Scan.

    Every seed learns in a program of its own, the same for all, and seeds take turns on the devices: mapped over
    inside one program, each would copy its whole ring at every iteration.
    """

    def __init__(self, loop: Loop, environments: SteppedEnvs) -> None:
        self.loop, self.environments = loop, environments
        self.stopped: Callable[[], bool] = lambda: False  # asked after every iteration
        self._first = environments.reset()

    def start(self, keys: Keys) -> None:
        """Before the first step. Once only: the environments have begun their first episode."""
        self._standing, self._running = self._begun(), np.zeros(self._first.shape[:2])
        placed = [jax.device_put(key, device) for key, device in zip(keys, cycle(jax.devices()), strict=False)]
        started = [_start(self.loop)(key, first) for key, first in zip(placed, self._first, strict=True)]
        self._carries, self._blocks = [carry for carry, _ in started], [block for _, block in started]

    def read(self) -> TrainState:
        """What is learned, of every seed [S, ...], in NumPy; no ring."""
        return stacked([carry._replace(ring=None, key=None) for carry in self._carries])

    def _begun(self) -> HostEnvState:
        obs = self._first
        none = np.zeros(obs.shape[:2], bool)
        noise = self.loop.agent.exploration.init_state(obs.shape[1], self.loop.vector.env.spec.action_dim)
        return HostEnvState(obs, none, np.stack([noise] * len(none)), ~none)

    def kept(self) -> Kept:
        """All that `resume` needs, in NumPy arrays that nothing changes any more."""
        rings = [trimmed(jax.tree.map(lambda x: np.asarray(x)[None], carry.ring)) for carry in self._carries]
        rest = [copied(carry._replace(ring=None)) for carry in self._carries]
        ring = jax.tree.map(lambda *leaves: np.concatenate(leaves), *rings)
        carry = stacked(rest)._replace(ring=ring, block=stacked(self._blocks))
        standing = copied(self._standing._replace(noise=np.stack(list(self._standing.noise))))
        return Kept(carry, standing, self._running.copy(), self.environments.history())

    def like(self, keys: Keys) -> Kept:
        """The shapes of what `kept` answers, -n where a length is at most n."""
        carry, block = jax.eval_shape(jax.vmap(_start(self.loop)), keys, jnp.asarray(self._first))
        history = self.environments.history()
        actions = jax.ShapeDtypeStruct((-(2**31), *history.actions.shape[1:]), history.actions.dtype)
        running = np.zeros(self._first.shape[:2])
        carry = carry._replace(ring=any_rows(carry.ring), block=block)
        return Kept(carry, self._begun(), running, history._replace(actions=actions))

    def resume(self, kept: Kept, keys: Keys) -> list[str]:
        """Where `kept` was taken; and what could not be restored, each in one line.

        ValueError if it is not of this loop; Misbehaved if an environment is while its episode is played again.
        """
        like, _ = jax.eval_shape(_start(self.loop), keys[0], jnp.asarray(self._first[0]))
        ring = refilled(kept.carry.ring, like.ring)
        carry = restored(kept.carry._replace(ring=ring, block=None), like)
        each = [jax.tree.map(itemgetter(s), carry) for s in range(len(keys))]
        self._carries = [jax.device_put(*both) for both in zip(each, cycle(jax.devices()), strict=False)]
        self._running = kept.running.copy()
        standing, block, said = kept.standing, kept.carry.block, list[str]()
        assert block is not None
        now = self.environments.recall(kept.history, standing.obs, standing.boundary)
        cut = (now.terminated | now.truncated) & ~standing.boundary
        if cut.any():
            # What is learned from stays what was seen: the step before is the episode's last, at a time limit.
            standing = standing._replace(boundary=standing.boundary | cut)
            truncated = block.truncated.copy()
            truncated[:, -1] |= cut
            block = block._replace(truncated=truncated)
            self._running[cut] = 0
            where = ", ".join(str(env) for env in np.flatnonzero(cut.ravel()))
            said.append(
                f"environment {where} is not deterministic: its open episode came out differently, so a new one begins"
            )
        self._standing = standing
        self._blocks = [jax.tree.map(itemgetter(s), block) for s in range(len(keys))]
        return said

    def close(self) -> None:
        """Close the environments."""
        self.environments.close()

    def compile(self, *, iterations: int, learning: bool) -> Callable[[np.int32], Report]:
        """t0 -> reports of so many iterations from t0 on, leaves [iterations, S]: one chunk of every seed.

        Broken if an environment is.
        """
        programs = []
        for one, block in list(zip(self._carries, self._blocks, strict=True))[: jax.device_count()]:
            draw = _draw(self.loop, iterations).lower(one.key, np.int32(0)).compile()
            like = jax.tree.map(
                lambda x, sharding=one.key.sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
                draw.out_info.lots,
            )
            programs.append(
                (draw, _learn(self.loop, learning).lower(one, block, like, np.int32(0), np.int32(0)).compile())
            )
        return partial(self._turn, programs, iterations)

    def _turn(self, programs: Sequence[tuple[Any, Any]], iterations: int, t0: np.int32) -> Report:
        programs = [programs[s % len(programs)] for s in range(len(self._carries))]
        draws: list[IterationRandomness] = [
            draw(carry.key, t0) for carry, (draw, _) in zip(self._carries, programs, strict=True)
        ]
        white, uniform = (np.stack(arrays) for arrays in zip(*((d.white, d.uniform) for d in draws), strict=True))
        said, blocks = list[Sequence[Metrics | None]](), list[Row]()
        for i in range(iterations):
            # A copy, since the learner consumes its own. Calls return at once: it learns in threads of XLA.
            policies = [jax.tree.map(np.array, (carry.behaviour, carry.stats)) for carry in self._carries]
            turns = [
                learn(carry, block, draw.lots, t0, np.int32(i))
                for carry, block, draw, (_, learn) in zip(self._carries, self._blocks, draws, programs, strict=True)
            ]
            self._carries = [carry for carry, _ in turns]
            said.append([metrics for _, metrics in turns])
            try:
                block = self.collect(policies, np.int32(t0 + i), white[:, i], uniform[:, i])
            except Misbehaved as error:
                raise ChunkInterrupted(i + 1, error, None) from error
            self._blocks = [jax.tree.map(itemgetter(s), block) for s in range(len(turns))]
            blocks.append(block)
            if self.stopped() and i + 1 < iterations:
                raise ChunkInterrupted(i + 1, None, self._report(said, blocks))
        return self._report(said, blocks)

    def collect(
        self, policies: Sequence[tuple[Actor, RunningStats | None]], t: np.int32, white: np.ndarray, uniform: np.ndarray
    ) -> Row:
        """One block of steps [s, k, n, ...]."""
        spec, (seeds, k, n, m) = self.loop.vector.env.spec, white.shape
        block = Row(
            np.empty((seeds, k, n, *spec.obs_shape), spec.obs_dtype),
            np.empty((seeds, k, n, m), np.float32),
            np.empty((seeds, k, n), np.float32),
            *(np.empty((seeds, k, n), bool) for _ in range(3)),
        )
        obs, boundary, noise, start = self._standing
        for i in range(k):
            acts = [
                self.loop.select_action(
                    *policies[s], obs[s], noise[s], start[s], t, np.int32(i), white[s, i], uniform[s, i]
                )
                for s in range(seeds)
            ]
            action, noise = np.array([action for action, _ in acts]), [noise for _, noise in acts]
            after, reward, terminated, truncated = self.environments.step(action)
            for column, value in zip(block, (obs, action, reward, terminated, truncated, boundary), strict=True):
                column[:, i] = value
            obs, start, boundary = after, boundary, terminated | truncated
            self._standing = HostEnvState(obs, boundary, noise, start)
        return block

    def _report(self, said: Sequence[Sequence[Metrics | None]], blocks: Sequence[Row]) -> Report:
        """What every iteration says of every seed: leaves [iterations, s]."""
        unknown = Metrics(*[np.full(len(self._carries), np.nan)] * len(Metrics._fields))
        metrics = [unknown if turn[0] is None else stacked(turn) for turn in said]
        episodes = [self._episodes(block.reward, block.terminated | block.truncated) for block in blocks]
        returns, counts = (np.array(each) for each in zip(*episodes, strict=True))
        largest = np.array([np.abs(block.reward).max(axis=(1, 2)) for block in blocks])
        return Report(stacked(metrics), returns, counts, largest)

    def _episodes(self, reward: AnyArray, ended: AnyArray) -> tuple[np.ndarray, np.ndarray]:
        """Mean return, and number, of the episodes that ended in a block [s, k, n] of each seed."""
        finished = np.zeros(len(reward))
        begun = np.zeros((len(reward), reward.shape[2]), int)  # the first step of the episode under way
        for seed, i, env in np.argwhere(ended):
            finished[seed] += self._running[seed, env] + reward[seed, begun[seed, env] : i + 1, env].sum(dtype=float)
            self._running[seed, env], begun[seed, env] = 0, i + 1
        for seed, env in np.ndindex(begun.shape):
            self._running[seed, env] += reward[seed, begun[seed, env] :, env].sum(dtype=float)
        episodes = ended.sum(axis=(1, 2))
        with np.errstate(invalid="ignore"):
            return finished / episodes, episodes


def stacked(trees: Sequence[Any]) -> Any:
    """Trees of the same structure as one, their leaves one on top of the other."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


@cache
def _start(loop: Loop) -> Callable[..., tuple[TrainState, Row]]:
    def start(key: Key, obs: Array) -> tuple[TrainState, Row]:
        agent_key, _ = jax.random.split(jax.random.fold_in(key, 2**32 - 1))
        block = loop.nothing(obs)
        return loop.learner(agent_key, block)._replace(key=key), block

    return jax.jit(start)


@cache
def _draw(loop: Loop, iterations: int) -> Wrapped:
    return jax.jit(lambda key, t0: jax.vmap(partial(loop.draw, key))(t0 + jnp.arange(iterations)))


@cache
def _learn(loop: Loop, learning: bool) -> Wrapped:
    def learn(
        carry: TrainState, block: Row, lots: UpdateRandomness, t0: Array, i: Array
    ) -> tuple[TrainState, Metrics | None]:
        """Iteration t0 + i, with the i-th of the `lots` of a chunk."""
        carry, metrics = loop.learn(carry, block, t0 + i, jax.tree.map(itemgetter(i), lots), learning)
        return carry, None if metrics is None else over_updates(metrics)

    return jax.jit(learn, donate_argnums=0)
