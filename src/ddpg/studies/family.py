"""Learners of a study side by side: our presets beside their relatives, each timed alone, each curve kept in a file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.envs.protocol import Environment
from ddpg.mistake import Mistake
from ddpg.records.atomic import replace_atomically
from ddpg.records.statistics import iqm
from ddpg.records.untrusted import check_plain
from ddpg.relatives.curve import GreedyPolicy, LearningCurve, Relative, learning_curve
from ddpg.studies.study import Bench
from ddpg.studies.trainings import Stopped, slug
from ddpg.training.backend import loop_for
from ddpg.training.loop import TrainState
from ddpg.training.signals import interruptible
from ddpg.types import Key

# Our preset without its bound on Q', which DDPG does not have.
DDPG = override(PRESETS["ddpg"], {"clip_values": None})


class FamilyState(NamedTuple):
    train: TrainState
    t: Int[Array, ""]  # iterations done


@dataclass(frozen=True)
class Family:
    """A configuration of ours as a relative: the loop of `ddpg train`, turned by the same hands as the others'."""

    config: Config

    def init(self, env: Environment, key: Key) -> FamilyState:
        return FamilyState(loop_for(self.config, env).init(key), jnp.int32(0))

    def advance(self, env: Environment, state: FamilyState, steps: int) -> FamilyState:
        """Learning begins with the first call after `learning_starts` steps."""
        loop, n = loop_for(self.config, env), steps // self.config.steps_per_iteration

        def chunk(learning: bool) -> Callable[[FamilyState], TrainState]:
            return lambda state: loop.chunk(state.train, state.t, jnp.int32(n), n, learning)[0]

        begun = state.t * self.config.steps_per_iteration >= self.config.learning_starts
        return FamilyState(jax.lax.cond(begun, chunk(True), chunk(False), state), state.t + n)

    def steps_per_update(self, env: Environment) -> int:
        """Environment steps of an iteration, after which its updates follow."""
        return self.config.steps_per_iteration

    def policy(self, env: Environment, state: FamilyState) -> GreedyPolicy:
        return state.train.learner.evaluated.mu


class Learner(NamedTuple):
    """A row of the study."""

    label: str
    relative: Relative
    env: Environment
    steps: int


def learned(bench: Bench, learner: Learner, which: str, points: int = 20) -> LearningCurve:
    """The curve of a learner's seeds at `points` points; read from the folder if this learner's is there already.

    Raises Stopped after a signal, between two points, and Mistake if something else is in the curve's file.
    """
    file = bench.folder / "curves" / f"{slug(learner.label)}.npz"
    description = repr((learner, points, bench.size.seeds))
    with stoppable() as check:
        curve = _read(file, description)
        if curve is None:
            every, seeds = max(learner.steps // points, 1), bench.size.seeds
            relative, env, steps = learner.relative, learner.env, learner.steps
            curve = learning_curve(relative, env, steps=steps, every=every, seeds=seeds, before=check)
            _write(file, description, curve)
    last = float(iqm(curve.returns[:, -1]))
    bench.note(f"{which} {learner.label}: return {last:.1f} · {curve.seconds[:, -1].sum():.0f} s")
    return curve


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """Within it a signal only asks to stop. Yields a function that raises Stopped after a signal."""
    with interruptible() as stopped:

        def check() -> None:
            if number := stopped():
                raise Stopped(number)

        yield check
        check()


def _write(file: Path, description: str, curve: LearningCurve) -> None:
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez(stream, learner=np.array(description), **curve._asdict())
    replace_atomically(partial, file)


def _read(file: Path, description: str) -> LearningCurve | None:
    """The curve in a file; None if there is none, or it is that of a learner of another description."""
    try:
        check_plain(file)
        # NumPy itself leaves a file open that only begins like its own.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as there:
            same = str(there["learner"]) == description
            curve = LearningCurve(there["steps"], there["returns"], there["seconds"])
        shape = curve.returns.shape
        if len(shape) != 2 or shape != curve.seconds.shape or shape[1:] != curve.steps.shape:
            raise ValueError("other shapes")
    except FileNotFoundError:
        return None
    # What NumPy and zipfile raise on other files has no end; each means the same here.
    except Exception:
        raise Mistake(f"{file} is no learning curve; delete it, and run the study again") from None
    return curve if same else None
