"""Blocks of two collectors, in turns in one ring, give the transitions of their own episodes, up to a block's end."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.experience.replay import Replay
from ddpg.experience.return_scale import init_return_scale, update_return_scale
from ddpg.experience.ring import Ring
from ddpg.experience.sampling import Prioritised, Uniform
from ddpg.experience.segment import added_rows, first_context, next_context, segment
from ddpg.types import Row
from tests.experience.test_stacks import GAMMA, SHAPE, Step, block_of, play, spec_of

K, N, BLOCKS = 7, 2, 8  # rows, environments, blocks of each of two collectors


def stream(steps: list[list[Step]], stack: int) -> list[Row]:
    """The segments of one collector; an action is (row, environment)."""
    context, segments = first_context(np.stack([step.stack for step in steps[0]]), 2, stack), list[Row]()
    for first in range(0, BLOCKS * K, K):
        action = np.array([[(first + k, n) for n in range(N)] for k in range(K)], np.float32)
        block = jax.tree.map(np.asarray, block_of(steps[first : first + K], action))
        segments.append(segment(context, block, np.stack([step.stack for step in steps[first + K]])))
        context = next_context(context, block)
    return segments


def wanted(steps: list[list[Step]], t: int, n: int, n_step: int) -> tuple[float, float, np.ndarray]:
    """Reward, discount and s' of the transition that begins at row t, within its block."""
    reward, discount, end = 0.0, 1.0, (t // K + 1) * K
    following = steps[t + 1][n].stack
    for k in range(t, min(t + n_step, end)):
        step = steps[k][n]
        reward, discount, following = reward + discount * step.reward, discount * GAMMA, steps[k + 1][n].stack
        if step.terminated or step.truncated:
            return reward, 0.0 if step.terminated else discount, following
    return reward, discount, following


@pytest.mark.parametrize(("stack", "n_step"), [(1, 1), (1, 3), (3, 1), (3, 3)])
@pytest.mark.parametrize("sampling", [Uniform(), Prioritised()], ids=["uniform", "prioritised"])
def test_transitions_are_those_of_each_collector(stack: int, n_step: int, sampling: Uniform | Prioritised) -> None:
    plays = [play(BLOCKS * K + 1, N, stack, seed) for seed in (0, 1)]
    each = [stream(steps, stack) for steps in plays]
    for which, segments in enumerate(each):  # an action's second number tells the collector too
        shift = np.array([0, 10 * which], np.float32)
        each[which] = [row._replace(action=row.action + shift) for row in segments]
    order = np.random.default_rng(0).permutation([0] * BLOCKS + [1] * BLOCKS)
    replay = Replay(capacity=2 * BLOCKS * (K + added_rows(stack)) * N, batch=64, n_step=n_step, sampling=sampling)
    ring: Ring = replay.init(jax.tree.map(jnp.asarray, each[0][0]), spec := spec_of(stack, 2))
    left = [iter(segments) for segments in each]
    add = jax.jit(partial(replay.add, spec=spec))
    for which in order:
        ring = add(ring, jax.tree.map(jnp.asarray, next(left[which])))
    sample = jax.jit(lambda bits: replay.sample(ring, bits, jnp.int32(0), GAMMA, spec))
    drawn = set[tuple[int, int, int]]()
    for i in range(12):
        batch, _ = jax.tree.map(np.asarray, sample(jax.random.bits(jax.random.key(i), (64,), jnp.uint32)))
        for j in np.flatnonzero(batch.weight):
            t, code = int(batch.action[j, 0]), int(batch.action[j, 1])
            which, n = divmod(code, 10)
            steps = plays[which]
            reward, discount, following = wanted(steps, t, n, n_step)
            np.testing.assert_array_equal(batch.obs[j], steps[t][n].stack)
            np.testing.assert_array_equal(batch.next_obs[j], following)
            np.testing.assert_allclose((batch.reward[j], batch.discount[j]), (reward, discount), rtol=1e-5, atol=1e-6)
            assert not steps[t][n].boundary
            drawn.add((which, t, n))
    there = sum(not step.boundary for steps in plays for row in steps[: BLOCKS * K] for step in row)
    assert len(drawn) > 0.9 * there


def test_pictures_of_the_newest_alone_are_stored_as_whole_stacks_are() -> None:
    whole = stream(play(BLOCKS * K + 1, N, 3, 0), 3)[0]
    replay = Replay(capacity=1000, batch=8)
    ring = replay.init(jax.tree.map(jnp.asarray, whole), spec := spec_of(3, 2))
    one = replay.add(ring, jax.tree.map(jnp.asarray, whole), spec)
    other = replay.add(ring, jax.tree.map(jnp.asarray, whole._replace(obs=whole.obs[..., -SHAPE[2] :])), spec)
    np.testing.assert_array_equal(one.obs, other.obs)
    np.testing.assert_array_equal(one.columns, other.columns)


def test_the_scale_of_returns_begins_anew_with_each_segment() -> None:
    """So that rewards of two collectors are never added up."""
    rows = stream(play(BLOCKS * K + 1, N, 1, 0), 1)[:2]
    ones = [jax.tree.map(jnp.asarray, row._replace(reward=np.where(row.boundary, 0, 1).astype("f"))) for row in rows]
    after = update_return_scale(init_return_scale(N, GAMMA), ones[0], GAMMA)
    np.testing.assert_array_equal(after.product, np.zeros(N))
    np.testing.assert_allclose(after.power, np.full(N, GAMMA), rtol=1e-6)
