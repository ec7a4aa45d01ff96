"""How the weights of a layer are drawn, from numbers in U(-1, 1)."""

from dataclasses import dataclass, field
from typing import Literal

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

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
