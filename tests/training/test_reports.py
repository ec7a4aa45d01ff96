"""Means over pieces of a report are those over the iterations and episodes they are of."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ddpg.config.config import Config
from ddpg.training.driver import Report, mean_metrics
from ddpg.training.reports import PendingReports, mean_report, no_reports
from ddpg.types import Metrics


def pieces(of_one: list[float], of_other: float) -> np.ndarray:
    return np.array([[each, of_other] for each in of_one])


def test_reports_of_several_chunks_are_means_over_all() -> None:
    q, returns = pieces([math.nan, 2.0, 4.0], 1.0), pieces([-10.0, -40.0, math.nan], math.nan)
    numbers = Metrics(*[q] * len(Metrics._fields))
    report = Report(numbers, returns, pieces([1, 2, 0], 0), pieces([3, -9, 4], 0.5), pieces([3.0, 9.0, 4.0], 0.5))
    whole = mean_report(PendingReports(report, np.array([5, 30, 10])))
    np.testing.assert_allclose(whole.metrics.q, [2.5, 1.0])
    np.testing.assert_allclose(whole.episode_return, [-30.0, math.nan])
    np.testing.assert_array_equal(whole.episodes, [3, 0])
    np.testing.assert_array_equal(whole.lowest_reward, [-9.0, 0.5])
    np.testing.assert_array_equal(whole.highest_reward, [9.0, 0.5])


def reported(q: np.ndarray) -> Report:
    return Report(Metrics(*[q] * len(Metrics._fields)), q, np.ones_like(q), -np.abs(q), np.abs(q))


def test_a_chunk_becomes_one_piece_that_counts_by_its_iterations() -> None:
    one, two = np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[4.0, 4.0], [7.0, 8.0], [1.0, 6.0]])
    pending, first = no_reports(Config(seeds=2)).add(reported(one)).end_chunk(2)
    np.testing.assert_allclose(first.metrics.q, [2, 1])
    pending = pending.add(reported(two[:1])).add(reported(two[1:]))
    np.testing.assert_array_equal(pending.weights, [2, 1, 1, 1])
    cut, second = pending.end_chunk(3)
    whole, same = no_reports(Config(seeds=2)).add(reported(one)).end_chunk(2)[0].add(reported(two)).end_chunk(3)
    np.testing.assert_array_equal(cut.weights, [2, 3])
    np.testing.assert_allclose(second.metrics.q, [4, 6])
    np.testing.assert_allclose(mean_report(cut).metrics.q, [16 / 5, 20 / 5])
    np.testing.assert_array_equal(mean_report(cut).episodes, [5, 5])
    for a, b in zip(jax.tree.leaves((cut, second)), jax.tree.leaves((whole, same)), strict=True):
        assert a.tobytes() == b.tobytes()  # wherever a chunk is cut


def test_what_is_lost_within_a_chunk_is_no_unknown_number() -> None:
    """Though the mean over what is known is finite: a run must not end well with networks of NaN."""
    pending, _ = no_reports(Config(seeds=2)).add(reported(np.array([[3.0, 3.0]]))).end_chunk(1)
    pending = pending.add(reported(np.array([[1.0, 2.0], [2.0, math.nan]])))
    assert np.isfinite(mean_report(pending).metrics.q).all()
    _, chunk = pending.end_chunk(2)
    np.testing.assert_allclose(chunk.metrics.q, [1.5, math.nan])
    np.testing.assert_allclose(chunk.metrics.critic_loss, [1.5, math.nan])
    np.testing.assert_allclose(chunk.metrics.actor_loss, [1.5, 2.0])
    np.testing.assert_allclose(chunk.highest_reward, [2.0, math.nan])


def test_metrics_of_updates_that_are_lost_are_not_unknown() -> None:
    moved = jnp.array([math.nan, 3.0, math.nan, 5.0])
    mean = mean_metrics(Metrics(jnp.array([1.0, 2.0, math.nan, 4.0]), jnp.ones(4), moved, moved, moved, moved))
    assert [float(x) for x in mean[1:]] == [1.0, 4.0, 4.0, 4.0, 4.0]
    assert math.isnan(mean.q)
