"""How a critic's numbers are read as a return: its mean, its target and its loss."""

from dataclasses import dataclass, field
from typing import Literal

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


@dataclass(frozen=True)
class Scalar:
    """One number per state and action, learned by the squared error (the article's equations 1 and 2)."""

    kind: Literal["scalar"] = field(default="scalar", kw_only=True)

    @property
    def size(self) -> int:
        return 1

    def mean(self, prediction: Float[Array, "*k b 1"]) -> Float[Array, "*k b"]:
        return prediction[..., 0]

    def target(
        self, reward: Float[Array, " b"], discount: Float[Array, " b"], prediction: Float[Array, "b 1"]
    ) -> Float[Array, "b 1"]:
        """y = r + gamma Q'(s', mu'(s')): `discount` is 0 after a true end."""
        return reward[:, None] + discount[:, None] * prediction

    def loss(self, prediction: Float[Array, "*k b 1"], target: Float[Array, "b 1"]) -> Float[Array, "*k b"]:
        return jnp.square(prediction - target)[..., 0]


def pessimistic(prediction: Float[Array, "k b size"], q: Float[Array, "k b"]) -> Float[Array, "b size"]:
    """Per sample, the member with the smallest mean (TD3, section 4.2); with one member, that member."""
    if prediction.shape[0] == 1:
        return prediction[0]
    return jnp.take_along_axis(prediction, jnp.argmin(q, axis=0)[None, :, None], axis=0)[0]
