"""Environments in worker processes, which end with their parent."""

import multiprocessing.pool
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from threading import Thread
from time import sleep
from typing import Any

import numpy as np
from gymnasium import logger
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import _async_worker

from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.gymnasium_edge import OWN, CheckedEnv, EpisodeHistory
from ddpg.mistake import Mistake
from ddpg.terminal import reason

RemoteTraceback: Any = vars(multiprocessing.pool)["RemoteTraceback"]  # the standard library's, which shows a worker's
PATIENCE = 5.0  # seconds a worker process has to end after it hung up or lost its parent


class Processes:
    """Environments in worker processes, by Gymnasium."""

    def __init__(self, makers: Sequence[Callable[[], CheckedEnv]]) -> None:
        self._level, self._steps = logger.min_level, 0
        logger.min_level = logger.ERROR + 1  # it reports a worker's exception in many lines, we in one
        # A fork of this process, in which JAX has threads, could wait for a lock for ever.
        multiprocessing.set_forkserver_preload([__name__])
        try:
            self._all = AsyncVectorEnv(
                makers,
                context="spawn" if sys.platform == "win32" else "forkserver",
                worker=_worker,
                autoreset_mode=AutoresetMode.NEXT_STEP,
            )
        except BaseException as error:
            logger.min_level = self._level
            if isinstance(error, EnvironmentFailure):
                own = _own(error)
                raise own from own.__cause__
            if isinstance(error, EOFError | ConnectionError):
                raise EnvironmentFailure(
                    "a worker process did not start; a script that trains with collect.vector async needs "
                    '`if __name__ == "__main__":`, and its own message is above'
                ) from None
            if isinstance(error, OSError):  # too many processes or files, or no shared memory
                why = f"worker processes cannot start ({reason(error)}); they need /dev/shm, and files and processes"
                raise Mistake(f"{why}: use --collect.vector sync, or fewer environments") from error
            if multiprocessing.current_process().daemon:  # an AssertionError, in words of its own
                raise Mistake(
                    "worker processes cannot start: this one is a daemon, as those of a Pool, which may have no "
                    "children; use --collect.vector sync, or a ProcessPoolExecutor"
                ) from error
            raise

    def set_histories(self, histories: Sequence[EpisodeHistory]) -> None:
        self._steps = max(each.steps for each in histories)
        self._guarded(partial(self._all.set_attr, "history", list(histories)))

    def reset(self) -> np.ndarray:
        return self._guarded(self._all.reset)[0]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        self._steps += 1
        obs, reward, terminated, truncated, info = self._guarded(partial(self._all.step, action))
        own = np.where(info[f"_{OWN}"][:, None], info[OWN], np.nan) if OWN in info else None
        return obs, reward.astype(np.float32), terminated, truncated, own

    def close(self) -> None:
        # If one has died, Gymnasium leaves the others running, and complains when it is garbage-collected.
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
        except EnvironmentFailure as error:
            own = _own(error)
            raise own from own.__cause__
        except (EOFError, ConnectionError):
            wait([process.sentinel for process in self._all.processes], PATIENCE)
            dead = [(i, process.exitcode) for i, process in enumerate(self._all.processes) if not process.is_alive()]
            who, status = (f"environment {dead[0][0]}", dead[0][1]) if dead else ("an environment", "unknown")
            raise EnvironmentFailure(
                f"{who} at step {self._steps}: its worker process died (exit status {status})"
            ) from None


def _own(error: EnvironmentFailure) -> EnvironmentFailure:
    """The error of a worker as it was there, its traceback in place of its cause; another one as it is."""
    if not isinstance(error.args[0], EnvironmentFailure):
        return error
    message, trace = error.args[0].args
    own = EnvironmentFailure(message)
    own.__cause__ = RemoteTraceback(trace)
    return own


def _worker(*args: Any) -> None:
    """Gymnasium's worker, until its parent has gone; it ignores signals sent to the whole group: the parent saves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        # Not SIG_IGN: processes that the environment starts would inherit it, and could not be ended.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
            signal.siginterrupt(number, False)
    Thread(target=_end_with_parent, daemon=True).start()
    index, make, pipe, parent_pipe, shared, errors, *more = args
    with suppress(EOFError, ConnectionError):  # of the pipe
        try:
            env = make()
        except EnvironmentFailure as error:  # Gymnasium's worker would die of it
            pipe.recv()
            _Errors(errors).put((index, EnvironmentFailure, error, traceback.format_exc()))
            pipe.send((None, False))
        else:
            queue: Any = _Errors(errors)
            _async_worker(index, lambda: env, pipe, parent_pipe, shared, queue, *more)


class _Errors:
    """Gymnasium's queue of errors, which here brings tracebacks too: to its log goes nothing."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def put(self, item: tuple[int, type[BaseException], BaseException, str]) -> None:
        index, kind, error, trace = item
        if isinstance(error, EnvironmentFailure):
            error = EnvironmentFailure(str(error), f"\n{trace}")
        self._queue.put((index, kind, error, trace))


def _end_with_parent() -> None:
    """End with the parent, even if the environment hangs."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    sleep(PATIENCE)  # time to be closed
    os._exit(1)
