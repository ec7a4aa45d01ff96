"""How compiled work is cut short: a chunk in pieces of measured length, and what is cancelled if one takes too long."""

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any, TypeVar

import jax
import numpy as np

from ddpg.ranges import INT32_MAX
from ddpg.settings import keep_own_settings
from ddpg.training.driver import ChunkInterrupted, Report
from ddpg.types import PyTree

PIECE = 0.5  # seconds of work between two questions whether to stop
SLOW = 1.5  # seconds of one iteration, beyond which it can be cancelled
SHARE = 0.05  # of an iteration's time, the most that holding the state before it may take
POLL = 0.1
FIRST = 1  # iterations of the first piece

T = TypeVar("T")


class Cancelled(Exception):
    """Nobody waits for this work any more: it goes on in its thread, and what it answers is lost."""


def never() -> bool:
    return False


def wait_for(future: Future[T], now: Callable[[], bool]) -> T:
    """The result of a future; Cancelled if `now` answers true before it is there."""
    while True:
        try:
            return future.result(POLL)
        except TimeoutError:
            if future.done():
                return future.result()
            if now():
                raise Cancelled from None


class Pace:
    """How long the iterations of one program take, and so how many of them, at `most`, make a piece."""

    def __init__(self, most: int = INT32_MAX) -> None:
        self._most = most
        self._seconds, self._holding = math.inf, 0.0  # of one iteration, and of holding the state before it

    def iterations(self, left: int) -> int:
        """The next piece of those that are left; the first is short, since nothing is known of it."""
        count = int(PIECE / self._seconds) if math.isfinite(self._seconds) else FIRST
        return max(1, min(count, self._most, left))

    def hold(self, snapshot: Callable[[], PyTree]) -> PyTree:
        """The state before an iteration that may be cancelled: a slow one, or the first, of which nothing is known."""
        if self._seconds <= max(SLOW, self._holding / SHARE):
            return None
        began = perf_counter()
        before = snapshot()
        self._holding = perf_counter() - began
        return before

    def done(self, iterations: int, began: float) -> None:
        """So many iterations were done since then, by `perf_counter`."""
        self._seconds = (perf_counter() - began) / iterations


class Interruption:
    """Asks whether to stop: `soon`, between pieces of a chunk, or `now`, within an iteration that is slow."""

    def __init__(self) -> None:
        self.soon = self.now = never
        self.unsaved: Callable[[], int | None] = lambda: None  # as in `Driver.snapshot`
        self.left: Any = None  # the state before an iteration that was cancelled
        self._pool = ThreadPoolExecutor(1, "waiting", keep_own_settings)

    def chunk(
        self, n: int, pace: Pace, snapshot: Callable[[], PyTree], do: Callable[[int, int, bool], Callable[[], Report]]
    ) -> Report:
        """`do(i, k, held)` makes iterations i to i + k - 1 of n, and answers what reports them, leaves [k, S].

        That is asked at the end, so that nobody waits for updates under way; the result has all reports, leaves [n, S].
        If the state is `held`, `do` may raise Cancelled. ChunkInterrupted if the driver is to stop before the end.
        """
        done, reports = 0, list[Callable[[], Report]]()
        while done < n and not (done and self.soon()):
            piece, before = pace.iterations(n - done), pace.hold(snapshot)
            began = perf_counter()
            try:
                reports.append(do(done, piece, before is not None))
            except Cancelled:
                self.left = before
                break
            pace.done(piece, began)
            done += piece
        each = [report() for report in reports]
        report = jax.tree.map(lambda *leaves: np.concatenate(leaves), *each) if each else None
        if report is None or done < n:
            raise ChunkInterrupted(done, None, report)
        return report

    def wait(self, work: Callable[[], T]) -> T:
        """The result of `work`, done in a thread, so that signals are answered meanwhile; or Cancelled."""
        return wait_for(self._pool.submit(work), self.now)
