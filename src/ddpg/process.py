"""The end of a process that is not to wait: for threads that compute what nobody needs, or for code that hangs."""

import os
import signal
from contextlib import suppress
from threading import Thread
from time import sleep

PRESSES = 3  # of Ctrl-C
PATIENCE = 1.0  # seconds in which a process may end by itself


def end_at_third_press() -> None:
    """From now on the third Ctrl-C ends this process at once, whatever it does, in C too."""
    answers, presses = os.pipe()
    os.set_blocking(presses, False)
    signal.set_wakeup_fd(presses, warn_on_full_buffer=False)  # written to at once, before any handler in Python
    Thread(target=_count, args=(answers,), daemon=True).start()


def end_soon(status: int) -> None:
    """End with this status, within PATIENCE: the interpreter would wait for all threads."""
    Thread(target=_end, args=(status,), daemon=True).start()


def _count(presses: int) -> None:
    count = 0
    while count < PRESSES:
        count += os.read(presses, 1)[0] == signal.SIGINT
    with suppress(OSError):  # of a stderr that is closed
        show_cursor = "\x1b[?25h" if os.isatty(2) else ""
        os.write(2, f"{show_cursor}\nddpg: ended at once\n".encode())
    os._exit(128 + signal.SIGINT)


def _end(status: int) -> None:
    sleep(PATIENCE)
    os._exit(status)
