"""What an observer of a run is called with, and how it ends the run."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from jaxtyping import Float

from ddpg.mistake import Mistake
from ddpg.terminal import one_line

PerSeed = Float[np.ndarray, " seeds"]

LogPoint = TypedDict(
    "LogPoint",
    {
        "run": Path,  # the run folder
        "step": int,  # environment steps of each seed
        "seeds": tuple[int, ...],  # in this order lie all arrays
        "return": PerSeed,  # greedy, undiscounted, in the environment's units: the mean over the evaluation's episodes
        "gap_to_optimum": NotRequired[PerSeed],  # only in environments whose optimum is known
        "episode_return": PerSeed,  # of the exploring episodes that ended since the last log point
        "success_rate": NotRequired[PerSeed],  # share of the evaluation's episodes, if is_success is logged
        "episode_success_rate": NotRequired[PerSeed],  # and of the exploring episodes that ended
        "q": PerSeed,
        "critic_loss": PerSeed,
        "actor_loss": PerSeed,
        "dq_da": PerSeed,  # the norm of the critic's gradient by the action
        "saturation": PerSeed,  # share of the actions' components beyond 0.99 of their bound
        "stuck": PerSeed,  # share of the action's dimensions that are at one and the same bound in every state
        "q_bias": PerSeed,  # Q(s_0, mu(s_0)) minus the discounted return that followed
        "noise_scale": float,
        "steps_per_second": float,  # of all seeds together
        "staleness": NotRequired[PerSeed],  # with actors: updates since the parameters with which a block was collected
        "waiting": NotRequired[PerSeed],  # share of the time in which the learner waited for actors
        "replaced": NotRequired[PerSeed],  # actors that had died, since the last log point
        "info": NotRequired[Mapping[str, PerSeed]],  # by key of the configuration's log: means over the evaluation
        "episode_info": NotRequired[Mapping[str, PerSeed]],  # and over the exploring episodes that ended
        "dq_da_at_starts": Float[np.ndarray, "seeds episodes"],  # one norm per episode of the evaluation
    },
)
"""One log point of a run, a plain mapping; docs/files.md defines its numbers. NaN: unknown, or not finite."""

Observer = Callable[[LogPoint], object]
"""Whatever can be called with one log point: a function, a bound method, an object with `__call__`.

It is called in the thread that trains, between two compiled chunks, and cannot change what is learned. The run's log
and its display are observers too.
"""


class StopTraining(Exception):
    """Raised by an observer, ends the run at this log point: early, complete, and such that it can be resumed.

    The message is `stopped` in summary.json.
    """


class Observers:
    """Calls each observer with every log point, also after another one has raised."""

    def __init__(self, observers: Iterable[Any]) -> None:
        self._observers = tuple(observers)
        for observer in self._observers:
            if not callable(observer):
                raise Mistake(f"observer {observer!r}: expected a function of one log point; see ddpg.LogPoint")
        self.stopped: str | None = None  # why an observer ends the run
        self.error: Exception | None = None  # what it raised, if not StopTraining

    def __call__(self, point: LogPoint) -> None:
        for observer in self._observers:
            try:
                observer(point)
            except StopTraining as stop:
                self.stopped = self.stopped or str(stop) or "StopTraining"
            except Exception as error:
                self.error = self.error or error
                self.stopped = self.stopped or one_line(f"{type(error).__name__}: {error}")
