"""Ctrl-C and signals that ask a process to end, as a question that is asked between chunks."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ABORT_AFTER = 3  # presses of Ctrl-C


@contextmanager
def interruptible() -> Iterator[Callable[[], int]]:
    """Within it a signal only asks to stop, so that neither a chunk nor a file is torn.

    Yields a function that returns the first signal received, or 0. The third Ctrl-C aborts at once, for an
    environment that hangs: all since the last checkpoint is lost then.
    """
    received = list[int]()
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield lambda: 0
        return

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if received.count(signal.SIGINT) >= ABORT_AFTER:
            raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in before.items():
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default if handler is None else handler)
