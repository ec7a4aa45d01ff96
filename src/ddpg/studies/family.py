"""Learners of a study side by side: our presets beside their relatives, each timed alone, each curve kept in a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int

from ddpg.config.config import Config
from ddpg.envs.protocol import Environment
from ddpg.records.atomic import replace_atomically
from ddpg.records.plot import INK, PALETTE, style_axes
from ddpg.records.statistics import interval, iqm
from ddpg.relatives.curve import GreedyPolicy, LearningCurve, Relative, learning_curve
from ddpg.studies.figure import Panel
from ddpg.studies.study import Bench
from ddpg.training.backend import loop_for
from ddpg.training.loop import TrainState
from ddpg.types import Key

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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

    def policy(self, env: Environment, state: FamilyState) -> GreedyPolicy:
        return state.train.learner.shown.mu


class Learner(NamedTuple):
    """A row of the study."""

    label: str
    relative: Relative
    env: Environment
    steps: int


def learned(bench: Bench, learner: Learner, which: str, points: int = 20) -> LearningCurve:
    """The curve of a learner's seeds at `points` points; read from the folder if it is there already."""
    file = bench.folder / "curves" / f"{''.join(c if c.isalnum() else '-' for c in learner.label.lower())}.npz"
    if file.exists():
        with np.load(file, allow_pickle=False) as kept:
            curve = LearningCurve(kept["steps"], kept["returns"], kept["seconds"])
    else:
        every = max(learner.steps // points, 1)
        curve = learning_curve(learner.relative, learner.env, steps=learner.steps, every=every, seeds=bench.size.seeds)
        file.parent.mkdir(exist_ok=True)
        partial = file.with_suffix(".partial")
        with partial.open("wb") as stream:
            np.savez(stream, **curve._asdict())
        replace_atomically(partial, file)
    last = float(iqm(curve.returns[:, -1]))
    bench.note(f"{which} {learner.label}: return {last:.1f} · {curve.seconds[:, -1].sum():.0f} s")
    return curve


class Band(NamedTuple):
    """A line of a figure with the values of every seed."""

    label: str
    x: np.ndarray  # [points]
    y: np.ndarray  # [seeds, points]


def bands_panel(
    title: str, bands: Sequence[Band], x: str, y: str, optimum: float | None = None, logs: bool = False
) -> Panel:
    """Interquartile means with 95 % intervals over a logarithmic axis, both with `logs`; the optimum dashed."""

    def draw(axes: "Axes") -> None:
        if optimum is not None:
            axes.axhline(optimum, color=INK, linewidth=1, linestyle=(0, (5, 4)), zorder=1)
        for band, color in zip(bands, PALETTE, strict=False):
            mean, (low, high) = iqm(band.y), interval(band.y)
            axes.fill_between(band.x, low, high, color=color, alpha=0.2, linewidth=0)
            axes.plot(band.x, mean, color=color, linewidth=2, label=band.label, marker="o", markersize=3)
        style_axes(axes, y, size=10)
        axes.set_xlabel(x, color=INK, fontsize=10)
        axes.set_xscale("log")
        if logs:
            axes.set_yscale("log")
        if len(at := bands[0].x) < 10:
            some = at[:: max(len(at) // 4, 1)]
            axes.set_xticks(some, [f"{x:.3g}" for x in some])
            axes.set_xticks([], minor=True)
        # Below the axes: anywhere inside it would hide a curve.
        columns = 1 if max(len(band.label) for band in bands) > 24 else 3 if len(bands) > 4 else 2
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": columns}
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, **place)

    return Panel(title, draw)
