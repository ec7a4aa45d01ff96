"""Numbers with as many digits as mean something."""

import math


def decimal(x: float, width: float | None = None) -> str:
    """With two digits of the interval's `width`, by default three of the number itself; no exponent."""
    if not math.isfinite(x):
        return "?"
    digits = 2 if width else 3
    scale = width or abs(x)
    places = 1 if not scale or not math.isfinite(scale) else digits - 1 - math.floor(math.log10(scale))
    return f"{x:.{min(max(places, 0), 6)}f}"


def interval(value: float, low: float, high: float, width: float | None = None) -> str:
    """Such as -137.7 [-139.5, -137.1]; without the brackets if the ends are unknown."""
    width = width or high - low
    if not (math.isfinite(low) and math.isfinite(high)):
        return decimal(value, width if math.isfinite(width) else None)
    a, b, c = (decimal(x, width) for x in (value, low, high))
    return f"{a} [{b}, {c}]"


def share(value: float, low: float, high: float) -> str:
    """A share or a probability, such as 0.64 [0.30, 0.88]."""
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def p_value(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
