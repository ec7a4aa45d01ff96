"""Where the first states of episodes come from: a reset for every step of every environment, or a pool of resets.

Compiled code has no branch that only some environments take, so a step that may reset pays for a reset.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
from jax import Array
from jaxtyping import Int

from ddpg.envs.vector import Vector
from ddpg.types import Key, PyTree

NewEpisodes = tuple[PyTree, Array]  # new ones: states and observations


@dataclass(frozen=True)
class FreshResets:
    """For every step N resets of its own, of which those are used whose episode ended."""

    vector: Vector
    steps: int  # in an iteration

    def init(self, key: Key) -> None:
        """The pool before the first iteration: there is none."""

    def draw(self, key: Key) -> NewEpisodes:
        """What an iteration needs, drawn ahead of the loop: [K, N] new episodes."""
        return jax.vmap(self.vector.fresh)(jax.random.split(key, self.steps))

    def renewed(self, pool: None, drawn: NewEpisodes, t: Int[Array, ""]) -> tuple[None, NewEpisodes]:
        """The pool in iteration t, and what each of its steps takes from it, [K, ...]."""
        return None, drawn

    def take(self, pool: None, own: NewEpisodes) -> NewEpisodes:
        """N new episodes for one step."""
        return own


class Renewal(NamedTuple):
    """Of one iteration: C new episodes, and which of the pool each of N environments takes if its own ended."""

    new: NewEpisodes
    which: Int[Array, "k n"]


@dataclass(frozen=True)
class ResetPool:
    """A pool of at least `size` new episodes; environments whose own ended take a random one.

    In every iteration the oldest are replaced, as many as episodes would end that all last until the time limit:
    K N / `max_episode_steps`, at least one. So a start is used once on average, and more often if episodes end early.
    """

    vector: Vector
    size: int
    steps: int  # in an iteration

    @property
    def renewals(self) -> int:
        """New episodes of one iteration."""
        return min(self.size, -(-self.steps * self.vector.n // self.vector.env.max_episode_steps))

    @property
    def turns(self) -> int:
        """Iterations until all are new; the pool is a whole number of renewals."""
        return -(-self.size // self.renewals)

    def init(self, key: Key) -> NewEpisodes:
        return self._resets(key, self.turns * self.renewals)

    def draw(self, key: Key) -> Renewal:
        new, which = jax.random.split(key)
        size = self.turns * self.renewals
        return Renewal(
            self._resets(new, self.renewals), jax.random.randint(which, (self.steps, self.vector.n), 0, size)
        )

    def renewed(self, pool: NewEpisodes, drawn: Renewal, t: Int[Array, ""]) -> tuple[NewEpisodes, Int[Array, "k n"]]:
        at = t % self.turns * self.renewals

        def replaced(old: Array, new: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(old, new, at, axis=0)

        return jax.tree.map(replaced, pool, drawn.new), drawn.which

    def take(self, pool: NewEpisodes, own: Int[Array, " n"]) -> NewEpisodes:
        return jax.tree.map(lambda x: x[own], pool)

    def _resets(self, key: Key, count: int) -> NewEpisodes:
        return jax.vmap(self.vector.env.reset)(jax.random.split(key, count))


def resets_of(vector: Vector, pool: int, steps: int) -> FreshResets | ResetPool:
    """Of a pool of that size; without one if it is 0."""
    return ResetPool(vector, pool, steps) if pool else FreshResets(vector, steps)
