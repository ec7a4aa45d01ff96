"""The replay memory R: a ring of rows [T, N], sampled inside the compiled program, uniformly or by priority."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le
from jax import Array
from jaxtyping import Float, Int, UInt32
from pydantic import Discriminator

from ddpg.experience.priority_tree import Tree, draw, empty, put
from ddpg.experience.returns import fold
from ddpg.mistake import Mistake
from ddpg.ranges import Finite, Natural, Positive, Whole
from ddpg.types import AnyArray, Row, Transition

Index = Int[Array, " b"]  # of rows, counted through the ring: row * N + environment


class Priorities(NamedTuple):
    """How often each row is to be the first of a window."""

    tree: Tree
    largest: Float[AnyArray, ""]  # so far, which new rows begin with


class Ring(NamedTuple):
    """`obs` holds observations of any dtype, `rest` the other columns of Row side by side.

    Fields are stored together because every array costs a write and a gather per step, whatever its width;
    float32 observations lie in `rest` too and leave `obs` empty.
    """

    obs: AnyArray  # [T, N, *obs], or [T, N, 0]
    columns: Float[AnyArray, "t n d"]
    cursor: Int[AnyArray, ""]  # where the next row goes
    size: Int[AnyArray, ""]  # rows filled
    priorities: Priorities | None = None


@dataclass(frozen=True)
class Uniform:
    """Every window as often as any other."""

    kind: Literal["uniform"] = field(default="uniform", kw_only=True)

    def init(self, rows: int, n: int) -> None:
        """Nothing is kept."""

    def on_add(self, ring: Ring, k: int, n_step: int) -> None:
        """Nothing changes."""

    def draw(self, ring: Ring, bits: UInt32[Array, " b"], n_step: int, step: Int[Array, ""]) -> tuple[Index, None]:
        """The first rows of the windows."""
        rows, n = ring.columns.shape[:2]
        starts = (ring.size - n_step) * n
        index = (bits % starts.astype(jnp.uint32)).astype(jnp.int32)
        return ((ring.cursor - ring.size) * n + index) % (rows * n), None

    def on_update(self, priorities: Priorities | None, index: Index, error: Float[Array, " b"]) -> None:
        """Nothing changes."""


@dataclass(frozen=True)
class Prioritised:
    """A window as often as max(error, floor)^alpha says, of when it was last learned from; new ones like the largest.

    Proportional prioritisation (Schaul et al. 2016, section 3.3), in strata of equal probability (appendix B.2.1).
    Losses are weighed by the inverse probability to the power `beta`, which grows to 1 over `anneal` environment
    steps (section 3.4), with 0 not at all. With `floor` 1, `beta` 0, `anneal` 0 and the Huber loss, it is the
    loss-adjusted LAP (Fujimoto et al. 2020).
    """

    kind: Literal["prioritised"] = field(default="prioritised", kw_only=True)
    alpha: Annotated[Finite, Ge(0), Le(1)] = 0.6
    beta: Annotated[Finite, Ge(0), Le(1)] = 0.4
    anneal: Whole = 100_000
    floor: Positive = 1e-2

    def init(self, rows: int, n: int) -> Priorities:
        """Nothing can be drawn yet."""
        return Priorities(empty(rows * n), jnp.float32(1))

    def on_add(self, ring: Ring, k: int, n_step: int) -> Priorities:
        """With K rows that end where the ring stands now: the next K windows are whole, and K old ones gone."""
        assert ring.priorities is not None
        tree, largest = ring.priorities
        rows, n = ring.columns.shape[:2]
        back = jnp.arange(k + n_step)[:, None] - (k + n_step)  # from the first new window to the newest row
        row = (ring.cursor + back) % rows
        whole = (back < -n_step) & (-back <= ring.size)
        boundary = ring.columns[row[:, 0], :, -1] > 0
        priority = jnp.where(whole & ~boundary, largest, 0.0)
        return Priorities(put(tree, (row * n + jnp.arange(n)).reshape(-1), priority.reshape(-1)), largest)

    def draw(
        self, ring: Ring, bits: UInt32[Array, " b"], n_step: int, step: Int[Array, ""]
    ) -> tuple[Index, Float[Array, " b"]]:
        """The first rows of the windows, and the weights of their losses."""
        assert ring.priorities is not None
        b, n = len(bits), ring.columns.shape[1]
        strata = (jnp.arange(b) + (bits >> 8) * np.float32(2**-24)) / b
        index, probability = draw(ring.priorities.tree, jnp.minimum(strata, np.nextafter(np.float32(1), np.float32(0))))
        beta = self.beta + (1 - self.beta) * jnp.minimum(step / self.anneal, 1.0) if self.anneal else self.beta
        windows = ((ring.size - n_step) * n).astype(jnp.float32)
        # No weight where nothing can be drawn yet: a probability is not a number then.
        return index, jnp.where(probability > 0, (windows * probability) ** -beta, 0.0)

    def on_update(self, priorities: Priorities | None, index: Index, error: Float[Array, " b"]) -> Priorities:
        """After an update, with what it says of the windows from those rows."""
        assert priorities is not None
        priority = jnp.maximum(error, self.floor) ** self.alpha
        return Priorities(put(priorities.tree, index, priority), jnp.maximum(priorities.largest, jnp.max(priority)))


Sampling = Annotated[Uniform | Prioritised, Discriminator("kind")]


@dataclass(frozen=True)
class Replay:
    """`capacity` is in environment steps, `batch` in transitions; `n_step` is the length of the return."""

    capacity: Annotated[Natural, Ge(2)] = 100_000
    batch: Natural = 64
    n_step: Natural = 1
    sampling: Sampling = Uniform()

    def init(self, block: Row) -> Ring:
        """An empty ring for blocks of rows like `block` [K, N, ...]; it holds a whole number of blocks."""
        k, n = block.reward.shape
        rows = max(self.capacity // (n * k), 2) * k
        obs, columns = _pack(block)
        obs, columns = (jnp.zeros((rows, *x.shape[1:]), x.dtype) for x in (obs, columns))
        return Ring(obs, columns, jnp.int32(0), jnp.int32(0), self.sampling.init(rows, n))

    def add(self, ring: Ring, block: Row) -> Ring:
        """Append a block of rows [K, N, ...]; K always divides the ring, so a block never wraps."""
        k, rows = block.reward.shape[0], ring.columns.shape[0]
        obs, columns = (
            jax.lax.dynamic_update_slice_in_dim(old, new, ring.cursor, axis=0)
            for old, new in zip((ring.obs, ring.columns), _pack(block), strict=True)
        )
        ring = Ring(obs, columns, (ring.cursor + k) % rows, jnp.minimum(ring.size + k, rows), ring.priorities)
        return ring._replace(priorities=self.sampling.on_add(ring, k, self.n_step))

    def sample(
        self, ring: Ring, bits: UInt32[Array, " b"], step: Int[Array, ""], gamma: float, obs_shape: tuple[int, ...]
    ) -> tuple[Transition, Index]:
        """Draw one window of n + 1 rows for each random word, and fold it; and the places of their first rows."""
        rows, n = ring.columns.shape[:2]
        index, weight = self.sampling.draw(ring, bits, self.n_step, step)
        when, env = (index // n + jnp.arange(self.n_step + 1)[:, None]) % rows, index % n
        batch = fold(_unpack(ring.obs[when, env], ring.columns[when, env], obs_shape), gamma)
        if weight is None:
            return batch, index
        weight = weight * batch.weight
        return batch._replace(weight=weight / jnp.maximum(jnp.mean(weight), 1e-6)), index

    def on_update(self, priorities: Priorities | None, index: Index, error: Float[Array, " b"]) -> Priorities | None:
        """After an update on the windows at `place`, whose values were that far from their targets."""
        return self.sampling.on_update(priorities, index, error)


def trimmed(ring: Ring) -> Ring:
    """Of the rings of several seeds [S, T, N, ...], all as full, the rows that are filled."""
    rows = int(np.asarray(ring.size)[0])
    leaves = rows * ring.columns.shape[2]
    cut = ring._replace(obs=np.asarray(ring.obs)[:, :rows], columns=np.asarray(ring.columns)[:, :rows])
    return _with_leaves(cut, lambda x: np.asarray(x)[:, :leaves])


def any_rows(ring: Ring) -> Ring:
    """The shapes of rings [S, T, N, ...] of which not all rows are filled, as [S, -T, N, ...]."""

    def any_length(x: AnyArray) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((x.shape[0], -x.shape[1], *x.shape[2:]), x.dtype)

    return _with_leaves(ring._replace(obs=any_length(ring.obs), columns=any_length(ring.columns)), any_length)


def refilled(ring: Ring, like: Ring) -> Ring:
    """What `trimmed` left, with as many rows as one of `like` [T, N, ...] has. ValueError if there cannot have been."""
    rows, (found, n) = like.columns.shape[0], ring.columns.shape[1:3]
    size, cursor = np.asarray(ring.size), np.asarray(ring.cursor)
    begun = cursor == found if found < rows else (cursor >= 0) & (cursor < rows)
    if found > rows or not ((size == found) & begun).all():
        raise Mistake(f"a replay of {found} rows that says it has {size.tolist()}, the next at {cursor.tolist()}")

    def filled(x: AnyArray, length: int) -> AnyArray:
        more = np.zeros((len(x), length - x.shape[1], *x.shape[2:]), x.dtype)
        return np.concatenate([x, more], axis=1) if length > x.shape[1] else x

    whole = ring._replace(obs=filled(ring.obs, rows), columns=filled(ring.columns, rows))
    if like.priorities is None or ring.priorities is None:
        return whole
    if ring.priorities.tree.leaves.shape[1] != found * n:
        raise Mistake(f"a replay of {found * n} steps with {ring.priorities.tree.leaves.shape[1]} priorities")
    length = like.priorities.tree.leaves.shape[0]
    return _with_leaves(whole, lambda x: filled(x, length))


def _with_leaves(ring: Ring, change: Callable[[AnyArray], AnyArray]) -> Ring:
    """With every single priority changed, if there are any."""
    if ring.priorities is None:
        return ring
    tree = ring.priorities.tree
    return ring._replace(priorities=ring.priorities._replace(tree=tree._replace(leaves=change(tree.leaves))))


def _pack(block: Row) -> tuple[Array, Float[Array, "t n d"]]:
    lead = block.reward.shape
    flags = (block.terminated, block.truncated, block.boundary)
    columns = [block.action, *(x[..., None].astype(jnp.float32) for x in (block.reward, *flags))]
    obs = block.obs
    if obs.dtype == jnp.float32:
        columns = [obs.reshape(*lead, -1), *columns]
        obs = jnp.zeros((*lead, 0))
    return obs, jnp.concatenate(columns, axis=-1)


def _unpack(obs: Array, columns: Float[Array, "t b d"], obs_shape: tuple[int, ...]) -> Row:
    if obs.shape[-1] == 0:
        size = prod(obs_shape)
        obs, columns = columns[..., :size].reshape(*columns.shape[:2], *obs_shape), columns[..., size:]
    reward, terminated, truncated, boundary = (columns[..., i] for i in range(-4, 0))
    return Row(obs, columns[..., :-4], reward, terminated > 0, truncated > 0, boundary > 0)
