"""Actor and critic as pytrees of arrays: multilayer perceptrons, and the recipe they are made from."""

from dataclasses import dataclass, field
from itertools import accumulate
from math import prod
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass
from jaxtyping import Float, Shaped
from pydantic import Discriminator

from ddpg.algorithm.noise import Constant, Schedule, normal, unit
from ddpg.types import Finite, Key, NonNegative, Positive, Rounded, Some, Spec, Widths

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
class Network:
    """The recipe of one network and of the Adam that trains it.

    `final_init` draws the last layer from U(-final_init, final_init) instead, so that the first actions and
    values are near zero (Lillicrap et al. 2016, section 7: 3e-3). `action_layer` is the layer at which a critic
    takes the action in: 0 beside the observation, 1 after the first hidden layer, as in the 2016 paper. `schedule`
    is of the learning rate over updates; `clip` bounds the norm of the gradient.
    """

    widths: Widths = (64, 64)
    activation: Literal["relu", "tanh", "elu", "silu", "gelu"] = "relu"
    init: Annotated[FanIn | Normal, Discriminator("kind")] = FanIn()
    final_init: Positive | None = None
    action_layer: Annotated[Literal[0, 1], Rounded] = 0
    lr: Positive = 1e-3
    schedule: Schedule = Constant()
    l2: NonNegative = 0.0
    clip: Positive | None = None

    def actor(self, key: Key, spec: Spec) -> "Actor":
        return Actor(self._layers(key, spec.obs_size, 0, spec.action_dim), self.activation)

    def critic(self, key: Key, spec: Spec, members: int, size: int) -> "Critic":
        """K members with leaves of shape [K, ...], each predicting `size` numbers per state and action."""
        layers = jax.vmap(lambda k: self._layers(k, spec.obs_size, spec.action_dim, size))(
            jax.random.split(key, members)
        )
        return Critic(layers, self.activation, self.action_layer)

    def _layers(self, key: Key, obs_size: int, action_dim: int, outputs: int) -> "tuple[Dense, ...]":
        inputs = [obs_size, *self.widths]
        inputs[self.action_layer] += action_dim
        shapes = [(i + 1, o) for i, o in zip(inputs, (*self.widths, outputs), strict=True)]
        # One draw for the whole network: each one more would add a tenth of a second to what is compiled first.
        flat = unit(key, (sum(map(prod, shapes)),))
        blocks = jnp.split(flat, list(accumulate(map(prod, shapes)))[:-1])
        *hidden, last = (block.reshape(shape) for block, shape in zip(blocks, shapes, strict=True))
        final = self.init(last) if self.final_init is None else uniform(last, self.final_init)
        return (*map(self.init, hidden), final)


@register_dataclass
@dataclass(frozen=True)
class Dense:
    """x W + b, on batches. Kernels lie [in, out], so that no transpose enters the compiled update."""

    weight: Float[Some, "*k i o"]
    bias: Float[Some, "*k o"]

    def __call__(self, x: Float[Some, "b i"]) -> Float[Some, "b o"]:
        return x @ self.weight + self.bias


def uniform(u: Float[Array, "rows o"], bound: float) -> Dense:
    """Weights and biases in U(-bound, bound), from numbers in (-1, 1)."""
    return Dense(bound * u[:-1], bound * u[-1])


def flat(obs: Shaped[Some, "b *obs"]) -> Float[Some, "b i"]:
    """One row of numbers for each observation; bytes, which are pixels, between 0 and 1."""
    x = obs.reshape(obs.shape[0], -1)
    return x.astype("float32") / 255 if x.dtype == np.uint8 else x


@register_dataclass
@dataclass(frozen=True)
class Actor:
    """mu(s | theta): observations [b, *obs] -> actions [b, m] in (-1, 1); environments rescale, networks never do.

    With leaves and observations of NumPy it computes in NumPy: for one observation a call costs half of a compiled one.
    """

    layers: tuple[Dense, ...]
    activation: str = field(metadata=STATIC)

    def __call__(self, obs: Shaped[Some, "b *obs"]) -> Float[Some, "b m"]:
        x = flat(obs)
        activations = IN_NUMPY if isinstance(x, np.ndarray) else ACTIVATIONS
        for layer in self.layers[:-1]:
            x = activations[self.activation](layer(x))
        return activations["tanh"](self.layers[-1](x))


@register_dataclass
@dataclass(frozen=True)
class Critic:
    """Q(s, a | theta) of K members at once: [b, *obs], [b, m] -> [K, b, size]."""

    layers: tuple[Dense, ...]  # every leaf has the members' axis K in front
    activation: str = field(metadata=STATIC)
    action_layer: int = field(metadata=STATIC)

    def __call__(self, obs: Shaped[Array, "b *obs"], action: Float[Array, "b m"]) -> Float[Array, "k b size"]:
        def member(layers: tuple[Dense, ...]) -> Float[Array, "b size"]:
            x = flat(obs)
            for depth, layer in enumerate(layers):
                x = jnp.concatenate([x, action], axis=-1) if depth == self.action_layer else x
                x = layer(x) if depth == len(layers) - 1 else ACTIVATIONS[self.activation](layer(x))
            return x

        if self.layers[0].bias.shape[0] == 1:  # a vmap over one member would turn every product into a batched one
            return member(jax.tree.map(lambda leaf: leaf[0], self.layers))[None]
        return jax.vmap(member)(self.layers)
