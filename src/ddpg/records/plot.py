"""The picture of a learning curve."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ddpg.mistake import Mistake
from ddpg.records.limits import Levels, Window, enlarged_end, whole
from ddpg.records.log import Record
from ddpg.records.statistics import interval, iqm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers can tell apart; grey replaces their yellow, too pale on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")

INK, FAINT, FRAME = "#333333", "#767676", "#B0B0B0"

MEANS = "mean \N{PLUS-MINUS SIGN} standard deviation over seeds"


@dataclass(frozen=True)
class Curve:
    """Returns of one agent over training: `steps` [points] ascending, `returns` [seeds, points], NaN if unknown.

    Of a curve whose seeds are unknown `returns` is their mean [1, points], and `deviation` [points] the standard
    deviation over them, NaN where that is unknown, too.
    """

    label: str
    steps: np.ndarray
    returns: np.ndarray
    color: str | None = None
    deviation: np.ndarray | None = None


def curve_of(records: Sequence[Record], label: str, key: str = "return") -> Curve:
    """The curve of one run's records (`read_metrics`): seeds as rows; of two records of a step the last counts."""
    seeds = sorted({int(record["seed"]) for record in records})
    steps = sorted({int(record["step"]) for record in records})
    returns = np.full((len(seeds), len(steps)), np.nan)
    row, column = {s: i for i, s in enumerate(seeds)}, {s: i for i, s in enumerate(steps)}
    for record in records:
        returns[row[int(record["seed"])], column[int(record["step"])]] = record.get(key, np.nan)
    return Curve(label, np.array(steps), returns)


def learning_curve(curves: Sequence[Curve], file: str | Path, title: str, optimum: float | None = None) -> None:
    """Write a PNG, made for 800 pixels of width: interquartile mean (bold), 95 % interval (band), seeds (faint).

    Of curves with a `deviation` it is the mean, and the band its standard deviation.

    It shows everything from the first return on, and beside it the end enlarged if that would be hard to read
    (`enlarged_end`). A step at which no seed was evaluated is skipped; one at which only some were leaves a gap in mean
    and band. Raises Mistake if no curve has a finite return.
    """
    # No pyplot: it keeps figures in a global list and may pick a backend that opens windows.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    known = [curve for curve in map(_evaluated, curves) if curve.steps.size]
    if not known:
        raise Mistake(f"{file}: nothing to draw; expected a finite return in at least one of {len(curves)} curves")
    drawn = [_summarised(curve, i) for i, curve in enumerate(known)]
    everything = whole([each.levels(seeds=True) for each in drawn], optimum)
    end = enlarged_end([each.levels(seeds=False) for each in drawn], optimum)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, rect=(0, 0, 1, 0.87))
    figure = Figure(figsize=(8, 4.5), dpi=200, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    windows = [everything] if end is None else [everything, end]
    panels = figure.subplots(1, len(windows), squeeze=False)[0]
    for axes, window in zip(panels, windows, strict=True):
        for each in drawn:
            each.draw(axes)
        if optimum is not None:
            axes.axhline(optimum, color=INK, linewidth=1, linestyle=(0, (5, 4)), zorder=1)
        axes.set_xlim(window.begin, window.end)
        axes.set_ylim(window.low, window.high)
        style_axes(axes, "return" if window is everything else "", ticks=5 if end is None else 3)
    if end is not None:
        _frame(panels[0], panels[1], end)
    labels = [label for each in drawn for label in each.labels()]
    _label_right(panels[-1], labels if optimum is None else [*labels, (optimum, "optimum", INK)])
    figure.text(0.02, 0.94, title, color=INK, fontsize=14, fontweight="bold", parse_math=False)
    figure.text(0.02, 0.885, _caption(known), color=FAINT, fontsize=10)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    canvas.print_png(str(file), metadata={"Software": None})  # the same curves give the same bytes


@dataclass(frozen=True)
class _Summarised:
    """A curve as it is drawn: its seeds, and `summary` [3, points], the mean and the ends of the band around it."""

    curve: Curve
    summary: np.ndarray
    color: str
    style: str

    def levels(self, seeds: bool) -> Levels:
        """What the axes must have room for, with each seed or without."""
        return Levels(self.curve.steps, np.vstack([self.summary, self.curve.returns]) if seeds else self.summary)

    def draw(self, axes: "Axes") -> None:
        curve, (mean, low, high) = self.curve, self.summary
        if len(curve.returns) > 1:
            axes.plot(curve.steps, curve.returns.T, color=self.color, linewidth=0.7, alpha=0.25)
        if len(curve.returns) > 1 or curve.deviation is not None:
            axes.fill_between(curve.steps, low, high, color=self.color, alpha=0.2, linewidth=0)
        mark = "o" if len(curve.steps) == 1 else None
        axes.plot(curve.steps, mean, color=self.color, linewidth=2.2, linestyle=self.style, marker=mark)

    def labels(self) -> list[tuple[float, str, str]]:
        """The last mean, name and colour, if any mean is known."""
        mean = self.summary[0]
        return [(float(last), self.curve.label, self.color) for last in mean[np.isfinite(mean)][-1:]]


def _summarised(curve: Curve, i: int) -> _Summarised:
    """Curve number i of a picture."""
    style = "solid" if i < len(PALETTE) else "dashed"
    if curve.deviation is None:
        summary = np.array([iqm(curve.returns), *interval(curve.returns)])
    else:
        (mean,), deviation = curve.returns, curve.deviation
        summary = np.array([mean, mean - deviation, mean + deviation])
    return _Summarised(curve, summary, curve.color or PALETTE[i % len(PALETTE)], style)


def _frame(everything: "Axes", enlarged: "Axes", end: Window) -> None:
    """The same frame around the end in the one panel, and around the other, which says where it begins."""
    from matplotlib.patches import Rectangle

    at, width, height = (end.begin, end.low), end.end - end.begin, end.high - end.low
    frame = Rectangle(at, width, height, facecolor="#F0F0F0", edgecolor=FRAME, zorder=0.5, clip_on=False)
    everything.add_patch(frame)
    enlarged.spines[:].set(visible=True, color=FRAME)
    enlarged.set_title(f"from step {number(end.begin)} on, enlarged", loc="left", color=FAINT, fontsize=9)


def style_axes(axes: "Axes", ylabel: str, size: int = 11, ticks: int = 5) -> None:
    """Plain axes: their names, a few numbers, horizontal grid lines."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlabel("environment steps", color=INK, fontsize=size)
    axes.set_ylabel(ylabel, color=INK, fontsize=size)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.tick_params(colors=FAINT, labelsize=size - 1, length=0)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FRAME)


def _evaluated(curve: Curve) -> Curve:
    known = np.isfinite(curve.returns).any(axis=0)
    returns = np.where(np.isfinite(curve.returns), curve.returns, np.nan)[:, known]
    deviation = None if curve.deviation is None else curve.deviation[known]
    return replace(curve, steps=np.asarray(curve.steps)[known], returns=returns, deviation=deviation)


def number(x: float) -> str:
    """Up to four significant digits, thin spaces between thousands, a true minus sign."""
    places = 0 if abs(x) >= 1000 or float(x).is_integer() else 1 if abs(x) >= 10 else 2
    return f"{x:,.{places}f}".replace(",", "\N{THIN SPACE}").replace("-", "\N{MINUS SIGN}")


def _caption(curves: Sequence[Curve]) -> str:
    counts = sorted({len(curve.returns) for curve in curves if curve.deviation is None})
    deviations = [curve.deviation for curve in curves if curve.deviation is not None]
    means = MEANS if any(np.isfinite(deviation).any() for deviation in deviations) else "mean over seeds"
    if not counts:
        return means
    means = f"; other tables: {means}" if deviations else ""
    if counts == [1]:
        return f"greedy return, one seed{means}"
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}\N{EN DASH}{counts[-1]}"
    return f"interquartile mean of the greedy return over {seeds} seeds, with 95 % bootstrap interval{means}"


def _label_right(axes: "Axes", labels: Sequence[tuple[float, str, str]]) -> None:
    """Name the lines (height, name, colour) at their right end, moved apart if they would overlap."""
    bottom, top = axes.get_ylim()
    gap = 0.062  # height of a line of text, as a share of the axes
    labels = sorted(labels)
    wanted = np.clip([(height - bottom) / (top - bottom) for height, _, _ in labels], 0, 1)
    up, down = wanted.copy(), wanted.copy()
    for i in range(1, len(labels)):
        up[i] = max(up[i], up[i - 1] + gap)
        down[-i - 1] = min(down[-i - 1], down[-i] - gap)
    places = (up + down) / 2  # both keep the gap, so their mean does, and it is centred on the wanted places
    places -= max(0.0, places.max(initial=0) - 0.98)
    for place, (height, name, color) in zip(places, labels, strict=True):
        text = f"{name if len(name) <= 28 else name[:27] + '…'}  {number(height)}"
        axes.text(1.03, place, text, transform=axes.transAxes, color=color, fontsize=10, va="center", parse_math=False)
