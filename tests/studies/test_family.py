"""Learners side by side: our loop as one of them, and curves that are kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.config.presets import by_name
from ddpg.config.reading import override
from ddpg.envs.point_reach import PointReach
from ddpg.relatives.copdac import COPDAC, Fourier
from ddpg.relatives.curve import LearningCurve
from ddpg.studies import family
from ddpg.studies.family import Band, Family, Learner, bands_panel, learned
from ddpg.studies.figure import save_panels
from ddpg.studies.study import Bench, Size
from ddpg.training.backend import loop_for
from tests.tiny import SIZES

LINEAR = COPDAC(Fourier((-1.5,), (1.5,), order=2))


def test_a_preset_is_trained_by_the_loop_of_every_run(assert_identical: Any) -> None:
    env, config = PointReach(2), override(by_name("ddpg"), SIZES)
    ours, key = Family(config), jax.random.key(3)
    state = ours.init(env, key)
    advance = jax.jit(lambda state: ours.advance(env, state, 100))
    loop = loop_for(config, env)
    alone = loop.init(key)
    for i in range(3):
        state = advance(state)
        chunk = jax.jit(lambda train, t, learning=i > 0: loop.chunk(train, t, jnp.int32(100), 100, learning)[0])
        alone = chunk(alone, jnp.int32(100 * i))
        assert int(state.t) == 100 * (i + 1)
    for one, other in zip(
        jax.tree.leaves(state.train.learner.agent), jax.tree.leaves(alone.learner.agent), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    obs = jnp.ones((5, 2))
    np.testing.assert_allclose(ours.policy(env, state)(obs), alone.learner.shown.mu(obs), rtol=1e-4, atol=1e-6)


def test_curves_are_learned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes, learner = list[str](), Learner("linear 1", LINEAR, PointReach(), 80)
    bench = Bench(tmp_path, Size(80, 2), notes.append)
    first = learned(bench, learner, "1/1", points=4)
    assert first.steps.tolist() == [0, 20, 40, 60, 80]
    monkeypatch.setattr(family, "learning_curve", None)
    again = learned(bench, learner, "1/1", points=4)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert notes[0] == notes[1]
    assert notes[0].startswith("1/1 linear 1: return -")
    assert [file.name for file in (tmp_path / "curves").iterdir()] == ["linear-1.npz"]


def test_bands_are_drawn_over_logarithms(tmp_path: Path) -> None:
    y = np.array([[1.0, 10.0, np.nan], [2.0, 20.0, np.nan]])
    panel = bands_panel("Title", [Band("one", np.array([1, 2, 4]), y)], "x", "y", 5.0, logs=True)
    save_panels(tmp_path / "bands.png", [panel])
    assert (tmp_path / "bands.png").read_bytes().startswith(b"\x89PNG")


def test_an_unfinished_curve_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> LearningCurve:
        raise KeyboardInterrupt

    monkeypatch.setattr(family, "learning_curve", stopped)
    with pytest.raises(KeyboardInterrupt):
        learned(Bench(tmp_path, Size(80, 2)), Learner("linear 1", LINEAR, replace(PointReach()), 80), "1/1")
    assert not (tmp_path / "curves").exists()
