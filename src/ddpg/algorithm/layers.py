"""Layers as pytrees of arrays, and how minibatches go through them: dense or residual, normalised or not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass
from jaxtyping import Float, Shaped

from ddpg.types import AnyArray

STATIC = {"static": True}  # a field that is no array: part of the tree's structure
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "elu": jax.nn.elu, "silu": jax.nn.silu, "gelu": jax.nn.gelu}
IN_NUMPY = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x / (1 + np.exp(-np.maximum(x, -80))),  # beyond it exp overflows
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3))),
}

Activation = Callable[[AnyArray], AnyArray]


@register_dataclass
@dataclass(frozen=True)
class LayerNorm:
    """Each sample's features with mean 0 and variance 1, then scaled and shifted (Ba et al. 2016)."""

    scale: Float[AnyArray, "*k i"]
    shift: Float[AnyArray, "*k i"]

    @staticmethod
    def of(size: int) -> "LayerNorm":
        return LayerNorm(jnp.ones(size), jnp.zeros(size))

    def __call__(self, x: Float[AnyArray, "b i"], learning: bool) -> Float[AnyArray, "b i"]:
        return standardised(x, x.mean(-1, keepdims=True), x.var(-1, keepdims=True)) * self.scale + self.shift

    def seeing(self, x: Float[AnyArray, "b i"]) -> "LayerNorm":
        return self


class Running(NamedTuple):
    """Statistics that are followed, and not learned."""

    mean: Float[AnyArray, "*k i"]
    variance: Float[AnyArray, "*k i"]


@register_dataclass
@dataclass(frozen=True)
class BatchNorm:
    """Each feature with mean 0 and variance 1 over the minibatch while learning, over what was seen until now else.

    Ioffe and Szegedy 2015, algorithms 1 and 2; what was seen is followed by a hundredth of the way a minibatch. In an
    update a minibatch is s and s' together (CrossQ, Bhatt et al. 2024), so that a state is the same wherever it stands.
    """

    scale: Float[AnyArray, "*k i"]
    shift: Float[AnyArray, "*k i"]
    running: Running

    @staticmethod
    def of(size: int) -> "BatchNorm":
        return BatchNorm(jnp.ones(size), jnp.zeros(size), Running(jnp.zeros(size), jnp.ones(size)))

    def __call__(self, x: Float[AnyArray, "b i"], learning: bool) -> Float[AnyArray, "b i"]:
        mean, variance = (x.mean(0), x.var(0)) if learning else self.running
        return standardised(x, mean, variance) * self.scale + self.shift

    def seeing(self, x: Float[AnyArray, "b i"]) -> "BatchNorm":
        seen = Running(x.mean(0), x.var(0))
        return replace(self, running=jax.tree.map(lambda old, new: old + 0.01 * (new - old), self.running, seen))


def standardised(x: AnyArray, mean: AnyArray, variance: AnyArray) -> AnyArray:
    return (x - mean) / (variance + np.float32(1e-5)) ** 0.5


Norm = LayerNorm | BatchNorm


@register_dataclass
@dataclass(frozen=True)
class Dense:
    """f(x W + b), on batches. Kernels lie [in, out], so that no transpose enters the compiled update.

    What it takes in, or what it makes before f, may be normalised; `linear` leaves f out.
    """

    weight: Float[AnyArray, "*k i o"]
    bias: Float[AnyArray, "*k o"]
    before: Norm | None = None
    after: Norm | None = None
    linear: bool = field(default=False, metadata=STATIC)

    def __call__(self, x: Float[AnyArray, "b i"], f: Activation, learning: bool = False) -> Float[AnyArray, "b o"]:
        x = x if self.before is None else self.before(x, learning)
        x = x @ self.weight + self.bias
        x = x if self.after is None else self.after(x, learning)
        return x if self.linear else f(x)

    def seeing(self, x: Float[AnyArray, "b i"]) -> "Dense":
        """With the running statistics of its batch normalisation, if it has any, moved by minibatch x."""
        before = None if self.before is None else self.before.seeing(x)
        x = x if self.before is None else self.before(x, True)
        return replace(
            self, before=before, after=None if self.after is None else self.after.seeing(x @ self.weight + self.bias)
        )


@register_dataclass
@dataclass(frozen=True)
class Block:
    """x + W2 f(W1 LN(x)): its input passes through unless there is something to add."""

    up: Dense
    down: Dense

    def __call__(self, x: Float[AnyArray, "b i"], f: Activation, learning: bool = False) -> Float[AnyArray, "b i"]:
        return x + self.down(self.up(x, f), f)

    def seeing(self, x: Float[AnyArray, "b i"]) -> "Block":
        return self


Layers = tuple[Any, ...]  # of Dense and Block


def uniform_layer(u: Float[Array, "rows o"], bound: float) -> Dense:
    """Weights and biases in U(-bound, bound), from numbers in (-1, 1)."""
    return Dense(bound * u[:-1], bound * u[-1])


def flatten_observation(obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b i"]:
    """One row of numbers for each observation; bytes, which are pixels, between 0 and 1."""
    x = obs.reshape(obs.shape[0], -1)
    return x.astype("float32") / 255 if x.dtype == np.uint8 else x


def forward(
    layers: Layers,
    x: Float[AnyArray, "b i"],
    f: Activation,
    last: Activation,
    beside: Shaped[AnyArray, "c *obs"] | None = None,
) -> Float[AnyArray, "b o"]:
    """What the layers make of x. `beside` is given while learning: batch normalisation takes both as one minibatch."""
    learning, b = beside is not None, len(x)
    if beside is not None and _by_minibatch(layers):
        x = jnp.concatenate([x, flatten_observation(beside)])
    for layer in layers[:-1]:
        x = layer(x, f, learning)
    return layers[-1](x, last, learning)[:b]


def _by_minibatch(layers: Layers) -> bool:
    """Whether what they make of a row depends on the other rows."""
    norms = [norm for layer in layers if isinstance(layer, Dense) for norm in (layer.before, layer.after)]
    return any(isinstance(norm, BatchNorm) for norm in norms)


def seeing(layers: Layers, x: Float[Array, "b i"], f: Activation) -> Iterator[Dense | Block]:
    """Each with the running statistics of its batch normalisation, if it has any, moved by minibatch x."""
    for layer in layers:
        yield layer.seeing(x)
        x = layer(x, f, True)
