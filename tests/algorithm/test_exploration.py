"""Exploration noise beside its theory: scales, correlation in time, resets, and schedules at computed points."""

import json
import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from ddpg.algorithm.exploration import Exploration, Gaussian, OrnsteinUhlenbeck, ParameterNoise, PerEnvGaussian, Pink
from ddpg.algorithm.networks import NetworkConfig, Plain
from ddpg.config.config import Config
from ddpg.config.reading import from_data, override, to_data
from ddpg.schedules import Constant, Exponential, Linear, Schedule, Table, schedule

N, STEPS = 4000, 60
OU = OrnsteinUhlenbeck(theta=0.2, sigma=(0.1, 0.3), dt=0.5)


def play(noise: Exploration, n: int = N, m: int = 2) -> np.ndarray:
    """[STEPS, n, m]: noise of n environments that start together."""
    white = jax.random.normal(jax.random.key(0), (STEPS, n, m))
    start = jnp.zeros((STEPS, n), bool).at[0].set(True)

    def step(state: Array, x: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        return noise(state, *x)

    return np.asarray(jax.lax.scan(step, jnp.full((n, m), 99.0), (white, start, jnp.arange(STEPS)))[1])


@pytest.mark.parametrize("sigma", [0.3, (0.1, 0.7)])
def test_gaussian_has_its_scale_in_every_dimension_and_no_memory(sigma: float | tuple[float, ...]) -> None:
    noise = play(Gaussian(sigma=sigma))
    np.testing.assert_allclose(noise.std(axis=(0, 1)), np.broadcast_to(sigma, 2), rtol=0.01)
    np.testing.assert_allclose(noise.mean(axis=(0, 1)), 0, atol=0.01)
    for i in range(2):
        assert abs(np.corrcoef(noise[:-1, :, i].ravel(), noise[1:, :, i].ravel())[0, 1]) < 0.01


def test_ou_is_stationary_and_correlated_as_theory_says() -> None:
    x = play(OU)[-11:]  # 50 steps after the start 0.9^50 of it is left
    memory = 1 - OU.theta * OU.dt
    std = np.asarray(OU.sigma) * np.sqrt(OU.dt / (1 - memory**2))
    np.testing.assert_allclose(x.std(axis=(0, 1)), std, rtol=0.03)
    np.testing.assert_allclose(x.mean(axis=(0, 1)), 0, atol=0.03)
    for i in range(2):
        for lag in (1, 5, 10):
            correlation = np.corrcoef(x[0, :, i], x[lag, :, i])[0, 1]
            assert abs(correlation - memory**lag) < 0.06  # standard error 0.016


def test_papers_ou_process() -> None:
    # Lillicrap et al. 2016, section 7: theta 0.15, sigma 0.2; without a dt, it is 1.
    assert OrnsteinUhlenbeck() == OrnsteinUhlenbeck(theta=0.15, sigma=0.2, dt=1.0)


def test_ou_starts_at_0_in_the_environments_that_start() -> None:
    state = jnp.array([[1.0, -2.0], [1.0, -2.0]])
    white = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    after, noise = OU(state, white, jnp.array([True, False]), jnp.int32(0))
    shock = 0.1 * np.sqrt(0.5)
    np.testing.assert_allclose(after, [[shock, 0.0], [0.9 + shock, -1.8]], rtol=1e-6)
    np.testing.assert_array_equal(noise, after)


def test_ou_state_is_carried_and_the_schedule_scales_only_what_is_heard() -> None:
    quiet = replace(OU, schedule=Linear(final=0.0, steps=30))
    loud, heard = play(OU, 3), play(quiet, 3)
    factor = np.clip(1 - np.arange(STEPS) / 30, 0, 1)[:, None, None]
    np.testing.assert_allclose(heard, factor * loud, atol=1e-6)


def test_gaussian_follows_its_schedule_and_leaves_the_state() -> None:
    state, white = jnp.ones((1, 2)), jnp.array([[1.0, -1.0]])
    after, noise = Gaussian(sigma=0.5, schedule=Linear(final=0.2, steps=100))(
        state, white, jnp.array([True]), jnp.int32(50)
    )
    np.testing.assert_array_equal(after, state)
    np.testing.assert_allclose(noise, [[0.3, -0.3]], rtol=1e-6)


LINEAR, EXPONENTIAL = Linear(final=0.2, steps=100, begin=10), Exponential(rate=0.5, final=0.1, begin=10)
TABLE = Table(factors=(1.0, 0.5, 2.0), steps=40, begin=10)


@pytest.mark.parametrize(
    ("chosen", "step", "factor"),
    [
        (Constant(), 0, 1.0),
        (Constant(), 10**9, 1.0),
        *((LINEAR, step, factor) for step, factor in ((0, 1), (10, 1), (35, 0.8), (60, 0.6), (110, 0.2), (10**9, 0.2))),
        (Linear(final=0.5, steps=0), 1, 0.5),
        *((EXPONENTIAL, step, factor) for step, factor in ((0, 1), (10, 1), (11, 0.5), (13, 0.125), (14, 0.1))),
        (EXPONENTIAL, 10**9, 0.1),
        *(
            (TABLE, step, factor)
            for step, factor in ((0, 1), (10, 1), (20, 0.75), (30, 0.5), (40, 1.25), (50, 2), (99, 2))
        ),
        (Table(factors=(0.5,)), 7, 0.5),
        # The tutorial: times 0.9995 at each of the updates, which begin at step 10 000.
        (Exponential(rate=0.9995, begin=10_000), 10_000 + 2000, 0.9995**2000),
    ],
)
def test_schedules(chosen: Schedule, step: int, factor: float) -> None:
    np.testing.assert_allclose(chosen(np.int32(step)), factor, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(chosen)(jnp.int32(step)), factor, rtol=1e-4)


def test_a_function_of_progress_becomes_a_table() -> None:
    made = schedule(lambda progress: np.cos(np.pi / 2 * progress) ** 2, steps=1000, begin=200)
    for step, factor in ((0, 1.0), (200, 1.0), (450, np.cos(np.pi / 8) ** 2), (700, 0.5), (1200, 0.0), (5000, 0.0)):
        np.testing.assert_allclose(made(np.int64(step)), factor, atol=1e-6)
    changed = override(Config(), {"actor.schedule": made, "exploration.schedule": schedule(lambda p: 1 - p, 50)})
    assert changed.agent.actor.schedule == made
    assert from_data(json.loads(json.dumps(to_data(changed)))) == changed
    for answer in (-0.1, math.nan, "fast", None):
        wrong: Any = lambda _, answer=answer: answer  # noqa: E731
        with pytest.raises(ValueError, match=f"^schedule at progress 0: {answer!r}, expected a finite factor of at l"):
            schedule(wrong, 10)


NOISES: list[Exploration] = [
    *(kind(sigma=sigma) for kind in (Gaussian, OrnsteinUhlenbeck, Pink) for sigma in (0.3, (0.1, 0.7))),
    PerEnvGaussian(),
    ParameterNoise(),
]
SCHEDULES: list[Schedule] = [Constant(), Linear(final=0.3, steps=40, begin=5), Exponential(rate=0.9, final=0.2), TABLE]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.kind)
@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_noise_is_the_same_in_numpy(noise: Any, schedule: Schedule) -> None:
    noise, rng = replace(noise, schedule=schedule), np.random.default_rng(0)
    compiled = jax.jit(lambda *x: noise(*x))
    ours = theirs = noise.init_state(3, 2)
    for step in range(STEPS):
        white, start = rng.normal(size=(3, 2)).astype(np.float32), rng.random(3) < 0.1
        ours, heard = noise(ours, white, start, np.int32(step))
        theirs, expected = compiled(theirs, white, start, np.int32(step))
        assert isinstance(heard, np.ndarray)
        assert ours.dtype == heard.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        np.testing.assert_allclose(heard, expected, atol=1e-6)


def test_pink_noise_falls_with_one_over_f_and_has_its_sigma() -> None:
    noise, rng = Pink(sigma=0.4), np.random.default_rng(0)
    state, heard, runs = noise.init_state(256, 2), [], 2**13
    never = np.zeros(256, bool)
    for step in range(2 * runs):  # the first half lets the slow filters fill
        state, now = noise(state, rng.normal(size=(256, 2)).astype(np.float32), never, np.int32(step))
        heard.append(now)
    x = np.array(heard[runs:])
    # Of all noise with these poles some is slower than any one sequence is long: spread over sequences, not time.
    assert x.std() == pytest.approx(0.4, rel=0.03)
    assert np.abs(np.corrcoef(x[:, :, 0].ravel(), x[:, :, 1].ravel())[0, 1]) < 0.05, "dimensions are independent"
    power = (np.abs(np.fft.rfft(x, axis=0)) ** 2).mean(axis=(1, 2))
    f = np.arange(len(power))
    band = (f >= 8) & (f <= len(f) // 4)
    slope, _ = np.polyfit(np.log(f[band]), np.log(power[band]), 1, w=f[band] ** -0.5)
    assert slope == pytest.approx(-1, abs=0.05)


def test_every_environment_and_episode_has_another_sigma_evenly_spread() -> None:
    noise = PerEnvGaussian(low=0.1, high=0.5)
    n, white = 8, np.ones((8, 2), np.float32)
    state, sigmas = noise.init_state(n, 2), []
    for step in range(200):
        state, heard = noise(state, white, np.full(n, step % 2 == 0), np.int32(step))
        assert (heard[:, 0] == heard[:, 1]).all(), "one sigma an environment"
        if step % 2:
            np.testing.assert_array_equal(heard, sigmas[-1])  # until its episode ends
        sigmas.append(heard)
    found = np.array(sigmas[::2])[:, :, 0]
    assert len(np.unique(found[0])) == n
    assert found.min() >= 0.1
    assert found.max() <= 0.5
    for env in (*found.T, found.ravel()):
        counts, _ = np.histogram(env, bins=5, range=(0.1, 0.5))
        assert counts.min() > 0.8 * len(env) / 5


def test_noise_on_weights_grows_until_actions_differ_by_sigma() -> None:
    noise = ParameterNoise(sigma=0.15, growth=1.05)
    actor = NetworkConfig(widths=(16, 16), block=Plain(norm="layer")).init_actor(jax.random.key(0), 3, 2)
    obs = jax.random.normal(jax.random.key(1), (200, 3))

    @jax.jit
    def turn(scale: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        perturbed = noise.perturb(actor, scale, key)
        return noise.adapt(scale, actor, perturbed, obs, jnp.int32(0), 50), jnp.mean((perturbed(obs) - actor(obs)) ** 2)

    for first in (1e-3, 3.0):
        scale, squares = jnp.float32(first), []
        for step in range(400):
            scale, square = turn(scale, jax.random.key(step))
            squares.append(float(square))
        assert np.sqrt(np.mean(squares[300:])) == pytest.approx(0.15, rel=0.3)
    flat, again = (jax.tree.leaves(noise.perturb(actor, jnp.float32(0.5), jax.random.key(3))) for _ in range(2))
    for x, y in zip(flat, again, strict=True):
        np.testing.assert_array_equal(x, y)  # the same key, the same noise
    moved = [np.ravel(x - old) for x, old in zip(flat, jax.tree.leaves(actor), strict=True) if (x != old).any()]
    assert len(moved) == len(flat) - 4, "all but the scales and shifts of two layer norms"
    differences = np.concatenate(moved)
    assert (differences != 0).all()
    assert differences.std() == pytest.approx(0.5, rel=0.1)
