"""A picture shows every return, and enlarges the end only if that shows more."""

import numpy as np
import pytest

from ddpg.records.limits import Levels, enlarged_end, whole

STEPS = np.arange(1000, 20_001, 1000.0)


def levels(*lines: np.ndarray, steps: np.ndarray = STEPS) -> Levels:
    return Levels(steps, np.array(lines))


def learned(slowness: float = 1500.0) -> np.ndarray:
    return -140 - 1400 * np.exp(-STEPS / slowness)


def test_everything_is_shown_from_step_zero_on() -> None:
    one, other = learned(), learned(4000.0)
    other[3] = np.nan
    window = whole([levels(one, one - 900), levels(other, steps=2 * STEPS)], -139.0)
    assert (window.begin, window.end) == (0, 40_000)
    assert window.low < (one - 900).min()
    assert window.high > -139
    assert window.high - window.low == pytest.approx(1.12 * (-139 - (one - 900).min()))


def test_one_number_has_an_axis_around_it() -> None:
    window = whole([levels(np.array([-300.0]), steps=np.array([0.0]))])
    assert window.low < -300 < window.high
    assert window.begin < window.end
    zero = whole([levels(np.zeros(3), steps=np.arange(3.0))])
    assert zero.low < 0 < zero.high


def test_the_last_half_is_enlarged_if_it_is_a_small_part_of_the_height() -> None:
    end = enlarged_end([levels(learned())], -139.0)
    assert end is not None
    assert (end.begin, end.end) == (10_000, 20_000)
    late = learned()[STEPS >= 10_000]
    assert late.min() - 1 < end.low < late.min()
    assert -139 < end.high < -138


def test_the_last_quarter_is_if_the_half_still_rises() -> None:
    article = np.where(STEPS <= 10_000, -1470.0, -150 - 1300 * np.exp(-(STEPS - 10_000) / 1000))
    end = enlarged_end([levels(article)])
    assert end is not None
    assert end.begin == 15_000
    assert end.low < article[14]


def test_nothing_is_enlarged_that_is_legible() -> None:
    collapsed = learned()
    collapsed[-2:] = -700, -1400
    assert enlarged_end([levels(collapsed)], -139.0) is None
    assert enlarged_end([levels(np.linspace(0, 3000, 20))]) is None
    assert enlarged_end([levels(learned()), levels(np.full(20, -1400.0))]) is None  # another run has learned nothing
    assert enlarged_end([levels(np.where(STEPS < 5000, 10.0, 1000.0))]) is None  # flat
    assert enlarged_end([levels(np.where(STEPS < 5000, 10.0, 1000 + 0.1 * np.sin(STEPS)))]) is None
    assert enlarged_end([levels(learned()[:4], steps=STEPS[:4])]) is None  # too few points


def test_unknown_returns_do_not_count() -> None:
    known = learned()
    known[-1] = np.nan
    end = enlarged_end([levels(known, np.full(20, np.nan))])
    assert end is not None
    assert end.low < known[9] < known[18] < end.high
