"""Pictures stored once and stacked when they are drawn, against a naive replay that stores every stack."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.experience.replay import Replay
from ddpg.experience.ring import Ring, all_rows, cut, fewer, rows_in_order, trimmed
from ddpg.experience.sampling import Prioritised, Uniform
from ddpg.types import Row, Spec

GAMMA, SHAPE = 0.9, (2, 3, 2)  # of one picture


class Step(NamedTuple):
    """What a naive replay knows of one step of an environment."""

    stack: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    boundary: bool


def play(steps: int, envs: int, stack: int, seed: int) -> list[list[Step]]:
    """Episodes of random lengths [t][n]; every picture differs from all others."""
    rng, rows = np.random.default_rng(seed), list[list[Step]]()
    seen, over, done = [np.zeros(0, np.uint8)] * envs, [True] * envs, [False] * envs
    for t in range(steps):
        row = list[Step]()
        for n in range(envs):
            picture = np.full(SHAPE, (t * envs + n) % 251, np.uint8)
            picture[0, 0] = [t // 250, n]
            seen[n] = np.tile(picture, (1, 1, stack)) if over[n] else np.concatenate([seen[n][..., 2:], picture], -1)
            boundary = done[n]
            end = not boundary and rng.random() < 0.25
            terminated = end and rng.random() < 0.5
            reward = 0.0 if boundary else float(rng.normal())
            row.append(Step(seen[n], reward, terminated, end and not terminated, boundary))
            over[n], done[n] = boundary, end
        rows.append(row)
    return rows


def spec_of(stack: int, action_dim: int = 1) -> Spec:
    ends = (-1.0,) * action_dim, (1.0,) * action_dim
    return Spec((*SHAPE[:2], stack * SHAPE[2]), *ends, "uint8", stack=stack)


@cache
def compiled(replay: Replay, spec: Spec) -> tuple[Any, Any, Any]:
    """`init`, `add` and `sample` as programs."""
    init, add = jax.jit(partial(replay.init, spec=spec)), jax.jit(partial(replay.add, spec=spec))
    return init, add, jax.jit(partial(replay.sample, step=jnp.int32(0), gamma=GAMMA, spec=spec))


def block_of(rows: list[list[Step]], random: np.ndarray) -> Row:
    stacks, reward, terminated, truncated, boundary = (
        np.array([[step[i] for step in row] for row in rows]) for i in range(5)
    )
    fields = (stacks, random, reward.astype(np.float32), terminated, truncated, boundary)
    return Row(*map(jnp.asarray, fields))


def wanted(rows: list[list[Step]], t: int, n: int, n_step: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """s, s', reward and discount of the transition that begins at row t."""
    total, discount = 0.0, 1.0
    for k in range(n_step):
        step = rows[t + k][n]
        total += discount * step.reward
        discount *= GAMMA
        if step.terminated or step.truncated or k == n_step - 1:
            following = rows[t + k + 1][n].stack
            return rows[t][n].stack, following, total, 0.0 if step.terminated else discount
    raise AssertionError


@pytest.mark.parametrize("sampling", [Uniform(), Prioritised()])
@pytest.mark.parametrize(("stack", "n_step"), [(1, 1), (2, 1), (3, 1), (3, 3), (4, 2)])
@pytest.mark.parametrize(("envs", "k", "steps"), [(1, 1, 30), (1, 1, 90), (2, 4, 40), (2, 4, 120)])
def test_stacks_are_those_of_a_naive_replay(
    sampling: Any, stack: int, n_step: int, envs: int, k: int, steps: int
) -> None:
    """At starts and ends of episodes, in a ring that has wrapped and in one that has not."""
    replay = Replay(capacity=64 * envs, batch=512, n_step=n_step, sampling=sampling)
    rows = play(steps, envs, stack, seed=stack)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, envs, 1)).astype(np.float32)
    blocks = [block_of(rows[t : t + k], actions[t : t + k]) for t in range(0, steps, k)]
    # The first block of a run is of boundary rows, so that an episode begins after it.
    none = blocks[0]._replace(boundary=jnp.ones((k, envs), bool), terminated=jnp.zeros((k, envs), bool))
    none = none._replace(truncated=none.terminated)
    init, add, sample = compiled(replay, spec_of(stack))
    ring = init(none)
    assert ring.obs.shape[2:] == SHAPE
    for block in (none, *blocks):
        ring = add(ring, block)
    bits = jax.random.bits(jax.random.key(0), (replay.batch,), jnp.uint32)
    batch, index = jax.device_get(sample(ring, bits))
    capacity = ring.columns.shape[0]
    first = steps + k - int(ring.size)  # how many rows, the first block's too, are gone
    checked = 0
    for i in range(replay.batch):
        place, n = divmod(int(index[i]), envs)
        t = first + (place - (int(ring.cursor) - int(ring.size))) % capacity - k
        lost = int(ring.size) == capacity and t + k - first < stack - 1
        assert (batch.weight[i] == 0) == (t < 0 or rows[t][n].boundary or t + k - first < stack - 1), (t, n)
        if batch.weight[i] == 0:
            continue
        assert not lost
        s, s_next, reward, discount = wanted(rows, t, n, n_step)
        np.testing.assert_array_equal(batch.obs[i], s)
        if discount > 0 or not rows[t][n].terminated:
            np.testing.assert_array_equal(batch.next_obs[i], s_next)
        assert (batch.reward[i], batch.discount[i]) == pytest.approx((reward, discount), abs=1e-5)
        np.testing.assert_array_equal(batch.action[i], actions[t, n])
        checked += 1
    assert checked > 200
    assert batch.weight.mean() == pytest.approx(1, abs=1e-4)


def test_all_rows_have_their_stacks() -> None:
    rows, stack = play(20, 2, 3, 0), 3
    replay = Replay(capacity=64, batch=4)
    block = block_of(rows, np.zeros((20, 2, 1), np.float32))
    none = block._replace(boundary=jnp.ones((20, 2), bool))
    init, add, _ = compiled(replay, spec := spec_of(stack))
    ring: Ring = add(add(init(none), none), block)
    found = np.asarray(jax.jit(all_rows, static_argnums=1)(ring, spec).obs)[20:40]
    np.testing.assert_array_equal(found, np.array([[step.stack for step in row] for row in rows]))


@pytest.mark.parametrize("steps", [20, 47])
def test_rows_in_order_have_the_stacks_of_a_naive_replay(steps: int) -> None:
    """In a ring of 32 rows that has wrapped, and in one that has not."""
    stack, replay, rows = 3, Replay(capacity=32, batch=4), play(steps, 1, 3, 0)
    none = block_of(rows[:1], np.zeros((1, 1, 1), np.float32))
    init, add, _ = compiled(replay, spec := spec_of(stack))
    ring = add(init(none), none._replace(boundary=jnp.ones((1, 1), bool)))
    for row in rows:
        ring = add(ring, block_of([row], np.zeros((1, 1, 1), np.float32)))
    one = jax.tree.map(lambda x: np.asarray(x)[0], trimmed(jax.tree.map(lambda x: np.asarray(x)[None], ring)))
    found = rows_in_order(one, spec).obs[:, 0]
    kept = rows if steps == 20 else rows[-(32 - (stack - 1)) :]
    np.testing.assert_array_equal(found[-len(kept) :], np.array([row[0].stack for row in kept]))
    assert len(found) == len(kept) + (steps == 20)


@pytest.mark.parametrize("held", [2, 5, 8, 100, None])
def test_what_is_held_of_a_ring_is_cut_once_more(held: int | None) -> None:
    """The newest rows of a ring that has wrapped, whether or not all of it is held."""
    ring = Ring(np.arange(8)[None, :, None, None], np.zeros((1, 8, 1, 4)), np.array([3]), np.array([8]), None)
    kept = cut(ring, fewer(ring, held))
    assert cut(kept, 2).obs.ravel().tolist() == [1, 2]
    whole = cut(kept, 100).obs.ravel().tolist()
    assert whole == ([6, 7, 0, 1, 2] if held == 5 else [1, 2] if held == 2 else [3, 4, 5, 6, 7, 0, 1, 2])
