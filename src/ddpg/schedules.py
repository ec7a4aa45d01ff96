"""Schedules: factors that change with the step, of a learning rate, of a noise or of the n of n-step returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Discriminator

from ddpg.mistake import Mistake
from ddpg.ranges import Factors, NonNegative, UnitInterval, Whole
from ddpg.types import AnyArray

StepCount = Int[AnyArray, ""]  # environment steps done so far

Factor = Float[AnyArray, ""]

ONE = np.float32(1)


@dataclass(frozen=True)
class Constant:
    """The factor stays 1."""

    kind: Literal["constant"] = field(default="constant", kw_only=True)

    def __call__(self, step: StepCount) -> Factor:
        return ONE


@dataclass(frozen=True)
class Linear:
    """The factor falls from 1 at step `begin` to `final` over `steps` environment steps, then stays."""

    kind: Literal["linear"] = field(default="linear", kw_only=True)
    final: NonNegative = 0.1
    steps: Whole = 10_000
    begin: Whole = 0

    def __call__(self, step: StepCount) -> Factor:
        xp = step.__array_namespace__()
        done = _progress(step, self.begin, self.steps)
        return xp.float32(1.0 + (self.final - 1.0) * done)


@dataclass(frozen=True)
class Exponential:
    """The factor is rate^(step - begin), never below `final`.

    The tutorial multiplies by 0.9995 at every update, which is this where every step has one.
    """

    kind: Literal["exponential"] = field(default="exponential", kw_only=True)
    rate: UnitInterval = 0.9995
    final: NonNegative = 0.0
    begin: Whole = 0

    def __call__(self, step: StepCount) -> Factor:
        xp = step.__array_namespace__()
        elapsed = xp.float32(xp.maximum(step - self.begin, 0))
        return xp.float32(xp.maximum(xp.power(xp.float32(self.rate), elapsed), self.final))


@dataclass(frozen=True)
class Table:
    """The factor goes in straight lines through `factors`, evenly spaced over `steps` from step `begin` on, then stays.

    `ddpg.schedule` makes the factors of any function of progress.
    """

    kind: Literal["table"] = field(default="table", kw_only=True)
    factors: Factors = (1.0, 0.1)
    steps: Whole = 10_000
    begin: Whole = 0

    def __call__(self, step: StepCount) -> Factor:
        xp = step.__array_namespace__()
        done = _progress(step, self.begin, self.steps)
        factors = xp.asarray(self.factors, dtype=xp.float32)
        return xp.float32(xp.interp(done * (len(factors) - 1), xp.arange(len(factors)), factors))


def _progress(step: StepCount, begin: int, steps: int) -> Factor:
    """From 0 up to step `begin` to 1 from `begin + steps` on."""
    return step.__array_namespace__().clip((step - begin) / max(steps, 1), 0.0, 1.0)


def schedule(factor: Callable[[float], float], steps: int, begin: int = 0, points: int = 101) -> Table:
    """Any function of progress as a schedule: `options={"actor.schedule": ddpg.schedule(lambda p: 1 - p, 20_000)}`.

    `factor` is called here, at `points` values of progress from 0 to 1, and never while training: the run has the
    numbers in its configuration, and resumes exactly. Progress is 0 up to step `begin` and 1 from `begin + steps` on;
    these are environment steps for `exploration.schedule` and `replay.n_step_schedule`, and updates for
    `actor.schedule` and `critic.schedule`.
    Raises Mistake if a factor is no finite number of at least 0.
    """
    factors = list[float]()
    for progress in np.linspace(0, 1, max(points, 2)).tolist():
        answer = factor(progress)
        try:
            factors.append(float(answer))
        except (TypeError, ValueError):
            factors.append(np.nan)
        if not 0 <= factors[-1] < np.inf:
            raise Mistake(f"schedule at progress {progress:g}: {answer!r}, expected a finite factor of at least 0")
    return Table(tuple(factors), steps, begin)


Schedule = Annotated[Constant | Linear | Exponential | Table, Discriminator("kind")]
