"""The study of many dimensions: shares of the way, costs of a decision, and what it says."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.envs.episodes import play, starts
from ddpg.envs.point_reach import PointReach
from ddpg.relatives.curve import LearningCurve
from ddpg.studies import dimensions
from ddpg.studies.decisions import Decisions, decisions
from ddpg.studies.dimensions import (
    DIMENSIONS,
    ESTIMATED,
    OURS,
    REINFORCE,
    THREE,
    amount,
    closed,
    learned_in,
    memory,
    panels,
    tables,
    trained,
    verdict,
)
from ddpg.studies.family import Learner
from ddpg.studies.figure import save_panels
from ddpg.studies.gradients import BASELINE, EXACT, PLAIN, Estimate, Limit
from ddpg.studies.study import Bench, Size


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
    good, bad = np.array([0.99, 0.97]), np.array([0.79, 1.0])  # one seed is not enough
    assert learned_in({1: good, 2: good, 4: bad, 8: good}) == [1, 2, 8]
    assert learned_in({1: bad}) == []
    assert learned_in(dict.fromkeys(DIMENSIONS, good)) == list(DIMENSIONS)


@pytest.fixture
def results() -> tuple:
    gradients = {
        k: {EXACT: Estimate(0.8, 1e-8), BASELINE: Estimate(4.0 * k, 1e-7), PLAIN: Estimate(8.0 * k**1.5, 1e-7)}
        for k in ESTIMATED
    }
    sigma = 0.5 ** np.arange(9)
    towards = Limit(sigma, sigma**2, np.full(9, 2.0), 1 / sigma)
    times = {k: Decisions(1e-6, 2e-6, 3e-6 * k if k < 16 else float("nan")) for k in ESTIMATED}
    good, bad = np.array([0.99, 0.98, 1.0]), np.array([-5.0, -6.0, -4.0])
    shares = {
        "DDPG, 4000 steps": dict.fromkeys(DIMENSIONS, good),
        "DQN, 4000 steps": {1: good, 2: good, 4: good, 8: bad},
        "REINFORCE, 4000 steps": dict.fromkeys(DIMENSIONS, bad),
    }
    return gradients, towards, times, shares


def test_the_verdict_follows_the_numbers(results: tuple) -> None:
    said = verdict(*results)
    assert "2.0 µs for k = 50 (2.0 times μ(s))" in said
    assert "in 25 dimensions 125 and 1250; in 50 dimensions 250 and 3536." in said
    assert "like k^1.0 with V(s), like k^1.5 without, and by less than 10 % for the deterministic" in said
    assert "DDPG, 4000 steps, 1, 2, 4, 8, 16; DQN, 4000 steps, 1, 2, 4; REINFORCE, 4000 steps, no k." in said
    assert "6 561 for k = 8, where a decision takes 24 µs, and 8.5·10^11 for k = 25" in said
    assert "have 220 TB" in said


def test_a_verdict_of_other_numbers_says_something_else(results: tuple) -> None:
    gradients, towards, times, shares = results
    explosive = {k: each | {BASELINE: Estimate(1.5**k, 1e-7)} for k, each in gradients.items()}
    slow = {k: each._replace(sampled=k * 1e-5) for k, each in times.items()}
    said = verdict(explosive, towards, slow, shares)
    assert "like 1.50^k with V(s)" in said
    assert "500.0 µs for k = 50 (500.0 times μ(s))" in said


def test_large_amounts_are_powers() -> None:
    assert amount(6_561) == "6 561"
    assert amount(3**50) == "7.2·10^23"


def test_bytes_are_in_the_largest_unit() -> None:
    assert [memory(size) for size in (999, 1_706_000, 3**25 * 260)] == ["999 B", "1.7 MB", "220 TB"]
    assert memory(3**50 * 260) == "1.9·10^8 EB"


def test_ddpg_has_no_bound_of_ours() -> None:
    assert OURS.agent.clip_values is None


def test_a_label_has_the_steps_that_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flat(bench: Bench, learner: Learner, which: str, points: int) -> LearningCurve:
        steps = learner.steps // points * np.arange(points + 1)
        return LearningCurve(steps, np.zeros((1, points + 1)), np.zeros((1, points + 1)))

    monkeypatch.setattr(dimensions, "learned", flat)
    shares = trained(Bench(tmp_path, Size(4_101, 1)))
    # 20 episodes of 10 steps make an update.
    assert list(shares) == ["REINFORCE, 4200 steps", "REINFORCE, 105000 steps", "DQN, 4096 steps", "DDPG, 4096 steps"]


def test_every_table_and_panel_is_made(results: tuple, tmp_path: Path) -> None:
    learned, gradients, costs, limits = tables(*results)
    assert learned.rows[-1] == [16, "99%", "impossible", "-500%"]
    assert [row[0] for row in costs.rows] == [1, 2, 4, 8, 16, 25, 32, 50]
    assert gradients.rows[0] == [1, 80, 400, 800, "0.8", "40.0", "80.0"]
    assert costs.rows[3] == [8, "1.0", "2.0", "24.0", "6 561", "1.7 MB"]
    assert costs.rows[4] == [16, "1.0", "2.0", "not made", "4.3·10^7", "11 GB"]
    assert len(limits.rows) == 9
    save_panels(tmp_path / "panels.png", panels(*results), columns=2)
    assert (tmp_path / "panels.png").stat().st_size > 10_000
