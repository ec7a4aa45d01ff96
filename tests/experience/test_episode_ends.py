"""How many rows follow each one in its episode, beside a list of all rows."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.experience.relabel import Future
from ddpg.experience.replay import Replay
from ddpg.experience.ring import refilled, trimmed
from ddpg.types import Row, Spec

SPEC = Spec((3,), (-1.0,), (1.0,))


def block(boundary: np.ndarray, first: int) -> Row:
    """Rows [K, N] that end episodes there; achieved is 1000 * environment + time, desired and observation are zeros."""
    k, n = boundary.shape
    achieved = 1000 * np.arange(n) + first + np.arange(k)[:, None]
    obs = np.stack([achieved, np.zeros((k, n)), np.zeros((k, n))], axis=-1).astype(np.float32)
    no = np.zeros((k, n), bool)
    before = np.concatenate([boundary[1:], no[:1]])
    row = Row(obs, np.zeros((k, n, 1), np.float32), np.zeros((k, n), np.float32), no, before, boundary)
    return jax.tree.map(jnp.asarray, row)


@pytest.mark.parametrize(("k", "n", "capacity", "blocks"), [(1, 1, 9, 30), (3, 2, 24, 3), (3, 2, 24, 21)])
def test_what_follows_in_an_episode(k: int, n: int, capacity: int, blocks: int) -> None:
    replay, rng = Replay(capacity=capacity, batch=1, relabel=Future()), np.random.default_rng(capacity + blocks)
    boundary = rng.random((k * blocks, n)) < 0.25
    boundary[:k] = True  # as the first block of a run
    ring, add = replay.init(block(boundary[:k], 0), SPEC), jax.jit(partial(replay.add, spec=SPEC))
    for i in range(blocks):
        ring = add(ring, block(boundary[k * i : k * (i + 1)], k * i))
    assert ring.ends is not None
    rows, size, total = len(ring.columns), int(ring.size), len(boundary)
    everywhere = (jnp.asarray(x.ravel()) for x in np.indices((rows, n)))
    later = np.asarray(ring.ends.later(*everywhere)).reshape(rows, n)
    for t in range(total - size, total):
        for env in range(n):
            ends = np.flatnonzero(boundary[t:, env])
            expected = ends[0] if len(ends) else total - 1 - t
            assert later[t % rows, env] == expected, (t, env)


@pytest.mark.parametrize("blocks", [2, 9])
def test_they_are_kept_in_checkpoints(blocks: int) -> None:
    replay, rng = Replay(capacity=12, relabel=Future()), np.random.default_rng(blocks)
    boundary = rng.random((2 * blocks, 2)) < 0.3
    like = ring = replay.init(block(boundary[:2], 0), SPEC)
    add = jax.jit(partial(replay.add, spec=SPEC))
    for i in range(blocks):
        ring = add(ring, block(boundary[2 * i : 2 * i + 2], 2 * i))
    kept = trimmed(jax.tree.map(lambda x: np.asarray(x)[None], ring))
    again = jax.tree.map(lambda x: x[0], refilled(kept, like))
    assert ring.ends is not None
    for a, b in zip(again.ends, ring.ends, strict=True):
        filled = int(ring.size)
        np.testing.assert_array_equal(a[:filled], b[:filled])
