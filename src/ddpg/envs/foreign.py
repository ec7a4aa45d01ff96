"""Code that is not ours: whatever it raises, wherever it runs, becomes one line with the file and line of its cause."""

import os
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any

from ddpg.mistake import Mistake
from ddpg.settings import leave_own_settings
from ddpg.terminal import one_line

OURS = str(Path(__file__).parents[1]) + os.sep
INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))


class EnvironmentFailure(Mistake):
    """An environment violated Gymnasium's API: one line with its index, its step, and what was wrong."""


class Guard:
    """A context for foreign code: whatever it raises, SystemExit too, is raised as EnvironmentFailure; Ctrl-C passes.

    `line` begins the message, such as "step raised"; the exception, its file and its line follow. The code has the
    caller's settings, and `may_change` them where it begins.
    """

    def __init__(self, line: Callable[[], str], may_change: bool = True) -> None:
        self._line, self._may_change = line, may_change

    def __enter__(self) -> None:
        self._come_back = leave_own_settings(self._may_change)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._come_back is not None:
            self._come_back()
        if error is not None and not isinstance(error, KeyboardInterrupt):
            raise EnvironmentFailure(f"{self._line()} {describe_error(error)}{origin(error)}") from error


def close_quietly(env: Any) -> None:
    """Close it; what it raises then changes nothing any more."""
    with suppress(EnvironmentFailure), Guard(lambda: "close raised"):
        env.close()


def origin(error: BaseException) -> str:
    """The file and line that raised it: the innermost, unless that is of an installed package and another is not."""
    lines = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    lines = [(file, line) for file, line in lines if not file.startswith((OURS, "<frozen"))]
    own = [(file, line) for file, line in lines if not file.startswith(INSTALLED)]
    if not lines:
        return ""
    file, line = (own or lines)[-1]
    with suppress(ValueError, OSError):  # another folder, or none: the working directory was removed
        file = str(Path(file).relative_to(Path.cwd()))
    return f" (in {file}, line {line})"


def describe_error(error: BaseException) -> str:
    """An exception on one line."""
    text = one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def brief_value(value: Any) -> str:
    """A value of an environment, on one line."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of an object whose __repr__ fails
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
