"""Where episodes begin: resets of their own, or a pool that is renewed a little in every iteration."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ddpg
from ddpg.config.config import CollectionConfig, Config
from ddpg.config.presets import by_name
from ddpg.config.reading import override
from ddpg.envs.resets import ResetPool, resets_of
from ddpg.envs.vector import Vector
from ddpg.experience.replay import Replay
from ddpg.experience.ring import all_rows
from ddpg.mistake import Mistake
from ddpg.training.backend import loop_for
from tests.tiny import TINY
from tests.worlds import Cart

N, STEPS = 5, 3


def pool_of(size: int, steps: int = STEPS, n: int = N) -> ResetPool:
    resets = resets_of(Vector(Cart(), n), size, steps)
    assert isinstance(resets, ResetPool)
    return resets


@pytest.mark.parametrize(
    ("size", "steps", "n", "renewals", "turns"),
    [(8, 3, 5, 3, 3), (8, 1, 2, 1, 8), (4, 10, 7, 4, 1), (9, 3, 5, 3, 3), (1, 1, 1, 1, 1)],  # episodes of 7 steps
)
def test_as_many_are_renewed_as_episodes_end(size: int, steps: int, n: int, renewals: int, turns: int) -> None:
    pool = pool_of(size, steps, n)
    assert (pool.renewals, pool.turns) == (renewals, turns)
    _, obs = pool.init(jax.random.key(0))
    assert len(obs) == renewals * turns >= size


def test_the_oldest_are_replaced() -> None:
    resets = pool_of(8)
    pool, key = resets.init(jax.random.key(0)), jax.random.key(1)
    first, newest, which = np.asarray(pool[1]), list[np.ndarray](), jnp.zeros((STEPS, N), int)
    for t in range(7, 7 + resets.turns):
        drawn = resets.draw(jax.random.fold_in(key, t))
        pool, which = resets.renewed(pool, drawn, jnp.int32(t))
        assert which.shape == (STEPS, N)
        assert set(np.asarray(which).flat) <= set(range(9))
        newest.append(np.asarray(drawn.new[1]))
        now = np.asarray(pool[1])
        assert (now == first).all(axis=1).sum() == 9 - 3 * len(newest)
        assert all((row == now).all(axis=1).any() for rows in newest for row in rows)
    state, obs = resets.take(pool, which[0])
    np.testing.assert_array_equal(obs, np.asarray(pool[1])[which[0]])
    np.testing.assert_array_equal(state.x, obs[:, 0])


CONFIG = Config(
    replay=Replay(capacity=3_000, batch=8),
    collect=CollectionConfig(steps=STEPS, envs=N, warmup=10_000, reset_pool=6),
)


def starts(config: Config, iterations: int) -> np.ndarray:
    """x of the first observations of all episodes but the first [N] of a run without learning."""
    loop, key = loop_for(config, Cart()), jax.random.key(3)
    state, n = loop.init(key), jnp.int32(iterations)
    state, _ = jax.jit(loop.chunk, static_argnums=(3, 4))(state, jnp.int32(0), n, iterations, False)
    rows = all_rows(state.learner.ring, Cart().spec)
    obs, boundary = (np.asarray(x)[STEPS:] for x in (rows.obs, rows.boundary))  # the first block is none
    return obs[1:, :, 0][boundary[:-1] & (obs[1:, :, 1] == 0)]


@pytest.mark.slow
def test_episodes_begin_anew_all_along_and_nearly_once_each() -> None:
    pooled, own = starts(CONFIG, 150), starts(replace(CONFIG, collect=replace(CONFIG.collect, reset_pool=0)), 150)
    assert len(np.unique(own)) == len(own) > 250
    assert 0.3 * len(pooled) < len(np.unique(pooled)) < len(pooled)
    assert abs(pooled.mean()) < 0.25
    assert 0.4 < pooled.std() < 0.7  # uniform in [-1, 1]: 0.58


def test_without_a_pool_the_state_is_what_it_was() -> None:
    loop = loop_for(replace(CONFIG, collect=replace(CONFIG.collect, reset_pool=0)), Cart())
    assert loop.init(jax.random.key(0)).env.pool is None


def test_a_run_with_a_pool_is_resumed_exactly(
    tmp_path: Path,
    no_pictures: None,
    one_device: None,
    newer_emitters: None,
    assert_identical: Callable[..., None],
) -> None:
    """Also by programs of other lengths: the shorter run has chunks of 16 iterations, the whole one of 33."""
    options: dict[str, Any] = {**TINY, "collect.envs": 3, "collect.reset_pool": 4, "checkpoint.every": 150}
    whole = ddpg.train(lambda: Cart(), steps=300, run=tmp_path / "whole", options=options, quiet=True)
    part = ddpg.train(lambda: Cart(), steps=150, run=tmp_path / "part", options=options, quiet=True)
    ddpg.resume(part.path, steps=300, env=lambda: Cart(), quiet=True)
    assert_identical(*(ddpg.load(run.path).nets for run in (whole, part)))


def test_what_python_steps_needs_no_pool(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"^collect.reset_pool 4: Python steps Pendulum-v1 and resets only what ended; "):
        ddpg.train("gym:Pendulum-v1", run=tmp_path / "run", options={"collect.reset_pool": 4})
    assert not (tmp_path / "run").exists()
    with pytest.raises(Mistake, match="reset_pool"):
        override(by_name("ddpg"), {"collect.reset_pool": -1})
