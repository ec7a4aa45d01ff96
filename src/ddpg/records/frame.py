"""What a run's display shows: one frame of its numbers and its curve, or one line of them."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ddpg.records.braille import LINE, OPTIMUM, depth, draw
from ddpg.records.limits import Levels, Window, enlarged_end, whole
from ddpg.records.log import Record, numbers
from ddpg.records.observer import LogPoint
from ddpg.records.statistics import iqm

RATE_OVER = 10  # log points over which the speed behind "time left" is measured
TWO_PANELS = 60  # columns that the whole curve and its end, enlarged, need side by side
CHROME = 12  # lines of the frame that are not curve, and the prompt below it


class Frame:
    """A run of `total` steps by the seconds of `clock`; over many seeds every number is their interquartile mean."""

    def __init__(self, title: str, total: int, optimum: float | None, clock: Callable[[], float]) -> None:
        self.title, self._total, self._optimum, self._now = title, total, optimum, clock
        self._step, self._numbers = 0, dict[str, float]()
        self._points: list[tuple[float, float]] = []
        self._times: deque[tuple[float, int]] = deque(maxlen=RATE_OVER)
        self._started, self._ended, self._failed = clock(), math.nan, False
        self._spinner = Spinner("dots", style=LINE)

    def start(self) -> None:
        self._started = self._now()

    def end(self, failed: bool) -> None:
        self._ended, self._failed = self._now(), failed

    def update(self, point: LogPoint) -> None:
        """Take the numbers of one log point; one unknown of every seed shows as a dash, the return as its last."""
        self._step = point["step"]
        if self._times:  # random steps before learning cost next to nothing, and tell nothing of what is left
            self._times.append((self._now(), self._step))
        self._numbers = {key: _middle(np.asarray(x, float)) for key, x in numbers(point).items()}
        if math.isfinite(self._numbers.get("return", math.nan)):
            self._points.append((self._step, self._numbers["return"]))

    def begin_learning(self, step: int) -> None:
        """Measure the speed from here on, if not yet."""
        if not self._times:
            self._times.append((self._now(), step))

    def recall(self, records: Sequence[Record], until: int) -> None:
        """Take the curve of a resumed run, up to step `until`, from its records."""
        steps = groupby((record for record in records if record["step"] <= until), itemgetter("step"))
        points = [(float(step), _middle(np.array([row.get("return", np.nan) for row in rows]))) for step, rows in steps]
        self._step, self._points = until, [point for point in points if math.isfinite(point[1])]

    def _left(self) -> float:
        """Seconds left at the speed of the last log points with learning, counting down since; NaN before the first."""
        (since, first), (until, last) = (self._times[0], self._times[-1]) if self._times else ((0.0, 0), (0.0, 0))
        if last <= first or until <= since:
            return math.nan
        waited = self._now() - until
        return max(0.0, (self._total - last) * (until - since) / (last - first) - waited)

    def _return_and_gap(self) -> tuple[float, float]:
        last = self._points[-1][1] if self._points else math.nan
        if self._optimum is None:
            return last, math.nan
        gap = self._numbers.get("gap_to_optimum", math.nan)  # unknown at a log point without evaluation
        return last, gap if math.isfinite(gap) else self._optimum - last

    def _own(self) -> list[tuple[str, float, float]]:
        """Numbers of the user's own: key, mean over the evaluation, and over episodes of training."""
        keys = [key.removeprefix("info/") for key in self._numbers if key.startswith("info/")]
        return [(key, self._numbers[f"info/{key}"], self._numbers[f"episode_info/{key}"]) for key in keys]

    def line(self) -> str:
        """The numbers in one line, for what is no terminal."""
        last, gap = self._return_and_gap()
        parts = [
            f"step {self._step:>{len(str(self._total))}}/{self._total}",
            f"return {_number(last):>8}" + (f"  gap {_number(gap):>7}" if self._optimum is not None else ""),
            *(f"{key} {_number(greedy):>8}" for key, greedy, _ in self._own()),
            f"Q {_number(self._numbers.get('q')):>8}",
            f"loss {_number(self._numbers.get('critic_loss')):>8}",
            f"{_count(self._numbers.get('steps_per_second')):>7} steps/s",
            f"left {_time(self._left())}",
        ]
        return "   ".join(parts)

    def panel(self, width: int, height: int) -> Panel:
        """The frame, for a terminal of that size."""
        inside = width - 4
        parts: list[RenderableType] = [self._progress(inside), Text(), self._headline(inside)]
        columns = 4 if inside >= 68 else 2
        own = self._own_line()
        rows = min(8, height - CHROME - (0 if columns == 4 else 2) - (own is not None))
        if rows >= 3 and inside >= 24:
            parts += [*self._curve(inside, rows), Text()]
        parts += [self._table(columns), *([] if own is None else [own])]
        title = Text(self.title, style="bold", no_wrap=True)
        return Panel(Group(*parts), title=title, title_align="left", border_style="dim", padding=(0, 1))

    def _progress(self, inside: int) -> Table:
        ended = math.isfinite(self._ended)
        now = self._ended if ended else self._now()
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
        levels = [Levels(points[:, 0], points[:, 1][None])]
        everything = whole(levels, self._optimum)._replace(end=max(self._total, 1))
        end = enlarged_end(levels, self._optimum) if inside >= TWO_PANELS else None
        if end is None:
            return self._axes(points, everything, "steps", inside, rows)
        width = (inside - 2) // 2
        both = self._axes(points, everything, "steps", width, rows), self._axes(points, end, "enlarged", width, rows)
        return [Text.assemble(left, " " * (inside - 2 * width), right) for left, right in zip(*both, strict=True)]

    def _axes(self, points: np.ndarray, window: Window, name: str, inside: int, rows: int) -> list[Text]:
        names = {rows - 1: (_number(window.low), "dim"), 0: (_number(window.high), "dim")}
        if self._optimum is not None:
            names[int(depth(self._optimum, window, rows))] = (_number(self._optimum), OPTIMUM)
        margin = max(len(name) for name, _ in names.values())
        lines = draw(points, window, self._optimum, inside - margin - 1, rows)
        for i, line in enumerate(lines):
            number, style = names.get(i, ("", "dim"))
            lines[i] = Text.assemble((f"{number:>{margin}}", style), ("┤" if number else "│", "dim"), line)
        begin, end = _count(window.begin), _count(window.end)
        foot = f"{'':{margin}}{begin}{name:^{inside - margin - len(begin) - len(end)}}{end}"
        return [*lines, Text(foot, "dim", no_wrap=True)]

    def _own_line(self) -> Text | None:
        """Each number of the user's own, and behind it that of training."""
        cells = [
            Text.assemble((f"{key} ", "dim"), (_number(greedy), "bold"), (f" (training {_number(exploring)})", "dim"))
            for key, greedy, exploring in self._own()
        ]
        return Text("   ", no_wrap=True, overflow="ellipsis").join(cells) if cells else None

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


def _middle(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(iqm(known.ravel())) if known.size else math.nan


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
