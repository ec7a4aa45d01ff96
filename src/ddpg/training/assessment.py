"""Policies that are chosen by the episodes that they collect: TD7's checkpoints (Fujimoto et al. 2023, section 4.3)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from ddpg.algorithm.agent import Nets
from ddpg.types import PyTree, Row


class Assessed(NamedTuple):
    """The networks whose worst episode of a block was the best so far, and those that collect the block to come."""

    best: Nets
    worst_return: Float[Array, ""]  # theirs; -inf before the first
    acting: Nets
    acted: Bool[Array, ""]  # whether they do, instead of random actions

    def after(self, block: Row, online: Nets, learning: bool) -> "Assessed":
        """After a block [K, N, ...] of `acting`; `online` collects the next one, of random actions until `learning`."""
        worst = worst_return(block)
        better = self.acted & jnp.isfinite(worst) & (worst >= self.worst_return)
        best, bar = _choose(better, (self.acting, worst), (self.best, self.worst_return))
        return Assessed(best, bar, jax.tree.map(jnp.copy, online), jnp.bool_(learning))


def begin_assessment(online: Nets) -> Assessed:
    """Before the first block, which `online` collects."""
    best, acting = (jax.tree.map(jnp.copy, online) for _ in range(2))
    return Assessed(best, jnp.float32(-jnp.inf), acting, jnp.bool_(False))


def worst_return(block: Row) -> Float[Array, ""]:
    """The lowest return of the episodes in a block [K, N, ...], which begins with new ones.

    The last of an environment, which the block's end may have cut, counts if it is the only one.
    """

    def step(state: _Running, row: Row) -> tuple[_Running, None]:
        so_far = jnp.where(row.boundary, 0.0, state.so_far + row.reward)
        done = jnp.logical_or(row.terminated, row.truncated)
        worst = jnp.where(done, jnp.minimum(state.worst, so_far), state.worst)
        return _Running(so_far, worst, state.ended | done), None

    n = block.reward.shape[1]
    before, last = (jax.tree.map(lambda x, rows=rows: x[rows], block) for rows in (slice(-1), -1))
    state, _ = jax.lax.scan(step, _Running(jnp.zeros(n), jnp.full(n, jnp.inf), jnp.zeros(n, bool)), before)
    counts = ~last.boundary & (last.terminated | ~state.ended)
    return jnp.min(jnp.where(counts, jnp.minimum(state.worst, state.so_far + last.reward), state.worst))


class _Running(NamedTuple):
    """Of each environment [N], on the way through a block."""

    so_far: Float[Array, " n"]  # the return of the open episode
    worst: Float[Array, " n"]  # of those that ended
    ended: Bool[Array, " n"]  # whether one did


def _choose(first: Bool[Array, ""], yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(first, a, b), yes, no)
