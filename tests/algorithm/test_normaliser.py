"""Running statistics beside NumPy's over all that was seen, and what they do to observations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.normaliser import LIMIT, RunningStats, init_stats, normalise, update_stats

SHAPE = (2, 3)


def blocks(dtype: type) -> list[tuple[np.ndarray, np.ndarray]]:
    """Observations [k, n, *SHAPE] and which of them count; of one block none, and scales far from 1."""
    rng = np.random.default_rng(0)
    found = []
    for k, share in ((4, 0.7), (1, 1.0), (3, 0.0), (9, 0.5)):
        obs = 100 + 30 * rng.normal(size=(k, 5, *SHAPE)) * np.linspace(0.1, 1, 6).reshape(SHAPE)
        found.append((np.clip(obs, 0, 255).astype(dtype), rng.random((k, 5)) < share))
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_statistics_are_numpys_over_everything_seen(dtype: type) -> None:
    stats, seen = init_stats(SHAPE), np.zeros((0, *SHAPE))
    for obs, valid in blocks(dtype):
        stats = jax.jit(update_stats)(stats, jnp.asarray(obs), jnp.asarray(valid))
        seen = np.concatenate([seen, obs[valid]])
        assert stats.count == len(seen)
        np.testing.assert_allclose(stats.mean, seen.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(stats.variance, seen.var(axis=0), rtol=1e-4)
    assert jax.tree.map(lambda x: x.dtype, stats) == RunningStats(*[jnp.float32] * 3)


def test_before_anything_was_seen_nothing_changes() -> None:
    obs, _ = blocks(np.float32)[0]
    assert normalise(obs, None) is obs
    none = update_stats(init_stats(SHAPE), jnp.asarray(obs), jnp.zeros(obs.shape[:2], bool))
    for stats in (init_stats(SHAPE), none):
        np.testing.assert_array_equal(stats.variance, np.ones(SHAPE))
        small = jnp.asarray(obs) / 100
        np.testing.assert_allclose(normalise(small, stats), small, rtol=1e-6)


def test_what_was_seen_has_mean_0_and_variance_1() -> None:
    obs, _ = blocks(np.float32)[3]
    stats = update_stats(init_stats(SHAPE), jnp.asarray(obs), jnp.ones(obs.shape[:2], bool))
    after = np.asarray(normalise(jnp.asarray(obs), stats))
    np.testing.assert_allclose(after.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(after.std(axis=(0, 1)), 1, rtol=1e-4)


def test_outliers_are_cut_and_what_never_changes_becomes_0() -> None:
    stats = RunningStats(jnp.float32(9), jnp.array([1.0, 5.0]), jnp.array([4.0, 0.0]))
    found = normalise(jnp.array([[3.0, 5.0], [1e9, 5.0], [-1e9, 5.0]]), stats)
    np.testing.assert_allclose(found, [[1, 0], [LIMIT, 0], [-LIMIT, 0]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_numpy_and_jax_say_the_same(dtype: type) -> None:
    obs, valid = blocks(dtype)[0]
    stats = update_stats(init_stats(SHAPE), jnp.asarray(obs), jnp.asarray(valid))
    compiled = jax.jit(normalise)(jnp.asarray(obs), stats)
    plain = normalise(obs, jax.tree.map(np.asarray, stats))
    assert isinstance(plain, np.ndarray)
    assert plain.dtype == compiled.dtype == np.float32
    np.testing.assert_allclose(plain, compiled, rtol=1e-5, atol=1e-6)
