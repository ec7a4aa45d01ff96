"""Detects seeds whose training has diverged."""

from typing import NamedTuple

import numpy as np

from ddpg.training.driver import Report

# Q is lost once it is so many times the largest possible return, and has grown for so many chunks in a row.
EXPLODED, GROWTH = 100.0, 3
FIXES = "use a smaller --critic.lr, --critic.max_grad_norm 1, --normalise true or a smaller --reward_scale"


class DivergenceState(NamedTuple):
    """What every chunk so far has shown of each seed [S]."""

    largest_reward: np.ndarray  # in size, as the update sees it
    last_q: np.ndarray  # |Q| of the last chunk
    growth: np.ndarray  # chunks in a row in which |Q| grew beyond any possible return


def init_divergence(seeds: int) -> DivergenceState:
    return DivergenceState(np.zeros(seeds), np.full(seeds, np.inf), np.zeros(seeds, np.int64))


def check_divergence(
    state: DivergenceState, report: Report, *, gamma: float, reward_scale: float, learning: bool
) -> tuple[DivergenceState, dict[int, str]]:
    """Add the report of one chunk [S]; also return the index of each diverged seed, with its symptom and the fix."""
    size = np.maximum(-np.asarray(report.lowest_reward), report.highest_reward)  # -inf if there was no reward
    largest = np.maximum(state.largest_reward, reward_scale * size)
    if not learning:
        return state._replace(largest_reward=largest), {}
    q, loss = np.asarray(report.metrics.q), np.asarray(report.metrics.critic_loss)
    bound = EXPLODED * np.maximum(largest / max(1 - gamma, 1e-3), 1.0)
    # Large observations make large initial values, which learning reduces: only growth is divergence.
    beyond = np.abs(q) > np.maximum(bound, state.last_q)
    growth = np.where(beyond, state.growth + 1, 0)
    diverged = dict[int, str]()
    for i in np.flatnonzero(~(np.isfinite(q) & np.isfinite(loss) & (growth < GROWTH))):
        growing = f", and growing, while rewards are at most {largest[i]:.3g} in size" if beyond[i] else ""
        diverged[int(i)] = f"Q is {q[i]:.3g} and the critic's loss {loss[i]:.3g}{growing}; {FIXES}"
    return DivergenceState(largest, np.abs(q).astype(float), growth), diverged
