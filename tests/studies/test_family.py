"""Learners side by side: our loop as one of them, and curves that are kept."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
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
from ddpg.mistake import Mistake
from ddpg.relatives.copdac import COPDAC, Fourier
from ddpg.relatives.curve import LearningCurve
from ddpg.studies import family
from ddpg.studies.family import Family, Learner, learned
from ddpg.studies.study import Bench, Size
from ddpg.studies.trainings import Stopped
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
    np.testing.assert_allclose(ours.policy(env, state)(obs), alone.learner.evaluated.mu(obs), rtol=1e-4, atol=1e-6)


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


def test_an_unfinished_curve_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> LearningCurve:
        raise KeyboardInterrupt

    monkeypatch.setattr(family, "learning_curve", stopped)
    with pytest.raises(KeyboardInterrupt):
        learned(Bench(tmp_path, Size(80, 2)), Learner("linear 1", LINEAR, replace(PointReach()), 80), "1/1")
    assert not (tmp_path / "curves").exists()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The trainings from now on, by their steps."""
    done, real = list[int](), family.learning_curve

    def learning_curve(*args: Any, **options: Any) -> LearningCurve:
        done.append(options["steps"])
        return real(*args, **options)

    monkeypatch.setattr(family, "learning_curve", learning_curve)
    return done


def test_another_learner_of_that_name_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, bench, learner = counted(monkeypatch), Bench(tmp_path, Size(80, 1)), Learner("one", LINEAR, PointReach(), 80)
    first = learned(bench, learner, "1/1", points=2)
    other = learned(bench, learner._replace(relative=replace(LINEAR, gamma=0.5)), "1/1", points=2)
    assert len(done) == 2
    assert (first.returns[:, -1] != other.returns[:, -1]).all()
    again = learned(bench, learner, "1/1", points=2)  # the first learner's curve was replaced
    assert len(done) == 3
    np.testing.assert_array_equal(again.returns, first.returns)


def foreign(file: Path, **arrays: Any) -> None:
    np.savez(file, **arrays)


@pytest.mark.parametrize(
    "write",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"junk"),
        lambda file: file.write_bytes(b"PK\x03\x04 and no more"),
        lambda file: file.mkdir(),
        lambda file: foreign(file, other=np.zeros(3)),
        lambda file: foreign(file, learner=np.array("x"), steps=np.zeros(2), returns=np.zeros(2), seconds=np.zeros(2)),
        lambda file: foreign(file, learner=np.array(["x"], object), steps=0, returns=0, seconds=0),
    ],
    ids=["empty", "junk", "half a zip", "a folder", "other arrays", "other shapes", "pickles"],
)
def test_a_file_that_is_no_curve_is_a_mistake(tmp_path: Path, write: Callable[[Path], Any]) -> None:
    (tmp_path / "curves").mkdir()
    write(tmp_path / "curves" / "one.npz")
    with pytest.raises(Mistake, match=r"one\.npz is no learning curve; delete it, and run the study again$") as error:
        learned(Bench(tmp_path, Size(80, 1)), Learner("one", LINEAR, PointReach(), 80), "1/1", points=2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_between_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real = family.learning_curve

    def signalled(*args: Any, before: Callable[[], None], **options: Any) -> LearningCurve:
        points = list[int]()

        def point() -> None:
            points.append(1)
            if len(points) == 3:
                os.kill(os.getpid(), number)
            before()

        return real(*args, before=point, **options)

    monkeypatch.setattr(family, "learning_curve", signalled)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    bench, learner = Bench(tmp_path, Size(80, 1)), Learner("one", LINEAR, PointReach(), 80)
    with pytest.raises(Stopped) as stopped:
        learned(bench, learner, "1/1", points=4)
    assert stopped.value.signal == number
    assert not (tmp_path / "curves").exists()
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    monkeypatch.setattr(family, "learning_curve", real)
    assert len(learned(bench, learner, "1/1", points=4).steps) == 5


def test_a_signal_after_the_last_point_keeps_the_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = family.learning_curve

    def signalled(*args: Any, **options: Any) -> LearningCurve:
        curve = real(*args, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return curve

    monkeypatch.setattr(family, "learning_curve", signalled)
    with pytest.raises(Stopped):
        learned(Bench(tmp_path, Size(80, 1)), Learner("one", LINEAR, PointReach(), 80), "1/1", points=2)
    assert [file.name for file in (tmp_path / "curves").iterdir()] == ["one.npz"]


@pytest.mark.parametrize(("name", "number"), [("lineage", signal.SIGTERM), ("dimensions", signal.SIGINT)])
def test_the_command_says_how_to_go_on(tmp_path: Path, name: str, number: int) -> None:
    command = [
        sys.executable,
        "-m",
        "ddpg",
        "study",
        name,
        "--steps",
        "2000",
        "--seeds",
        "1",
        "-o",
        str(tmp_path / "it"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()  # of the first curve, or of the gradients that come before it
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 128 + number, first + rest
    assert rest.splitlines()[-1].startswith(f"to go on: ddpg study {name} --steps 2000")
