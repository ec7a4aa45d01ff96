"""The parts of a page: markup that cannot be broken out of, axes, curves, pictures of numbers, films that fit."""

import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageSequence

from ddpg.records.plot import Curve
from ddpg.report_page.axes import Scale, round_numbers, short, step_ticks, ticks_of
from ddpg.report_page.charts import POINTS, chart, drawn
from ddpg.report_page.films import fitted
from ddpg.report_page.heat_maps import picture
from ddpg.report_page.markup import Markup, element, joined


def test_text_is_escaped_and_markup_is_not() -> None:
    evil = "<script>alert('x')</script>\" & "
    inside = element("b", evil, title=evil, class_="a", data_x=None, stroke_width=2)
    assert "<script" not in inside
    assert inside.count('"') == 6
    assert 'class="a"' in inside
    assert 'stroke-width="2"' in inside
    assert joined(inside, "<", None, 0.5, "") == inside + "&lt;0.5"
    assert element("br") == "<br>"
    assert isinstance(inside, Markup)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (-1600, -120, 5, [-1500, -1000, -500]),
        (0, 20_000, 4, [0, 5000, 10_000, 15_000, 20_000]),
        (0.21, 0.79, 5, [0.4, 0.6]),
        (5, 5, 5, [5]),
    ],
)
def test_round_numbers(low: float, high: float, most: int, expected: list[float]) -> None:
    np.testing.assert_allclose(round_numbers(low, high, most), expected)


def test_numbers_beside_a_chart() -> None:
    assert [(round(tick.at, 2), tick.text) for tick in step_ticks(Scale(0, 2e6), 4)] == [
        (0, "0"),
        (0.25, "500k"),
        (0.5, "1M"),
        (0.75, "1.50M"),
        (1, "2M"),
    ]
    assert [tick.text for tick in ticks_of(Scale(0.5, 2e4, log=True), 5)] == ["1", "10", "100", "1k", "10k"]
    assert short(1e-5) == "1e-05"


def test_a_chart_shows_the_rise_and_the_magnified_end() -> None:
    steps = np.arange(1, 21) * 1000
    returns = np.stack([np.where(steps < 5000, -1500.0, -140.0 - i) for i in range(4)])
    curve = drawn(Curve("a", steps, returns))
    assert curve is not None
    whole, end = chart([curve], "whole", optimum=-130.0), chart([curve], "end", first=10_000.0)
    assert "−1\u202f500" in whole
    assert "−1\u202f500" not in end
    assert whole.count('class="seed c0"') == 4
    assert 'class="optimum"' in whole
    assert 'class="optimum"' not in end
    # The last point of the mean is at the right end, high up; the first at a twentieth of the width, low down.
    path = re.search(r'<path d="M([^"]*)" class="mean', whole.replace("<title>a: −142</title>", ""))
    assert path is not None
    points = [tuple(map(float, point.split())) for point in path[1].split("L")]
    assert points[0][0] == 50
    assert points[0][1] > 900
    assert points[-1][0] == 1000
    assert points[-1][1] < 100


def test_gaps_of_a_curve_long_ones_and_those_without_numbers() -> None:
    nan = np.nan
    assert drawn(Curve("a", np.arange(3), np.full((2, 3), nan))) is None
    curve = drawn(Curve("a", np.arange(5), np.array([[1, 2, nan, 3, np.inf], [1, 2, 2, 3, nan]])))
    assert curve is not None
    assert curve.curve.steps.tolist() == [0, 1, 2, 3]
    text = chart([curve], "a")
    assert "nan" not in text.lower()
    assert re.search(r"M\d+ \d+L\d+ \d+M\d+ \d+h0", text)  # a gap, and a dot after it
    long = drawn(Curve("a", np.arange(10_000), np.zeros((1, 10_000))))
    assert long is not None
    assert len(long.curve.steps) == POINTS
    assert long.curve.steps[-1] == 9_999
    alone = drawn(Curve("a", np.array([0]), np.array([[1e299]])))
    assert alone is not None
    assert "nan" not in chart([alone], "a").lower()


def test_a_picture_of_numbers_has_low_ones_left_and_below() -> None:
    numbers = np.array([[0.0, 1.0], [2.0, np.nan]])
    with Image.open(BytesIO(picture(numbers, 0.0, 2.0, "gray"))) as image:
        pixels = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(pixels, [[128, 0], [0, 255]])


def test_a_film_fits() -> None:
    random = np.random.default_rng(0)
    frames = [Image.fromarray(random.integers(0, 255, (40, 40), np.uint8)) for _ in range(16)]
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=50, loop=0)
    gif = file.getvalue()
    assert fitted(gif, len(gif)) == gif
    small = fitted(gif, len(gif) // 3)
    assert small is not None
    assert len(small) <= len(gif) // 3
    with Image.open(BytesIO(small)) as film:
        assert len(list(ImageSequence.Iterator(film))) == 4
        assert film.info["duration"] == 200
    assert fitted(gif, 100) is None
    assert fitted(b"GIF89a nothing", 5) is None
