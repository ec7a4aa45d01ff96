"""Actor and critic as pytrees of arrays, and the recipe of their layers: plain or residual, normalised or not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import prod
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass
from jaxtyping import Float
from pydantic import Discriminator

from ddpg.algorithm.initialisers import AnyInitialiser, FanIn
from ddpg.algorithm.layers import (
    ACTIVATIONS,
    IN_NUMPY,
    STATIC,
    Block,
    Dense,
    Layers,
    Trunk,
    Within,
    forward,
    steps,
    uniform_layer,
    with_statistics,
)
from ddpg.algorithm.norms import NORMS, AvgL1Norm, LayerNorm
from ddpg.algorithm.random import draw_uniform
from ddpg.algorithm.steps import Step
from ddpg.mistake import Mistake
from ddpg.ranges import Choice, HiddenWidths, Natural, NonNegative, Positive, Rounded
from ddpg.schedules import Constant, Schedule
from ddpg.types import AnyArray, Key, PyTree


@dataclass(frozen=True)
class Plain:
    """One layer per width. `norm` comes before its activation: layer normalisation (Ba et al. 2016), batch, or L1.

    Batch normalisation is also of the input. A critic has it only before the action joins (Lillicrap et al. 2016,
    section 3), so it needs `action_layer` 1.
    """

    kind: Literal["plain"] = field(default="plain", kw_only=True)
    norm: Annotated[str, Choice(NORMS)] | None = None

    def hidden_sizes(self, widths: HiddenWidths) -> list[int]:
        """The sizes between those of input and output."""
        return list(widths)

    def assembled(self, layers: list[Dense], of_obs: int) -> Layers:
        """The layers with their norms; the first `of_obs` come before the action."""
        if self.norm is None:
            return tuple(layers)
        norm, (*hidden, final) = NORMS[self.norm], layers
        count = of_obs if norm.of_minibatch else len(hidden)
        hidden[:count] = [replace(layer, after=norm.of(len(layer.bias))) for layer in hidden[:count]]
        if norm.of_minibatch:
            hidden[0] = replace(hidden[0], before=norm.of(len(hidden[0].weight)))
        return (*hidden, final)

    @property
    def batch_normalised(self) -> bool:
        """Whether an output depends on the rest of the minibatch."""
        return self.norm is not None and NORMS[self.norm].of_minibatch


@dataclass(frozen=True)
class Residual:
    """One block per width, x + W2 f(W1 LN(x)), between a linear layer and a last layer norm (SimBa, section 4).

    All widths are equal; inside a block the width is `expansion` times larger.
    """

    kind: Literal["residual"] = field(default="residual", kw_only=True)
    expansion: Natural = 4

    def hidden_sizes(self, widths: HiddenWidths) -> list[int]:
        """The sizes between those of input and output: of the linear layer, and of two layers per block."""
        return [widths[0], *(size for width in widths for size in (self.expansion * width, width))]

    def assembled(self, layers: list[Dense], of_obs: int) -> Layers:
        """The inner layers in pairs, as blocks; each block and the last layer begin with a layer norm."""
        first, *inside, final = layers
        width = len(first.bias)
        ups = [replace(layer, before=LayerNorm.of(width)) for layer in inside[::2]]
        downs = [replace(layer, linear=True) for layer in inside[1::2]]
        blocks = [Block(up, down) for up, down in zip(ups, downs, strict=True)]
        return (replace(first, linear=True), *blocks, replace(final, before=LayerNorm.of(width)))

    @property
    def batch_normalised(self) -> bool:
        """Whether an output depends on the rest of the minibatch."""
        return False


@dataclass(frozen=True)
class NetworkConfig:
    """The recipe of one network and of the Adam that trains it.

    `widths` are those of the hidden layers; without any the network is a linear function (an actor's before tanh).
    `trunk` is the size of a first layer, with layer norm and tanh, that sees what an encoder has made alone, of each
    picture if there are several; a critic's members share it (Yarats et al. 2022). `lift` is the size of one with
    AvgL1Norm and no activation that sees observation and action alone, not what an encoder has made of them (Fujimoto
    et al. 2023). `final_init` draws the last layer from U(-final_init, final_init) instead, so that the
    first actions and values are near zero (Lillicrap et al. 2016, section 7: 3e-3). `action_layer` is the layer at
    which the action joins in a critic: 0 beside z, 1 after the first hidden layer, as in the 2016 paper. `schedule` is
    of the learning rate over updates. `max_grad_norm` bounds the norm of the gradient. `l2` adds to the gradient,
    `weight_decay` to the step that Adam makes of it.
    """

    trunk: Natural | None = None
    lift: Natural | None = None
    widths: HiddenWidths = (64, 64)
    activation: Annotated[str, Choice(ACTIVATIONS)] = "relu"
    block: Annotated[Plain | Residual, Discriminator("kind")] = Plain()
    init: AnyInitialiser = FanIn()
    final_init: Positive | None = None
    action_layer: Annotated[Literal[0, 1], Rounded] = 0
    lr: Positive = 1e-3
    schedule: Schedule = Constant()
    l2: NonNegative = 0.0
    weight_decay: NonNegative = 0.0
    max_grad_norm: Positive | None = None

    def init_actor(self, key: Key, inputs: int, outputs: int, embedded: Sequence[range] = ()) -> "Actor":
        """mu from `inputs` numbers (the encoder's z) to `outputs` action dimensions.

        `embedded` are those of z that an encoder has made; the others are the observation itself.
        """
        trunk, size = self._trunk(key, inputs, embedded)
        lift, size = self._lift(key, size, inputs, inputs, embedded)
        return Actor((*trunk, *lift, *self.layers(key, size, 0, outputs)), self.activation)

    def init_critic(
        self,
        key: Key,
        inputs: int,
        joining: int,
        members: int,
        outputs: int,
        embedded: Sequence[range] = (),
        action: int = 0,
    ) -> "Critic":
        """K members, leaves [K, ...], each from z and `joining` numbers of the pair (z, a) to `outputs` numbers.

        `embedded` is as in `init_actor`; the pair begins with the `action` itself, of so many dimensions.
        """
        assert self.action_layer or not self.batch_normalised, "batch normalisation ends where the action joins"
        trunk, size = self._trunk(key, inputs, embedded)

        def member(key: Key) -> Layers:
            if self.lift is None:
                return self.layers(key, size, joining, outputs)
            lift, lifted = self._lift(key, inputs + joining, inputs, inputs + action, embedded)
            return (*lift, *self.layers(key, lifted, 0, outputs))

        return Critic(jax.vmap(member)(jax.random.split(key, members)), self.activation, self.action_layer, trunk)

    def _trunk(self, key: Key, inputs: int, embedded: Sequence[range]) -> tuple[Layers, int]:
        """The trunks of what is embedded, the last first, or nothing; and how many numbers there are then."""
        if self.trunk is None:
            return (), inputs
        layers, size = [], inputs
        for i, part in enumerate(reversed(embedded or [range(inputs)])):
            own = jax.random.fold_in(key, 2**32 - 1)
            words = draw_uniform(jax.random.fold_in(own, i) if i else own, (len(part) + 1, self.trunk))
            trunk = Trunk(replace(self.init(words), after=LayerNorm.of(self.trunk)))
            layers.append(trunk if len(part) == inputs else Within(trunk, part.start, part.stop))
            size += self.trunk - len(part)
        return tuple(layers), size

    def _lift(self, key: Key, size: int, z: int, end: int, embedded: Sequence[range]) -> tuple[Layers, int]:
        """The lift of what is not embedded of z, up to `end`, or nothing; and how many numbers of `size` are then left.

        Raises Mistake if that does not lie at the end of z.
        """
        if self.lift is None:
            return (), size
        begin = embedded[0].stop if embedded else 0
        if len(embedded) > 1 or (embedded and embedded[0].start) or begin == z:
            raise Mistake(
                f"lift {self.lift}: it is for observations without pictures; use --actor.lift none --critic.lift none"
            )
        words = draw_uniform(jax.random.fold_in(key, 2**32 - 2), (end - begin + 1, self.lift))
        layer = replace(self.init(words), after=AvgL1Norm(), linear=True)
        return (Within(layer, begin, end),), size - (end - begin) + self.lift

    def layers(self, key: Key, inputs: int, joining: int, outputs: int) -> Layers:
        """Of `widths`, then one of `outputs`; `joining` more numbers come in at `action_layer`."""
        sizes = [inputs, *self.block.hidden_sizes(self.widths), outputs]
        fan_in = sizes[:-1]
        fan_in[self.action_layer] += joining
        shapes = [(i + 1, o) for i, o in zip(fan_in, sizes[1:], strict=True)]
        # One draw for the whole network: each further draw adds a tenth of a second to the first compilation.
        words = draw_uniform(key, (sum(map(prod, shapes)),))
        pieces = jnp.split(words, list(accumulate(map(prod, shapes)))[:-1])
        *hidden, last = (u.reshape(shape) for u, shape in zip(pieces, shapes, strict=True))
        final = self.init(last) if self.final_init is None else uniform_layer(last, self.final_init)
        of_obs = self.action_layer if joining and self.action_layer else len(hidden)
        return self.block.assembled([*map(self.init, hidden), final], of_obs)

    @property
    def batch_normalised(self) -> bool:
        """Whether an output depends on the rest of the minibatch."""
        return self.block.batch_normalised

    def check(self, path: str) -> None:
        """Lifts and residual blocks take the action in first; these add their input to their output, of equal width."""
        if self.lift is not None and (self.trunk is not None or self.action_layer):
            other = f"{path}.trunk {self.trunk}" if self.trunk is not None else f"{path}.action_layer 1"
            raise Mistake(f"{path}.lift {self.lift}: it comes first, as {other} does; use one of them")
        if not self.widths:
            self._check_linear(path)
        if not isinstance(self.block, Residual):
            return
        if len(set(self.widths)) > 1:
            widths = ",".join(map(str, self.widths))
            same = ",".join([str(max(self.widths))] * len(self.widths))
            raise Mistake(f"{path}.widths {widths}: residual blocks have equal widths; use --{path}.widths {same}")
        if self.action_layer:
            raise Mistake(
                f"{path}.action_layer 1: residual blocks take the action in first; use --{path}.action_layer 0"
            )

    def _check_linear(self, path: str) -> None:
        """Without hidden layers there are no blocks, nothing to normalise, and no second layer for the action."""
        if self.action_layer:
            raise Mistake(f"{path}.widths none: there is no second layer; use --{path}.action_layer 0")
        if isinstance(self.block, Residual):
            raise Mistake(f"{path}.widths none: there are no blocks; use --{path}.block plain")
        if self.block.norm is not None:
            raise Mistake(f"{path}.widths none: there is no hidden layer to normalise; use --{path}.block.norm none")


@register_dataclass
@dataclass(frozen=True)
class Actor:
    """mu(s | theta): an encoder's z [b, z] -> actions [b, m] in (-1, 1); environments rescale, networks never do.

    With leaves and inputs of NumPy it computes in NumPy: for one observation that takes half of a compiled call.
    """

    layers: Layers
    activation: str = field(metadata=STATIC)

    def __call__(self, z: Float[AnyArray, "b z"]) -> Float[AnyArray, "b m"]:
        u = self.preactivation(z)
        return np.tanh(u) if isinstance(u, np.ndarray) else jnp.tanh(u)

    def preactivation(self, z: Float[AnyArray, "b z"]) -> Float[AnyArray, "b m"]:
        """u, of which mu is tanh(u)."""
        activations = IN_NUMPY if isinstance(z, np.ndarray) else ACTIVATIONS
        return forward(self.layers, z, activations[self.activation], lambda u: u)

    def with_statistics(self, z: Float[Array, "b z"], rate: float) -> "Actor":
        """Running statistics of its batch normalisation, if any, moved by `rate` towards those of a minibatch."""
        return replace(self, layers=with_statistics(self.layers, z, ACTIVATIONS[self.activation], rate))

    def steps(self) -> list[Step]:
        """The same as a call, for the files of networks."""
        return steps(self.layers, self.activation, "tanh")


@register_dataclass
@dataclass(frozen=True)
class Critic:
    """Q(s, a | theta) of K members at once: z [b, z] and the pair (z, a) [b, x] -> [K, b, outputs].

    The pair joins at `action_layer`: beside z, or after the first hidden layer.
    """

    layers: Layers  # every leaf has the members' axis K in front
    activation: str = field(metadata=STATIC)
    action_layer: int = field(metadata=STATIC)
    trunk: Layers = ()  # before that, shared by the members

    def __call__(self, z: Float[Array, "b z"], pair: Float[Array, "b x"]) -> Float[Array, "k b outputs"]:
        f = ACTIVATIONS[self.activation]
        z = forward(self.trunk, z, f)

        def member(layers: Layers, z: Array, pair: Array) -> Float[Array, "b outputs"]:
            x = forward(layers[: self.action_layer], z, f)
            return forward(layers[self.action_layer :], jnp.concatenate([x, pair], axis=-1), f, lambda x: x)

        return self._over_members(member, z, pair)

    def with_statistics(self, z: Float[Array, "b z"], rate: float) -> "Critic":
        """Like the actor's; where the action joins, batch normalisation has ended."""
        f, of_obs = ACTIVATIONS[self.activation], self.action_layer
        if not of_obs:
            return self
        z = forward(self.trunk, z, f)
        layers = self._over_members(lambda layers, z: with_statistics(layers[:of_obs], z, f, rate), z)
        return replace(self, layers=(*layers, *self.layers[of_obs:]))

    def steps(self, pair: list[Step]) -> list[Step]:
        """Like the actor's, of all members at once: every array is [K, i or 1, o]. `pair` comes after the action."""
        before, after = self.layers[: self.action_layer], self.layers[self.action_layer :]
        named = steps(before, self.activation, self.activation), steps(after, self.activation, None)
        before, after = ([_of_members(step) for step in program] for program in named)
        return [*steps(self.trunk, self.activation, self.activation), *before, Step("join"), *pair, *after]

    def _over_members(self, member: Callable[..., PyTree], *inputs: Float[Array, "b _"]) -> PyTree:
        k = len(jax.tree.leaves(self.layers)[0])
        if k == 1:  # a vmap would turn every product into a batched one
            one = member(jax.tree.map(lambda leaf: leaf[0], self.layers), *inputs)
            return jax.tree.map(lambda x: x[None], one)
        # Each has inputs of its own: else XLA computes the first layers of all as one, and transposes large arrays.
        return jax.vmap(member)(self.layers, *[jnp.broadcast_to(x, (k, *x.shape)) for x in inputs])


def _of_members(step: Step) -> Step:
    """With arrays that are [K, i or 1, o]; those of a place in the features are the same for all."""
    kind, arrays = step
    if kind in ("part", "place"):
        return step
    return Step(kind, {name: x.reshape(len(x), *(1,) * (3 - x.ndim), *x.shape[1:]) for name, x in arrays.items()})
