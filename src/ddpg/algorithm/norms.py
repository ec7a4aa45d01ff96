"""Normalisations between layers, as pytrees of arrays; `NORMS` is the list a configuration chooses from."""

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Float

from ddpg.algorithm.steps import EPSILON, Step
from ddpg.types import AnyArray, PyTree


@runtime_checkable
class Norm(Protocol):
    """What a normalisation must answer."""

    of_minibatch: ClassVar[bool]  # whether what becomes of a row depends on the other rows of its minibatch

    @staticmethod
    def of(size: int) -> "Norm":
        """One of so many features, before training."""
        ...

    def __call__(self, x: Float[AnyArray, "b i"]) -> Float[AnyArray, "b i"]: ...

    def with_statistics(self, x: Float[AnyArray, "b i"], rate: float) -> "Norm":
        """Running statistics moved by `rate` towards those of minibatch x; without any, the same."""
        ...

    def steps(self) -> list[Step]:
        """The same as a call, for the files of networks."""
        ...


@register_dataclass
@dataclass(frozen=True)
class LayerNorm:
    """Each sample's features with mean 0 and variance 1, then scaled and shifted (Ba et al. 2016)."""

    of_minibatch: ClassVar[bool] = False
    scale: Float[AnyArray, "*k i"]
    shift: Float[AnyArray, "*k i"]

    @staticmethod
    def of(size: int) -> "LayerNorm":
        return LayerNorm(jnp.ones(size), jnp.zeros(size))

    def __call__(self, x: Float[AnyArray, "b i"]) -> Float[AnyArray, "b i"]:
        return standardised(x, x.mean(-1, keepdims=True), x.var(-1, keepdims=True)) * self.scale + self.shift

    def with_statistics(self, x: Float[AnyArray, "b i"], rate: float) -> "LayerNorm":
        return self

    def steps(self) -> list[Step]:
        return [Step("centre"), Step("rms"), Step("affine", {"gain": self.scale, "offset": self.shift})]


class Running(NamedTuple):
    """Running statistics: they follow minibatches and are not trained by gradients."""

    mean: Float[AnyArray, "*k i"]
    variance: Float[AnyArray, "*k i"]


@register_dataclass
@dataclass(frozen=True)
class BatchNorm:
    """Each feature with mean 0 and variance 1 by running statistics (Ioffe and Szegedy 2015, algorithms 1 and 2).

    An update uses the minibatch's own statistics, `with_statistics(joint(batch), 1.0)`, of s and s' as one minibatch
    (CrossQ, Bhatt et al. 2024), so that a state is the same input to Q and to Q'; acting uses the running ones, moved
    at a small rate.
    """

    of_minibatch: ClassVar[bool] = True
    scale: Float[AnyArray, "*k i"]
    shift: Float[AnyArray, "*k i"]
    running: Running

    @staticmethod
    def of(size: int) -> "BatchNorm":
        return BatchNorm(jnp.ones(size), jnp.zeros(size), Running(jnp.zeros(size), jnp.ones(size)))

    def __call__(self, x: Float[AnyArray, "b i"]) -> Float[AnyArray, "b i"]:
        return standardised(x, *self.running) * self.scale + self.shift

    def with_statistics(self, x: Float[AnyArray, "b i"], rate: float) -> "BatchNorm":
        now = Running(x.mean(0), x.var(0))
        # In this form rate 1 gives the minibatch's statistics exactly.
        return replace(self, running=jax.tree.map(lambda old, new: new + (1 - rate) * (old - new), self.running, now))

    def steps(self) -> list[Step]:
        mean, deviation = self.running.mean, (self.running.variance + EPSILON) ** 0.5
        affine = Step("affine", {"gain": self.scale, "offset": self.shift})
        return [Step("standardise", {"mean": mean, "deviation": deviation}), affine]


@register_dataclass
@dataclass(frozen=True)
class AvgL1Norm:
    """Each sample's features with a mean size of 1: x / mean|x| (TD7: Fujimoto et al. 2023)."""

    of_minibatch: ClassVar[bool] = False

    @staticmethod
    def of(size: int) -> "AvgL1Norm":
        return AvgL1Norm()

    def __call__(self, x: Float[AnyArray, "b i"]) -> Float[AnyArray, "b i"]:
        size = abs(x).mean(-1, keepdims=True)
        return x / x.__array_namespace__().maximum(size, np.float32(1e-8))

    def with_statistics(self, x: Float[AnyArray, "b i"], rate: float) -> "AvgL1Norm":
        return self

    def steps(self) -> list[Step]:
        return [Step("l1")]


def has_statistics(tree: PyTree) -> bool:
    """Whether any layer of it has running statistics."""
    return any(isinstance(x, Running) for x in jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, Running)))


def standardised(x: AnyArray, mean: AnyArray, variance: AnyArray) -> AnyArray:
    return (x - mean) / (variance + EPSILON) ** 0.5


NORMS: dict[str, type[Norm]] = {
    "layer": LayerNorm,
    "batch": BatchNorm,
    "l1": AvgL1Norm,
}
