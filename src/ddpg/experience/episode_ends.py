"""Where the episode of each stored row ends, so that what came later in it can be drawn."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Int

from ddpg.types import AnyArray


class EpisodeEnds(NamedTuple):
    """Of a ring of T rows of N environments. The episodes of an environment are numbered in their order, from 0."""

    number: Int[AnyArray, "t n"]  # of the episode to which each row belongs, its boundary row too
    last: Int[AnyArray, "t n"]  # the newest row of each episode, by its number modulo T: T rows have as many at most
    coming: Int[AnyArray, " n"]  # the number of the next row's episode

    @classmethod
    def none(cls, rows: int, n: int) -> "EpisodeEnds":
        """Before the first row."""
        return cls(jnp.zeros((rows, n), jnp.int32), jnp.zeros((rows, n), jnp.int32), jnp.zeros(n, jnp.int32))

    def after(self, cursor: Int[Array, ""], boundary: Bool[Array, "k n"]) -> "EpisodeEnds":
        """With a block of K rows from row `cursor` on."""
        (rows, n), k = self.number.shape, len(boundary)
        number = self.coming + jnp.cumsum(boundary, axis=0) - boundary
        # Rows of one episode write the same place: all of them its newest row in this block.
        at = jnp.where(boundary, jnp.arange(k)[:, None], k - 1)
        newest = jax.lax.cummin(at, axis=0, reverse=True)
        return EpisodeEnds(
            jax.lax.dynamic_update_slice_in_dim(self.number, number, cursor, axis=0),
            self.last.at[number % rows, jnp.arange(n)].set((cursor + newest) % rows),
            number[-1] + boundary[-1],
        )

    def later(self, row: Int[Array, " b"], env: Int[Array, " b"]) -> Int[Array, " b"]:
        """How many rows of the same episode follow these; 0 for its boundary row."""
        rows = len(self.number)
        return (self.last[self.number[row, env] % rows, env] - row) % rows
