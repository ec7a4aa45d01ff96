"""A run while it happens: a frame in a terminal or a notebook, and elsewhere one plain line per log point."""

import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ddpg.records.frame import Frame
from ddpg.records.log import Record
from ddpg.records.notebook import HEIGHT, WIDTH, Cell, in_notebook
from ddpg.records.observer import LogPoint
from ddpg.terminal import is_terminal

REFRESH = 4  # frames per second; one takes 5 ms of the interpreter, which the run wants too
NOTES = 6  # last notes above a notebook's frame


class Display:
    """The observer that shows a run of `total` steps on stderr; `quiet`, it shows nothing but warnings.

    If `console` (default: stderr) is a terminal, a thread redraws a frame, so that it keeps counting while compiled
    code runs; leaving the context restores the terminal, after an exception too. In a notebook the frame is an
    output of the cell, redrawn at every log point.
    """

    def __init__(
        self,
        title: str,
        total: int,
        optimum: float | None = None,
        console: Console | None = None,
        quiet: bool = False,
    ) -> None:
        self._cell = Cell() if console is None and not quiet and in_notebook() else None
        if console is None:  # rich takes FORCE_COLOR, which build servers set, for a terminal; a frame needs a real one
            console = Console(stderr=True, force_interactive=None if is_terminal(sys.stderr) else False)
        self._console, self._quiet = console, quiet
        self._frame = Frame(title, total, optimum, console.get_time)
        self._notes = deque[Text](maxlen=NOTES)
        self._live: Live | None = None
        if self._cell is None and not quiet and console.is_interactive and not console.options.ascii_only:
            # Others' prints are moved above the frame if they go to the terminal, and left alone if to a file.
            self._live = Live(
                get_renderable=lambda: self._frame.panel(*console.size),
                console=console,
                refresh_per_second=REFRESH,
                redirect_stdout=is_terminal(sys.stdout),
            )

    def __enter__(self) -> Self:
        self._frame.start()
        if self._live:
            self._live.start(refresh=True)
        elif self._cell is None:
            self.note(self._frame.title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frame.end(failed=kind is not None)
        if self._live:
            self._live.stop()
        self._redraw()

    def __call__(self, point: LogPoint) -> None:
        self._frame.update(point)
        self._redraw()
        if self._live is None and self._cell is None:
            self.note(self._frame.line())

    def begin_learning(self, step: int) -> None:
        """Learning begins, or goes on, after so many steps: the speed behind "time left" is measured from here."""
        self._frame.begin_learning(step)

    def recall(self, records: Sequence[Record], until: int) -> None:
        """Take the curve of a run that goes on after step `until`, from its records."""
        self._frame.recall(records, until)

    def note(self, line: str) -> None:
        """Print one line, above the frame if there is one."""
        if not self._quiet:
            self.warn(line)

    def warn(self, line: str) -> None:
        """The same, also if the display is quiet."""
        if self._cell is None:
            self._console.print(Text(line), soft_wrap=True)
        self._notes.append(Text(line))
        self._redraw()

    def show(self, picture: Path) -> None:
        """Show a picture in a notebook, if it was drawn."""
        if self._cell and picture.exists():
            self._cell.show(picture)

    def _redraw(self) -> None:
        if self._cell:
            self._cell.draw(*self._notes, self._frame.panel(WIDTH, HEIGHT))
