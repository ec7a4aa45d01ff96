"""Pink noise on actions, step by step."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from ddpg.ranges import Scale
from ddpg.schedules import Constant, Schedule, StepCount
from ddpg.types import AnyArray

# Paul Kellet's filter: first-order ones side by side whose sum falls with 1/f, within 0.05 dB above f = 2e-4 per step.
POLES = np.array([0.99886, 0.99332, 0.96900, 0.86650, 0.55000, -0.7616], np.float32)
GAINS = np.array([0.0555179, 0.0750759, 0.1538520, 0.3104856, 0.5329522, -0.0168980], np.float32)
NOW, BEFORE = 0.5362, 0.115926  # weights of this step's white noise and of the previous step's


def _response(steps: int = 100_000) -> np.ndarray:
    """The impulse response: the square root of its sum of squares is the standard deviation."""
    response = (GAINS.astype(float) * POLES.astype(float) ** np.arange(steps)[:, None]).sum(axis=1)
    response[:2] += NOW, BEFORE
    return response


with np.errstate(under="ignore"):  # a program may have imported this with NumPy set to raise
    SPREAD = float(np.sqrt(np.sum(_response() ** 2)))


@dataclass(frozen=True)
class Pink:
    """1/f noise of standard deviation sigma: slow and quick at once (Eberhard et al. 2023).

    The paper draws one sequence per episode. Here a filter makes it step by step from white noise, and runs on from
    one episode to the next: after a restart its slow parts would be missing for hundreds of steps.
    """

    kind: Literal["pink"] = field(default="pink", kw_only=True)
    sigma: Scale = 0.3
    schedule: Schedule = Constant()

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n m 7"]:
        return np.zeros((n, m, 7), np.float32)

    def __call__(
        self,
        state: Float[AnyArray, "n m 7"],
        normal: Float[AnyArray, "n m"],
        start: Bool[AnyArray, " n"],
        step: StepCount,
    ) -> tuple[Float[AnyArray, "n m 7"], Float[AnyArray, "n m"]]:
        xp = normal.__array_namespace__()
        slow = POLES * state[..., :6] + GAINS * normal[..., None]
        pink = xp.sum(slow, axis=-1) + NOW * normal + BEFORE * state[..., 6]
        scale = xp.asarray(self.sigma, xp.float32) * self.schedule(step) / SPREAD
        return xp.concat([slow, normal[..., None]], axis=-1), scale * pink
