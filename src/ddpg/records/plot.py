"""The picture of a learning curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ddpg.mistake import Mistake
from ddpg.records.log import Record
from ddpg.records.statistics import interval, iqm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers can tell apart; grey replaces their yellow, too pale on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")

INK, FAINT = "#333333", "#767676"


@dataclass(frozen=True)
class Curve:
    """Returns of one agent over training: `steps` [points] ascending, `returns` [seeds, points], NaN if unknown."""

    label: str
    steps: np.ndarray
    returns: np.ndarray
    color: str | None = None


def curve_of(records: Sequence[Record], label: str, key: str = "return") -> Curve:
    """The curve of one run's records (`read_metrics`): seeds as rows; of two records of a step the last counts."""
    seeds = sorted({int(record["seed"]) for record in records})
    steps = sorted({int(record["step"]) for record in records})
    returns = np.full((len(seeds), len(steps)), np.nan)
    row, column = {s: i for i, s in enumerate(seeds)}, {s: i for i, s in enumerate(steps)}
    for record in records:
        returns[row[int(record["seed"])], column[int(record["step"])]] = record.get(key, np.nan)
    return Curve(label, np.array(steps), returns)


def axis_limits(levels: Sequence[np.ndarray], optimum: float | None = None) -> tuple[float, float]:
    """Lower and upper limit of an axis that shows `levels` (one array [points] per curve, finite) legibly.

    Returns before learning are often ten times further from the end than anything of interest, and would press it
    into a line. So the upper limit shows everything, and the lower limit all of each curve's second half (a late
    collapse is never hidden) and two thirds of the height of its first half; or everything, if that no more than
    doubles the height.
    """
    everything = np.concatenate(levels) if optimum is None else np.concatenate([*levels, [optimum]])
    top, bottom = float(everything.max()), float(everything.min())
    late = min(float(level[len(level) // 2 :].min()) for level in levels)
    # A run that ends flat would leave no height at all: its end gets a twentieth of the whole.
    end = max(top - late, (top - bottom) / 20)
    low = bottom if top - bottom <= 6 * end else top - 3 * end
    margin = 0.06 * max(top - low, 1e-3 * abs(top), 1e-6)
    return low - margin, top + margin


def learning_curve(curves: Sequence[Curve], file: str | Path, title: str, optimum: float | None = None) -> None:
    """Write a PNG, made for 800 pixels of width: interquartile mean (bold), 95 % interval (band), seeds (faint).

    A step at which no seed was evaluated is skipped; one at which only some were leaves a gap in mean and band.
    Mistake if no curve has a finite return.
    """
    # No pyplot: it keeps figures in a global list and may pick a backend that opens windows.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    drawn = [curve for curve in map(_evaluated, curves) if curve.returns.size]
    if not drawn:
        raise Mistake(f"{file}: nothing to draw; expected a finite return in at least one of {len(curves)} curves")
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(8, 4.5), dpi=200, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor="white")
    levels, labels = [], []
    for i, curve in enumerate(drawn):
        color, line = curve.color or PALETTE[i % len(PALETTE)], "solid" if i < len(PALETTE) else "dashed"
        mean, (low, high) = iqm(curve.returns), interval(curve.returns)
        if len(curve.returns) > 1:
            axes.plot(curve.steps, curve.returns.T, color=color, linewidth=0.7, alpha=0.25)
            axes.fill_between(curve.steps, low, high, color=color, alpha=0.2, linewidth=0)
        mark = "o" if len(curve.steps) == 1 else None
        axes.plot(curve.steps, mean, color=color, linewidth=2.2, linestyle=line, marker=mark)
        known = [level[np.isfinite(level)] for level in (mean, low, high)]
        levels += [level for level in known if level.size] or [curve.returns[np.isfinite(curve.returns)]]
        labels += [(float(end), curve.label, color) for end in known[0][-1:]]
    if optimum is not None:
        axes.axhline(optimum, color=INK, linewidth=1, linestyle=(0, (5, 4)), zorder=1)
        labels.append((optimum, "optimum", INK))

    bottom, top = axis_limits(levels, optimum)
    axes.set_ylim(bottom, top)
    axes.set_xlim(0, max(float(curve.steps[-1]) for curve in drawn) or 1)
    _label_right(axes, labels)
    lowest = min(float(np.nanmin(curve.returns)) for curve in drawn)
    if lowest < bottom:
        note = f"\N{DOWNWARDS ARROW} some returns, down to {number(lowest)}, lie below"
        axes.text(0.99, 0.02, note, transform=axes.transAxes, color=FAINT, fontsize=9, ha="right")
    axes.set_title(title, loc="left", color=INK, fontsize=14, fontweight="bold", pad=26, parse_math=False)
    axes.text(0, 1.04, _caption(drawn), transform=axes.transAxes, color=FAINT, fontsize=10)
    style_axes(axes, "return")
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    canvas.print_png(str(file), metadata={"Software": None})  # the same curves give the same bytes


def style_axes(axes: "Axes", ylabel: str, size: int = 11) -> None:
    """Plain axes: their names, a few numbers, horizontal grid lines."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlabel("environment steps", color=INK, fontsize=size)
    axes.set_ylabel(ylabel, color=INK, fontsize=size)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.tick_params(colors=FAINT, labelsize=size - 1, length=0)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#B0B0B0")


def _evaluated(curve: Curve) -> Curve:
    known = np.isfinite(curve.returns).any(axis=0)
    returns = np.where(np.isfinite(curve.returns), curve.returns, np.nan)[:, known]
    return Curve(curve.label, np.asarray(curve.steps)[known], returns, curve.color)


def number(x: float) -> str:
    """Up to four significant digits, thin spaces between thousands, a true minus sign."""
    places = 0 if abs(x) >= 1000 or float(x).is_integer() else 1 if abs(x) >= 10 else 2
    return f"{x:,.{places}f}".replace(",", "\N{THIN SPACE}").replace("-", "\N{MINUS SIGN}")


def _caption(curves: Sequence[Curve]) -> str:
    counts = sorted({len(curve.returns) for curve in curves})
    if counts == [1]:
        return "greedy return, one seed"
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}\N{EN DASH}{counts[-1]}"
    return f"interquartile mean of the greedy return over {seeds} seeds, with 95 % bootstrap interval"


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
        axes.text(1.015, place, text, transform=axes.transAxes, color=color, fontsize=10, va="center", parse_math=False)
