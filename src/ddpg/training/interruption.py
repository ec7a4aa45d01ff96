"""How compiled work is cut short: a chunk in pieces of measured length, and what is cancelled if one takes too long."""

import math
from collections import deque
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

    @property
    def slow(self) -> bool:
        """Whether an iteration takes so long that it can be cancelled; the first may, since nothing is known of it."""
        return self._seconds > SLOW

    @property
    def long(self) -> bool:
        """Whether a stop should not wait for two iterations: the next then begins when the last is done."""
        return self._seconds > PIECE

    def hold(self, snapshot: Callable[[], PyTree]) -> PyTree:
        """The state before an iteration that may be cancelled: a slow one, or the first, of which nothing is known."""
        if not self.slow or self._seconds <= self._holding / SHARE:
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
        """All reports of n iterations, leaves [n, S]; ChunkInterrupted if the driver is to stop before the end.

        `do(i, k, held)` makes iterations i to i + k - 1, and answers a function: it waits for their updates, which may
        be under way, and reports, leaves [k, S]. It is called after the next `do`, which goes on meanwhile. Long
        iterations are waited for one by one. If the state is `held`, `do` may raise Cancelled.
        """
        done, reports, under_way = 0, list[Report](), deque[Callable[[], Report]]()

        def report(all_but: int = 0) -> None:
            while len(under_way) > all_but:
                reports.append(under_way.popleft()())

        while done < n and not (done and self.soon()):
            piece, long = pace.iterations(n - done), pace.long
            if long:
                report()  # or to hold the state would seem to take as long as the updates under way
            before, began = pace.hold(snapshot), perf_counter()
            try:
                under_way.append(do(done, piece, before is not None))
            except Cancelled:
                self.left = before
                break
            done += piece
            report(all_but=0 if long or done == n else 1)
            pace.done(piece, began)
        report()
        whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *reports) if reports else None
        if whole is None or done < n:
            raise ChunkInterrupted(done, None, whole)
        return whole

    def wait(self, work: Callable[[], T]) -> T:
        """The result of `work`, done in a thread, so that signals are answered meanwhile; or Cancelled."""
        return wait_for(self._pool.submit(work), self.now)
