"""Policies that are chosen by the episodes that they collect: TD7's checkpoints (Fujimoto et al. 2023)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from ddpg.algorithm.nets import Nets
from ddpg.types import AnyArray, PyTree, Row


class Candidate(NamedTuple):
    """Networks, and what rewards were multiplied by when their critic learned, if that follows from returns."""

    nets: Nets
    scale: Float[AnyArray, ""] | None = None


class Tenure(NamedTuple):
    """What a policy has played since it acts, in each environment [N]."""

    so_far: Float[Array, " n"]  # the return of the open episode
    worst: Float[Array, " n"]  # of those that ended, infinite before
    ended: Int[Array, " n"]  # how many did


class Assessed(NamedTuple):
    """The candidate with the best worst episode so far, and the one that acts until its episodes have told enough.

    With `fresh` it begins new episodes in the iteration to come: what is open then is truncated.
    """

    best: Candidate
    worst_return: Float[Array, ""]  # its; -inf before the first
    acting: Candidate
    fresh: Bool[Array, ""]
    begun: Bool[Array, ""]  # whether it acts yet, instead of random actions
    tenure: Tenure

    def after(self, block: Row, online: Candidate, learning: bool, episodes: int) -> "Assessed":
        """After a block [K, N, ...], collected before this iteration; from the first that is `learning` on one acts.

        It is the best if none of its first `episodes` in each environment is worse than all of the best before.
        The one that follows is `online` as it is now: it acts from the next iteration on, so that the block that is
        being collected meanwhile is of neither.
        """
        nothing = _nothing(block.reward.shape[1])
        if not learning:
            return self
        tenure = _choose(self.fresh, nothing, played(self.tenure, block))
        worst = jnp.min(tenure.worst)
        over = self.begun & (jnp.all(tenure.ended >= episodes) | (worst < self.worst_return))
        best, bar = _choose(over & (worst >= self.worst_return), (self.acting, worst), (self.best, self.worst_return))
        begins = over | ~self.begun
        acting, tenure = _choose(begins, (online, nothing), (self.acting, tenure))
        return Assessed(best, bar, acting, begins, jnp.bool_(True), tenure)


def begin_assessment(online: Candidate, envs: int) -> Assessed:
    """Before the first block."""
    best, acting = (jax.tree.map(jnp.copy, online) for _ in range(2))
    no = jnp.bool_(False)
    return Assessed(best, jnp.float32(-jnp.inf), acting, no, no, _nothing(envs))


def played(tenure: Tenure, block: Row) -> Tenure:
    """With a block [K, N, ...] more."""

    def step(tenure: Tenure, row: tuple[Array, Array, Array]) -> tuple[Tenure, None]:
        reward, boundary, done = row
        so_far = jnp.where(boundary, 0.0, tenure.so_far + reward)
        worst = jnp.where(done, jnp.minimum(tenure.worst, so_far), tenure.worst)
        return Tenure(so_far, worst, tenure.ended + done), None

    done = jnp.logical_or(block.terminated, block.truncated)
    return jax.lax.scan(step, tenure, (block.reward, block.boundary, done))[0]


def _nothing(envs: int) -> Tenure:
    return Tenure(jnp.zeros(envs), jnp.full(envs, jnp.inf), jnp.zeros(envs, int))


def _choose(first: Bool[Array, ""], yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(first, a, b), yes, no)
