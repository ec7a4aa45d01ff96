"""The figure of a comparison: scores, learning curves, performance profiles, probabilities of improvement."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ddpg.comparison.compare import Comparison, Estimate, Lines
from ddpg.records.plot import FAINT, INK, PALETTE, style_axes
from ddpg.terminal import thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = ("-", "--", ":", "-.")
LONGEST = 24  # characters of a label


def draw(comparison: Comparison, file: Path) -> None:
    """Write a PNG, made for 900 pixels of width."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    labels, overall = comparison.labels, comparison.overall
    rows = max(len(labels), len(overall.pairs), 3)
    height = 4.6 + 0.28 * rows
    layout = ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.14, rect=(0, 0, 1, 1 - 0.75 / height))
    figure = Figure(figsize=(9, height), dpi=200, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(2, 2, height_ratios=(1.2 + 0.28 * rows, 3))
    colors = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}
    styles = {label: STYLES[i // len(PALETTE) % len(STYLES)] for i, label in enumerate(labels)}
    unit = "return" if comparison.ranges is None else "scaled return"
    _bars(grid[0, 0], {shortened(label): (overall.iqm[label], colors[label]) for label in labels}, f"IQM of the {unit}")
    pairs = {f"{shortened(p.x)} > {shortened(p.y)}": (p.probability, colors[p.x]) for p in overall.pairs}
    _bars(grid[0, 1], pairs, "probability of improvement P(X > Y)")
    if not pairs:
        _instead(grid[0, 1], "one algorithm")
    else:
        grid[0, 1].set_xlim(-0.03, 1.03)
        grid[0, 1].axvline(0.5, color=INK, linewidth=1, linestyle=(0, (5, 4)), zorder=0)
    _lines(grid[1, 0], overall.curve, colors, styles, f"IQM of the {unit}", "environment steps")
    _lines(grid[1, 1], comparison.profile, colors, styles, "share of seeds above", unit)
    names = ", ".join(comparison.steps)
    title = names if len(names) <= 70 else f"{len(comparison.steps)} environments"
    top = 1 - 0.3 / height
    figure.text(0.02, top, title, color=INK, fontsize=13, fontweight="bold", parse_math=False)
    figure.text(0.02, top - 0.26 / height, _caption(comparison), color=FAINT, fontsize=9)
    file.parent.mkdir(parents=True, exist_ok=True)
    canvas.print_png(str(file), metadata={"Software": None})  # the same comparison gives the same bytes


def shortened(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def _caption(comparison: Comparison) -> str:
    counts = sorted({len(x) for of_label in comparison.overall.scores.values() for x in of_label})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}\N{EN DASH}{counts[-1]}"
    steps = sorted(set(comparison.steps.values()))
    at = f"step {thousands(steps[0])}" if len(steps) == 1 else "their last common steps"
    return f"at {at}, {seeds} seeds; bars and bands are 95 % intervals, those of bands at each point alone"


def _bars(axes: "Axes", estimates: Mapping[str, tuple[Estimate, str]], xlabel: str) -> None:
    """A point with its interval per row, the first on top."""
    style_axes(axes, "", size=10)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    axes.set_xlabel(xlabel, color=INK, fontsize=10)
    for i, (of, color) in enumerate(estimates.values()):
        axes.plot([of.low, of.high], [i, i], color=color, linewidth=7, alpha=0.3, solid_capstyle="butt")
        axes.plot([of.value], [i], "o", color=color, markersize=6)
    axes.set_yticks(range(len(estimates)), list(estimates), parse_math=False)
    for tick, (_, color) in zip(axes.get_yticklabels(), estimates.values(), strict=True):
        tick.set_color(color)
    axes.set_ylim(len(estimates) - 0.4, -0.6)


def _lines(
    axes: "Axes", lines: Lines | None, colors: Mapping[str, str], styles: Mapping[str, str], ylabel: str, xlabel: str
) -> None:
    style_axes(axes, ylabel, size=10)
    axes.set_xlabel(xlabel, color=INK, fontsize=10)
    if lines is None:
        _instead(axes, "no steps that all environments have")
        return
    for label, (value, low, high) in lines.lines.items():
        mark = "o" if len(lines.at) == 1 else None
        axes.plot(lines.at, value, color=colors[label], linestyle=styles[label], linewidth=2, marker=mark)
        axes.fill_between(lines.at, low, high, color=colors[label], alpha=0.18, linewidth=0)


def _instead(axes: "Axes", why: str) -> None:
    axes.text(0.5, 0.5, why, color=FAINT, ha="center", transform=axes.transAxes)
