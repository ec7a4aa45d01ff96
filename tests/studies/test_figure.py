"""The panels of a study's figure."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddpg.records.plot import Curve
from ddpg.records.statistics import iqm
from ddpg.studies.figure import REFERENCE, Band, Panel, bands_panel, curves_panel, save_panels


def drawn(panel: Panel) -> Axes:
    axes = Figure().add_subplot()
    panel.draw(axes)
    return axes


def test_bands_are_drawn_over_logarithms(tmp_path: Path) -> None:
    y = np.array([[1.0, 10.0, np.nan], [2.0, 20.0, np.nan]])
    panel = bands_panel("Title", [Band("one", np.array([1, 2, 4]), y)], "x", "y", 5.0, scales=("log", "log"))
    axes = drawn(panel)
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlabel(), axes.get_ylabel()) == ("log", "log", "x", "y")
    save_panels(tmp_path / "bands.png", [panel])
    assert (tmp_path / "bands.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("grey", [True, False])
def test_curves_are_bands_over_steps(grey: bool) -> None:
    steps, returns = np.array([0, 100, 200]), np.array([[-9.0, -5.0, -1.0], [-8.0, -4.0, -2.0]])
    reference = Curve("reference", np.array([0, 300]), np.array([[-9.0, -3.0]])) if grey else None
    axes = drawn(curves_panel("Title", [Curve("one", steps, returns)], reference, -0.5, (-10, 0)))
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["one"].get_ydata(), iqm(returns))
    assert axes.get_xlim() == (0, 300 if grey else 200)
    assert axes.get_ylim() == (-10, 0)
    assert (axes.get_xscale(), axes.get_xlabel(), axes.get_ylabel()) == ("linear", "environment steps", "greedy return")
    assert ("reference" in lines and lines["reference"].get_color() == REFERENCE) == grey
