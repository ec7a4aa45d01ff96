"""Text for people in one line, and JSON for programs on stdout."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from functools import partial
from typing import Any, TextIO

from ddpg.mistake import Mistake


def one_line(text: object, most: int = 200) -> str:
    """Its words on one line, cut after `most` characters."""
    return " ".join(str(text).split())[:most]


def reason(error: OSError) -> str:
    """The system's few words, of which h5py makes many."""
    return os.strerror(error.errno) if error.errno else one_line(error)


def count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def thousands(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def plain(value: Any) -> str:
    """The value of an option as it is typed."""
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ",".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def one_decimal(value: float | None) -> str:
    return "unknown" if value is None or not math.isfinite(value) else f"{value:.1f}"


def gap(summary: Mapping[str, Any]) -> str:
    """How far its mean return is from the optimum, if that is known."""
    value = summary.get("gap_to_optimum")
    return "" if value is None or not math.isfinite(value) else f" · {value:.1f} below the optimum"


@contextmanager
def stdout_for_json() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yields what prints one JSON object on stdout; all else that is printed there, by C too, comes out on stderr.

    That holds until the process ends: libraries print at their exit too, what they had in their own buffers.
    """
    own = sys.stdout
    with ExitStack() as opened:
        with suppress(OSError, ValueError, AttributeError):  # a stream of the caller's own is no file of the system
            own.flush()
            own = opened.enter_context(os.fdopen(os.dup(own.fileno()), "w", encoding="utf-8"))
            os.dup2(2, 1)
        opened.enter_context(redirect_stdout(sys.stderr))
        yield partial(print_json, own)


def print_json(stream: TextIO, data: Mapping[str, Any]) -> None:
    """One JSON object. Numbers that are not finite, as the returns of a diverged policy, are null."""
    with checked(stream):
        print(json.dumps(finite(data), allow_nan=False), file=stream, flush=True)


@contextmanager
def checked(stream: TextIO | None) -> Iterator[None]:
    """A context that raises Mistake if it cannot be written, as on a full disk; BrokenPipeError if nobody reads it."""
    try:
        yield
    except OSError as error:
        drop(stream)
        if isinstance(error, BrokenPipeError):
            raise
        raise Mistake(f"stdout cannot be written ({reason(error)}); choose another file or device") from None


def drop(stream: TextIO | None) -> None:
    """Nothing is written there any more, not even what Python still holds of it when it exits."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def open_streams() -> None:
    """Open what a service or `2>&-` has closed, or the next file that is opened would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def is_terminal(stream: Any) -> bool:
    """Whether it is one: there may be none, or one of the caller's that does not know."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
