"""Ctrl-C and signals that ask a process to end, as a question that is asked between pieces of work."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ABORT_AFTER = 3  # presses of Ctrl-C
GRACE = 1.0  # seconds after a signal in which what is under way may end


class Stop:
    """Whether `signal` asks a run to stop."""

    def __init__(self, signal: Callable[[], int]) -> None:
        self._signal = signal
        self._noticed: float | None = None

    @property
    def noticed(self) -> bool:
        """Whether `now` was asked after a signal."""
        return self._noticed is not None

    def soon(self) -> bool:
        """After what is under way."""
        return bool(self._signal())

    def now(self) -> bool:
        """GRACE after a signal: what is under way takes too long."""
        if self._signal() and self._noticed is None:
            self._noticed = time.monotonic()
        return self._noticed is not None and time.monotonic() - self._noticed > GRACE


_blocks = list[Callable[[], int]]()  # the outermost `interruptible` of the main thread, if it is within one


@contextmanager
def interruptible() -> Iterator[Callable[[], int]]:
    """Within it a signal only asks to stop, so that no file is torn.

    Yields a function that returns the first signal received, or 0; within another such block it is that one's. The
    third Ctrl-C aborts at once, for an environment that hangs: all since the last checkpoint is lost then.
    """
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield lambda: 0
        return
    if _blocks:
        yield _blocks[0]
        return
    received = list[int]()

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if received.count(signal.SIGINT) >= ABORT_AFTER:
            raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, receive) for number in numbers}
    _blocks.append(lambda: received[0] if received else 0)
    try:
        yield _blocks[0]
    finally:
        _blocks.clear()
        for number, handler in before.items():
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default if handler is None else handler)
