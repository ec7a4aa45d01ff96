"""Text for people in one line, and JSON for programs on stdout."""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

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
    if isinstance(value, tuple):
        return ",".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def one_decimal(value: float | None) -> str:
    return "unknown" if value is None or not math.isfinite(value) else f"{value:.1f}"


def gap(summary: Mapping[str, Any]) -> str:
    """How far its mean return is from the optimum, if that is known."""
    value = summary.get("gap_to_optimum")
    return "" if value is None or not math.isfinite(value) else f" · {value:.1f} below the optimum"


def print_json(data: Mapping[str, Any]) -> None:
    """One JSON object on stdout. Numbers that are not finite, as the returns of a diverged policy, are null."""
    with checked_stdout():
        print(json.dumps(_finite(data), allow_nan=False), flush=True)


@contextmanager
def checked_stdout() -> Iterator[None]:
    """Mistake if stdout cannot be written, as on a full disk; BrokenPipeError if nobody reads it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_stdout()
        raise Mistake(f"stdout cannot be written ({reason(error)}); choose another file or device") from None


def drop_stdout() -> None:
    """Nothing is written there any more, not even what Python still holds of it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
