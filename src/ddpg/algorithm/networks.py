"""Actor and critic as pytrees of arrays, and the recipe of their layers: plain or residual, normalised or not."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
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

from ddpg.algorithm.layers import (
    ACTIVATIONS,
    IN_NUMPY,
    STATIC,
    BatchNorm,
    Block,
    Dense,
    LayerNorm,
    Layers,
    flatten_observation,
    forward,
    seeing,
    uniform_layer,
)
from ddpg.algorithm.random import draw_uniform, to_normal
from ddpg.algorithm.schedules import Constant, Schedule
from ddpg.ranges import Finite, Natural, NonNegative, Positive, Rounded, Widths
from ddpg.types import AnyArray, Key, PyTree, Spec


@dataclass(frozen=True)
class FanIn:
    """W, b ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)): the hidden layers of Lillicrap et al. 2016, section 7."""

    kind: Literal["fan_in"] = field(default="fan_in", kw_only=True)

    def __call__(self, u: Float[Array, "rows o"]) -> Dense:
        return uniform_layer(u, (len(u) - 1) ** -0.5)


@dataclass(frozen=True)
class Normal:
    """W ~ N(0, std), b constant: the tutorial's initialisation."""

    kind: Literal["normal"] = field(default="normal", kw_only=True)
    std: Positive = 0.3
    bias: Finite = 0.1

    def __call__(self, u: Float[Array, "rows o"]) -> Dense:
        return Dense(self.std * to_normal(u[:-1]), jnp.full_like(u[-1], self.bias))


@dataclass(frozen=True)
class Plain:
    """One layer a width. `norm` comes before its activation: layer normalisation (Ba et al. 2016), or that of a batch.

    Batch normalisation is of the input too. A critic must have `action_layer` 1 with it, and has it only before the
    action comes in, as in Lillicrap et al. 2016, section 3.
    """

    kind: Literal["plain"] = field(default="plain", kw_only=True)
    norm: Literal["layer", "batch"] | None = None

    def hidden_sizes(self, widths: Widths) -> list[int]:
        """Between the input's and the output's."""
        return list(widths)

    def assembled(self, layers: list[Dense], of_obs: int) -> Layers:
        """With their norms; the first `of_obs` know nothing of the action."""
        *hidden, final = layers
        if self.norm == "layer":
            hidden = [replace(layer, after=LayerNorm.of(len(layer.bias))) for layer in hidden]
        if self.norm == "batch":
            hidden[:of_obs] = [replace(layer, after=BatchNorm.of(len(layer.bias))) for layer in hidden[:of_obs]]
            hidden[0] = replace(hidden[0], before=BatchNorm.of(len(hidden[0].weight)))
        return (*hidden, final)


@dataclass(frozen=True)
class Residual:
    """One block a width, x + W2 f(W1 LN(x)), between a linear layer and a last layer norm (SimBa, section 4).

    All widths are one; inside a block it is `expansion` times that.
    """

    kind: Literal["residual"] = field(default="residual", kw_only=True)
    expansion: Natural = 4

    def hidden_sizes(self, widths: Widths) -> list[int]:
        """Between the input's and the output's: of the linear layer, and of two layers a block."""
        return [widths[0], *(size for width in widths for size in (self.expansion * width, width))]

    def assembled(self, layers: list[Dense], of_obs: int) -> Layers:
        """The layers of blocks in pairs, each under a layer norm, as the last is."""
        first, *inside, final = layers
        width = len(first.bias)
        ups = [replace(layer, before=LayerNorm.of(width)) for layer in inside[::2]]
        downs = [replace(layer, linear=True) for layer in inside[1::2]]
        blocks = [Block(up, down) for up, down in zip(ups, downs, strict=True)]
        return (replace(first, linear=True), *blocks, replace(final, before=LayerNorm.of(width)))


@dataclass(frozen=True)
class Network:
    """The recipe of one network and of the Adam that trains it.

    `final_init` draws the last layer from U(-final_init, final_init) instead, so that the first actions and
    values are near zero (Lillicrap et al. 2016, section 7: 3e-3). `action_layer` is the layer at which a critic
    takes the action in: 0 beside the observation, 1 after the first hidden layer, as in the 2016 paper. `schedule`
    is of the learning rate over updates; `max_grad_norm` bounds the norm of the gradient. `l2` adds to the
    gradient, `weight_decay` to the step that Adam makes of it.
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
    weight_decay: NonNegative = 0.0
    max_grad_norm: Positive | None = None

    def actor(self, key: Key, spec: Spec) -> "Actor":
        return Actor(self._layers(key, spec.obs_size, 0, spec.action_dim), self.activation)

    def critic(self, key: Key, spec: Spec, members: int, size: int) -> "Critic":
        """K members with leaves of shape [K, ...], each predicting `size` numbers per state and action."""
        assert self.action_layer or self.block != Plain("batch"), "where the action is, nothing goes by the minibatch"
        layers = jax.vmap(lambda k: self._layers(k, spec.obs_size, spec.action_dim, size))(
            jax.random.split(key, members)
        )
        return Critic(layers, self.activation, self.action_layer)

    def _layers(self, key: Key, obs_size: int, action_dim: int, outputs: int) -> Layers:
        hidden_sizes = [obs_size, *self.block.hidden_sizes(self.widths), outputs]
        inputs = hidden_sizes[:-1]
        inputs[self.action_layer] += action_dim
        shapes = [(i + 1, o) for i, o in zip(inputs, hidden_sizes[1:], strict=True)]
        # One draw for the whole network: each one more would add a tenth of a second to what is compiled first.
        drawn = jnp.split(draw_uniform(key, (sum(map(prod, shapes)),)), list(accumulate(map(prod, shapes)))[:-1])
        *hidden, last = (u.reshape(shape) for u, shape in zip(drawn, shapes, strict=True))
        final = self.init(last) if self.final_init is None else uniform_layer(last, self.final_init)
        of_obs = self.action_layer if action_dim and self.action_layer else len(hidden)
        return self.block.assembled([*map(self.init, hidden), final], of_obs)


@register_dataclass
@dataclass(frozen=True)
class Actor:
    """mu(s | theta): observations [b, *obs] -> actions [b, m] in (-1, 1); environments rescale, networks never do.

    With leaves and observations of NumPy it computes in NumPy: for one observation a call costs half of a compiled one.
    """

    layers: Layers
    activation: str = field(metadata=STATIC)

    def __call__(
        self, obs: Shaped[AnyArray, "b *obs"], beside: Shaped[AnyArray, "c *obs"] | None = None
    ) -> Float[AnyArray, "b m"]:
        """`beside` is given while learning: batch normalisation takes it and `obs` as one minibatch."""
        x = flatten_observation(obs)
        activations = IN_NUMPY if isinstance(x, np.ndarray) else ACTIVATIONS
        return forward(self.layers, x, activations[self.activation], activations["tanh"], beside)

    def seeing(self, obs: Shaped[Array, "b *obs"]) -> "Actor":
        """With the running statistics of its batch normalisation, if it has any, moved by a minibatch."""
        return replace(self, layers=tuple(seeing(self.layers, flatten_observation(obs), ACTIVATIONS[self.activation])))


@register_dataclass
@dataclass(frozen=True)
class Critic:
    """Q(s, a | theta) of K members at once: [b, *obs], [b, m] -> [K, b, size]."""

    layers: Layers  # every leaf has the members' axis K in front
    activation: str = field(metadata=STATIC)
    action_layer: int = field(metadata=STATIC)

    def __call__(
        self,
        obs: Shaped[Array, "b *obs"],
        action: Float[Array, "b m"],
        beside: Shaped[Array, "c *obs"] | None = None,
    ) -> Float[Array, "k b size"]:
        """With `beside` as the actor's: where the action comes in, batch normalisation has ended."""
        f, linear = ACTIVATIONS[self.activation], lambda x: x

        def member(layers: Layers) -> Float[Array, "b size"]:
            x = (
                forward(layers[: self.action_layer], flatten_observation(obs), f, f, beside)
                if self.action_layer
                else flatten_observation(obs)
            )
            return forward(layers[self.action_layer :], jnp.concatenate([x, action], axis=-1), f, linear)

        return self._over_members(member)

    def seeing(self, obs: Shaped[Array, "b *obs"]) -> "Critic":
        """As the actor's."""
        f, of_obs = ACTIVATIONS[self.activation], self.action_layer

        def member(layers: Layers) -> Layers:
            return (*seeing(layers[:of_obs], flatten_observation(obs), f), *layers[of_obs:])

        return replace(self, layers=self._over_members(member))

    def _over_members(self, member: Callable[[Layers], PyTree]) -> PyTree:
        if len(jax.tree.leaves(self.layers)[0]) == 1:  # a vmap would turn every product into a batched one
            one = member(jax.tree.map(lambda leaf: leaf[0], self.layers))
            return jax.tree.map(lambda x: x[None], one)
        return jax.vmap(member)(self.layers)
