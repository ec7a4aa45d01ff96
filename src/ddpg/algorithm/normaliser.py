"""Running statistics of observations, and observations normalised by them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Shaped

from ddpg.algorithm.steps import Step
from ddpg.types import AnyArray

LIMIT = 10.0  # in standard deviations, to which an observation is clipped
EPSILON = np.float32(1e-8)  # added to the variance, so that a constant component is not divided by 0


class RunningStats(NamedTuple):
    """Of each component of an observation."""

    count: Float[AnyArray, ""]
    mean: Float[AnyArray, "*obs"]
    variance: Float[AnyArray, "*obs"]

    def steps(self) -> list[Step]:
        """`normalise`, for the files of networks."""
        deviation = np.sqrt(np.asarray(self.variance) + EPSILON)
        return [
            Step("standardise", {"mean": self.mean, "deviation": deviation}),
            Step("clip", {"low": -LIMIT, "high": LIMIT}),
        ]


def init_stats(obs_shape: tuple[int, ...]) -> RunningStats:
    """Before the first observation: they leave observations as they are."""
    return RunningStats(jnp.float32(0), jnp.zeros(obs_shape), jnp.ones(obs_shape))


def update_stats(stats: RunningStats, obs: Shaped[Array, "k n *obs"], valid: Bool[Array, "k n"]) -> RunningStats:
    """After K more steps of N environments, those that are `valid` (Chan, Golub and LeVeque 1979, equation 2.1)."""
    obs = obs.astype(jnp.float32)
    weight = valid.astype(jnp.float32).reshape(*valid.shape, *(1,) * (obs.ndim - 2))
    new = jnp.sum(weight)
    mean = jnp.sum(weight * obs, axis=(0, 1)) / jnp.maximum(new, 1.0)
    squares = jnp.sum(weight * jnp.square(obs - mean), axis=(0, 1))
    count = jnp.maximum(stats.count + new, 1.0)
    share, step = new / count, mean - stats.mean
    variance = (stats.count * stats.variance + squares) / count + stats.count * share / count * jnp.square(step)
    known = new + stats.count > 0
    return RunningStats(stats.count + new, stats.mean + share * step, jnp.where(known, variance, stats.variance))


def normalise(obs: Shaped[AnyArray, "*b"], stats: RunningStats | None) -> Shaped[AnyArray, "*b"]:
    """[..., *obs] with mean 0 and variance 1, clipped to 10 standard deviations; unchanged without statistics."""
    if stats is None:
        return obs
    xp = obs.__array_namespace__()
    return xp.clip((obs - stats.mean) / xp.sqrt(stats.variance + EPSILON), -LIMIT, LIMIT)
