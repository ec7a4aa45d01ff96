"""Curves over training, as SVG: mean, interval and seeds; the whole story, or a part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ddpg.records.plot import Curve, number
from ddpg.records.statistics import interval, iqm
from ddpg.report_page.axes import SIDE, Scale, framed, step_ticks, ticks_of
from ddpg.report_page.markup import Markup, element

POINTS = 200  # of a curve, more than can be told apart
SEEDS = 10  # whose own lines are drawn
COLOURS = 8  # of style.css; then the lines are dashed
WIDE = 50.0  # times the median, beyond which positive numbers have a logarithmic axis


@dataclass(frozen=True)
class Drawn:
    """A curve with what is drawn of it: `mean`, `low` and `high` [points], NaN if unknown; at least one is finite."""

    curve: Curve
    mean: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]
    colour: int = 0

    def levels(self, first: float = 0.0) -> np.ndarray:
        """Every finite number that is drawn from a step on; the seeds' own only if there is no mean."""
        late = self.curve.steps >= first
        known = np.concatenate([x[late] for x in (self.mean, self.low, self.high)])
        known = known if np.isfinite(known).any() else self.curve.returns[:, late].ravel()
        return known[np.isfinite(known)]


def drawn(curve: Curve, colour: int = 0) -> Drawn | None:
    """What is drawn of a curve, at the steps at which any seed has a number; None if there are none."""
    known = np.isfinite(curve.returns).any(axis=0)
    at = np.flatnonzero(known)
    if not at.size:
        return None
    at = at[np.unique(np.linspace(0, len(at) - 1, min(POINTS, len(at))).round().astype(int))]
    returns = np.where(np.isfinite(curve.returns), curve.returns, np.nan)[:, at]
    return Drawn(Curve(curve.label, curve.steps[at], returns), iqm(returns), *interval(returns), colour)


def chart(
    curves: Sequence[Drawn],
    title: str,
    *,
    note: str = "",
    optimum: float | None = None,
    first: float = 0.0,
    log: bool = True,
    seeds: bool = True,
    end: float | None = None,
    class_: str = "chart",
) -> Markup:
    """Curves from the step `first` to `end`, which is their last by default.

    The height shows all of that. With `log` the axis is logarithmic if the numbers differ very much.
    """
    levels = [level for each in curves if (level := each.levels(first)).size]
    if not levels:
        return Markup("")
    last = max(float(each.curve.steps[-1]) for each in curves) if end is None else end
    across = Scale(first, last if last > first else first + 1)
    upwards = _heights(levels, optimum, log)
    lines = [
        line
        for each in curves
        for line in _lines(each, across, upwards, seeds and len(curves) == 1 and len(each.curve.returns) <= SEEDS)
    ]
    ticks = ticks_of(upwards, 5)
    grid = [_path(f"M0 {SIDE * (1 - tick.at):.0f}H{SIDE}", "grid") for tick in ticks]
    if optimum is not None and upwards.low <= optimum <= upwards.high:
        grid.append(_path(f"M0 {_down(upwards, np.array(optimum)):.0f}H{SIDE}", "optimum"))
    svg = element(
        "svg",
        element("title", title),
        *grid,
        *lines,
        viewBox=f"0 0 {SIDE} {SIDE}",
        preserveAspectRatio="none",
        role="img",
    )
    caption = element("figcaption", element("b", title), element("span", note) if note else None)
    return element("figure", caption, framed(svg, step_ticks(across, 4), ticks), class_=class_)


def _heights(levels: Sequence[np.ndarray], optimum: float | None, log: bool) -> Scale:
    everything = np.concatenate([*levels, [] if optimum is None else [optimum]])
    low, high = float(everything.min()), float(everything.max())
    if log and low > 0 and high > WIDE * float(np.median(everything)):
        return Scale(low / 1.3, high * 1.3, log=True)
    margin = 0.05 * max(high - low, 1e-3 * abs(high), 1e-6)
    return Scale(low - margin, high + margin)


def _lines(each: Drawn, across: Scale, upwards: Scale, seeds: bool) -> list[Markup]:
    curve, colour = each.curve, f"c{each.colour % COLOURS}"
    dashed = " dashed" if each.colour >= COLOURS else ""
    # What lies left of the plot is cut off, but a line comes in from there.
    start = max(0, int(np.searchsorted(curve.steps, across.low)) - 1)
    x = SIDE * across.share(curve.steps[start:].astype(float))

    def down(levels: np.ndarray) -> np.ndarray:
        return _down(upwards, levels[start:])

    lines = []
    if len(curve.returns) > 1:
        for low, high in _runs(each.low[start:]):
            there = slice(low, high)
            upper, lower = down(each.high)[there], down(each.low)[there]
            around = [_points(x[there], upper), _points(x[there][::-1], lower[::-1])]
            lines.append(_path(f"M{'L'.join(around)}Z", f"band {colour}"))
        if seeds:
            lines += [_path(_polyline(x, down(own)), f"seed {colour}") for own in curve.returns]
    mean = each.mean if np.isfinite(each.mean).any() else np.nanmean(curve.returns, axis=0)
    label = f"{curve.label}: {number(float(mean[np.isfinite(mean)][-1]))}"
    path = _polyline(x, down(mean))
    return [*lines, element("path", element("title", label), d=path, class_=f"mean {colour}{dashed}")]


def _down(upwards: Scale, levels: np.ndarray) -> np.ndarray:
    """From the top, as SVG counts, and no further outside the plot than it is high."""
    return np.asarray(SIDE * (1 - np.clip(upwards.share(levels), -1, 2)))


def _runs(levels: np.ndarray) -> list[tuple[int, int]]:
    """Where finite numbers begin and end."""
    known = np.concatenate([[False], np.isfinite(levels), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    return [(int(low), int(high)) for low, high in zip(edges[::2], edges[1::2], strict=True)]


def _polyline(x: np.ndarray, y: np.ndarray) -> str:
    """Through all finite points; a point alone is a dot."""
    runs = [(_points(x[low:high], y[low:high]), high - low) for low, high in _runs(y)]
    return "".join(f"M{points}{'h0' if many == 1 else ''}" for points, many in runs)


def _points(x: np.ndarray, y: np.ndarray) -> str:
    return "L".join(f"{a:.0f} {b:.0f}" for a, b in zip(x, y, strict=True))


def _path(d: str, class_: str) -> Markup:
    return element("path", d=d, class_=class_)
