"""The n-step fold beside a slow loop, over windows in which episodes end in every way."""

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ddpg.experience.return_scale import ReturnScale, init_return_scale, update_return_scale
from ddpg.experience.returns import fold
from ddpg.types import Row, Transition

BATCH, GAMMA = 4, 0.9
folded = jax.jit(lambda window, n: fold(window, GAMMA, n))


def of_numpy(*columns: Any) -> Row:
    return Row(*columns)


def slow(window: Any, b: int, n: int) -> tuple[float, float, np.ndarray]:
    """(return, discount, the observation to bootstrap from) of n steps of one window, step by step."""
    total, discount = 0.0, 1.0
    for k in range(n):
        total += discount * window.reward[k, b]
        discount *= GAMMA
        if window.terminated[k, b]:
            return total, 0.0, window.obs[k + 1, b]
        if window.truncated[k, b]:
            return total, discount, window.obs[k + 1, b]
    return total, discount, window.obs[n, b]


def compare(window: Any, n: int | None = None) -> Transition:
    got: Transition = jax.device_get(folded(window, n and np.float32(n)))
    valid = ~window.boundary[0]
    for b in range(BATCH):
        total, discount, next_obs = slow(window, b, n or len(window.reward) - 1)
        np.testing.assert_allclose(got.reward[b], total, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got.discount[b], discount, rtol=1e-6)
        np.testing.assert_array_equal(got.next_obs[b], next_obs)
        assert got.weight[b] == pytest.approx(valid[b] * BATCH / max(valid.sum(), 1))
    np.testing.assert_array_equal(got.obs, window.obs[0])
    np.testing.assert_array_equal(got.action, window.action[0])
    assert got.obs.dtype == got.next_obs.dtype == window.obs.dtype
    return got


@st.composite
def windows(draw: st.DrawFn) -> Row:
    """n + 1 rows of 4 environments with any flags at all, also such as no environment gives."""
    n = draw(st.integers(1, 5))
    terminated, truncated, boundary = (draw(arrays(bool, (n + 1, BATCH))) for _ in range(3))
    image = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (n + 1, BATCH, 2, 3, 1) if image else (n + 1, BATCH, 3)
    obs = rng.integers(0, 256, shape).astype(np.uint8) if image else rng.normal(size=shape).astype(np.float32)
    action, reward = rng.normal(size=(n + 1, BATCH, 2)), rng.normal(size=(n + 1, BATCH))
    return of_numpy(obs, np.float32(action), np.float32(reward), terminated, truncated, boundary)


@settings(max_examples=300)
@given(windows(), st.data())
def test_fold_is_the_slow_loop(window: Row, data: st.DataObject) -> None:
    longest = len(window.reward) - 1
    compare(window, data.draw(st.none() | st.integers(1, longest)))


def rows(n: int) -> Any:
    """A window of rewards 1, 2, 3 … without any end."""
    flags = np.zeros((n + 1, BATCH), bool)
    reward = np.repeat(np.arange(1.0, n + 2, dtype=np.float32)[:, None], BATCH, axis=1)
    obs = 10 * reward[..., None]
    return of_numpy(obs, np.zeros((n + 1, BATCH, 1), np.float32), reward, flags, flags.copy(), flags.copy())


def test_ends_by_hand() -> None:
    window = rows(3)
    window.terminated[1, 0] = True  # a true end at the second step
    window.truncated[1, 1] = True  # a time limit at the second step
    window.terminated[1, 2] = window.truncated[1, 2] = True  # both at once: a true end
    window.boundary[2, :3] = True
    for array in (window.reward, window.obs, window.action):  # what follows belongs to others, even if it is no number
        array[3:, :3] = np.nan
    window.reward[2, :3] = np.nan
    got = compare(window)
    np.testing.assert_allclose(got.reward, [1 + 0.9 * 2] * 3 + [1 + 0.9 * 2 + 0.81 * 3], rtol=1e-6)
    np.testing.assert_allclose(got.discount, [0, 0.81, 0, 0.729], rtol=1e-6)
    np.testing.assert_array_equal(got.next_obs[:, 0], [30, 30, 30, 40])  # the observation in which the end was reached
    assert got.following is not None
    np.testing.assert_array_equal(got.following[:, 0], [20, 20, 20, 20])
    np.testing.assert_array_equal(got.weight, np.ones(BATCH))


def test_boundary_rows_weigh_nothing_and_the_others_more() -> None:
    window = rows(1)
    window.boundary[0] = [True, False, False, True]
    np.testing.assert_allclose(compare(window).weight, [0, 2, 2, 0])
    window.boundary[0] = True
    np.testing.assert_array_equal(compare(window).weight, np.zeros(BATCH))


def test_what_was_earned_is_followed_from_block_to_block() -> None:
    """Beside a slow loop over each environment: sums, new episodes, and what a time limit leaves out."""
    rng, (blocks, k, n) = np.random.default_rng(0), (6, 5, 3)
    reward = rng.normal(size=(blocks * k, n)).astype(np.float32)
    boundary = rng.random((blocks * k, n)) < 0.15
    terminated, truncated = (rng.random((2, blocks * k, n)) < 0.2) & ~boundary  # both at once, too
    none = np.zeros((blocks * k, n, 0), np.float32)
    rows = Row(none, none, reward, terminated, truncated, boundary)
    follow, found = jax.jit(lambda state, block: update_return_scale(state, block, GAMMA)), list[ReturnScale]()
    state = init_return_scale(n, GAMMA)
    assert state.newest_scale == 1
    for i in range(blocks):
        state = follow(state, jax.tree.map(lambda x, i=i: jax.numpy.asarray(x[i * k : (i + 1) * k]), rows))
        found.append(state)
    largest, total, length, longest = 0.0, np.zeros(n), np.zeros(n, int), 0
    for t in range(blocks * k):
        ended = [0]
        for env in range(n):
            total[env], length[env] = GAMMA * total[env] + reward[t, env], length[env] + 1
            if boundary[t, env]:
                total[env], length[env] = 0, 0
            endless = truncated[t, env] and not terminated[t, env] and length[env] >= longest
            largest = max(largest, abs(total[env]) / (1 - GAMMA ** length[env] if endless else 1))
            if truncated[t, env] or terminated[t, env]:
                ended.append(length[env])
        longest = max(longest, *ended)
        if t % k == k - 1:
            state = found[t // k]
            np.testing.assert_allclose(state.product, GAMMA * total, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(state.power, GAMMA ** (length + 1), rtol=1e-5)
            assert float(state.least_power) == pytest.approx(GAMMA**longest, rel=1e-5)
            assert float(state.largest) == pytest.approx(largest, rel=1e-4)
            assert float(state.newest_scale) == pytest.approx(1 / (1.25 * largest), rel=1e-4)


@pytest.mark.parametrize(("ends", "largest"), [(False, 1 / (1 - GAMMA)), (True, 1 + GAMMA + GAMMA**2)])
def test_endless_reward_of_1_is_found_though_episodes_are_cut_short(ends: bool, largest: float) -> None:
    """Its return is 1 / (1 - gamma), whatever the time limit; that of a true end at the limit is what was earned."""
    state = init_return_scale(1, GAMMA)
    column = np.ones((7, 1))
    none = np.zeros((7, 1, 0), np.float32)
    cut, after = np.arange(7)[:, None] % 4 == 2, np.arange(7)[:, None] % 4 == 3
    block = Row(none, none, column.astype(np.float32), cut & ends, cut, after)
    state = update_return_scale(state, jax.tree.map(jax.numpy.asarray, block), GAMMA)
    assert float(state.largest) == pytest.approx(largest, rel=1e-5)


def test_a_cut_before_the_time_limit_tells_nothing_of_what_would_follow() -> None:
    """A first reward of 10 that never comes again, in episodes of 20 steps, of which one is cut after its first."""
    step, none = np.arange(23)[:, None], np.zeros((23, 1, 0), np.float32)
    boundary, truncated = (step == 20) | (step == 22), (step == 19) | (step == 21)
    reward = np.where((step == 0) | (step == 21), 10.0, 0.0).astype(np.float32)
    block = Row(none, none, reward, np.zeros_like(boundary), truncated, boundary)
    state = update_return_scale(init_return_scale(1, GAMMA), jax.tree.map(jax.numpy.asarray, block), GAMMA)
    assert float(state.largest) == 10


def test_targets_keep_their_unit_when_returns_grow() -> None:
    state = init_return_scale(1, GAMMA)._replace(largest=jax.numpy.float32(8.0)).before_learning()
    assert (float(state.scale), float(state.scale_of_targets)) == pytest.approx((0.1, 0.1))
    grown = state._replace(largest=jax.numpy.float32(16.0))
    assert (float(grown.scale), float(grown.scale_of_targets)) == pytest.approx((0.1, 0.1)), "before they move"
    yes, no = jax.numpy.bool_(True), jax.numpy.bool_(False)
    assert float(grown.after_update(no, 1.0).scale) == pytest.approx(0.1)
    hard, soft = grown.after_update(yes, 1.0), grown.after_update(yes, 0.25).after_update(yes, 0.25)
    assert (float(hard.scale), float(hard.scale_of_targets)) == pytest.approx((0.05, 0.1))
    assert (float(soft.scale), float(soft.scale_of_targets)) == pytest.approx((0.05, 0.75 * 0.1 + 0.25 * 0.05))
    obs = jax.numpy.zeros((1, 0))
    reward, discount, one = (jax.numpy.array([x]) for x in (3.0, 0.9, 1.0))
    batch = hard.scaled(Transition(obs, obs, reward, discount, obs, one))
    y = batch.reward + batch.discount * 0.7  # Q' is 0.7 in the unit of the targets: a return of 7
    np.testing.assert_allclose(y / hard.scale, 3.0 + 0.9 * 7.0, rtol=1e-6)
