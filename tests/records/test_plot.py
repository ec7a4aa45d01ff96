"""Interquartile means and intervals against scipy and slow loops, and pictures that show what they should."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import trim_mean

from ddpg.records import plot
from ddpg.records.plot import Curve, _caption, _summarised, curve_of, learning_curve
from ddpg.records.statistics import interval, iqm, summary


def pixels(file: Path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(file)[..., :3]


def near(image: np.ndarray, color: str) -> int:
    """How many pixels have this colour."""
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return int((np.abs(image - wanted).max(axis=-1) < 0.02).sum())


def pendulum(seeds: int, slowness: float = 1500.0) -> Curve:
    steps = np.arange(1000, 20_001, 1000)
    noise = np.random.default_rng(0).normal(0, 2, (seeds, len(steps)))
    return Curve("ddpg", steps, -140 - 1400 * np.exp(-steps / slowness) + noise)


def test_iqm_by_hand() -> None:
    assert iqm(np.array([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -100.0])) == (2 + 3 + 4 + 5) / 4
    assert iqm(np.array([1.0, 2.0, 6.0])) == 3.0


@pytest.mark.parametrize("seeds", range(1, 14))
def test_iqm_is_scipys_trimmed_mean(seeds: int) -> None:
    x = np.random.default_rng(seeds).normal(size=(seeds, 4))
    np.testing.assert_allclose(iqm(x), trim_mean(x, 0.25, axis=0))
    np.testing.assert_allclose(iqm(x.T, axis=1), trim_mean(x, 0.25, axis=0))


def test_iqm_does_not_take_an_unknown_return_for_the_best() -> None:
    assert np.isnan(iqm(np.array([1.0, 2.0, 3.0, np.nan])))


def test_interval_is_the_bootstrap_written_as_a_loop() -> None:
    returns = np.random.default_rng(1).normal(size=(7, 3)) * [1, 10, 100]
    draws = np.random.default_rng(5).integers(7, size=(200, 7))
    for column in range(3):
        means = [trim_mean([returns[i, column] for i in draw], 0.25) for draw in draws]
        low, high = interval(returns, level=0.9, resamples=200, seed=5)
        assert low[column] == pytest.approx(np.percentile(means, 5))
        assert high[column] == pytest.approx(np.percentile(means, 95))


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    low, high = interval(rng.normal(size=(20, 300)), resamples=500)
    assert 0.85 < np.mean((low < 0) & (high > 0)) < 0.99


def test_interval_is_the_same_twice_and_absent_for_one_seed() -> None:
    returns = pendulum(5).returns
    np.testing.assert_array_equal(interval(returns), interval(returns))
    assert np.isnan(interval(returns[:1])).all()


def test_summary_is_json() -> None:
    returns = np.array([-140.0, -150.0, -145.0, -1200.0])
    said = summary(returns)
    assert said["iqm"] == -147.5
    assert said["mean"] == -408.75
    assert said["returns"] == returns.tolist()
    low, high = interval(returns[:, None])
    assert (said["ci_low"], said["ci_high"]) == (low[0], high[0])
    alone = summary(np.array([-140.0], dtype=np.float32))
    assert alone == {"iqm": -140.0, "ci_low": None, "ci_high": None, "mean": -140.0, "returns": [-140.0]}
    json.dumps([said, summary(np.array([np.nan, 1.0]))], allow_nan=False)


def test_curve_of_records_takes_the_last_word() -> None:
    records = [
        {"step": 1, "seed": 4, "return": 1.0},
        {"step": 1, "seed": 2, "return": 2.0},
        {"step": 2, "seed": 2, "return": 3.0},
        {"step": 1, "seed": 4, "return": 5.0},
        {"step": 2, "seed": 4},
    ]
    curve = curve_of(records, "a")
    np.testing.assert_array_equal(curve.steps, [1, 2])
    np.testing.assert_array_equal(curve.returns, [[2.0, 3.0], [5.0, np.nan]])


def test_the_picture_of_a_whole_curve_has_its_end_enlarged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = list[tuple[tuple[float, float], tuple[float, float]]]()
    real = plot.style_axes

    def noted(axes: Any, *args: Any, **options: Any) -> None:
        shown.append((axes.get_xlim(), axes.get_ylim()))
        real(axes, *args, **options)

    monkeypatch.setattr(plot, "style_axes", noted)
    curve = pendulum(3)
    curve.returns[2, 0] = -5000.0  # of one seed, which the interquartile mean would hide
    learning_curve([curve], tmp_path / "a.png", "Pendulum-v1", -139.0)
    (steps, returns), (last_steps, last_returns) = shown
    assert steps == (0, 20_000)
    assert returns[0] < -5000
    assert last_steps == (10_000, 20_000)
    assert -150 < last_returns[0] < -139 < last_returns[1]
    shown.clear()
    curve.returns[:, -1] = -1400.0
    learning_curve([curve], tmp_path / "b.png", "Pendulum-v1", -139.0)
    assert [steps for steps, _ in shown] == [(0, 20_000)]
    framed, plain = (near(pixels(tmp_path / name), plot.FRAME) for name in ("a.png", "b.png"))
    assert framed > 1.5 * plain


def test_a_mean_is_drawn_with_its_deviation_and_is_not_called_a_seed(tmp_path: Path) -> None:
    steps, nan = np.array([1, 2, 3]), np.nan
    mean = Curve("a", steps, np.array([[1.0, 2.0, nan]]), deviation=np.array([0.5, nan, 9.0]))
    np.testing.assert_array_equal(_summarised(mean, 0).summary, [[1, 2, nan], [0.5, nan, nan], [1.5, nan, nan]])
    learning_curve([mean], tmp_path / "gap.png", "a")
    seeds = Curve("b", steps, np.ones((2, 3)))
    said = "mean ± standard deviation over seeds"
    assert _caption([mean]) == said
    assert _caption([seeds, mean]).endswith(f"over 2 seeds, with 95 % bootstrap interval; other tables: {said}")
    assert _caption([seeds]).endswith("bootstrap interval")
    assert _caption([replace(mean, deviation=np.full(3, nan))]) == "mean over seeds"
    whole = Curve("a", steps, np.array([[1.0, 2.0, 3.0]]), deviation=np.full(3, 0.5))
    learning_curve([whole], tmp_path / "a.png", "a")
    learning_curve([replace(whole, deviation=None)], tmp_path / "b.png", "a")
    banded, bare = (near(pixels(tmp_path / name), "#CCE3F0") for name in ("a.png", "b.png"))  # a fifth of the blue
    assert banded > 10_000 > 10 * bare


def test_picture_shows_curve_and_optimum_and_is_the_same_twice(tmp_path: Path) -> None:
    files = [tmp_path / "runs" / name for name in ("a.png", "b.png")]
    slow = replace(pendulum(3, 4000.0), label="td3", color="#AA3377")
    for file in files:
        learning_curve([pendulum(5), slow], file, "Pendulum-v1", -139.0)
    assert files[0].read_bytes() == files[1].read_bytes()
    image = pixels(files[0])
    assert image.shape == (900, 1600, 3)
    assert near(image, "#0072B2") > 3000
    assert near(image, "#AA3377") > 3000
    learning_curve([pendulum(5)], tmp_path / "without.png", "Pendulum-v1")
    without = pixels(tmp_path / "without.png")
    assert near(image, "#333333") > near(without, "#333333")


@pytest.mark.parametrize("curves", [
    [Curve("one point", np.array([5]), np.array([[3.0]]))],
    [Curve("some steps not evaluated", np.arange(4), np.array([[np.nan, 1, 2, np.nan], [np.nan, 1, 3, 4]]))],
    [Curve("a name longer than the picture has room for $x$ " * 9, np.arange(3), np.ones((2, 3)))] * 12,
])  # fmt: skip
def test_odd_curves_are_drawn(tmp_path: Path, curves: list[Curve]) -> None:
    learning_curve(curves, tmp_path / "odd.png", "$odd$ [title]", 1.0)
    assert near(pixels(tmp_path / "odd.png"), "#0072B2") > 20


def test_seeds_never_known_together_are_drawn_without_a_mean(tmp_path: Path) -> None:
    curve = Curve("apart", np.arange(4), np.array([[1, 2, np.nan, np.nan], [np.nan, np.nan, 2, 3]]))
    learning_curve([curve], tmp_path / "apart.png", "t")
    image = pixels(tmp_path / "apart.png")
    assert near(image, "#0072B2") == 0
    assert near(image, "#BFDBEC") > 20  # a quarter of the blue on white


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        learning_curve([Curve("empty", np.arange(3), np.full((2, 3), np.nan))], tmp_path / "no.png", "t")


def test_no_window_system_is_touched(tmp_path: Path) -> None:
    learning_curve([pendulum(2)], tmp_path / "a.png", "t")
    assert "matplotlib.pyplot" not in sys.modules
