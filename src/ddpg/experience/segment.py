"""Segments: blocks of rows that are whole by themselves, so that blocks of many collectors can lie in one ring.

The row after the last one of a block comes with the next block of the same environments: after blocks of others, or
never. So a segment ends with a boundary row of its own, which holds the observation after the last step, and the
episodes that are open there are cut, as by a time limit. If an observation is several pictures in a row, of which the
ring stores the newest, a segment begins with the rows whose pictures come before: the context. Context rows are
boundary rows, so that no transition begins there; `truncated` tells them from those that end an episode.
"""

import numpy as np
from jaxtyping import Shaped

from ddpg.types import Row


def added_rows(stack: int) -> int:
    """Rows of a segment beside those of its steps, if an observation is so many pictures in a row."""
    return stack


def first_context(obs: Shaped[np.ndarray, "n *obs"], action_dim: int, stack: int) -> Row:
    """The rows [stack - 1, N, ...] before the first step of new environments: ends of other episodes."""
    before, n = stack - 1, len(obs)
    no, zero = np.zeros((before, n), bool), np.zeros((before, n, action_dim), np.float32)
    return Row(np.repeat(obs[None], before, axis=0), zero, zero[..., 0], no, no, ~no)


def next_context(context: Row, block: Row) -> Row:
    """The rows before the next block of the same environments; `context` [stack - 1, N, ...] was before this one."""
    obs, action, _, _, truncated, boundary = (
        np.concatenate(pair)[len(block.reward) :] for pair in zip(context, block, strict=True)
    )
    goes_on = truncated | ~boundary
    return Row(obs, action, np.zeros(boundary.shape, np.float32), goes_on & False, goes_on, np.ones_like(boundary))


def segment(context: Row, block: Row, after: Shaped[np.ndarray, "n *obs"]) -> Row:
    """A segment [stack - 1 + K + 1, N, ...] of a block [K, N, ...] between its context and the observation `after`."""
    truncated = block.truncated.copy()
    truncated[-1] |= ~(block.terminated[-1] | block.boundary[-1])
    last = Row(*(np.zeros_like(column[-1:]) for column in block))
    last = last._replace(obs=after[None], boundary=~last.boundary)
    parts = zip(context, block._replace(truncated=truncated), last, strict=True)
    return Row(*map(np.concatenate, parts))
