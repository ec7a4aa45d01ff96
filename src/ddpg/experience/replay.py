"""The replay memory R: a ring of rows [T, N], sampled inside the compiled program."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from annotated_types import Ge
from jax import Array
from jaxtyping import Float, Int, UInt32

from ddpg.experience.episode_ends import EpisodeEnds
from ddpg.experience.relabel import AnyRelabelling, AsStored
from ddpg.experience.returns import fold
from ddpg.experience.ring import Ring, age_of, observed, pack, rows_at
from ddpg.experience.sampling import AnySampling, Index, Prioritised, Uniform
from ddpg.hyperparameters import Number
from ddpg.mistake import Mistake
from ddpg.ranges import Natural
from ddpg.schedules import Constant, Schedule
from ddpg.types import PyTree, Row, Spec, Transition


@dataclass(frozen=True)
class Replay:
    """`capacity` is in environment steps, `batch` in transitions; `n_step` is the length of the return.

    With `n_step_schedule` the length is `n_step` times the factor of the schedule, rounded, from 1 to `n_step`.
    `relabel` says which transitions are drawn with another goal than theirs (HER).
    """

    capacity: Annotated[Natural, Ge(2)] = 100_000
    batch: Natural = 64
    n_step: Natural = 1
    n_step_schedule: Schedule = Constant()
    sampling: AnySampling = Uniform()
    relabel: AnyRelabelling = AsStored()

    @property
    def relabels(self) -> bool:
        return not isinstance(self.relabel, AsStored)

    def init(self, block: Row, spec: Spec) -> Ring:
        """An empty ring for blocks of rows like `block` [K, N, ...]; it holds a whole number of blocks."""
        k, n = block.reward.shape
        rows = max(self.capacity // (n * k), 2) * k
        obs, columns = (jnp.zeros((rows, *x.shape[1:]), x.dtype) for x in pack(block, spec))
        ends = EpisodeEnds.none(rows, n) if self.relabels else None
        return Ring(obs, columns, jnp.int32(0), jnp.int32(0), self.sampling.init(rows, n), ends)

    def add(self, ring: Ring, block: Row, spec: Spec) -> Ring:
        """Append a block of rows [K, N, ...]; K always divides the ring, so a block never wraps."""
        k, rows = block.reward.shape[0], ring.columns.shape[0]
        obs, columns = (
            jax.lax.dynamic_update_slice_in_dim(old, new, ring.cursor, axis=0)
            for old, new in zip((ring.obs, ring.columns), pack(block, spec), strict=True)
        )
        ends = None if ring.ends is None else ring.ends.after(ring.cursor, block.boundary)
        ring = Ring(obs, columns, (ring.cursor + k) % rows, jnp.minimum(ring.size + k, rows), ring.sampler, ends)
        return ring._replace(sampler=self.sampling.on_add(ring, k, self.n_step))

    def windows(self, ring: Ring, index: Index, length: int, spec: Spec) -> Row:
        """The `length` consecutive rows [length, b, ...] from each index on; `obs` is for `observed`."""
        rows, n = ring.columns.shape[:2]
        when = (index // n + jnp.arange(length)[:, None]) % rows
        return rows_at(ring, when * n + index % n, spec)

    def draw(
        self, ring: Ring, bits: UInt32[Array, " b"], step: Int[Array, ""], spec: Spec
    ) -> tuple[Index, Row, Float[Array, " b"] | None]:
        """One window of n + 1 rows per random word, the index of its first row, and the weights (None: all 1)."""
        index, weight = self.sampling.draw(ring, bits, self.n_step, step)
        return index, self.windows(ring, index, self.n_step + 1, spec), weight

    def sample(
        self,
        ring: Ring,
        bits: UInt32[Array, " b"],
        step: Int[Array, ""],
        gamma: Number,
        spec: Spec,
        relabel: Callable[[Index, Row], Row] | None = None,
    ) -> tuple[Transition, Index]:
        """One window per random word, relabelled, folded to a transition; and the indices of their first rows."""
        index, window, weight = self.draw(ring, bits, step, spec)
        if relabel is not None:
            window = relabel(index, window)
        if (before := spec.stack - 1) > 0:  # pictures, of which the oldest rows have lost some
            lost = age_of(ring, index) < before
            window = window._replace(boundary=window.boundary.at[0].set(window.boundary[0] | lost))
        batch = fold(window, gamma, self._length(step))
        s, s_next, following = (
            None if obs is None else observed(ring, obs, spec) for obs in (batch.obs, batch.next_obs, batch.following)
        )
        batch = batch._replace(obs=s, next_obs=s_next, following=following)
        if weight is None:
            return batch, index
        weight = weight * batch.weight
        return batch._replace(weight=weight / jnp.maximum(jnp.mean(weight), 1e-6)), index

    def _length(self, step: Int[Array, ""]) -> Float[Array, ""] | None:
        """The n of n-step returns after `step` environment steps, at least 1; None: always `n_step`."""
        if isinstance(self.n_step_schedule, Constant):
            return None
        return jnp.maximum(jnp.round(self.n_step * self.n_step_schedule(step)), 1.0)

    def on_update(self, sampler: PyTree, index: Index, td_error: Float[Array, " b"], count: Int[Array, ""]) -> PyTree:
        """The sampler after update `count` on the windows that begin at `index`, with their |TD errors|."""
        return self.sampling.on_update(sampler, index, td_error, count)

    def check(self, path: str) -> None:
        """A minibatch must fit into the replay, and priorities are of transitions as they are stored."""
        if self.relabels and isinstance(self.sampling, Prioritised):
            raise Mistake(
                f"{path}.relabel {self.relabel.kind}: an error with another goal is no priority of the stored one; "
                f"use --{path}.sampling uniform"
            )
        if self.n_step == 1 and not isinstance(self.n_step_schedule, Constant):
            raise Mistake(
                f"{path}.n_step_schedule {self.n_step_schedule.kind}: there is no shorter return than "
                f"{path}.n_step 1; use --{path}.n_step 3"
            )
        if self.batch > self.capacity:
            raise Mistake(
                f"{path}.batch {self.batch} is larger than {path}.capacity {self.capacity}; "
                f"use a batch of at most {self.capacity} or a larger capacity"
            )
