"""The ring of stored rows: its arrays, how rows are packed into them, and what of it a checkpoint holds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from ddpg.experience.episode_ends import EpisodeEnds
from ddpg.experience.priority_tree import Tree
from ddpg.mistake import Mistake
from ddpg.pictures import joined, picture_parts, taken_apart
from ddpg.types import AnyArray, PyTree, Row, Spec


class Ring(NamedTuple):
    """`obs` holds observations of any dtype, `columns` the other fields of Row side by side.

    Fields are stored together because each array costs one write and one gather per step, however narrow it is;
    float32 observations lie in `columns` too and leave `obs` empty, but for the pictures in them, which are bytes. Of
    pictures in a row only the newest is stored: the others are in the rows before.
    """

    obs: AnyArray  # [T, N, *obs], or [T, N, bytes of pictures], or [T, N, 0]
    columns: Float[AnyArray, "t n d"]
    cursor: Int[AnyArray, ""]  # where the next row goes
    size: Int[AnyArray, ""]  # rows filled
    sampler: PyTree = None  # the state of the sampling: None, or priorities
    ends: EpisodeEnds | None = None  # of the episodes, if goals are drawn from what came later in them


def pack(block: Row, spec: Spec) -> tuple[Array, Float[Array, "t n d"]]:
    """Rows [T, N, ...] as `obs` and `columns` of a ring; of pictures in a row they may have the newest alone."""
    lead = block.reward.shape
    flags = (block.terminated, block.truncated, block.boundary)
    columns = [block.action, *(x[..., None].astype(jnp.float32) for x in (block.reward, *flags))]
    obs = block.obs
    if obs.dtype == jnp.float32:
        parts = picture_parts(spec)
        pictures, numbers = taken_apart(jnp.asarray(obs).reshape(*lead, -1), parts)
        obs, columns = pictures.astype(jnp.uint8) if parts else pictures, [numbers, *columns]
    elif spec.stack > 1:
        obs = obs[..., -(spec.obs_shape[-1] // spec.stack) :]
    return obs, jnp.concatenate(columns, axis=-1)


def outside_columns(spec: Spec) -> bool:
    """Whether observations lie in `obs`, or pictures of them."""
    return spec.obs_dtype != "float32" or bool(picture_parts(spec))


def rows_at(ring: Ring, index: Int[Array, "t b"], spec: Spec) -> Row:
    """The rows [t, b, ...] of these indices, row * N + environment.

    What has no numbers in columns is looked up later, by `observed`: `obs` is then `index`.
    """
    n = ring.columns.shape[1]
    columns, obs = ring.columns[index // n, index % n], index
    if spec.obs_dtype == "float32":
        parts = picture_parts(spec)
        size = spec.obs_size - sum(part.end - part.begin for part in parts)
        obs, columns = columns[..., :size], columns[..., size:]
        if parts:
            obs = joined(ring.obs[index // n, index % n].astype(jnp.float32), obs, parts)
        obs = obs.reshape(*index.shape, *spec.obs_shape)
    reward, terminated, truncated, boundary = (columns[..., i] for i in range(-4, 0))
    return Row(obs, columns[..., :-4], reward, terminated > 0, truncated > 0, boundary > 0)


def all_rows(ring: Ring, spec: Spec) -> Row:
    """Every row [T, N, ...] in the order in which they lie."""
    rows, n = ring.columns.shape[:2]
    row = rows_at(ring, jnp.arange(rows * n).reshape(rows, n), spec)
    return row._replace(obs=observed(ring, row.obs, spec))


def observed(ring: Ring, obs: AnyArray, spec: Spec) -> Array:
    """The observations [b, *obs] for which `rows_at` gave `obs`: pictures with those before them in their episode."""
    if spec.obs_dtype == "float32":
        return obs
    rows, n = ring.columns.shape[:2]
    row, env = obs // n, obs % n
    pictures = [ring.obs[row, env]]
    for _ in range(spec.stack - 1):
        before = (row - 1) % rows
        ends = boundaries(columns := ring.columns[before, env]) & ~contexts(columns)
        row = jnp.where(ends, row, before)  # the first stands for those before it
        pictures.append(ring.obs[row, env])
    return jnp.concatenate(pictures[::-1], axis=-1) if len(pictures) > 1 else pictures[0]


def age_of(ring: Ring, index: Int[Array, " b"]) -> Int[Array, " b"]:
    """How many rows are older than these."""
    rows, n = ring.columns.shape[:2]
    return (index // n - (ring.cursor - ring.size)) % rows


def boundaries(columns: Float[Array, "*t n d"]) -> Array:
    """Which packed rows are boundary rows."""
    return columns[..., -1] > 0


def contexts(columns: Float[Array, "*t n d"]) -> Array:
    """Which packed boundary rows are the context of a segment: their episode goes on in the next row."""
    return columns[..., -2] > 0


def trimmed(ring: Ring) -> Ring:
    """The filled rows of the rings of several seeds [S, T, N, ...], all equally full, in NumPy."""
    rows = int(np.asarray(ring.size)[0])
    leaves = rows * ring.columns.shape[2]
    return _with_leaves(_with_rows(ring, lambda x: np.asarray(x)[:, :rows]), lambda x: np.asarray(x)[:, :leaves])


def fewer(ring: Ring, newest: int | None) -> int | None:
    """So many of the newest rows if the ring of one seed has more, else None: `cut` leaves it as it lies."""
    return None if newest is None or newest >= int(np.asarray(ring.size).flat[0]) else newest


def cut(ring: Ring, newest: int | None) -> Ring:
    """`trimmed` rings of which `obs` are only so many of the newest rows, the oldest first; with None as they are.

    Rings that are cut already have no more than they have.
    """
    if newest is None or ring.obs.shape[-1] == 0:
        return ring
    filled, there = ring.columns.shape[1], ring.obs.shape[1]
    rows = min(newest, there)
    if there < filled:
        return ring._replace(obs=ring.obs[:, there - rows :])
    start = (_oldest(ring) - rows) % max(filled, 1)
    if start + rows <= filled:
        return ring._replace(obs=ring.obs[:, start : start + rows])
    return ring._replace(obs=ring.obs[:, (start + np.arange(rows)) % filled])


def put(obs: np.ndarray, ring: Ring, first: int, rows: np.ndarray) -> None:
    """Rows [S, rows, N, ...], of which so many are older than the `first`, where they lie in `trimmed` rings."""
    filled = obs.shape[1]
    start = (_oldest(ring) + first) % max(filled, 1)
    until_end = min(rows.shape[1], filled - start)
    obs[:, start : start + until_end] = rows[:, :until_end]
    obs[:, : rows.shape[1] - until_end] = rows[:, until_end:]


def _oldest(ring: Ring) -> int:
    """Where in `trimmed` rings the oldest row lies."""
    return int(np.asarray(ring.cursor)[0]) % max(ring.columns.shape[1], 1)


def rows_in_order(ring: Ring, spec: Spec) -> Row:
    """Rows [T, N, ...] of a `trimmed` ring of one seed, the oldest first, in NumPy.

    Of a ring that has wrapped, the first rows are left out whose stacks have lost pictures.
    """
    filled, cursor = ring.columns.shape[0], int(ring.cursor)
    obs, columns = (jnp.asarray(np.roll(x, -cursor, axis=0)) for x in (ring.obs, ring.columns))
    rows = all_rows(Ring(obs, columns, jnp.int32(0), jnp.int32(filled)), spec)
    lost = spec.stack - 1 if cursor < filled else 0
    return jax.tree.map(lambda x: np.asarray(x)[lost:], rows)


def any_rows(ring: Ring) -> Ring:
    """The shapes that `trimmed` may give for rings [S, T, N, ...]: -T stands for any number of rows up to T."""

    def any_length(x: AnyArray) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((x.shape[0], -x.shape[1], *x.shape[2:]), x.dtype)

    return _with_leaves(_with_rows(ring, any_length), any_length)


def refilled(ring: Ring, like: Ring) -> Ring:
    """`trimmed` rings with as many rows again as one of `like` [T, N, ...].

    Raises Mistake if they are not from `trimmed`.
    """
    rows, (filled, n) = like.columns.shape[0], ring.columns.shape[1:3]
    size, cursor = np.asarray(ring.size), np.asarray(ring.cursor)
    possible = cursor == filled if filled < rows else (cursor >= 0) & (cursor < rows)
    if filled > rows or not ((size == filled) & possible).all():
        raise Mistake(f"a replay of {filled} rows with size {size.tolist()} and the next row at {cursor.tolist()}")

    def padded(x: AnyArray, length: int) -> AnyArray:
        more = np.zeros((len(x), length - x.shape[1], *x.shape[2:]), x.dtype)
        return np.concatenate([x, more], axis=1) if length > x.shape[1] else x

    def padded_leaves(x: AnyArray) -> AnyArray:
        if x.shape[1] != filled * n:
            raise Mistake(f"a replay of {filled * n} steps with {x.shape[1]} priorities")
        return padded(x, max(tree.leaves.shape[0] for tree in _trees(like)))

    return _with_leaves(_with_rows(ring, lambda x: padded(x, rows)), padded_leaves)


def _with_rows(ring: Ring, change: Callable[[AnyArray], AnyArray]) -> Ring:
    """The same ring with every array changed that has a row for each of its rows, but for the sampler's."""
    if (ends := ring.ends) is not None:
        ends = ends._replace(number=change(ends.number), last=change(ends.last))
    return ring._replace(obs=change(ring.obs), columns=change(ring.columns), ends=ends)


def _is_tree(x: Any) -> bool:
    return isinstance(x, Tree)


def _trees(ring: Ring) -> list[Tree]:
    return [x for x in jax.tree.leaves(ring.sampler, is_leaf=_is_tree) if _is_tree(x)]


def _with_leaves(ring: Ring, change: Callable[[AnyArray], AnyArray]) -> Ring:
    """The same ring with the leaves of the sampler's priority trees, if any, changed."""

    def changed(x: Any) -> Any:
        return x._replace(leaves=change(x.leaves)) if isinstance(x, Tree) else x

    return ring._replace(sampler=jax.tree.map(changed, ring.sampler, is_leaf=_is_tree))
