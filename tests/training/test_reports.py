"""Means over pieces of a report are those over the iterations and episodes they are of."""

import math

import jax.numpy as jnp
import numpy as np

from ddpg.training.driver import Report, mean_metrics
from ddpg.training.reports import PendingReports, chunk_report, mean_report, no_reports
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


def test_a_report_counts_by_its_iterations() -> None:
    """One of a whole chunk, as the scan driver's, or one of every iteration, as the host driver's."""
    pending = no_reports(2).add(reported(np.array([1.0, 2.0])), 30)
    pending = pending.add(reported(np.array([[4.0, 4.0], [7.0, 8.0]])), 2)
    np.testing.assert_array_equal(pending.weights, [30, 1, 1])
    np.testing.assert_allclose(mean_report(pending).metrics.q, [41 / 32, 72 / 32])
    np.testing.assert_allclose(chunk_report(pending, 2).metrics.q, [5.5, 6.0])
    np.testing.assert_allclose(chunk_report(pending, 32).metrics.q, [41 / 32, 72 / 32])


def test_what_is_lost_within_a_chunk_is_no_unknown_number() -> None:
    """Though the mean over what is known is finite: a run must not end well with networks of NaN."""
    pending = no_reports(2).add(reported(np.array([3.0, 3.0])), 5)
    for numbers in ([1.0, 2.0], [2.0, math.nan]):
        pending = pending.add(reported(np.array(numbers)), 1)
    assert np.isfinite(mean_report(pending).metrics.q).all()
    chunk = chunk_report(pending, 2)
    np.testing.assert_allclose(chunk.metrics.q, [1.5, math.nan])
    np.testing.assert_allclose(chunk.metrics.critic_loss, [1.5, math.nan])
    np.testing.assert_allclose(chunk.metrics.actor_loss, [1.5, 2.0])
    np.testing.assert_allclose(chunk.highest_reward, [2.0, math.nan])


def test_metrics_of_updates_that_are_lost_are_not_unknown() -> None:
    moved = jnp.array([math.nan, 3.0, math.nan, 5.0])
    mean = mean_metrics(Metrics(jnp.array([1.0, 2.0, math.nan, 4.0]), jnp.ones(4), moved, moved, moved, moved))
    assert [float(x) for x in mean[1:]] == [1.0, 4.0, 4.0, 4.0, 4.0]
    assert math.isnan(mean.q)
