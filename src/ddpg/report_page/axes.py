"""The frame of a chart: a plot of any width, and around it numbers that keep their size."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ddpg.records.plot import number
from ddpg.report_page.markup import Markup, element

SIDE = 1000  # units of a plot, each way: it is stretched to its place, lines keep their width


class Scale(NamedTuple):
    """Numbers of an axis from `low` to `high` onto 0 to 1; in logarithms if `log`."""

    low: float
    high: float
    log: bool = False

    def share(self, x: np.ndarray) -> np.ndarray:
        low, high = self.low, self.high
        if self.log:
            x, low, high = np.log10(np.maximum(x, low / 10)), math.log10(low), math.log10(high)
        return np.asarray((x - low) / (high - low))

    def ticks(self, most: int) -> list[float]:
        """At most so many round numbers on the axis; of a logarithmic one powers of ten."""
        if not self.log:
            return round_numbers(self.low, self.high, most)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        every = max(1, -(-(last - first + 1) // most))
        return [10.0**power for power in range(first, last + 1, every)]


class Tick(NamedTuple):
    """A number beside a plot, at a share of its width, or of its height from below."""

    at: float
    text: str


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two numbers, at most so many."""
    width = high - low
    if not (math.isfinite(width) and width > 0):
        return [low]
    power = 10.0 ** math.floor(math.log10(width / most))
    step = next((times * power for times in (1, 2, 5, 10) if width / (times * power) <= most), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * i for i in range(first, last + 1)]


def ticks_of(scale: Scale, most: int) -> list[Tick]:
    """The numbers of returns, losses and the like."""
    values = scale.ticks(most)
    return [Tick(float(scale.share(np.array(x))), short(x) if scale.log else number(x)) for x in values]


def step_ticks(scale: Scale, most: int = 5) -> list[Tick]:
    """The numbers of environment steps: 20k, 1M."""
    return [Tick(float(scale.share(np.array(x))), short(x)) for x in scale.ticks(most)]


def short(x: float) -> str:
    """A number in a few characters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{number(x / size)}{letter}" if abs(x) < 1e15 else f"{x:.0e}"
    return number(x) if x == 0 or abs(x) >= 0.01 else f"{x:.0e}"


def framed(content: Markup, across: Sequence[Tick], upwards: Sequence[Tick], class_: str = "plot") -> Markup:
    """A plot with numbers below it and to its left."""
    left = [element("span", tick.text, style=f"bottom:{_percent(tick.at)}") for tick in upwards]
    below = [element("span", tick.text, style=f"left:{_percent(tick.at)}") for tick in across]
    return element(
        "div",
        element("div", *left, class_="upwards", aria_hidden="true"),
        element("div", content, class_="area"),
        element("div", *below, class_="across", aria_hidden="true"),
        class_=class_,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"
