"""Which windows of the replay a minibatch is made of: all alike, or by priority."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le
from jax import Array
from jaxtyping import Float, Int, UInt32
from pydantic import Discriminator

from ddpg.experience.priority_tree import Tree, draw, empty, put
from ddpg.experience.ring import Ring, boundaries
from ddpg.ranges import Finite, Natural, Positive, Whole
from ddpg.types import AnyArray, PyTree

Index = Int[Array, " b"]  # of rows, counted through the ring: row * N + environment


@runtime_checkable
class Sampling(Protocol):
    """What the part `sampling` of a replay must answer. A window is n + 1 rows, n the length of the return."""

    def init(self, rows: int, n: int) -> PyTree:
        """The sampler: the state of the sampling for a ring of so many rows of N environments, nothing stored."""
        ...

    def on_add(self, ring: Ring, k: int, n_step: int) -> PyTree:
        """The sampler after K rows were added, which end at the ring's cursor."""
        ...

    def draw(
        self, ring: Ring, bits: UInt32[Array, " b"], n_step: int, step: Int[Array, ""]
    ) -> tuple[Index, Float[Array, " b"] | None]:
        """First rows of windows, one per random word, and the weights of their losses (None: all 1)."""
        ...

    def on_update(self, sampler: PyTree, index: Index, td_error: Float[Array, " b"], count: Int[Array, ""]) -> PyTree:
        """The sampler after update `count` on the windows that begin at `index`, with their |TD errors|."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Every window with the same probability."""

    kind: Literal["uniform"] = field(default="uniform", kw_only=True)

    def init(self, rows: int, n: int) -> None:
        return None

    def on_add(self, ring: Ring, k: int, n_step: int) -> None:
        return None

    def draw(self, ring: Ring, bits: UInt32[Array, " b"], n_step: int, step: Int[Array, ""]) -> tuple[Index, None]:
        rows, n = ring.columns.shape[:2]
        starts = (ring.size - n_step) * n
        index = (bits % starts.astype(jnp.uint32)).astype(jnp.int32)
        return ((ring.cursor - ring.size) * n + index) % (rows * n), None

    def on_update(self, sampler: None, index: Index, td_error: Float[Array, " b"], count: Int[Array, ""]) -> None:
        return None


class Priorities(NamedTuple):
    """The sampler of prioritised replay: the priority of each row as the first of a window."""

    tree: Tree
    largest: Float[AnyArray, ""]  # so far; new rows begin with it


@dataclass(frozen=True)
class Prioritised:
    """Samples windows with probability proportional to max(|TD error|, floor)^alpha, the error of their last update.

    Proportional prioritisation (Schaul et al. 2016, section 3.3), in strata of equal probability (appendix B.2.1);
    new windows get the largest priority so far. Losses are weighted by the inverse probability to the power `beta`,
    which grows to 1 over `anneal` environment steps (section 3.4; 0 keeps it). With `floor` 1, `beta` 0, `anneal` 0
    and the Huber loss it is the loss-adjusted LAP (Fujimoto et al. 2020). Every `recount` updates the largest priority
    becomes that of the rows in the replay, as in TD7.
    """

    kind: Literal["prioritised"] = field(default="prioritised", kw_only=True)
    alpha: Annotated[Finite, Ge(0), Le(1)] = 0.6
    beta: Annotated[Finite, Ge(0), Le(1)] = 0.4
    anneal: Whole = 100_000
    floor: Positive = 1e-2
    recount: Natural | None = None

    def init(self, rows: int, n: int) -> Priorities:
        return Priorities(empty(rows * n), jnp.float32(1))

    def on_add(self, ring: Ring, k: int, n_step: int) -> Priorities:
        # The K windows that end in the new rows are whole now, and those of K old rows are gone.
        tree, largest = ring.sampler
        rows, n = ring.columns.shape[:2]
        back = jnp.arange(k + n_step)[:, None] - (k + n_step)  # from the first new window to the newest row
        row = (ring.cursor + back) % rows
        whole = (back < -n_step) & (-back <= ring.size)
        priority = jnp.where(whole & ~boundaries(ring.columns[row[:, 0]]), largest, 0.0)
        return Priorities(put(tree, (row * n + jnp.arange(n)).reshape(-1), priority.reshape(-1)), largest)

    def draw(
        self, ring: Ring, bits: UInt32[Array, " b"], n_step: int, step: Int[Array, ""]
    ) -> tuple[Index, Float[Array, " b"]]:
        b, n = len(bits), ring.columns.shape[1]
        strata = (jnp.arange(b) + (bits >> 8) * np.float32(2**-24)) / b
        below_one = jnp.minimum(strata, np.nextafter(np.float32(1), np.float32(0)))
        index, probability = draw(ring.sampler.tree, below_one)
        beta = self.beta + (1 - self.beta) * jnp.minimum(step / self.anneal, 1.0) if self.anneal else self.beta
        windows = ((ring.size - n_step) * n).astype(jnp.float32)
        # The probability is NaN while nothing can be drawn: the weight is 0 then.
        return index, jnp.where(probability > 0, (windows * probability) ** -beta, 0.0)

    def on_update(
        self, sampler: Priorities, index: Index, td_error: Float[Array, " b"], count: Int[Array, ""]
    ) -> Priorities:
        priority = jnp.maximum(td_error, self.floor) ** self.alpha
        tree, largest = put(sampler.tree, index, priority), jnp.maximum(sampler.largest, jnp.max(priority))
        if self.recount:
            recounts = (count + 1) % self.recount == 0
            largest = jax.lax.cond(recounts, lambda: jnp.max(tree.leaves), lambda: largest)
        return Priorities(tree, largest)


AnySampling = Annotated[Uniform | Prioritised, Discriminator("kind")]
