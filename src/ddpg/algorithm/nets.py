"""Actor and critic as pytrees of arrays, and the recipe of their layers: plain or residual, normalised or not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass
from jaxtyping import Float, Shaped
from pydantic import Discriminator

from ddpg.algorithm.noise import Constant, Schedule, normal, unit
from ddpg.types import Finite, Key, Natural, NonNegative, Positive, PyTree, Rounded, Some, Spec, Widths

STATIC = {"static": True}  # a field that is no array: part of the tree's structure
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "elu": jax.nn.elu, "silu": jax.nn.silu, "gelu": jax.nn.gelu}
IN_NUMPY = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x / (1 + np.exp(-np.maximum(x, -80))),  # beyond it exp overflows
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3))),
}


@dataclass(frozen=True)
class FanIn:
    """W, b ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)): the hidden layers of Lillicrap et al. 2016, section 7."""

    kind: Literal["fan_in"] = field(default="fan_in", kw_only=True)

    def __call__(self, u: Float[Array, "rows o"]) -> "Dense":
        return uniform(u, (len(u) - 1) ** -0.5)


@dataclass(frozen=True)
class Normal:
    """W ~ N(0, std), b constant: the tutorial's initialisation."""

    kind: Literal["normal"] = field(default="normal", kw_only=True)
    std: Positive = 0.3
    bias: Finite = 0.1

    def __call__(self, u: Float[Array, "rows o"]) -> "Dense":
        return Dense(self.std * normal(u[:-1]), jnp.full_like(u[-1], self.bias))


@dataclass(frozen=True)
class Plain:
    """One layer a width. `norm` comes before its activation: layer normalisation (Ba et al. 2016), or that of a batch.

    Batch normalisation is of the input too, and of a critic with `action_layer` 1 only before the action comes in, as
    in Lillicrap et al. 2016, section 3.
    """

    kind: Literal["plain"] = field(default="plain", kw_only=True)
    norm: Literal["layer", "batch"] | None = None


@dataclass(frozen=True)
class Residual:
    """One block a width, x + W2 f(W1 LN(x)), between a linear layer and a last layer norm (SimBa, section 4.2).

    All widths are one; inside a block it is `expansion` times that.
    """

    kind: Literal["residual"] = field(default="residual", kw_only=True)
    expansion: Natural = 4


@dataclass(frozen=True)
class Network:
    """The recipe of one network and of the Adam that trains it.

    `final_init` draws the last layer from U(-final_init, final_init) instead, so that the first actions and
    values are near zero (Lillicrap et al. 2016, section 7: 3e-3). `action_layer` is the layer at which a critic
    takes the action in: 0 beside the observation, 1 after the first hidden layer, as in the 2016 paper. `schedule`
    is of the learning rate over updates; `clip` bounds the norm of the gradient. `l2` adds to the gradient, `decay`
    to the step that Adam makes of it.
    """

    widths: Widths = (64, 64)
    activation: Literal["relu", "tanh", "elu", "silu", "gelu"] = "relu"
    block: Annotated[Plain | Residual, Discriminator("kind")] = Plain()
    init: Annotated[FanIn | Normal, Discriminator("kind")] = FanIn()
    final_init: Positive | None = None
    action_layer: Annotated[Literal[0, 1], Rounded] = 0
    lr: Positive = 1e-3
    schedule: Schedule = Constant()
    l2: NonNegative = 0.0
    decay: NonNegative = 0.0
    clip: Positive | None = None

    def actor(self, key: Key, spec: Spec) -> "Actor":
        return Actor(self._layers(key, spec.obs_size, 0, spec.action_dim), self.activation)

    def critic(self, key: Key, spec: Spec, members: int, size: int) -> "Critic":
        """K members with leaves of shape [K, ...], each predicting `size` numbers per state and action."""
        layers = jax.vmap(lambda k: self._layers(k, spec.obs_size, spec.action_dim, size))(
            jax.random.split(key, members)
        )
        return Critic(layers, self.activation, self.action_layer)

    def _layers(self, key: Key, obs_size: int, action_dim: int, outputs: int) -> "Layers":
        residual = self.block if isinstance(self.block, Residual) else None
        sizes = [obs_size, *self.widths, outputs]
        if residual:  # the linear layer, two layers a block, the last
            inner = [(w, residual.expansion * w) for w in self.widths]
            sizes = [obs_size, *(size for pair in inner for size in pair), self.widths[-1], outputs]
        inputs = sizes[:-1]
        inputs[self.action_layer] += action_dim
        shapes = [(i + 1, o) for i, o in zip(inputs, sizes[1:], strict=True)]
        # One draw for the whole network: each one more would add a tenth of a second to what is compiled first.
        flat = unit(key, (sum(map(prod, shapes)),))
        blocks = jnp.split(flat, list(accumulate(map(prod, shapes)))[:-1])
        *hidden, last = (block.reshape(shape) for block, shape in zip(blocks, shapes, strict=True))
        final = self.init(last) if self.final_init is None else uniform(last, self.final_init)
        dense = [self.init(u) for u in hidden]
        if residual:
            (first, *rest), width = dense, self.widths[-1]
            pairs = zip(rest[::2], rest[1::2], strict=True)
            inside = [Block(replace(up, before=LayerNorm.of(width)), replace(down, linear=True)) for up, down in pairs]
            return (replace(first, linear=True), *inside, replace(final, before=LayerNorm.of(width)))
        norm = self.block.norm if isinstance(self.block, Plain) else None
        if norm == "layer":
            dense = [replace(layer, after=LayerNorm.of(width)) for layer, width in zip(dense, self.widths, strict=True)]
        if norm == "batch":
            until = self.action_layer if action_dim and self.action_layer else len(dense)
            dense[:until] = [
                replace(x, after=BatchNorm.of(w)) for x, w in zip(dense[:until], self.widths, strict=False)
            ]
            dense[0] = replace(dense[0], before=BatchNorm.of(inputs[0]))
        return (*dense, final)


Activation = Callable[[Some], Some]


@register_dataclass
@dataclass(frozen=True)
class LayerNorm:
    """Each sample's features with mean 0 and variance 1, then scaled and shifted (Ba et al. 2016)."""

    scale: Float[Some, "*k i"]
    shift: Float[Some, "*k i"]

    @staticmethod
    def of(size: int) -> "LayerNorm":
        return LayerNorm(jnp.ones(size), jnp.zeros(size))

    def __call__(self, x: Float[Some, "b i"], learning: bool) -> Float[Some, "b i"]:
        return standardised(x, x.mean(-1, keepdims=True), x.var(-1, keepdims=True)) * self.scale + self.shift

    def seeing(self, x: Float[Some, "b i"]) -> "LayerNorm":
        return self


class Running(NamedTuple):
    """Statistics that are followed, and not learned."""

    mean: Float[Some, "*k i"]
    variance: Float[Some, "*k i"]


@register_dataclass
@dataclass(frozen=True)
class BatchNorm:
    """Each feature with mean 0 and variance 1 over the minibatch while learning, over what was seen until now else.

    Ioffe and Szegedy 2015, algorithms 1 and 2; what was seen is followed by a hundredth of the way a minibatch.
    """

    scale: Float[Some, "*k i"]
    shift: Float[Some, "*k i"]
    running: Running

    @staticmethod
    def of(size: int) -> "BatchNorm":
        return BatchNorm(jnp.ones(size), jnp.zeros(size), Running(jnp.zeros(size), jnp.ones(size)))

    def __call__(self, x: Float[Some, "b i"], learning: bool) -> Float[Some, "b i"]:
        mean, variance = (x.mean(0), x.var(0)) if learning else self.running
        return standardised(x, mean, variance) * self.scale + self.shift

    def seeing(self, x: Float[Some, "b i"]) -> "BatchNorm":
        seen = Running(x.mean(0), x.var(0))
        return replace(self, running=jax.tree.map(lambda old, new: old + 0.01 * (new - old), self.running, seen))


def standardised(x: Some, mean: Some, variance: Some) -> Some:
    return (x - mean) / (variance + np.float32(1e-5)) ** 0.5


Norm = LayerNorm | BatchNorm


@register_dataclass
@dataclass(frozen=True)
class Dense:
    """f(x W + b), on batches. Kernels lie [in, out], so that no transpose enters the compiled update.

    What it takes in, or what it makes before f, may be normalised; `linear` leaves f out.
    """

    weight: Float[Some, "*k i o"]
    bias: Float[Some, "*k o"]
    before: Norm | None = None
    after: Norm | None = None
    linear: bool = field(default=False, metadata=STATIC)

    def __call__(self, x: Float[Some, "b i"], f: Activation, learning: bool = False) -> Float[Some, "b o"]:
        x = x if self.before is None else self.before(x, learning)
        x = x @ self.weight + self.bias
        x = x if self.after is None else self.after(x, learning)
        return x if self.linear else f(x)

    def seeing(self, x: Float[Some, "b i"]) -> "Dense":
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

    def __call__(self, x: Float[Some, "b i"], f: Activation, learning: bool = False) -> Float[Some, "b i"]:
        return x + self.down(self.up(x, f), f)

    def seeing(self, x: Float[Some, "b i"]) -> "Block":
        return self


Layers = tuple[Any, ...]  # of Dense and Block


def uniform(u: Float[Array, "rows o"], bound: float) -> Dense:
    """Weights and biases in U(-bound, bound), from numbers in (-1, 1)."""
    return Dense(bound * u[:-1], bound * u[-1])


def flat(obs: Shaped[Some, "b *obs"]) -> Float[Some, "b i"]:
    """One row of numbers for each observation; bytes, which are pixels, between 0 and 1."""
    x = obs.reshape(obs.shape[0], -1)
    return x.astype("float32") / 255 if x.dtype == np.uint8 else x


def through(
    layers: Layers, x: Float[Some, "b i"], f: Activation, last: Activation, learning: bool
) -> Float[Some, "b o"]:
    for layer in layers[:-1]:
        x = layer(x, f, learning)
    return layers[-1](x, last, learning)


@register_dataclass
@dataclass(frozen=True)
class Actor:
    """mu(s | theta): observations [b, *obs] -> actions [b, m] in (-1, 1); environments rescale, networks never do.

    With leaves and observations of NumPy it computes in NumPy: for one observation a call costs half of a compiled one.
    """

    layers: Layers
    activation: str = field(metadata=STATIC)

    def __call__(self, obs: Shaped[Some, "b *obs"], learning: bool = False) -> Float[Some, "b m"]:
        x = flat(obs)
        activations = IN_NUMPY if isinstance(x, np.ndarray) else ACTIVATIONS
        return through(self.layers, x, activations[self.activation], activations["tanh"], learning)

    def seeing(self, obs: Shaped[Array, "b *obs"]) -> "Actor":
        """With the running statistics of its batch normalisation, if it has any, moved by a minibatch."""
        return replace(self, layers=tuple(_seeing(self.layers, flat(obs), ACTIVATIONS[self.activation])))


@register_dataclass
@dataclass(frozen=True)
class Critic:
    """Q(s, a | theta) of K members at once: [b, *obs], [b, m] -> [K, b, size]."""

    layers: Layers  # every leaf has the members' axis K in front
    activation: str = field(metadata=STATIC)
    action_layer: int = field(metadata=STATIC)

    def __call__(
        self, obs: Shaped[Array, "b *obs"], action: Float[Array, "b m"], learning: bool = False
    ) -> Float[Array, "k b size"]:
        f, linear = ACTIVATIONS[self.activation], lambda x: x

        def member(layers: Layers) -> Float[Array, "b size"]:
            x = through(layers[: self.action_layer], flat(obs), f, f, learning) if self.action_layer else flat(obs)
            return through(layers[self.action_layer :], jnp.concatenate([x, action], axis=-1), f, linear, learning)

        return self._over_members(member)

    def seeing(self, obs: Shaped[Array, "b *obs"], action: Float[Array, "b m"]) -> "Critic":
        """As the actor's."""
        f = ACTIVATIONS[self.activation]

        def member(layers: Layers) -> Layers:
            first, rest = layers[: self.action_layer], layers[self.action_layer :]
            x = through(first, flat(obs), f, f, True) if first else flat(obs)
            return (*_seeing(first, flat(obs), f), *_seeing(rest, jnp.concatenate([x, action], axis=-1), f))

        return replace(self, layers=self._over_members(member))

    def _over_members(self, member: Callable[[Layers], PyTree]) -> PyTree:
        if len(jax.tree.leaves(self.layers)[0]) == 1:  # a vmap would turn every product into a batched one
            one = member(jax.tree.map(lambda leaf: leaf[0], self.layers))
            return jax.tree.map(lambda x: x[None], one)
        return jax.vmap(member)(self.layers)


def _seeing(layers: Layers, x: Float[Array, "b i"], f: Activation) -> Iterator[Dense | Block]:
    for layer in layers:
        yield layer.seeing(x)
        x = layer(x, f, True)
