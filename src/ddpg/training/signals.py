"""Ctrl-C and its like turned into a question."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INSISTED = 3  # times that Ctrl-C is pressed by who does not want to wait


@contextmanager
def interruptible() -> Iterator[Callable[[], int]]:
    """Within it Ctrl-C, and what asks a process to end, only ask to stop, so that neither a chunk nor a file is torn.

    What is yielded answers which signal did, 0 if none. The third Ctrl-C is heard at once, as where an environment
    hangs: what is lost then is what came after the last checkpoint.
    """
    asked = list[int]()
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield lambda: 0
        return

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if asked.count(signal.SIGINT) >= INSISTED:
            raise KeyboardInterrupt

    names = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        names.append(signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in names}
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for number, handler in before.items():
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default if handler is None else handler)
