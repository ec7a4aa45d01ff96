"""The page and the data show the findings, in brief if an observation has very many components."""

import json

import numpy as np
from gymnasium import spaces

from ddpg.doctor.report import as_data, facts
from tests.doctor.walk import findings_of


def test_asymmetric_bounds_and_nested_observations_are_described() -> None:
    findings = findings_of(
        space=spaces.Dict({"b": spaces.Box(-9.0, 9.0, (2, 2)), "a": spaces.Discrete(3)}),
        obs=lambda self: {"a": self.t % 3, "b": np.full((2, 2), self.x, np.float32)},
        action=spaces.Box(np.array([0.0, -2.0], np.float32), np.array([1.0, 2.0], np.float32)),
    )
    assert findings.obs_shape == (7,)
    text = "\n".join(fact for _, fact in facts(findings))
    assert "Dict('a': Discrete(3), 'b': Box(-9.0, 9.0, (2, 2), float32))" in text
    assert "[0, 1] [-2, 2], asymmetric, not all equal" in text


def test_data_of_images_is_condensed() -> None:
    findings = findings_of(
        space=spaces.Box(0, 255, (40, 40), np.uint8), obs=lambda self: np.full((40, 40), 100 + 40 * self.x, np.uint8)
    )
    data = json.loads(json.dumps(as_data(findings), allow_nan=False))
    assert data["observations"]["constant"] == 0
    assert data["lengths"] == {"count": 20, "min": 10, "median": 10, "max": 10}
