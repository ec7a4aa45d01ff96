"""Target policy smoothing: noise on the target's action (TD3, section 5.3)."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ddpg.ranges import NonNegative


@dataclass(frozen=True)
class TargetSmoothing:
    """N(0, sigma^2), clipped, on the target's action (Fujimoto et al. 2018, section 5.3); none if sigma is 0."""

    sigma: NonNegative = 0.0
    clip: NonNegative = 0.5

    def __call__(self, action: Float[Array, "b m"], normal: Float[Array, "b m"]) -> Float[Array, "b m"]:
        noise = jnp.clip(self.sigma * normal, -self.clip, self.clip)
        return jnp.clip(action + noise, -1.0, 1.0)
