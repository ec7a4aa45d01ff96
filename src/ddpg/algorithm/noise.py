"""Exploration: what the behaviour policy beta adds to mu(s), in units of half the action range.

Everything here computes with the arrays it is given, JAX's in compiled code and NumPy's where Python steps the
environments (`xp` is the one or the other, by the array API standard).
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int
from pydantic import Discriminator

from ddpg.types import Key, NonNegative, Positive, Scale, Some, UnitInterval, Whole

Step = Int[Some, ""]  # environment steps done so far
Factor = Float[Some, ""]


@dataclass(frozen=True)
class Constant:
    """The noise keeps its scale: factor 1."""

    kind: Literal["constant"] = field(default="constant", kw_only=True)

    def __call__(self, step: Step) -> Factor:
        return step.__array_namespace__().float32(1.0)


@dataclass(frozen=True)
class Linear:
    """The factor falls from 1 at step `begin` to `final` over `steps` environment steps, then stays."""

    kind: Literal["linear"] = field(default="linear", kw_only=True)
    final: NonNegative = 0.1
    steps: Whole = 10_000
    begin: Whole = 0

    def __call__(self, step: Step) -> Factor:
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

    def __call__(self, step: Step) -> Factor:
        xp = step.__array_namespace__()
        elapsed = xp.float32(xp.maximum(step - self.begin, 0))
        return xp.float32(xp.maximum(xp.power(xp.float32(self.rate), elapsed), self.final))


Schedule = Annotated[Constant | Linear | Exponential, Discriminator("kind")]


@dataclass(frozen=True)
class Gaussian:
    """Independent N(0, sigma^2) at every step; `sigma` is one number or one per action dimension."""

    kind: Literal["gaussian"] = field(default="gaussian", kw_only=True)
    sigma: Scale = 0.1
    schedule: Schedule = Constant()

    def __call__(
        self, state: Float[Some, "n m"], white: Float[Some, "n m"], start: Bool[Some, " n"], step: Step
    ) -> tuple[Float[Some, "n m"], Float[Some, "n m"]]:
        """(state, white noise, episode starts, step) -> (state, noise); white noise is N(0, 1)."""
        xp = white.__array_namespace__()
        return state, xp.asarray(self.sigma, xp.float32) * self.schedule(step) * white


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

    def __call__(
        self, state: Float[Some, "n m"], white: Float[Some, "n m"], start: Bool[Some, " n"], step: Step
    ) -> tuple[Float[Some, "n m"], Float[Some, "n m"]]:
        """(state, white noise, episode starts, step) -> (state, noise); white noise is N(0, 1)."""
        xp = white.__array_namespace__()
        x = xp.where(start[:, None], xp.float32(0), state)
        x = x - self.theta * self.dt * x + xp.asarray(self.sigma, xp.float32) * self.dt**0.5 * white
        return x, self.schedule(step) * x


Exploration = Annotated[Gaussian | OrnsteinUhlenbeck, Discriminator("kind")]


@dataclass(frozen=True)
class Smoothing:
    """N(0, sigma^2), clipped, on the target's action (Fujimoto et al. 2018, section 5.3); none where sigma is 0."""

    sigma: NonNegative = 0.0
    clip: NonNegative = 0.5

    def __call__(self, action: Float[Array, "b m"], white: Float[Array, "b m"]) -> Float[Array, "b m"]:
        noise = jnp.clip(self.sigma * white, -self.clip, self.clip)
        return jnp.clip(action + noise, -1.0, 1.0)


def unit(key: Key, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Numbers in U(-1, 1), without the -1 whose normal would be infinite."""
    return jax.random.uniform(key, shape, minval=np.nextafter(np.float32(-1), np.float32(0)))


def normal(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """U(-1, 1) -> N(0, 1), by the inverse of the distribution function."""
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(u)
