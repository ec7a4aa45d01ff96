"""Who trains the trials of a sweep: this process, one after the other, or processes in a Ray cluster, side by side."""

import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

from ddpg.mistake import Mistake
from ddpg.sweeps.trial import Outcome, Task, run_trial
from ddpg.terminal import one_line
from ddpg.training.devices import configure_jax
from ddpg.training.interruption import POLL
from ddpg.training.ray_cluster import THREADS, Cluster
from ddpg.training.signals import interruptible

RETRIES = 3  # after a process or its machine has died
SAVED = 30.0  # seconds in which trials under way may write their last checkpoints after a signal


@dataclass(frozen=True)
class Ended:
    """A trial that has ended, by its place in the sweep."""

    index: int
    outcome: Outcome
    seconds: float


class Workers(Protocol):
    """Those who train trials, as many at once as they were made for."""

    def begin(self, index: int, task: Task) -> None:
        """Train it as soon as one is free."""

    def take(self) -> Ended | int:
        """Wait for the next trial that ends, or for a signal that asks all of them to end.

        Raises Mistake if the options of a trial do not go together, or it cannot be trained.
        """
        ...

    def close(self) -> None:
        """End what is under way, at once."""


class Here:
    """This process, one trial after the other; `train` is another way of training, for tests."""

    def __init__(self, train: Callable[[Task], Outcome] = run_trial) -> None:
        self._train, self._waiting = train, deque[tuple[int, Task]]()

    def begin(self, index: int, task: Task) -> None:
        self._waiting.append((index, task))

    def take(self) -> Ended | int:
        index, task = self._waiting.popleft()
        outcome, seconds = _timed(self._train, task)
        return outcome.signal or Ended(index, outcome, seconds)

    def close(self) -> None:
        pass


class OnRay:
    """So many processes in the Ray cluster at `address`, each with one thread, and a share of the GPUs if there are.

    All machines must see the sweep's folder, where trials are trained: then a trial whose process dies goes on from
    its last checkpoint in another one. Raises Mistake if Ray is missing, or no cluster answers.
    """

    def __init__(self, number: int, address: str | None = None, train: Callable[[Task], Outcome] = run_trial) -> None:
        self._number = number
        self._waiting, self._running = deque[tuple[int, Task]](), dict[Any, int]()
        self._cluster = Cluster(address, number, asked=f"--jobs {number}", named="--ray-address", gpus=True)
        import ray
        from ray import exceptions

        self._ray, self._errors = ray, exceptions
        gpus = int(ray.cluster_resources().get("GPU", 0))
        threads = THREADS | {"NPROC": "1"}  # which XLA reads
        if gpus:
            del threads["JAX_PLATFORMS"]
            threads["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # others may be on the same GPU
        options = {"num_cpus": 1, "num_gpus": 1 / ceil(number / gpus) if gpus else 0, "max_retries": RETRIES}
        remote: Any = ray.remote(_on_a_shared_disk)
        self._train = remote.options(**options, runtime_env={"env_vars": threads})
        self._how = train

    def begin(self, index: int, task: Task) -> None:
        self._waiting.append((index, task))
        self._fill()

    def take(self) -> Ended | int:
        with interruptible() as signal:
            while not (done := self._wait(1, POLL)):
                if number := signal():
                    self._save()
                    return number
        index = self._running.pop(done[0])
        self._fill()
        try:
            return Ended(index, *self._ray.get(done[0]))
        except self._errors.RayTaskError as error:  # raised by what it ran, not by its end
            if isinstance(error.cause, OSError):
                raise Mistake(f"trial {index}: {one_line(error.cause)}") from error
            raise error.cause from None
        except self._errors.RayError as error:
            why = one_line(error) or type(error).__name__
            raise Mistake(
                f"trial {index}: its process died {RETRIES + 1} times ({why}); run it with --jobs 1 and another -o"
            ) from None

    def close(self) -> None:
        for task in self._running:
            self._ray.cancel(task, force=True)  # in a cluster that goes on without this process
        self._cluster.close()

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._number:
            index, task = self._waiting.popleft()
            self._running[self._train.remote(self._how, task)] = index

    def _wait(self, number: int, seconds: float) -> list[Any]:
        done, _ = self._ray.wait(list(self._running), num_returns=number, timeout=seconds)
        return done

    def _save(self) -> None:
        """Ask all trials under way to end, which they do behind a checkpoint, as after a Ctrl-C."""
        for task in self._running:
            self._ray.cancel(task)
        self._wait(len(self._running), SAVED)


def _on_a_shared_disk(train: Callable[[Task], Outcome], task: Task) -> tuple[Outcome, float]:
    """A trial, in a process on any machine."""
    configure_jax(1, 0.0)  # so that several seeds share the one CPU that the trial has
    sweep = task.folder.parents[1]
    if not sweep.exists():
        raise Mistake(f"{socket.gethostname()} does not see {sweep}; choose an -o on a disk that all share")
    return _timed(train, task)


def _timed(train: Callable[[Task], Outcome], task: Task) -> tuple[Outcome, float]:
    began = time.perf_counter()
    return train(task), time.perf_counter() - began
