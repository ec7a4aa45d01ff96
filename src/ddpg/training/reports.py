"""Reports since the last log point, and their means."""

from typing import Any, NamedTuple

import jax
import numpy as np

from ddpg.training.driver import Report
from ddpg.types import Metrics


class PendingReports(NamedTuple):
    """What was reported since the last log point: leaves [pieces, S], and how many iterations each piece is of."""

    report: Report
    weights: np.ndarray


def no_reports(seeds: int) -> PendingReports:
    none = np.zeros((0, seeds))
    return PendingReports(Report(Metrics(*[none] * len(Metrics._fields)), none, none, none), np.zeros(0))


def together(pieces: PendingReports) -> Report:
    """What pieces say as one: means over the iterations, or episodes, of those that know."""
    report, weights = pieces

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        weights = np.where(np.isnan(values), 0, weights)
        total = weights.sum(axis=0)
        return np.where(total > 0, np.nansum(weights * values, axis=0) / np.maximum(total, 1), np.nan)

    metrics = jax.tree.map(lambda values: mean(values, weights[:, None] * np.ones_like(values)), report.metrics)
    returns: Any = mean(report.episode_return, report.episodes)
    return Report(metrics, returns, report.episodes.sum(axis=0), report.largest_reward.max(axis=0))
