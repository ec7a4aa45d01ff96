"""The figure of a study: a few panels side by side, each of one thing that was varied."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpg.records.plot import FAINT, INK, PALETTE, Curve, style_axes
from ddpg.records.statistics import interval, iqm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REFERENCE = "#8C8C8C"  # of the curve that every panel repeats
WIDTH, HEIGHT = 4.6, 3.2  # inches of a panel


@dataclass(frozen=True)
class Panel:
    """A title, and what draws the rest on matplotlib's axes."""

    title: str
    draw: "Callable[[Axes], Any]"


def save_panels(file: Path, panels: Sequence[Panel], columns: int = 3) -> None:
    """Write a PNG of the panels, row by row; the same panels give the same bytes."""
    # No pyplot: it keeps figures in a global list and may pick a backend that opens windows.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows), dpi=150, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, i + 1, facecolor="white")
        panel.draw(axes)
        axes.set_title(panel.title, loc="left", color=INK, fontsize=12, fontweight="bold", parse_math=False)
    canvas.print_png(str(file), metadata={"Software": None})


def curves_panel(
    title: str,
    curves: Sequence[Curve],
    reference: Curve | None = None,
    optimum: float | None = None,
    limits: tuple[float, float] | None = None,
    ylabel: str = "greedy return",
) -> Panel:
    """Returns over environment steps: interquartile mean, 95 % interval, and the reference in grey."""

    def draw(axes: "Axes") -> None:
        if optimum is not None:
            axes.axhline(optimum, color=INK, linewidth=1, linestyle=(0, (5, 4)), zorder=1)
        shown = [*([] if reference is None else [(reference, REFERENCE)]), *zip(curves, PALETTE, strict=False)]
        for curve, color in shown:
            mean, (low, high) = iqm(curve.returns), interval(curve.returns)
            axes.fill_between(curve.steps, low, high, color=color, alpha=0.2, linewidth=0)
            axes.plot(curve.steps, mean, color=color, linewidth=2, label=curve.label)
        if limits is not None:
            axes.set_ylim(*limits)
        axes.set_xlim(0, max(float(curve.steps[-1]) for curve, _ in shown))
        style_axes(axes, ylabel, size=10)
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")

    return Panel(title, draw)


def lines_panel(
    title: str,
    lines: Sequence[tuple[str, np.ndarray, np.ndarray]],
    x: str,
    y: str,
    log: bool = False,
    marks: bool = False,
) -> Panel:
    """Plain lines (label, x, y) with the names of both axes; `log` is of the x axis, `marks` puts dots on it."""

    def draw(axes: "Axes") -> None:
        for (label, xs, ys), color in zip(lines, PALETTE, strict=False):
            axes.plot(xs, ys, color=color, linewidth=1.8, label=label, marker="o" if marks else None, markersize=4)
        style_axes(axes, y, size=10)
        if log:
            axes.set_xscale("log", base=2)
            axes.set_xticks(lines[0][1], [f"{x:g}" for x in lines[0][1]])
            axes.minorticks_off()
        axes.set_xlabel(x, color=INK, fontsize=10)
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")

    return Panel(title, draw)


def density_panel(
    title: str, counts: np.ndarray, bounds: tuple[float, float, float, float], names: tuple[str, str]
) -> Panel:
    """How often each cell [x, y] of a grid over `bounds` (low x, high x, low y, high y) was visited, in logarithms."""

    def draw(axes: "Axes") -> None:
        shown = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan).T
        axes.imshow(shown, origin="lower", extent=bounds, aspect="auto", cmap="viridis", vmin=0, vmax=3)
        axes.set_xlabel(names[0], color=INK, fontsize=10)
        axes.set_ylabel(names[1], color=INK, fontsize=10)
        axes.tick_params(colors=FAINT, labelsize=9, length=0)
        axes.spines[:].set_visible(False)

    return Panel(title, draw)
