"""The study of many dimensions: shares of the way, costs of a decision, and what it says."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.envs.episodes import play, starts
from ddpg.envs.point_reach import PointReach
from ddpg.relatives.curve import LearningCurve
from ddpg.studies.decisions import Decisions, decisions
from ddpg.studies.dimensions import DIMENSIONS, REINFORCE, THREE, closed, learned_in, panels, tables, verdict
from ddpg.studies.figure import save_panels
from ddpg.studies.gradients import Estimate, Limit


def test_doing_nothing_is_0_and_the_optimum_1() -> None:
    env = PointReach(4)
    for gain, share in ((0.0, 0.0), (-2.0, 1.0)):
        returns = play(env, lambda x, gain=gain: jnp.clip(gain * x, -1, 1), starts(env, 100)).returns.mean()
        curve = LearningCurve(np.array([0]), np.array([[float(returns)]]), np.zeros((1, 1)))
        np.testing.assert_allclose(closed(env, curve), share, atol=1e-6)


def test_a_network_with_too_many_outputs_is_not_made() -> None:
    small, large = decisions(1, REINFORCE, THREE, n=20), decisions(16, REINFORCE, THREE, n=20)
    assert all(x > 0 for x in small)
    assert large.sampled > 0
    assert np.isnan(large.dqn)


def test_in_which_dimensions_it_is_learned() -> None:
    good, bad = np.array([0.99, 0.97]), np.array([0.2, 0.95])
    assert learned_in({1: good, 2: good, 4: bad, 8: good}) == [1, 2, 8]
    assert learned_in({1: bad}) == []
    assert learned_in(dict.fromkeys(DIMENSIONS, good)) == list(DIMENSIONS)


@pytest.fixture
def results() -> tuple:
    gradients = {
        k: {"deterministic": Estimate(0.8, 1e-8), "best": Estimate(4.0 * k, 1e-7), "no": Estimate(8.0 * k**1.5, 1e-7)}
        for k in DIMENSIONS
    }
    sigma = 0.5 ** np.arange(9)
    towards = Limit(sigma, sigma**2, np.full(9, 2.0), 1 / sigma)
    times = {k: Decisions(1e-6, 2e-6, 3e-6 * k if k < 16 else float("nan")) for k in DIMENSIONS}
    good, bad = np.array([0.99, 0.98, 1.0]), np.array([-5.0, -6.0, -4.0])
    shares = {
        "DDPG, 4000 steps": dict.fromkeys(DIMENSIONS, good),
        "DQN, 4000 steps": {1: good, 2: good, 4: good, 8: bad},
        "REINFORCE, 4000 steps": dict.fromkeys(DIMENSIONS, bad),
    }
    return gradients, towards, times, shares


def test_the_verdict_follows_the_numbers(results: tuple) -> None:
    said = verdict(*results)
    assert "80 times as many samples" in said
    assert "640 times without one" in said
    assert "DDPG, 4000 steps, 1, 2, 4, 8, 16; DQN, 4000 steps, 1, 2, 4; REINFORCE, 4000 steps, no k." in said
    assert "6561 for k = 8, where a decision takes 24 µs, and 43046721 for k = 16" in said
    assert "have 11 GB" in said


def test_every_table_and_panel_is_made(results: tuple, tmp_path: Path) -> None:
    learned, gradients, costs, limits = tables(*results)
    assert learned.rows[-1] == [16, "99%", "impossible", "-500%"]
    assert gradients.rows[0] == [1, 80, 400, 800, "0.001", "0.040", "0.080"]
    assert costs.rows[-1] == [16, "1.0", "2.0", "not made", 43046721, "11 192.147 MB"]
    assert len(limits.rows) == 9
    save_panels(tmp_path / "panels.png", panels(*results), columns=2)
    assert (tmp_path / "panels.png").stat().st_size > 10_000
