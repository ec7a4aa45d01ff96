"""How the weights of a layer are drawn, from numbers in U(-1, 1)."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float
from pydantic import Discriminator

from ddpg.algorithm.layers import Dense, uniform_layer
from ddpg.algorithm.random import to_normal
from ddpg.ranges import Finite, Positive


@dataclass(frozen=True)
class FanIn:
    """W, b ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)): the hidden layers of Lillicrap et al. 2016, section 7."""

    kind: Literal["fan_in"] = field(default="fan_in", kw_only=True)

    def __call__(self, u: Float[Array, "rows o"]) -> Dense:
        return uniform_layer(u, (len(u) - 1) ** -0.5)


@dataclass(frozen=True)
class Normal:
    """W ~ N(0, std), b constant: the tutorial's initialisation."""

    kind: Literal["normal"] = field(default="normal", kw_only=True)
    std: Positive = 0.3
    bias: Finite = 0.1

    def __call__(self, u: Float[Array, "rows o"]) -> Dense:
        return Dense(self.std * to_normal(u[:-1]), jnp.full_like(u[-1], self.bias))


@dataclass(frozen=True)
class Orthogonal:
    """W with orthonormal columns, or rows if there are fewer, times `gain`; b 0 (Saxe et al. 2014; DrQ-v2)."""

    kind: Literal["orthogonal"] = field(default="orthogonal", kw_only=True)
    gain: Positive = 1.0

    def __call__(self, u: Float[Array, "rows o"]) -> Dense:
        normal = to_normal(u[:-1])
        tall = normal if normal.shape[0] >= normal.shape[1] else normal.T
        q, r = jnp.linalg.qr(tall)
        q = q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)  # so that every such matrix is equally likely
        weight = q if normal.shape[0] >= normal.shape[1] else q.T
        return Dense(self.gain * weight, jnp.zeros_like(u[-1]))


AnyInitialiser = Annotated[FanIn | Normal | Orthogonal, Discriminator("kind")]
