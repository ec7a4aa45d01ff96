"""Exploration: what the behaviour policy beta adds to mu(s), in units of half the action range.

Everything here computes with the arrays it is given, JAX's in compiled code and NumPy's where Python steps the
environments (`xp` is the one or the other, by the array API standard).
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Gt
from jax import Array
from jaxtyping import Bool, Float, Shaped
from pydantic import Discriminator

from ddpg.algorithm.layers import LayerNorm
from ddpg.algorithm.random import draw_uniform, to_normal
from ddpg.algorithm.schedules import Constant, Schedule, Step
from ddpg.ranges import Natural, NonNegative, Positive, Scale
from ddpg.types import AnyArray, Key, PyTree


@dataclass(frozen=True)
class Gaussian:
    """Independent N(0, sigma^2) at every step; `sigma` is one number or one per action dimension."""

    kind: Literal["gaussian"] = field(default="gaussian", kw_only=True)
    sigma: Scale = 0.1
    schedule: Schedule = Constant()

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n m"]:
        """The state before the first step of N environments."""
        return np.zeros((n, m), np.float32)

    def __call__(
        self, state: Float[AnyArray, "n m"], white: Float[AnyArray, "n m"], start: Bool[AnyArray, " n"], step: Step
    ) -> tuple[Float[AnyArray, "n m"], Float[AnyArray, "n m"]]:
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

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n m"]:
        """The state before the first step of N environments."""
        return np.zeros((n, m), np.float32)

    def __call__(
        self, state: Float[AnyArray, "n m"], white: Float[AnyArray, "n m"], start: Bool[AnyArray, " n"], step: Step
    ) -> tuple[Float[AnyArray, "n m"], Float[AnyArray, "n m"]]:
        """(state, white noise, episode starts, step) -> (state, noise); white noise is N(0, 1)."""
        xp = white.__array_namespace__()
        x = xp.where(start[:, None], xp.float32(0), state)
        x = x - self.theta * self.dt * x + xp.asarray(self.sigma, xp.float32) * self.dt**0.5 * white
        return x, self.schedule(step) * x


# Paul Kellet's filter: first-order ones side by side whose sum falls with 1/f, within 0.05 dB above f = 2e-4 a step.
POLES = np.array([0.99886, 0.99332, 0.96900, 0.86650, 0.55000, -0.7616], np.float32)

GAINS = np.array([0.0555179, 0.0750759, 0.1538520, 0.3104856, 0.5329522, -0.0168980], np.float32)

NOW, BEFORE = 0.5362, 0.115926  # of this step's white noise and of the step before's


def _response(steps: int = 100_000) -> np.ndarray:
    """What the filter makes of 1, 0, 0, ...: the square root of its sum of squares is the standard deviation."""
    made = (GAINS.astype(float) * POLES.astype(float) ** np.arange(steps)[:, None]).sum(axis=1)
    made[:2] += NOW, BEFORE
    return made


SPREAD = float(np.sqrt(np.sum(_response() ** 2)))


@dataclass(frozen=True)
class Pink:
    """1/f noise of standard deviation sigma: slow and quick at once (Eberhard et al. 2023).

    The paper draws a sequence an episode; here a filter makes it step by step from white noise, and runs on from one
    episode to the next, since it would take hundreds of steps to have slow parts again.
    """

    kind: Literal["pink"] = field(default="pink", kw_only=True)
    sigma: Scale = 0.3
    schedule: Schedule = Constant()

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n m 7"]:
        """The state before the first step of N environments."""
        return np.zeros((n, m, 7), np.float32)

    def __call__(
        self, state: Float[AnyArray, "n m 7"], white: Float[AnyArray, "n m"], start: Bool[AnyArray, " n"], step: Step
    ) -> tuple[Float[AnyArray, "n m 7"], Float[AnyArray, "n m"]]:
        """(state, white noise, episode starts, step) -> (state, noise); white noise is N(0, 1)."""
        xp = white.__array_namespace__()
        slow = POLES * state[..., :6] + GAINS * white[..., None]
        pink = xp.sum(slow, axis=-1) + NOW * white + BEFORE * state[..., 6]
        scale = xp.asarray(self.sigma, xp.float32) * self.schedule(step) / SPREAD
        return xp.concat([slow, white[..., None]], axis=-1), scale * pink


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
        """The state before the first step of N environments: where between 0 and 1 each stands."""
        return (GOLDEN * np.arange(n, dtype=np.float32)[:, None]) % 1

    def __call__(
        self, state: Float[AnyArray, "n 1"], white: Float[AnyArray, "n m"], start: Bool[AnyArray, " n"], step: Step
    ) -> tuple[Float[AnyArray, "n 1"], Float[AnyArray, "n m"]]:
        """(state, white noise, episode starts, step) -> (state, noise); white noise is N(0, 1)."""
        xp = white.__array_namespace__()
        # sqrt(2) - 1 is not in step with the golden ratio, by which environments differ.
        at = xp.where(start[:, None], (state + np.float32(2**0.5 - 1)) % 1, state)
        return at, (self.low + (self.high - self.low) * at) * self.schedule(step) * white


@dataclass(frozen=True)
class ParameterNoise:
    """Noise on the actor's weights instead of its actions, the same for many steps (Plappert et al. 2018).

    The weights' standard deviation begins at `begin_sigma` and is made larger or smaller by `growth` every 50
    environment steps, until actions differ by about `sigma` (section 3, "Adaptive noise scaling"). New noise is drawn
    every `steps` steps. An actor with layer normalisation (`--actor.block.norm layer`) is what the paper asks for;
    scales and shifts of the normalisation have no noise.
    """

    kind: Literal["parameters"] = field(default="parameters", kw_only=True)
    sigma: Positive = 0.2
    begin_sigma: Positive = 0.05
    growth: Annotated[Positive, Gt(1)] = 1.01
    steps: Natural = 200
    schedule: Schedule = Constant()

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n 0"]:
        """The state before the first step: none is needed."""
        return np.zeros((n, 0), np.float32)

    def __call__(
        self, state: Float[AnyArray, "n 0"], white: Float[AnyArray, "n m"], start: Bool[AnyArray, " n"], step: Step
    ) -> tuple[Float[AnyArray, "n 0"], Float[AnyArray, "n m"]]:
        """(state, white noise, episode starts, step) -> (state, no noise): it is in the actor that acts."""
        return state, 0 * white

    def perturbed(self, actor: PyTree, scale: Float[Array, ""], key: Key) -> PyTree:
        """The actor with N(0, scale^2) on each of its numbers, but for those of layer normalisation."""
        parts, tree = jax.tree.flatten(actor, is_leaf=lambda x: isinstance(x, LayerNorm))
        sizes = [0 if isinstance(x, LayerNorm) else x.size for x in parts]
        noise = jnp.split(to_normal(draw_uniform(key, (sum(sizes),))), np.cumsum(sizes)[:-1])
        return tree.unflatten(
            [x + scale * e.reshape(x.shape) if n else x for x, n, e in zip(parts, sizes, noise, strict=True)]
        )

    def adapted(
        self,
        scale: Float[Array, ""],
        actor: PyTree,
        perturbed: PyTree,
        obs: Shaped[Array, "b *obs"],
        step: Step,
        turn: Natural,
    ) -> Float[Array, ""]:
        """A larger scale where the actions of the two differ by less than sigma, else a smaller one.

        `turn` is how many steps go by from one call to the next: whether they are many or few, it changes as quickly.
        """
        distance, growth = jnp.sqrt(jnp.mean(jnp.square(perturbed(obs) - actor(obs)))), self.growth ** (turn / 50)
        return jnp.where(distance < self.sigma * self.schedule(step), scale * growth, scale / growth)


class Perturbed(NamedTuple):
    """The actor that acts, where noise is on its weights, and that noise's scale."""

    actor: PyTree
    scale: Float[Array, ""]


Exploration = Annotated[Gaussian | OrnsteinUhlenbeck | Pink | PerEnvGaussian | ParameterNoise, Discriminator("kind")]
