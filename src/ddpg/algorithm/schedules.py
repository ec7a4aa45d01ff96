"""Schedules: factors of a learning rate or of a noise that change with the step."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from jaxtyping import Float, Int
from pydantic import Discriminator

from ddpg.ranges import NonNegative, UnitInterval, Whole
from ddpg.types import AnyArray

StepCount = Int[AnyArray, ""]  # environment steps done so far

Factor = Float[AnyArray, ""]


@dataclass(frozen=True)
class Constant:
    """The noise keeps its scale: factor 1."""

    kind: Literal["constant"] = field(default="constant", kw_only=True)

    def __call__(self, step: StepCount) -> Factor:
        return step.__array_namespace__().float32(1.0)


@dataclass(frozen=True)
class Linear:
    """The factor falls from 1 at step `begin` to `final` over `steps` environment steps, then stays."""

    kind: Literal["linear"] = field(default="linear", kw_only=True)
    final: NonNegative = 0.1
    steps: Whole = 10_000
    begin: Whole = 0

    def __call__(self, step: StepCount) -> Factor:
        xp = step.__array_namespace__()
        done = xp.clip((step - self.begin) / max(self.steps, 1), 0.0, 1.0)
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


Schedule = Annotated[Constant | Linear | Exponential, Discriminator("kind")]
