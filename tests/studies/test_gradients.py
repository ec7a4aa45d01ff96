"""The two policy gradients beside differences of what they are gradients of, and beside each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.studies.gradients import (
    BASELINE,
    GAIN,
    PLAIN,
    Baseline,
    deterministic,
    estimates,
    growth,
    limit,
    nothing,
    sampled,
    v,
)


def reward(theta: np.ndarray, s: np.ndarray, a: np.ndarray) -> float:
    return -float(np.mean(np.square(s + np.clip(a, -1, 1) / 2)))


def test_the_deterministic_gradient_is_that_of_the_reward() -> None:
    theta, s = np.array([-0.5, -0.2, 0.4]), np.array([0.3, -0.9, 0.5])
    expected = []
    for i in range(3):
        up, down = theta.copy(), theta.copy()
        up[i] += 1e-6
        down[i] -= 1e-6
        expected.append((reward(up, s, up * s) - reward(down, s, down * s)) / 2e-6)
    found = deterministic(jnp.asarray(theta, jnp.float32), jnp.asarray(s, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_one_sample_is_the_score_times_the_advantage() -> None:
    theta, s, normal, sigma = np.array([-0.5, 0.3]), np.array([0.3, -0.9]), np.array([1.2, -0.4]), 0.2
    a = theta * s + sigma * normal
    score = normal / sigma * s  # nabla_theta log N(a; theta s, sigma^2)
    value = float(v(jnp.asarray(theta), jnp.asarray(s), jnp.float32(sigma)))
    for baseline, rest in ((nothing, 0.0), (v, value)):
        one, two, three, four = (jnp.asarray(x, jnp.float32) for x in (theta, s, normal, sigma))
        found = sampled(one, two, three, four, baseline)
        np.testing.assert_allclose(found, score * (reward(theta, s, a) - rest), rtol=1e-3)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 1.0])
def test_the_baseline_is_the_mean_of_q_over_the_actions(sigma: float) -> None:
    theta, s = np.array([-0.5, 1.4]), np.array([0.3, -0.9])
    draws = theta * s + sigma * np.random.default_rng(0).normal(size=(200_000, 2))
    each = -np.mean(np.square(s + np.clip(draws, -1, 1) / 2), axis=1)
    found = float(v(jnp.asarray(theta, jnp.float32), jnp.asarray(s, jnp.float32), jnp.float32(sigma)))
    assert abs(found - each.mean()) < 4 * each.std() / np.sqrt(len(each)) + 1e-5


@pytest.mark.parametrize("baseline", [v, nothing])
def test_both_have_the_same_mean(baseline: Baseline) -> None:
    theta, n = jnp.full(2, GAIN), 50_000
    s = jax.random.uniform(jax.random.key(0), (n, 2), minval=-1.0)
    normal = jax.random.normal(jax.random.key(1), (n, 2))
    drawn = jax.vmap(lambda s, x: sampled(theta, s, x, jnp.float32(0.1), baseline))(s, normal)
    exact = jax.vmap(lambda s: deterministic(theta, s))(s).mean(axis=0)
    assert (jnp.abs(drawn.mean(axis=0) - exact) < 4 * drawn.std(axis=0) / np.sqrt(n)).all()


def test_samples_grow_with_dimensions_only_if_actions_are_sampled() -> None:
    one, eight = estimates(1, n=5_000), estimates(8, n=5_000)
    # theta_i s_i^2 of uniform s_i: variance over squared mean is (1/5 - 1/9) / (1/9), in every dimension
    for each in (one, eight):
        assert each["deterministic"].variance == pytest.approx(0.8, rel=0.05)
        assert each["deterministic"].samples == pytest.approx(100 * each["deterministic"].variance)
    for name in (BASELINE, PLAIN):
        assert 2 < eight[name].variance / one[name].variance < 64
    assert eight[PLAIN].variance > 2 * eight[BASELINE].variance


def test_the_deterministic_gradient_is_the_limit() -> None:
    found = limit(episodes=1_000)
    assert (np.diff(found.distance) < 0).all()
    # The return is quadratic in the noise, so the distance falls with the square of sigma.
    np.testing.assert_allclose(found.distance[4:7] / found.distance[5:8], 4, rtol=0.1)
    assert found.distance[-1] < 1e-3
    np.testing.assert_allclose(found.without[5:] / found.without[4:-1], 2, rtol=0.1)  # without a baseline: 1 / sigma
    np.testing.assert_allclose(found.with_baseline[4:], found.with_baseline[4], rtol=0.1)


def test_growth_is_told_apart() -> None:
    k = [1, 2, 4, 8, 16, 32]
    assert growth(k, [3.0 * x**2 for x in k]) == "like k^2.0"
    assert growth(k, [3.0 * 1.2**x for x in k]) == "like 1.20^k"
    assert growth(k, [80.0, 80.0, 80.0, 81.0, 80.0, 79.0]) == "by less than 10 %"
