"""A run while it happens: a live display where stderr is a terminal, and one plain line an update elsewhere."""

import math
import sys
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ddpg.records.braille import LINE, OPTIMUM, depth, draw
from ddpg.records.log import Record
from ddpg.records.plot import axis_limits
from ddpg.records.statistics import iqm

RATE_OVER = 10  # updates over which the speed is measured that "time left" assumes
CHROME = 12  # lines of the frame that are not curve, and the prompt below it
REFRESH = 4  # frames a second; one takes 5 ms of the interpreter, which the run wants too


class Display:
    """Shows a run of `total` steps on stderr; over many seeds every number is their interquartile mean.

    Where `console` (default: stderr) is a terminal, a frame that a thread of its own redraws, so that it keeps
    counting while compiled code runs; leaving the context puts the terminal right, after an exception too.
    """

    def __init__(self, title: str, total: int, optimum: float | None = None, console: Console | None = None) -> None:
        if console is None:  # rich takes FORCE_COLOR, which build servers set, for a terminal; a frame needs a real one
            console = Console(stderr=True, force_interactive=None if sys.stderr.isatty() else False)
        self._console, self._title, self._total, self._optimum = console, title, total, optimum
        self._step, self._numbers = 0, dict[str, float]()
        self._points: list[tuple[float, float]] = []
        self._clock: deque[tuple[float, int]] = deque(maxlen=RATE_OVER)
        self._started, self._ended, self._failed = console.get_time(), math.nan, False
        self._spinner = Spinner("dots", style=LINE)
        self._live: Live | None = None
        if console.is_interactive and not console.options.ascii_only:
            # Prints of others are moved above the frame if they go to the terminal, and left alone if to a file.
            self._live = Live(
                get_renderable=self._frame,
                console=console,
                refresh_per_second=REFRESH,
                redirect_stdout=sys.stdout.isatty(),
            )

    def __enter__(self) -> Self:
        self._started = self._console.get_time()
        if self._live:
            self._live.start(refresh=True)
        else:
            self.note(self._title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended, self._failed = self._console.get_time(), kind is not None
        if self._live:
            self._live.stop()

    def update(self, step: int, records: Sequence[Record]) -> None:
        """Show the records of one log point; a number no seed knows yet shows as a dash, the return as its last."""
        self._step = step
        self._clock.append((self._console.get_time(), step))
        self._numbers = {key: _middle(records, key) for key in {key for record in records for key in record}}
        if math.isfinite(self._numbers.get("return", math.nan)):
            self._points.append((step, self._numbers["return"]))
        if not self._live:
            self.note(self._plain_line())

    def recall(self, records: Sequence[Record], until: int) -> None:
        """Take the curve up from a run that goes on after step `until`."""
        said = groupby((record for record in records if record["step"] <= until), itemgetter("step"))
        points = [(float(step), _middle(list(of_step), "return")) for step, of_step in said]
        self._step, self._points = until, [point for point in points if math.isfinite(point[1])]

    def note(self, line: str) -> None:
        """Say one line, above the frame if there is one."""
        self._console.print(Text(line), soft_wrap=True)

    def _left(self) -> float:
        """Seconds left at the speed of the last updates, counting down between them; NaN before the second one."""
        (since, first), (until, last) = (self._clock[0], self._clock[-1]) if self._clock else ((0.0, 0), (0.0, 0))
        if last <= first or until <= since:
            return math.nan
        waited = self._console.get_time() - until
        return max(0.0, (self._total - last) * (until - since) / (last - first) - waited)

    def _return_and_gap(self) -> tuple[float, float]:
        last = self._points[-1][1] if self._points else math.nan
        if self._optimum is None:
            return last, math.nan
        gap = self._numbers.get("gap_to_optimum", math.nan)  # unknown at a log point without evaluation
        return last, gap if math.isfinite(gap) else self._optimum - last

    def _plain_line(self) -> str:
        last, gap = self._return_and_gap()
        parts = [
            f"step {self._step:>{len(str(self._total))}}/{self._total}",
            f"return {_number(last):>8}" + (f"  gap {_number(gap):>7}" if self._optimum is not None else ""),
            f"Q {_number(self._numbers.get('q')):>8}",
            f"loss {_number(self._numbers.get('critic_loss')):>8}",
            f"{_count(self._numbers.get('steps_per_second')):>7} steps/s",
            f"left {_time(self._left())}",
        ]
        return "   ".join(parts)

    def _frame(self) -> RenderableType:
        width, height = self._console.size
        inside = width - 4
        parts: list[RenderableType] = [self._progress(inside), Text(), self._headline(inside)]
        columns = 4 if inside >= 68 else 2
        rows = min(8, height - CHROME - (0 if columns == 4 else 2))
        if rows >= 3 and inside >= 24:
            parts += [*self._curve(inside, rows), Text()]
        parts.append(self._table(columns))
        title = Text(self._title, style="bold", no_wrap=True)
        return Panel(Group(*parts), title=title, title_align="left", border_style="dim", padding=(0, 1))

    def _progress(self, inside: int) -> Table:
        ended = math.isfinite(self._ended)
        now = self._ended if ended else self._console.get_time()
        end = Text("×", "red") if self._failed else Text("✓", "green")
        cells: list[RenderableType] = [
            end if ended else self._spinner,
            Text(_time(now - self._started)),
            ProgressBar(self._total, min(self._step, self._total), complete_style="cyan", finished_style="green"),
        ]
        if inside >= 60:
            cells.append(Text(f"{_count(self._step)} / {_count(self._total)}"))
        cells.append(Text(f"{100 * self._step / max(self._total, 1):.0f} %"))
        if not ended:
            cells.append(Text(f"{_time(self._left())} left", style="dim"))
        line = Table.grid(padding=(0, 1), expand=True)
        for cell in cells:
            line.add_column(ratio=1 if isinstance(cell, ProgressBar) else None, no_wrap=True)
        line.add_row(*cells)
        return line

    def _headline(self, inside: int) -> Text:
        last, gap = self._return_and_gap()
        line = Text.assemble(("return ", "dim"), (_number(last), LINE), no_wrap=True, overflow="ellipsis")
        if self._optimum is not None:
            line.append_text(Text.assemble(("   gap ", "dim"), (_number(gap), "bold")))
            if inside >= 60:
                line.append_text(Text.assemble((" to the optimum ", "dim"), (_number(self._optimum), OPTIMUM)))
        return line

    def _curve(self, inside: int, rows: int) -> list[Text]:
        """`rows` lines of curve between an axis with its limits and a line that names the steps."""
        if not self._points:
            empty = [Text() for _ in range(rows + 1)]
            empty[rows // 2] = Text("waiting for the first evaluation", "dim", justify="center")
            return empty
        points = np.array(tuple(self._points))
        low, high = axis_limits([points[:, 1]], self._optimum)
        names = {rows - 1: (_number(low), "dim"), 0: (_number(high), "dim")}
        if self._optimum is not None:
            names[int(depth(self._optimum, (low, high), rows))] = (_number(self._optimum), OPTIMUM)
        margin = max(len(name) for name, _ in names.values())
        lines = draw(points, self._total, (low, high), self._optimum, inside - margin - 1, rows)
        for i, line in enumerate(lines):
            name, style = names.get(i, ("", "dim"))
            lines[i] = Text.assemble((f"{name:>{margin}}", style), ("┤" if name else "│", "dim"), line)
        end = _count(self._total)
        foot = f"{'':{margin}}0{'steps':^{inside - margin - 1 - len(end)}}{end}"
        return [*lines, Text(foot, "dim", no_wrap=True)]

    def _table(self, columns: int) -> Table:
        saturation = 100 * self._numbers.get("saturation", math.nan)
        cells = {
            "Q": _number(self._numbers.get("q")),
            "critic loss": _number(self._numbers.get("critic_loss")),
            "actor loss": _number(self._numbers.get("actor_loss")),
            "|∂Q/∂a|": _number(self._numbers.get("dq_da")),
            "saturated": f"{saturation:.0f} %" if math.isfinite(saturation) else _number(None),
            "noise": _number(self._numbers.get("noise_scale")),
            "episode": _number(self._numbers.get("episode_return")),
            "steps/s": _count(self._numbers.get("steps_per_second")),
        }
        table = Table.grid(padding=(0, 2), expand=True)
        for longest in (15, 19, 19, 17) if columns == 4 else (1, 1):  # letters in the cells of that column
            table.add_column(ratio=longest, no_wrap=True)
        texts = [Text.assemble((f"{name} ", "dim"), (value, "bold")) for name, value in cells.items()]
        for i in range(0, len(texts), columns):
            table.add_row(*texts[i : i + columns])
        return table


def _middle(records: Sequence[Record], key: str) -> float:
    known = np.array([record[key] for record in records if math.isfinite(record.get(key, math.nan))], dtype=float)
    return float(iqm(known)) if known.size else math.nan


def _number(x: float | None) -> str:
    """Three digits that say something, in seven letters."""
    if x is None or not math.isfinite(x):
        return "-"
    size = abs(x)
    if x != 0 and (size < 1e-3 or size >= 1e5):
        return f"{x:.1e}"
    return f"{x:.{0 if size >= 1e4 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"


def _count(x: float | None) -> str:
    if x is None or not math.isfinite(x):
        return "-"
    return f"{x:,.0f}".replace(",", " ") if abs(x) < 1e9 else f"{x:.1e}"


def _time(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
