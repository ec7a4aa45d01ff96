"""The replay memory R: a ring of rows [T, N], sampled uniformly inside the compiled program."""

from dataclasses import dataclass
from math import prod
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from jax import Array
from jaxtyping import Float, Int, UInt32

from ddpg.experience.returns import fold
from ddpg.types import Natural, Row, Some, Transition


class Ring(NamedTuple):
    """`obs` holds observations of any dtype, `rest` the other columns of Row side by side.

    Fields are stored together because every array costs a write and a gather per step, whatever its width;
    float32 observations lie in `rest` too and leave `obs` empty.
    """

    obs: Some  # [T, N, *obs], or [T, N, 0]
    rest: Float[Some, "t n d"]
    at: Int[Some, ""]  # where the next row goes
    size: Int[Some, ""]  # rows filled


@dataclass(frozen=True)
class Replay:
    """`capacity` is in environment steps, `batch` in transitions; `n_step` is the length of the return."""

    capacity: Annotated[Natural, Ge(2)] = 100_000
    batch: Natural = 64
    n_step: Natural = 1

    def init(self, block: Row) -> Ring:
        """An empty ring for blocks of rows like `block` [K, N, ...]; it holds a whole number of blocks."""
        k, n = block.reward.shape
        rows = max(self.capacity // (n * k), 2) * k
        obs, rest = _pack(block)
        empty = jax.tree.map(lambda x: jnp.zeros((rows, *x.shape[1:]), x.dtype), (obs, rest))
        return Ring(*empty, at=jnp.int32(0), size=jnp.int32(0))

    def add(self, ring: Ring, block: Row) -> Ring:
        """Append a block of rows [K, N, ...]; K always divides the ring, so a block never wraps."""
        k, rows = block.reward.shape[0], ring.rest.shape[0]
        obs, rest = (
            jax.lax.dynamic_update_slice_in_dim(old, new, ring.at, axis=0)
            for old, new in zip((ring.obs, ring.rest), _pack(block), strict=True)
        )
        return Ring(obs, rest, (ring.at + k) % rows, jnp.minimum(ring.size + k, rows))

    def sample(self, ring: Ring, bits: UInt32[Array, " b"], gamma: float, obs_shape: tuple[int, ...]) -> Transition:
        """Draw one window of n + 1 rows for each random word, uniformly over time and environments, and fold it."""
        rows, n = ring.rest.shape[:2]
        starts = (ring.size - self.n_step) * n
        index = (bits % starts.astype(jnp.uint32)).astype(jnp.int32)
        when = (ring.at - ring.size + index // n + jnp.arange(self.n_step + 1)[:, None]) % rows
        env = index % n
        window = _unpack(ring.obs[when, env], ring.rest[when, env], obs_shape)
        return fold(window, gamma)


def trimmed(ring: Ring) -> Ring:
    """Of the rings of several seeds [S, T, N, ...], all as full, the rows that are filled."""
    rows = int(np.asarray(ring.size)[0])
    return ring._replace(obs=np.asarray(ring.obs)[:, :rows], rest=np.asarray(ring.rest)[:, :rows])


def any_rows(ring: Ring) -> Ring:
    """The shapes of rings [S, T, N, ...] of which not all rows are filled, as [S, -T, N, ...]."""
    obs, rest = (jax.ShapeDtypeStruct((x.shape[0], -x.shape[1], *x.shape[2:]), x.dtype) for x in ring[:2])
    return ring._replace(obs=obs, rest=rest)


def refilled(ring: Ring, rows: int) -> Ring:
    """What `trimmed` left, with as many rows as there were. ValueError if there cannot have been."""
    size, at, found = np.asarray(ring.size), np.asarray(ring.at), ring.rest.shape[1]
    begun = at == found if found < rows else (at >= 0) & (at < rows)
    if found > rows or not ((size == found) & begun).all():
        raise ValueError(f"a replay of {found} rows that says it has {size.tolist()}, the next at {at.tolist()}")
    if found == rows:
        return ring
    obs, rest = (np.concatenate([x, np.zeros((len(x), rows - found, *x.shape[2:]), x.dtype)], 1) for x in ring[:2])
    return ring._replace(obs=obs, rest=rest)


def _pack(block: Row) -> tuple[Array, Float[Array, "t n d"]]:
    lead = block.reward.shape
    flags = (block.terminated, block.truncated, block.boundary)
    columns = [block.action, *(x[..., None].astype(jnp.float32) for x in (block.reward, *flags))]
    obs = block.obs
    if obs.dtype == jnp.float32:
        columns = [obs.reshape(*lead, -1), *columns]
        obs = jnp.zeros((*lead, 0))
    return obs, jnp.concatenate(columns, axis=-1)


def _unpack(obs: Array, rest: Float[Array, "t b d"], obs_shape: tuple[int, ...]) -> Row:
    if obs.shape[-1] == 0:
        size = prod(obs_shape)
        obs, rest = rest[..., :size].reshape(*rest.shape[:2], *obs_shape), rest[..., size:]
    reward, terminated, truncated, boundary = (rest[..., i] for i in range(-4, 0))
    return Row(obs, rest[..., :-4], reward, terminated > 0, truncated > 0, boundary > 0)
