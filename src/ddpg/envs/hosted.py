"""S x N environments that Python steps, in this process or in one each, in one array of everything."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from threading import Thread
from time import sleep
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium import logger
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import _async_worker
from jaxtyping import Bool, Float

from ddpg.envs.gym import Edge, Gym, Misbehaved, Past, episode_seed

NOTHING = np.empty(0)
PATIENCE = 5.0  # seconds that a worker process which hung up, or lost its parent, has to be dead
KEPT = 1_000  # steps after which what is over is forgotten


class Outcome(NamedTuple):
    """What S x N environments answer to one step."""

    obs: np.ndarray  # [s, n, *obs]
    reward: Float[np.ndarray, "s n"]
    terminated: Bool[np.ndarray, "s n"]
    truncated: Bool[np.ndarray, "s n"]


class History(NamedTuple):
    """What brings S x N environments back to where they stood: their episodes under way, step by step."""

    episodes: np.ndarray  # [s * n], begun
    steps: np.ndarray  # [s * n], of each environment
    lengths: np.ndarray  # [s * n], actions since the last reset
    actions: np.ndarray  # [sum of lengths, m], one environment after the other


class Hosted:
    """N environments for each of S seeds, stepped by Python, with NEXT_STEP autoreset.

    Every episode starts from a seed made of (run seed, index of the environment, number of the episode), so that
    what seed i meets does not depend on who else is there. `mode` "sync" steps them one after the other here,
    "async" gives each a process of its own.
    """

    def __init__(self, gym: Gym, seeds: Sequence[int], n: int, mode: Literal["sync", "async"] = "sync") -> None:
        self._shape = len(seeds), n
        makers = [
            partial(gym.one, i + n * s, partial(episode_seed, seed, i))
            for s, seed in enumerate(seeds)
            for i in range(n)
        ]
        self._all = InProcess(makers) if mode == "sync" else Processes(makers)
        count, m = len(makers), gym.spec.action_dim
        self._repeat, self._taken = gym.repeat, list[tuple[np.ndarray, np.ndarray, np.ndarray]]()
        self._over = np.zeros(count, bool)
        self._episodes, self._steps = np.ones(count, np.int64), np.zeros(count, np.int64)
        self._open = [[np.zeros((0, m), np.float32)] for _ in range(count)]

    def reset(self) -> np.ndarray:
        """The first observations [s, n, *obs]. Once only: the episodes that began are never left before their ends."""
        return self._split(self._all.reset())

    def step(self, action: Float[np.ndarray, "s n m"]) -> Outcome:
        """`action` is kept for a while, and must not be changed."""
        flat = action.reshape(-1, action.shape[-1])
        obs, reward, terminated, truncated = self._all.step(flat)
        self._taken.append((flat, terminated, truncated))
        if len(self._taken) >= KEPT:
            self._sort()
        return Outcome(*map(self._split, (obs, reward, terminated, truncated)))

    def history(self) -> History:
        """How to come here again."""
        self._sort()
        actions = [np.concatenate(chunks) for chunks in self._open]
        lengths = np.array([len(each) for each in actions], np.int64)
        return History(self._episodes.copy(), self._steps.copy(), lengths, np.concatenate(actions))

    def recall(self, history: History, obs: np.ndarray, over: Bool[np.ndarray, "s n"]) -> Outcome:
        """Play the open episodes of `history` again, up to where `obs` was seen.

        An episode that then comes out differently, since the environment is not deterministic, is cut: it is truncated
        where it had not been `over`. Misbehaved if an environment is, ValueError if this is no history.
        """
        lengths = history.lengths
        if (lengths < 0).any() or lengths.sum() != len(history.actions) or (history.episodes < 1).any():
            raise ValueError(f"{len(history.actions)} actions in episodes of {lengths.tolist()} steps")
        actions = np.split(history.actions, np.cumsum(history.lengths)[:-1])
        flat_obs, flat_over = obs.reshape(-1, *obs.shape[2:]), over.ravel()
        said = zip(
            history.episodes.tolist(), history.steps.tolist(), actions, flat_obs, flat_over.tolist(), strict=True
        )
        self._all.set_past([Past(*each) for each in said])
        self._all.reset()
        answer = self._all.step(np.zeros((len(flat_over), history.actions.shape[1]), np.float32))
        self._over = answer[2] | answer[3]
        self._taken.clear()
        self._episodes, self._steps = history.episodes.copy(), history.steps.copy()
        self._open = [[each] for each in actions]
        return Outcome(*map(self._split, answer))

    def _sort(self) -> None:
        """Forget what was done in episodes that are over."""
        if not self._taken:
            return
        actions = np.stack([flat for flat, _, _ in self._taken])
        over = np.stack([terminated | truncated for _, terminated, truncated in self._taken])
        reset = np.concatenate([self._over[None], over[:-1]])  # the step after an end
        for i, chunks in enumerate(self._open):
            resets = np.flatnonzero(reset[:, i])
            if len(resets):
                chunks.clear()
            chunks.append(actions[resets[-1] + 1 if len(resets) else 0 :, i])
        self._episodes += reset.sum(axis=0)
        self._steps += self._repeat * (len(reset) - reset.sum(axis=0))
        self._over = over[-1]
        self._taken.clear()

    def close(self) -> None:
        self._all.close()

    def _split(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(*self._shape, *array.shape[1:])


class InProcess:
    """Environments one after the other; Gymnasium's own copies and stacks, which costs what a small one's step does."""

    def __init__(self, makers: Sequence[Callable[[], Edge]]) -> None:
        self._envs = [maker() for maker in makers]
        self._ended = [True] * len(makers)

    def set_past(self, past: Sequence[Past]) -> None:
        for env, each in zip(self._envs, past, strict=True):
            env.past = each

    def reset(self) -> np.ndarray:
        self._ended = [False] * len(self._envs)
        return np.stack([env.reset()[0] for env in self._envs])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        count = len(self._envs)
        obs: list[np.ndarray] = [NOTHING] * count
        reward, ends = np.zeros(count, np.float32), np.zeros((2, count), bool)
        for i, env in enumerate(self._envs):
            if self._ended[i]:
                obs[i], _ = env.reset()
                self._ended[i] = False
            else:
                obs[i], reward[i], terminated, truncated, _ = env.step(action[i])
                if terminated or truncated:
                    ends[:, i] = terminated, truncated
                    self._ended[i] = True
        return np.array(obs), reward, ends[0], ends[1]

    def close(self) -> None:
        for env in self._envs:
            with suppress(Exception):  # what misbehaved may do so once more
                env.close()


class Processes:
    """Environments in worker processes, by Gymnasium."""

    def __init__(self, makers: Sequence[Callable[[], Edge]]) -> None:
        self._level, self._steps = logger.min_level, 0
        logger.min_level = logger.ERROR + 1  # it reports what a worker raised, in many lines, and we in one
        # A process forked from this one, where JAX has threads, could wait for a lock for ever.
        multiprocessing.set_forkserver_preload([__name__])
        try:
            self._all = AsyncVectorEnv(
                makers,
                context="spawn" if sys.platform == "win32" else "forkserver",
                worker=_worker,
                autoreset_mode=AutoresetMode.NEXT_STEP,
            )
        except (EOFError, ConnectionError, BrokenPipeError):
            logger.min_level = self._level
            raise Misbehaved(
                "a worker process did not start; a script that trains with collect.vector async needs "
                '`if __name__ == "__main__":`, and what the worker itself said is above'
            ) from None
        except BaseException:
            logger.min_level = self._level
            raise

    def set_past(self, past: Sequence[Past]) -> None:
        self._steps = max(each.steps for each in past)
        self._guarded(partial(self._all.set_attr, "past", list(past)))

    def reset(self) -> np.ndarray:
        return self._guarded(self._all.reset)[0]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        self._steps += 1
        obs, reward, terminated, truncated, _ = self._guarded(partial(self._all.step, action))
        return obs, reward.astype(np.float32), terminated, truncated

    def close(self) -> None:
        # When one has died Gymnasium leaves the others alone, and tries again, loudly, when it is collected.
        for process in self._all.processes:
            process.kill()
        with suppress(Exception):
            self._all.close(terminate=True)
        for process in self._all.processes:
            process.join()
        self._all.closed = True
        logger.min_level = self._level

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (EOFError, ConnectionError):
            wait([process.sentinel for process in self._all.processes], PATIENCE)
            dead = [(i, process.exitcode) for i, process in enumerate(self._all.processes) if not process.is_alive()]
            who, status = (f"environment {dead[0][0]}", dead[0][1]) if dead else ("an environment", "unknown")
            raise Misbehaved(f"{who} at step {self._steps}: its worker process died (exit status {status})") from None


def _worker(*args: Any) -> None:
    """Gymnasium's, until its parent is gone; what a terminal or `timeout` sends to all is for the one that saves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        # What the environment itself starts would inherit that they are ignored, and could not be ended by it.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
            signal.siginterrupt(number, False)
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):  # of the pipe to the parent: what is the environment's it sends there
        _async_worker(*args)


def _end_with_parent() -> None:
    """Whatever the environment does: one that hangs would stay for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    sleep(PATIENCE)  # in which it may be closed
    os._exit(1)
