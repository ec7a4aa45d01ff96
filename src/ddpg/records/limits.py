"""What pictures of learning curves show: everything, and beside it the end enlarged if it would be too flat to read."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

MARGIN = 0.06  # of the height, above and below
ENLARGED = {1 / 2: 6, 1 / 4: 12}  # share of the steps that is the end -> how many times higher it must become
FLAT = 1e-3  # of its returns: an end less high is flat
FEWEST = 3  # points of an end


class Levels(NamedTuple):
    """What is drawn of one curve: steps [points] ascending, and lines over them [lines, points], NaN if unknown."""

    steps: Real[np.ndarray, " points"]
    lines: Float[np.ndarray, "lines points"]


class Window(NamedTuple):
    """The steps `begin` to `end` and the returns `low` to `high`."""

    begin: float
    end: float
    low: float
    high: float


def whole(curves: Sequence[Levels], optimum: float | None = None) -> Window:
    """Everything from step 0 on, if any return is finite."""
    end = max(float(curve.steps[-1]) for curve in curves)
    return Window(0.0, end or 1.0, *_padded(*_range(curves, 0.0, optimum)))


def enlarged_end(curves: Sequence[Levels], optimum: float | None = None) -> Window | None:
    """The last half or the last quarter of the steps, if all lines there span a small part of the whole height.

    Returns before learning are often ten times further from the end than anything of interest, and press it into a
    line. None if the end is legible as it is, as after a late collapse, or flat.
    """
    bottom, top = _range(curves, 0.0, optimum)
    last = max(float(curve.steps[-1]) for curve in curves)
    for share, times in ENLARGED.items():
        begin = last * (1 - share)
        if max(np.sum(curve.steps >= begin) for curve in curves) < FEWEST:
            return None
        low, high = _range(curves, begin, optimum)
        if FLAT * max(abs(low), abs(high)) < high - low <= (top - bottom) / times:
            return Window(begin, last, *_padded(low, high))
    return None


def _range(curves: Sequence[Levels], begin: float, optimum: float | None) -> tuple[float, float]:
    """The lowest and the highest return from step `begin` on, with the optimum; NaN if none is known."""
    parts = [curve.lines[:, curve.steps >= begin].ravel() for curve in curves]
    known = np.concatenate([*parts, [] if optimum is None else [optimum]])
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if known.size else (math.nan, math.nan)


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = MARGIN * max(high - low, 1e-3 * abs(high), 1e-6)
    return low - margin, high + margin
