"""The ring beside a plain list: what it holds, what it forgets, and which windows are drawn from it."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ddpg.experience.priority_tree import summed
from ddpg.experience.relabel import AsStored, Future, goals_of
from ddpg.experience.replay import Replay
from ddpg.experience.ring import Ring, all_rows, pack, refilled, trimmed
from ddpg.experience.sampling import Prioritised, Uniform
from ddpg.mistake import Mistake
from ddpg.schedules import Linear
from ddpg.types import Leaf, Row, Spec, Transition

GAMMA = 0.5


def block(k: int, n: int, first: int, dtype: Any = np.float32, obs_shape: tuple[int, ...] = (2,)) -> Row:
    """K rows from time `first` on, every number telling its time and environment; an end every seventh row."""
    identity = (100 * (first + np.arange(k))[:, None] + np.arange(n)).astype(np.float32)
    obs = np.broadcast_to(identity.reshape(k, n, *(1,) * len(obs_shape)), (k, n, *obs_shape)).astype(dtype)
    end = identity // 100 % 7 == np.arange(n)
    rows = Row(
        obs=obs,
        action=np.stack([identity, -identity, identity / 2], axis=-1),
        reward=identity + 0.25,
        terminated=end & (identity // 100 % 2 == 0),
        truncated=end & (identity // 100 % 2 == 1),
        boundary=identity // 100 % 7 == np.arange(n) + 1,
    )
    return jax.tree.map(jnp.asarray, rows)


def spec_of(dtype: Any = np.float32, obs_shape: tuple[int, ...] = (2,), leaves: tuple[Leaf, ...] = ()) -> Spec:
    return Spec(obs_shape, (-1.0,) * 3, (1.0,) * 3, np.dtype(dtype).name, leaves)


@cache
def adding(replay: Replay, spec: Spec) -> Callable[[Ring, Row], Ring]:
    return jax.jit(partial(replay.add, spec=spec))


@partial(jax.jit, static_argnums=range(4))
def begun(replay: Replay, k: int, n: int, dtype: Any = np.float32) -> Ring:
    return replay.init(block(k, n, 0, dtype), spec_of(dtype))


def fill(replay: Replay, k: int, n: int, blocks: int, dtype: Any = np.float32) -> tuple[Ring, list[Row]]:
    """The ring, and the list of all rows [N, ...] that went in."""
    ring, add, all_rows = begun(replay, k, n, dtype), adding(replay, spec_of(dtype)), []
    for i in range(blocks):
        new = block(k, n, i * k, dtype)
        ring = add(ring, new)
        all_rows += [jax.tree.map(lambda x, t=t: np.asarray(x)[t], new) for t in range(k)]
    return ring, all_rows


def held(ring: Ring, spec: Spec) -> list[Row]:
    """The rows in the ring, oldest first."""
    window = jax.device_get(jax.jit(all_rows, static_argnums=1)(ring, spec))
    order = (int(ring.cursor) - int(ring.size) + np.arange(int(ring.size))) % len(ring.columns)
    return [jax.tree.map(lambda x, t=t: x[t], window) for t in order]


def assert_rows(got: list[Row], wanted: list[Row]) -> None:
    assert len(got) == len(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


SIZES = [(1, 1, 5), (1, 3, 17), (4, 1, 14), (3, 2, 31), (5, 2, 10)]  # K, N, capacity: divisible or not


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize(("k", "n", "capacity"), SIZES)
def test_ring_is_the_end_of_the_list(k: int, n: int, capacity: int, dtype: Any) -> None:
    replay = Replay(capacity=capacity)
    rows = len(begun(replay, k, n).columns)
    assert rows % k == 0
    # Never more than asked for, unless two blocks are, and less by part of a block only.
    assert rows == 2 * k or capacity - k * n < rows * n <= capacity
    for blocks in (1, 2, rows // k, rows // k + 1, 3 * (rows // k) + 2):
        ring, everything = fill(replay, k, n, blocks, dtype)
        assert int(ring.size) == min(blocks * k, rows)
        assert_rows(held(ring, spec_of(dtype)), everything[-rows:])


@pytest.mark.parametrize(
    ("dtype", "obs_shape"),
    [
        (np.float32, (3,)),
        (np.float32, (2, 3)),
        (np.float32, ()),
        (np.uint8, (8, 8, 3)),
        (np.int32, (2,)),
        (np.float16, (2,)),
        (bool, (2, 2)),
    ],
)
def test_packing_loses_nothing(dtype: Any, obs_shape: tuple[int, ...]) -> None:
    k, n = 3, 2
    words = np.random.default_rng(0).integers(0, 2**32, (k, n, *obs_shape, 4), dtype=np.uint32)
    if np.dtype(dtype).kind == "f":  # any bits at all: infinities, denormals, NaN
        obs = words[..., 0].astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
        obs.reshape(-1)[:4] = [np.inf, -0.0, np.nan, np.finfo(dtype).smallest_subnormal]
    else:
        obs = words[..., 0].astype(dtype) if dtype is not bool else words[..., 0] % 2 == 0
    row = block(k, n, 0)._replace(obs=jnp.asarray(obs))
    packed, rest = pack(row, spec := spec_of(dtype, obs_shape))
    assert packed.dtype == dtype
    assert (packed.size == 0) == (dtype == np.float32)
    again = all_rows(Ring(packed, rest, jnp.int32(0), jnp.int32(k)), spec)
    assert again.obs.dtype == dtype
    np.testing.assert_array_equal(np.asarray(again.obs).view(np.uint8), np.asarray(obs).view(np.uint8))
    for name in Row._fields[1:]:
        assert getattr(again, name).dtype == getattr(row, name).dtype
        np.testing.assert_array_equal(getattr(again, name), getattr(row, name), name)


@pytest.mark.parametrize("relabel", [AsStored(), Future()])
def test_pictures_beside_numbers_are_bytes(relabel: Any) -> None:
    """What is drawn is what a replay of numbers alone draws, to the bit; pictures take a byte for each of them."""
    goal = Leaf(("achieved_goal",), (2,)), Leaf(("desired_goal",), (2,))
    pictures = Leaf(("a",), (16, 16, 3), high=(255.0,)), Leaf(("eye",), (16, 20), high=(255.0,))
    board = Leaf(("board",), (3, 3), high=(255.0,))
    leaves = (pictures[0], *goal, pictures[1], board)
    size = sum(leaf.size for leaf in leaves)
    mixed, plain = spec_of(obs_shape=(size,), leaves=leaves), spec_of(obs_shape=(size,))
    replay, rng = Replay(capacity=40, n_step=3, relabel=relabel), np.random.default_rng(0)
    rings = [jax.jit(replay.init, static_argnums=1)(block(4, 2, 0, obs_shape=(size,)), spec) for spec in (mixed, plain)]
    adds = [adding(replay, spec) for spec in (mixed, plain)]
    for i in range(7):
        obs = rng.integers(0, 256, (4, 2, size)).astype(np.float32)
        obs[..., 768:772] = rng.normal(size=(4, 2, 4))
        new = block(4, 2, 4 * i)._replace(obs=jnp.asarray(obs))
        rings = [add(ring, new) for add, ring in zip(adds, rings, strict=True)]
    assert rings[0].obs.dtype == np.uint8
    assert rings[0].obs.shape == (20, 2, 16 * 16 * 3 + 16 * 20)
    assert rings[0].columns.shape[-1] == 4 + 9 + 3 + 4
    assert_rows(held(rings[0], mixed), held(rings[1], plain))
    bits, words = (jax.random.bits(jax.random.key(i), (2 - i, 64), jnp.uint32) for i in (1, 0))

    def draw(ring: Ring, spec: Spec) -> Any:
        index, window, _ = replay.draw(ring, bits[0], jnp.int32(0), spec)
        if isinstance(relabel, AsStored):
            return replay.sample(ring, bits[0], jnp.int32(0), GAMMA, spec)
        goals = goals_of(mixed)
        assert goals is not None
        return relabel.draw(ring, goals, index, window, words, spec)

    drawn = (jax.jit(draw, static_argnums=1)(*pair) for pair in zip(rings, (mixed, plain), strict=True))
    for a, b in zip(*map(jax.tree.leaves, drawn), strict=True):
        np.testing.assert_array_equal(a, b)


def every(replay: Replay, ring: Ring, n: int) -> Transition:
    """The window of every possible start once: sampling reads the random word modulo the number of starts."""
    starts = (int(ring.size) - replay.n_step) * n
    bits = jnp.arange(2 * starts, dtype=jnp.uint32)
    twice, _ = jax.device_get(jax.jit(lambda ring: replay.sample(ring, bits, jnp.int32(0), GAMMA, spec_of()))(ring))
    for x in jax.tree.leaves(twice):
        np.testing.assert_array_equal(x[:starts], x[starts:])
    return jax.tree.map(lambda x: x[:starts], twice)


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("blocks", [2, 5, 13])
@pytest.mark.parametrize(("k", "n", "capacity"), [(1, 3, 17), (3, 2, 31)])
def test_windows_are_of_consecutive_rows_and_never_cross_the_write_position(
    k: int, n: int, capacity: int, blocks: int, n_step: int
) -> None:
    replay = Replay(capacity=capacity, n_step=n_step)
    ring, everything = fill(replay, k, n, max(blocks, n_step + 1))
    rows = everything[-int(ring.size) :]
    got = every(replay, ring, n)
    assert len(got.reward) == (len(rows) - n_step) * n > 0
    for i, reward in enumerate(got.reward):
        t, env = divmod(i, n)
        np.testing.assert_array_equal(got.obs[i], rows[t].obs[env])
        np.testing.assert_array_equal(got.action[i], rows[t].action[env])
        total, discount, last = 0.0, 1.0, t
        for last in range(t, t + n_step):
            total, discount = total + discount * rows[last].reward[env], discount * GAMMA
            if rows[last].terminated[env] or rows[last].truncated[env]:
                break
        assert reward == pytest.approx(total, rel=1e-6)
        assert got.discount[i] == (0 if rows[last].terminated[env] else discount)
        np.testing.assert_array_equal(got.next_obs[i], rows[last + 1].obs[env])
        if n_step > 1:
            assert got.following is not None
            np.testing.assert_array_equal(got.following[i], rows[t + 1].obs[env])
        assert (got.weight[i] == 0) == rows[t].boundary[env]
    assert got.weight.mean() == pytest.approx(1, rel=1e-5)


def test_returns_get_shorter_as_the_schedule_says() -> None:
    replay = Replay(capacity=40, n_step=3, n_step_schedule=Linear(final=0.0, steps=600))
    ring, _ = fill(replay, 1, 1, 20)
    sample = jax.jit(partial(replay.sample, gamma=GAMMA, spec=spec_of()))
    for step, n in ((0, 3), (99, 3), (101, 2), (299, 2), (301, 1), (600, 1), (10**6, 1)):
        batch, index = jax.device_get(sample(ring, np.arange(17, dtype=np.uint32), np.int32(step)))
        assert batch.discount[batch.discount > 0].min() == GAMMA**n
        whole = (batch.discount == GAMMA**n) & (batch.weight > 0)
        np.testing.assert_array_equal(batch.next_obs[whole, 0], 100 * (index[whole] + n))
    with pytest.raises(Mistake, match="n_step_schedule linear: there is no shorter return"):
        Replay(n_step_schedule=Linear()).check("replay")


@pytest.mark.parametrize("sampling", [Uniform(), Prioritised(alpha=0.0)], ids=["uniform", "exponent 0"])
@pytest.mark.parametrize("blocks", [4, 11])  # half full, and wrapped around
def test_sampling_is_uniform_over_time_and_environments(blocks: int, sampling: Uniform | Prioritised) -> None:
    replay = Replay(capacity=48, n_step=2, sampling=sampling)
    ring, rows = fill(replay, 3, 2, blocks)
    rows = rows[-int(ring.size) :]
    draws = 20_000
    bits = jax.random.bits(jax.random.key(0), (draws,), jnp.uint32)
    sample = jax.jit(partial(replay.sample, gamma=GAMMA, spec=spec_of()))
    if ring.sampler is not None:  # after errors of every size
        place = np.flatnonzero(ring.sampler.tree.leaves)
        error = np.float32(np.random.default_rng(0).exponential(size=len(place)))
        ring = ring._replace(sampler=jax.jit(replay.on_update)(ring.sampler, place, error, jnp.int32(0)))
    got, _ = jax.device_get(sample(ring, bits, jnp.int32(0)))
    boundary = {float(row.obs[env, 0]) for row in rows for env in range(2) if row.boundary[env]}
    starts = [rows[t].obs[env, 0] for t in range(len(rows) - 2) for env in range(2)]
    if isinstance(sampling, Prioritised):  # which never draws what is no transition
        starts = [start for start in starts if start not in boundary]
    counts = [int((got.obs[:, 0] == start).sum()) for start in starts]
    assert sum(counts) == draws, "windows start nowhere else"
    assert stats.chisquare(counts).pvalue > 1e-3
    assert got.weight.mean() == pytest.approx(1, rel=1e-4)
    np.testing.assert_array_equal(got.weight == 0, np.isin(got.obs[:, 0], list(boundary)))


@pytest.mark.parametrize("sampling", [Uniform(), Prioritised()], ids=["uniform", "prioritised"])
@pytest.mark.parametrize("blocks", [0, 3, 9])
def test_a_ring_without_its_empty_rows_is_filled_up_again(
    blocks: int, sampling: Uniform | Prioritised, assert_identical: Callable[[Any, Any], None]
) -> None:
    ring, _ = fill(Replay(capacity=20, batch=2, sampling=sampling), 5, 1, blocks)
    several = jax.tree.map(lambda x: np.stack([x, x]), ring)
    kept = trimmed(several)
    assert kept.columns.shape[:2] == (2, min(5 * blocks, 20))
    assert_identical(refilled(kept, ring), several)
    for wrong in (kept._replace(size=kept.size + 1), kept._replace(cursor=kept.cursor - 30)):
        with pytest.raises(ValueError, match=r"a replay of \d+ rows with size"):
            refilled(wrong, ring)
    if blocks:
        with pytest.raises(ValueError, match=r"a replay of \d+ rows with size"):
            refilled(kept, ring._replace(columns=ring.columns[:10]))


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("blocks", [2, 5, 13])
@pytest.mark.parametrize(("k", "n", "capacity"), [(1, 3, 17), (3, 2, 31)])
def test_only_whole_windows_have_a_priority(k: int, n: int, capacity: int, blocks: int, n_step: int) -> None:
    ring, everything = fill(
        Replay(capacity=capacity, n_step=n_step, sampling=Prioritised()), k, n, max(blocks, n_step + 1)
    )
    rows, total = everything[-int(ring.size) :], len(ring.columns)
    assert ring.sampler is not None
    leaves = np.asarray(ring.sampler.tree.leaves)
    found = np.roll(leaves[: total * n].reshape(total, n), int(ring.size) - int(ring.cursor), axis=0)
    for t in range(total):
        whole = t < len(rows) - n_step
        np.testing.assert_array_equal(found[t], ~rows[t].boundary if whole else np.zeros(n))
    assert not leaves[total * n :].any()
    for ours, again in zip(ring.sampler.tree.sums, summed(jnp.asarray(leaves)).sums, strict=True):
        np.testing.assert_array_equal(ours, again)


def test_windows_come_as_often_as_their_errors_say_and_weigh_the_less() -> None:
    """Schaul et al. 2016, section 3.3 (P = p^alpha / sum p^alpha) and 3.4 (w = (N P)^-beta, here of mean 1)."""
    sampling = Prioritised(alpha=0.7, beta=0.4, anneal=1000, floor=0.01)
    replay = Replay(capacity=48, n_step=1, sampling=sampling)
    ring, _ = fill(replay, 3, 2, 8)
    assert ring.sampler is not None
    there = np.flatnonzero(np.asarray(ring.sampler.tree.leaves))
    error = np.random.default_rng(0).exponential(size=len(there)).astype(np.float32)
    error[:2] = 0.0, 20.0
    ring = ring._replace(sampler=jax.jit(replay.on_update)(ring.sampler, there, error, jnp.int32(0)))
    probability = np.maximum(error.astype(float), 0.01) ** 0.7
    probability /= probability.sum()
    bits = jax.random.bits(jax.random.key(1), (50_000,), jnp.uint32)
    sample = jax.jit(partial(replay.sample, gamma=GAMMA, spec=spec_of()))
    for step, beta in ((0, 0.4), (500, 0.7), (5_000, 1.0)):
        batch, place = sample(ring, bits, jnp.int32(step))
        counts = np.bincount(np.asarray(place), minlength=there[-1] + 1)[there]
        assert counts.sum() == len(bits)
        assert stats.chisquare(counts, probability * len(bits)).pvalue > 1e-3
        weight = (len(there) * probability[np.searchsorted(there, np.asarray(place))]) ** -beta
        np.testing.assert_allclose(batch.weight, weight / weight.mean(), rtol=1e-4)
    # What is new begins with the largest priority that there was.
    ring = adding(replay, spec_of())(ring, block(3, 2, 24))
    assert ring.sampler is not None
    assert float(ring.sampler.largest) == pytest.approx(20**0.7, rel=1e-6)
    assert np.sum(np.asarray(ring.sampler.tree.leaves) == np.asarray(ring.sampler.largest)) > 3
