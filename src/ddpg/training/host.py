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
from jaxtyping import Float

from ddpg.algorithm.nets import Actor
from ddpg.algorithm.normaliser import Stats
from ddpg.envs.gym import Misbehaved, Outcome
from ddpg.training.loop import Carry, Draws, Loop, Report
from ddpg.types import Key, Keys, Metrics, Row


class Stepped(Protocol):
    """S x N environments with NEXT_STEP autoreset, in one array each."""

    def reset(self) -> np.ndarray: ...
    def step(self, action: Float[np.ndarray, "s n m"]) -> Outcome: ...


class Broken(Exception):
    """A chunk that ended early, after so many iterations: an environment misbehaved, or it was to stop (a report)."""

    def __init__(self, carry: Carry, iterations: int, error: Misbehaved | None, report: Report | None) -> None:
        super().__init__(str(error))
        self.carry, self.iterations, self.error, self.report = carry, iterations, error, report


class Standing(NamedTuple):
    """Where the environments stand: of every seed [n, ...]."""

    obs: np.ndarray
    boundary: np.ndarray
    noise: Sequence[np.ndarray] | np.ndarray
    start: np.ndarray


class Host:
    """A loop over `environments`, with the interface of Loop.

    Every seed learns in a program of its own, the same for all, and seeds take turns on the devices: mapped over
    inside one program, each would copy its whole ring at every iteration. What `start` and a program answer is for
    reading: the networks of every seed [K, ...], no ring.
    """

    def __init__(self, loop: Loop, environments: Stepped) -> None:
        self.loop, self.environments = loop, environments
        self.stopped: Callable[[], bool] = lambda: False  # asked after every iteration
        self._first = environments.reset()

    def start(self, keys: Keys) -> Carry:
        """The state before the first step. Once only: the environments have begun their first episode."""
        obs = self._first
        spec, (seeds, n) = self.loop.vector.env.spec, obs.shape[:2]
        none = np.zeros((seeds, n), bool)
        self._standing = Standing(obs, none, np.zeros((seeds, n, spec.action_dim), np.float32), ~none)
        self._running = np.zeros((seeds, n))
        placed = [jax.device_put(key, device) for key, device in zip(keys, cycle(jax.devices()), strict=False)]
        started = [_start(self.loop)(key, first) for key, first in zip(placed, obs, strict=True)]
        self._carries, self._blocks = [carry for carry, _ in started], [block for _, block in started]
        return self._read()

    def compile(self, carry: Carry, *, iterations: int, learning: bool) -> Callable[..., tuple[Carry, Report]]:
        """(carry, t0) -> (carry, report), as the loop's own; the carry given is not read. Broken if an env is."""
        programs = []
        for one, block in list(zip(self._carries, self._blocks, strict=True))[: jax.device_count()]:
            draw = _draw(self.loop, iterations).lower(one.key, np.int32(0)).compile()
            bits = draw.out_info.bits
            like = jax.ShapeDtypeStruct(bits.shape, bits.dtype, sharding=one.key.sharding)
            programs.append((draw, _learn(self.loop, learning).lower(one, block, like, np.int32(0)).compile()))
        return partial(self._turn, programs, iterations)

    def _turn(
        self, programs: Sequence[tuple[Any, Any]], iterations: int, carry: Carry, t0: np.int32
    ) -> tuple[Carry, Report]:
        programs = [programs[s % len(programs)] for s in range(len(self._carries))]
        draws: list[Draws] = [draw(carry.key, t0) for carry, (draw, _) in zip(self._carries, programs, strict=True)]
        white, uniform = (np.stack(arrays) for arrays in zip(*((d.white, d.uniform) for d in draws), strict=True))
        said, blocks = list[Sequence[Metrics | None]](), list[Row]()
        for i in range(iterations):
            # A copy, since the learner consumes its own. Calls return at once: it learns in threads of XLA.
            policies = [jax.tree.map(np.array, (carry.agent.online.actor, carry.stats)) for carry in self._carries]
            turns = [
                learn(carry, block, draw.bits, np.int32(i))
                for carry, block, draw, (_, learn) in zip(self._carries, self._blocks, draws, programs, strict=True)
            ]
            self._carries = [carry for carry, _ in turns]
            said.append([metrics for _, metrics in turns])
            try:
                block = self.collect(policies, np.int32(t0 + i), white[:, i], uniform[:, i])
            except Misbehaved as error:
                raise Broken(self._read(), i + 1, error, None) from error
            self._blocks = [jax.tree.map(itemgetter(s), block) for s in range(len(turns))]
            blocks.append(block)
            if self.stopped() and i + 1 < iterations:
                raise Broken(self._read(), i + 1, None, self._report(said, blocks))
        return self._read(), self._report(said, blocks)

    def collect(
        self, policies: Sequence[tuple[Actor, Stats | None]], t: np.int32, white: np.ndarray, uniform: np.ndarray
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
                self.loop.behave(*policies[s], obs[s], noise[s], start[s], t, np.int32(i), white[s, i], uniform[s, i])
                for s in range(seeds)
            ]
            action, noise = np.array([action for action, _ in acts]), [noise for _, noise in acts]
            after, reward, terminated, truncated = self.environments.step(action)
            for column, value in zip(block, (obs, action, reward, terminated, truncated, boundary), strict=True):
                column[:, i] = value
            obs, start, boundary = after, boundary, terminated | truncated
            self._standing = Standing(obs, boundary, noise, start)
        return block

    def _read(self) -> Carry:
        carries = [carry._replace(ring=None, key=None) for carry in self._carries]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *carries)

    def _report(self, said: Sequence[Sequence[Metrics | None]], blocks: Sequence[Row]) -> Report:
        """What a chunk says of every seed: leaves [s]."""
        reward, ended = (
            np.concatenate(arrays, axis=1)
            for arrays in zip(*((b.reward, b.terminated | b.truncated) for b in blocks), strict=True)
        )  # [s, steps, n]
        finished = np.zeros(len(reward))
        begun = np.zeros((len(reward), reward.shape[2]), int)  # the first step of the episode under way
        for seed, i, env in np.argwhere(ended):
            finished[seed] += self._running[seed, env] + reward[seed, begun[seed, env] : i + 1, env].sum()
            self._running[seed, env], begun[seed, env] = 0, i + 1
        for seed, env in np.ndindex(begun.shape):
            self._running[seed, env] += reward[seed, begun[seed, env] :, env].sum()
        episodes = ended.sum(axis=(1, 2))
        with np.errstate(invalid="ignore"):
            returns = finished / episodes
        if said[0][0] is None:
            metrics = Metrics(*[np.full(len(reward), np.nan)] * len(Metrics._fields))
        else:
            of_seed = [jax.tree.map(lambda *x: np.mean(x), *each) for each in zip(*said, strict=True)]
            metrics = jax.tree.map(lambda *x: np.stack(x), *of_seed)
        return Report(metrics, returns, episodes, np.abs(reward).max(axis=(1, 2)))


@cache
def _start(loop: Loop) -> Callable[..., tuple[Carry, Row]]:
    def start(key: Key, obs: Array) -> tuple[Carry, Row]:
        agent_key, _ = jax.random.split(jax.random.fold_in(key, 2**32 - 1))
        block = loop.nothing(obs)
        return loop.learner(agent_key, block)._replace(key=key), block

    return jax.jit(start)


@cache
def _draw(loop: Loop, iterations: int) -> Wrapped:
    return jax.jit(lambda key, t0: jax.vmap(partial(loop.draw, key))(t0 + jnp.arange(iterations)))


@cache
def _learn(loop: Loop, learning: bool) -> Wrapped:
    def learn(carry: Carry, block: Row, bits: Array, i: Array) -> tuple[Carry, Metrics | None]:
        carry, metrics = loop.learn(carry, block, bits[i], learning)
        return carry, jax.tree.map(jnp.mean, metrics)

    return jax.jit(learn, donate_argnums=0)
