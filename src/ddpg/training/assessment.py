"""Policies that are chosen by the episodes that they collect: TD7's checkpoints (Fujimoto et al. 2023)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from ddpg.algorithm.nets import Nets
from ddpg.hyperparameters import Number, equals
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
    """The candidate with the best score so far, and the one that acts until its episodes have told enough.

    With `fresh` it begins new episodes in the iteration to come: what is open then is truncated.
    """

    best: Candidate
    best_score: Float[Array, ""]  # its; -inf before the first
    score: Float[Array, ""]  # of the one that acted before
    acting: Candidate
    fresh: Bool[Array, ""]
    begun: Bool[Array, ""]  # whether it acts yet, instead of random actions
    tenure: Tenure

    def after(self, block: Row, online: Candidate, learning: bool, episodes: int, rate: Number = 1.0) -> "Assessed":
        """After a block [K, N, ...], collected before this iteration; from the first that is `learning` on one acts.

        Its score is the running mean, with `rate`, of the worst of each one's first `episodes` in each environment.
        With a rate of 1 that is its own alone, and it ends at the first episode that is worse than the best score.
        The one that follows is `online` as it is now: it acts from the next iteration on, so that the block that is
        being collected meanwhile is of neither.
        """
        nothing = _nothing(block.reward.shape[1])
        if not learning:
            return self
        tenure = _choose(self.fresh, nothing, played(self.tenure, block))
        worst = jnp.min(tenure.worst)
        enough, score = jnp.all(tenure.ended >= episodes), worst
        if equals(rate, 1):
            enough |= worst < self.best_score
        else:
            score = jnp.where(jnp.isfinite(self.score), self.score + rate * (worst - self.score), worst)
        over = self.begun & enough
        score = _choose(over, score, self.score)
        better = over & (score >= self.best_score)
        best, best_score = _choose(better, (self.acting, score), (self.best, self.best_score))
        begins = over | ~self.begun
        acting, tenure = _choose(begins, (online, nothing), (self.acting, tenure))
        return Assessed(best, best_score, score, acting, begins, jnp.bool_(True), tenure)


def begin_assessment(online: Candidate, envs: int) -> Assessed:
    """Before the first block."""
    best, acting = (jax.tree.map(jnp.copy, online) for _ in range(2))
    no = jnp.bool_(False)
    none = jnp.float32(-jnp.inf)
    return Assessed(best, none, none, acting, no, no, _nothing(envs))


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
