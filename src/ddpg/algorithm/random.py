"""Random numbers: uniform draws, and normal ones by the inverse distribution function."""

import jax
import numpy as np
from jax import Array
from jaxtyping import Float

from ddpg.types import Key


def draw_uniform(key: Key, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Numbers in U(-1, 1), without the -1 whose normal would be infinite."""
    return jax.random.uniform(key, shape, minval=np.nextafter(np.float32(-1), np.float32(0)))


def to_normal(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """U(-1, 1) -> N(0, 1), by the inverse of the distribution function."""
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(u)
