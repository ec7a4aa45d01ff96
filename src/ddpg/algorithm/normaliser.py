"""What happens to observations before the networks: bytes are scaled, or all is normalised by running statistics."""

from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass
from jaxtyping import Bool, Float, Shaped

from ddpg.algorithm.steps import Step
from ddpg.types import AnyArray, Spec

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


@register_dataclass
@dataclass(frozen=True)
class ByteScale:
    """Divides each byte by the upper bound of its space, so that it lies between 0 and 1, and anything else by 1."""

    shape: tuple[int, ...] = field(metadata={"static": True})  # of an observation
    runs: tuple[tuple[float, int], ...] = field(metadata={"static": True})  # divisors, and of how many numbers each is

    def divisor(self) -> float | Float[np.ndarray, "*obs"]:
        """One if all are the same."""
        return self.runs[0][0] if len(self.runs) == 1 else _divisors(self)

    def steps(self) -> list[Step]:
        return [Step("bytes", {"high": np.float32(self.divisor())})]


@cache
def _divisors(scale: ByteScale) -> Float[np.ndarray, "*obs"]:
    values, counts = zip(*scale.runs, strict=True)
    return np.repeat(np.array(values, np.float32), counts).reshape(scale.shape)


def byte_scale(spec: Spec) -> ByteScale | None:
    """The scale of a spec's observations; None if they have no bytes."""
    if not any(part.high for part in spec.parts):
        return None
    runs = list[tuple[float, int]]()
    for part in spec.parts:
        each = part.size // max(len(part.high), 1)
        runs += [(high or 1.0, each) for high in part.high or (1.0,)]
    return ByteScale(spec.obs_shape, (runs[0],) if len({high for high, _ in runs}) == 1 else tuple(runs))


def init_stats(obs_shape: tuple[int, ...]) -> RunningStats:
    """Before the first observation: they leave observations as they are."""
    return RunningStats(jnp.float32(0), jnp.zeros(obs_shape), jnp.ones(obs_shape))


InputStats = RunningStats | ByteScale | None


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


def normalise(obs: Shaped[AnyArray, "*b"], stats: InputStats) -> Shaped[AnyArray, "*b"]:
    """[..., *obs] with mean 0 and variance 1, clipped to 10 standard deviations; or only its bytes scaled; or as is."""
    if stats is None:
        return obs
    if isinstance(stats, ByteScale):
        return obs.astype("float32") / stats.divisor()
    xp = obs.__array_namespace__()
    return xp.clip((obs - stats.mean) / xp.sqrt(stats.variance + EPSILON), -LIMIT, LIMIT)
