"""Exploration: what the behaviour policy beta adds to mu(s), in units of half the action range.

Everything here computes with the arrays it is given, JAX's in compiled code and NumPy's where Python steps the
environments (`xp` is the one or the other, by the array API standard).
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Discriminator

from ddpg.algorithm.parameter_noise import ParameterNoise
from ddpg.algorithm.pink_noise import Pink
from ddpg.mistake import Mistake
from ddpg.ranges import NonNegative, Positive, Scale
from ddpg.schedules import Constant, Schedule, StepCount
from ddpg.types import AnyArray

LOWEST, HIGHEST = np.array(-1, np.float32), np.array(1, np.float32)  # NumPy is slower with Python's floats


def clip_action(action: Float[AnyArray, "n m"]) -> Float[AnyArray, "n m"]:
    """Within [-1, 1]; np.clip takes longer."""
    xp = action.__array_namespace__()
    return xp.minimum(xp.maximum(action, LOWEST), HIGHEST)


@runtime_checkable
class Exploration(Protocol):
    """What the part `exploration` of an agent must answer."""

    @property
    def schedule(self) -> Schedule:
        """By which the noise is scaled over environment steps."""
        ...

    @property
    def sigma(self) -> float | tuple[float, ...]:
        """The standard deviation of the noise, on average: one, or one per action dimension."""
        ...

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n ..."]:
        """The state of the noise of N environments with m action dimensions, before the first step."""
        ...

    def __call__(
        self,
        state: Float[AnyArray, "n ..."],
        normal: Float[AnyArray, "n m"],
        start: Bool[AnyArray, " n"],
        step: StepCount,
    ) -> tuple[Float[AnyArray, "n ..."], Float[AnyArray, "n m"]]:
        """(state, standard normal numbers, whether an episode starts, environment steps done) -> (state, noise)."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """Independent N(0, sigma^2) at every step; `sigma` is one number or one per action dimension."""

    kind: Literal["gaussian"] = field(default="gaussian", kw_only=True)
    sigma: Scale = 0.1
    schedule: Schedule = Constant()

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n m"]:
        return np.zeros((n, m), np.float32)

    def __call__(
        self,
        state: Float[AnyArray, "n m"],
        normal: Float[AnyArray, "n m"],
        start: Bool[AnyArray, " n"],
        step: StepCount,
    ) -> tuple[Float[AnyArray, "n m"], Float[AnyArray, "n m"]]:
        xp = normal.__array_namespace__()
        return state, xp.asarray(self.sigma, xp.float32) * self.schedule(step) * normal


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """x <- x - theta x dt + sigma sqrt(dt) N(0, 1), from 0 at every episode's start (Lillicrap et al. 2016, section 7).

    The paper gives theta 0.15 and sigma 0.2 and names no dt, that is dt = 1. The state x is carried in the loop.
    """

    kind: Literal["ou"] = field(default="ou", kw_only=True)
    theta: NonNegative = 0.15
    sigma: Scale = 0.2
    dt: Positive = 1.0
    schedule: Schedule = Constant()

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n m"]:
        return np.zeros((n, m), np.float32)

    def __call__(
        self,
        state: Float[AnyArray, "n m"],
        normal: Float[AnyArray, "n m"],
        start: Bool[AnyArray, " n"],
        step: StepCount,
    ) -> tuple[Float[AnyArray, "n m"], Float[AnyArray, "n m"]]:
        xp = normal.__array_namespace__()
        x = xp.where(start[:, None], xp.float32(0), state)
        x = x - self.theta * self.dt * x + xp.asarray(self.sigma, xp.float32) * self.dt**0.5 * normal
        return x, self.schedule(step) * x


GOLDEN = np.float32((5**0.5 - 1) / 2)


@dataclass(frozen=True)
class PerEnvGaussian:
    """Gaussian, of another sigma in every environment and episode, between `low` and `high` (FastTD3, section 2).

    The sigmas are those of a sequence that fills the interval evenly (Weyl 1916), where FastTD3 draws them.
    """

    kind: Literal["per_env"] = field(default="per_env", kw_only=True)
    low: NonNegative = 0.001
    high: NonNegative = 0.4
    schedule: Schedule = Constant()

    @property
    def sigma(self) -> float:
        """On average."""
        return (self.low + self.high) / 2

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n 1"]:
        # Where between 0 and 1 each environment stands.
        return (GOLDEN * np.arange(n, dtype=np.float32)[:, None]) % 1

    def __call__(
        self,
        state: Float[AnyArray, "n 1"],
        normal: Float[AnyArray, "n m"],
        start: Bool[AnyArray, " n"],
        step: StepCount,
    ) -> tuple[Float[AnyArray, "n 1"], Float[AnyArray, "n m"]]:
        xp = normal.__array_namespace__()
        # sqrt(2) - 1 is not in step with the golden ratio, by which environments differ.
        at = xp.where(start[:, None], (state + np.float32(2**0.5 - 1)) % 1, state)
        return at, (self.low + (self.high - self.low) * at) * self.schedule(step) * normal

    def check(self, path: str) -> None:
        """The interval must not be empty."""
        if self.low > self.high:
            low, high = f"{self.low:g}", f"{self.high:g}"
            raise Mistake(f"{path}.low {low} is above {path}.high {high}; use an --{path}.low of at most {high}")


AnyExploration = Annotated[Gaussian | OrnsteinUhlenbeck | Pink | PerEnvGaussian | ParameterNoise, Discriminator("kind")]
