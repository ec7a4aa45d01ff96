"""Layers as pytrees of arrays, dense or residual, and how a minibatch goes through them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass
from jaxtyping import Float

from ddpg.algorithm.norms import Norm
from ddpg.algorithm.steps import Step
from ddpg.hyperparameters import Number
from ddpg.pictures import Part, replaced
from ddpg.types import AnyArray


def elu(x: Array) -> Array:
    """x if positive, else exp(x) - 1. jax.nn.elu has expm1 there, which takes twice as long."""
    return jnp.where(x > 0, x, jnp.exp(jnp.where(x > 0, 0, x)) - 1)


STATIC = {"static": True}  # a field that is no array: part of the tree's structure
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "elu": elu, "silu": jax.nn.silu, "gelu": jax.nn.gelu}
ZERO = np.array(0, np.float32)  # NumPy is slower with Python's integers
IN_NUMPY = {
    "relu": lambda x: np.maximum(x, ZERO),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x / (1 + np.exp(-np.maximum(x, -80))),  # beyond it exp overflows
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3))),
}

Activation = Callable[[AnyArray], AnyArray]


@runtime_checkable
class Layer(Protocol):
    """What a layer must answer."""

    def __call__(self, x: Float[AnyArray, "b i"], f: Activation) -> Float[AnyArray, "b o"]: ...

    def with_statistics(self, x: Float[AnyArray, "b i"], rate: float) -> "Layer":
        """Running statistics of its batch normalisation, if any, moved by `rate` towards those of minibatch x."""
        ...

    def steps(self, f: str | None) -> list[Step]:
        """The same as a call, for the files of networks; f by its name, or None for none."""
        ...


Layers = tuple[Any, ...]  # each a Layer; which kind is known where it was made


def product(x: Float[AnyArray, "b i"], weight: Float[AnyArray, "i o"]) -> Float[AnyArray, "b o"]:
    """x W.

    A processor takes up to ten times as long for the gradient of a W with few columns as for that of its transpose,
    to which XLA would not come by itself (docs/benchmarks.md). With more columns, Adam's reads of that transpose cost
    as much as is won.
    """
    inputs, outputs = weight.shape
    if isinstance(weight, np.ndarray) or not 1 < outputs < inputs / 4:
        return x.dot(weight)  # in NumPy half the time of x @ W
    return x.dot(jax.lax.optimization_barrier(weight.T).T)


@register_dataclass
@dataclass(frozen=True)
class Dense:
    """f(x W + b), on batches. Kernels lie [in, out], so that no transpose enters the compiled update.

    A normalisation may come before the product and before f; `linear` leaves f out.
    """

    weight: Float[AnyArray, "*k i o"]
    bias: Float[AnyArray, "*k o"]
    before: Norm | None = None
    after: Norm | None = None
    linear: bool = field(default=False, metadata=STATIC)

    def __call__(self, x: Float[AnyArray, "b i"], f: Activation) -> Float[AnyArray, "b o"]:
        x = x if self.before is None else self.before(x)
        x = product(x, self.weight) + self.bias
        x = x if self.after is None else self.after(x)
        return x if self.linear else f(x)

    def with_statistics(self, x: Float[AnyArray, "b i"], rate: float) -> "Dense":
        before = after = None
        if self.before is not None:
            before, x = self.before.with_statistics(x, rate), self.before.with_statistics(x, 1.0)(x)
        if self.after is not None:
            after = self.after.with_statistics(x @ self.weight + self.bias, rate)
        return replace(self, before=before, after=after)

    def steps(self, f: str | None) -> list[Step]:
        before, after = ([] if norm is None else norm.steps() for norm in (self.before, self.after))
        dense = Step("dense", {"weight": self.weight, "bias": self.bias})
        return [*before, dense, *after, *([] if f is None or self.linear else [Step(f)])]


@register_dataclass
@dataclass(frozen=True)
class Block:
    """x + W2 f(W1 LN(x)): its input passes through unless there is something to add."""

    up: Dense
    down: Dense

    def __call__(self, x: Float[AnyArray, "b i"], f: Activation) -> Float[AnyArray, "b i"]:
        return x + self.down(self.up(x, f), f)

    def with_statistics(self, x: Float[AnyArray, "b i"], rate: float) -> "Block":
        return self

    def steps(self, f: str | None) -> list[Step]:
        return [Step("keep"), *self.up.steps(f), *self.down.steps(f), Step("add")]


@register_dataclass
@dataclass(frozen=True)
class Within:
    """A layer of some of the features, in their place; the others pass through."""

    layer: Any  # a Layer
    begin: int = field(metadata=STATIC)
    end: int = field(metadata=STATIC)

    def __call__(self, x: Float[AnyArray, "b i"], f: Activation) -> Float[AnyArray, "b o"]:
        return replaced(x, [Part(self.begin, self.end, (self.end - self.begin,))], [lambda x: self.layer(x, f)])

    def with_statistics(self, x: Float[AnyArray, "b i"], rate: float) -> "Within":
        return self

    def steps(self, f: str | None) -> list[Step]:
        return [part(self.begin, self.end), *self.layer.steps(f), place(self.begin, self.end)]


@register_dataclass
@dataclass(frozen=True)
class Trunk:
    """tanh(LN(x W + b)), whatever the activation of the layers that follow."""

    layer: Dense

    def __call__(self, x: Float[AnyArray, "b i"], f: Activation) -> Float[AnyArray, "b o"]:
        return self.layer(x, np.tanh if isinstance(x, np.ndarray) else jnp.tanh)

    def with_statistics(self, x: Float[AnyArray, "b i"], rate: float) -> "Trunk":
        return self

    def steps(self, f: str | None) -> list[Step]:
        return self.layer.steps("tanh")


def part(begin: int, end: int, shape: tuple[int, ...] | None = None) -> Step:
    """Go on with features begin to end - 1, in this shape."""
    return Step("part", _ends(begin, end) | {"shape": np.array(shape or (end - begin,))})


def place(begin: int, end: int) -> Step:
    """Put what came of a part in the place of features begin to end - 1."""
    return Step("place", _ends(begin, end))


def _ends(begin: int, end: int) -> dict[str, np.int64]:
    return {"begin": np.int64(begin), "end": np.int64(end)}


def uniform_layer(u: Float[Array, "rows o"], bound: Number) -> Dense:
    """Weights and biases in U(-bound, bound), from numbers in (-1, 1)."""
    return Dense(bound * u[:-1], bound * u[-1])


def forward(
    layers: Layers, x: Float[AnyArray, "b *i"], f: Activation, last: Activation | None = None
) -> Float[AnyArray, "b *o"]:
    """Through all layers, with f after each, or `last` after the last."""
    for layer in layers[:-1]:
        x = layer(x, f)
    return layers[-1](x, last or f) if layers else x


def with_statistics(layers: Layers, x: Float[AnyArray, "b i"], f: Activation, rate: float) -> Layers:
    """Layers whose running statistics have moved by `rate` towards those of minibatch x."""
    moved = []
    for layer in layers:
        moved.append(layer.with_statistics(x, rate))
        x = layer.with_statistics(x, 1.0)(x, f)
    return tuple(moved)


def steps(layers: Layers, f: str, last: str | None) -> list[Step]:
    """`forward`, for the files of networks."""
    names = [*[f] * (len(layers) - 1), last]
    return [step for layer, name in zip(layers, names, strict=False) for step in layer.steps(name)]
