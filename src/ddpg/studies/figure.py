"""The figure of a study: a few panels side by side, each of one thing that was varied."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
    """Returns over environment steps, the reference in grey."""
    grey = None if reference is None else band_of(reference)
    bands = [band_of(curve) for curve in curves]
    return bands_panel(
        title, bands, "environment steps", ylabel, optimum, reference=grey, limits=limits, scales=("linear", "linear")
    )


class Band(NamedTuple):
    """A line of a figure with the values of every seed."""

    label: str
    x: np.ndarray  # [points]
    y: np.ndarray  # [seeds, points]


def band_of(curve: Curve) -> Band:
    return Band(curve.label, curve.steps, curve.returns)


def bands_panel(
    title: str,
    bands: Sequence[Band],
    x: str,
    y: str,
    optimum: float | None = None,
    *,
    reference: Band | None = None,
    limits: tuple[float, float] | None = None,
    scales: tuple[str, str] = ("log", "linear"),
) -> Panel:
    """Interquartile means with 95 % intervals, the optimum dashed, `reference` in grey, y within `limits`.

    `scales` are matplotlib's, of x and y. Over a logarithmic x the points are few: dots mark them.
    """

    def draw(axes: "Axes") -> None:
        if optimum is not None:
            axes.axhline(optimum, color=INK, linewidth=1, linestyle=(0, (5, 4)), zorder=1)
        shown = [*([] if reference is None else [(reference, REFERENCE)]), *zip(bands, PALETTE, strict=False)]
        dots = "o" if scales[0] == "log" else None
        for band, color in shown:
            mean, (low, high) = iqm(band.y), interval(band.y)
            axes.fill_between(band.x, low, high, color=color, alpha=0.2, linewidth=0)
            axes.plot(band.x, mean, color=color, linewidth=2, label=band.label, marker=dots, markersize=3)
        if limits is not None:
            axes.set_ylim(*limits)
        style_axes(axes, y, size=10)
        axes.set_xlabel(x, color=INK, fontsize=10)
        if scales[1] != "linear":
            axes.set_yscale(scales[1])
        if scales[0] == "linear":
            axes.set_xlim(0, max(float(band.x[-1]) for band, _ in shown))
        else:
            axes.set_xscale(scales[0])
            _label_points(axes, bands[0].x)
        _legend_below(axes, [band.label for band, _ in shown])

    return Panel(title, draw)


def _label_points(axes: "Axes", at: np.ndarray) -> None:
    """Numbers at a few of the points, if these are few themselves."""
    if len(at) < 10:
        some = at[:: max(len(at) // 4, 1)]
        axes.set_xticks(some, [f"{x:.3g}" for x in some])
        axes.set_xticks([], minor=True)


def _legend_below(axes: "Axes", labels: Sequence[str]) -> None:
    """Anywhere inside the axes it would hide a curve."""
    columns = 1 if max(map(len, labels)) > 24 else 3 if len(labels) > 4 else 2
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": columns}
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, **place)


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
