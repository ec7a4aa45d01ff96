"""Which seeds have numbers from which none comes back."""

from typing import NamedTuple

import numpy as np

from ddpg.training.driver import Report

EXPLODED, GROWTH = 100.0, 3  # times the largest return there can be, and still growing for so many chunks: Q is lost


class DivergenceState(NamedTuple):
    """What was seen of every seed so far [S]."""

    largest: np.ndarray  # reward in size, as the update sees it
    before: np.ndarray  # |Q|
    growth: np.ndarray  # chunks that it grew for, beyond what there can be


def init_divergence(seeds: int) -> DivergenceState:
    return DivergenceState(np.zeros(seeds), np.full(seeds, np.inf), np.zeros(seeds, np.int64))


def seen(
    watch: DivergenceState, report: Report, gamma: float, learning: bool
) -> tuple[DivergenceState, dict[int, str]]:
    """With one report [S] more, whose rewards are the update's; and of the seeds that are lost, how it shows."""
    largest = np.maximum(watch.largest, np.asarray(report.largest_reward))
    if not learning:
        return watch._replace(largest=largest), {}
    q, loss = np.asarray(report.metrics.q), np.asarray(report.metrics.critic_loss)
    bound = EXPLODED * np.maximum(largest / max(1 - gamma, 1e-3), 1.0)
    # Large observations make large first values, which learning brings down: only growth is lost.
    beyond = np.abs(q) > np.maximum(bound, watch.before)
    growth = np.where(beyond, watch.growth + 1, 0)
    lost = dict[int, str]()
    for i in np.flatnonzero(~(np.isfinite(q) & np.isfinite(loss) & (growth < GROWTH))):
        lost[int(i)] = f"Q is {q[i]:.3g} and the critic's loss {loss[i]:.3g}"
        if beyond[i]:
            lost[int(i)] += f", and growing, where rewards are at most {largest[i]:.3g} in size"
    return DivergenceState(largest, np.abs(q).astype(float), growth), lost
