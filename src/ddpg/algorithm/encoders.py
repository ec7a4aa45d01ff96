"""Encoders: what the networks get to see of an observation, and of the action beside it.

Most are trained by the critic's loss alone, with the critic's optimiser; SALE by a loss of its own. All have a target.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
from jax.tree_util import register_dataclass
from jaxtyping import Float, Shaped
from pydantic import Discriminator

from ddpg.algorithm.convolution import Convolution
from ddpg.algorithm.initialisers import AnyInitialiser, Orthogonal
from ddpg.algorithm.layers import ACTIVATIONS
from ddpg.algorithm.picture_embedding import ActionAsItIs, PartsEmbedding, PictureEmbedding, flatten_observation
from ddpg.algorithm.random import draw_uniform
from ddpg.algorithm.sale import EncoderTraining, Sale
from ddpg.algorithm.steps import Step
from ddpg.mistake import Mistake
from ddpg.pictures import SMALLEST, Layout, Part, layout_of, picture_parts
from ddpg.ranges import Choice, Widths
from ddpg.types import AnyArray, Key, Spec, Transition


@runtime_checkable
class Embedding(Protocol):
    """The parameters of an encoder, as a pytree of arrays. With leaves of NumPy it computes in NumPy."""

    def state(self, obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b z"]:
        """z: what the actor gets, and the critic."""
        ...

    def pair(self, z: Float[AnyArray, "b z"], action: Float[AnyArray, "b m"]) -> Float[AnyArray, "b x"]:
        """What joins z in the critic, at its `action_layer`."""
        ...

    def with_statistics(self, obs: Shaped[AnyArray, "b *obs"], rate: float) -> "Embedding":
        """Running statistics of its batch normalisation, if any, moved by `rate` towards those of a minibatch."""
        ...

    def steps(self) -> list[Step]:
        """`state`, for the files of networks."""
        ...

    def pair_steps(self) -> list[Step]:
        """From z and the action to z and the pair, likewise."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """What the part `encoder` of an agent must answer."""

    def sizes(self, spec: Spec) -> tuple[int, int]:
        """How many numbers `state` and `pair` give."""
        ...

    def embedded(self, spec: Spec) -> list[range]:
        """Which of the numbers of `state` it has made; the others are the observation's as they are."""
        ...

    def create(self, key: Key, spec: Spec) -> Embedding:
        """Parameters before training."""
        ...

    def begin(self, encoder: Any) -> EncoderTraining | None:
        """Its own training, before the first step; None if the critic's loss trains it."""
        ...

    def learn(self, training: EncoderTraining | None, batch: Transition) -> EncoderTraining | None:
        """One step of its own training, if it has any."""
        ...


class TrainedByCritic:
    """What encoders have in common that the critic's loss trains."""

    def begin(self, encoder: Any) -> None:
        return None

    def learn(self, training: EncoderTraining | None, batch: Transition) -> None:
        return None


@dataclass(frozen=True)
class Flat(TrainedByCritic):
    """No encoder: z is the observation as one row of numbers, and the action joins it as it is."""

    kind: Literal["flat"] = field(default="flat", kw_only=True)

    def sizes(self, spec: Spec) -> tuple[int, int]:
        return spec.obs_size, spec.action_dim

    def embedded(self, spec: Spec) -> list[range]:
        return []

    def create(self, key: Key, spec: Spec) -> "FlatEmbedding":
        return FlatEmbedding()


@register_dataclass
@dataclass(frozen=True)
class FlatEmbedding(ActionAsItIs):
    """Without parameters."""

    def state(self, obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b z"]:
        return flatten_observation(obs)

    def steps(self) -> list[Step]:
        return [Step("flatten")]


class Kernel(NamedTuple):
    """A convolution's shape."""

    size: int
    stride: int
    filters: int


class OfPictures(TrainedByCritic):
    """What encoders of pictures have in common; each has these fields, and says its `layers`.

    Of a nested observation each picture gets an encoder of its own; numbers beside them join z as they are.
    """

    kind: Any
    activation: Any
    init: Any
    layers: Any

    def sizes(self, spec: Spec) -> tuple[int, int]:
        given = sum(part.end - part.begin for part in self._pictures(spec))
        size = spec.obs_size - given + sum(map(len, self.embedded(spec)))
        return size, spec.action_dim

    def embedded(self, spec: Spec) -> list[range]:
        ranges, moved = list[range](), 0
        for begin, end, shape in self._pictures(spec):
            size = convolved_size(self.layers, self._layout(shape), self.kind)
            ranges.append(range(begin + moved, begin + moved + size))
            moved += size - (end - begin)
        return ranges

    def create(self, key: Key, spec: Spec) -> PictureEmbedding | PartsEmbedding:
        parts = self._pictures(spec)
        if not spec.nested:
            return self._of_picture(key, self._layout(spec.obs_shape))
        keys = [jax.random.fold_in(key, len(self.layers) + i) for i in range(len(parts))]
        each = [self._of_picture(own, self._layout(part.shape)) for own, part in zip(keys, parts, strict=True)]
        return PartsEmbedding(tuple(each), tuple(parts))

    def _pictures(self, spec: Spec) -> list[Part]:
        """Where the pictures of an observation are. Raises Mistake if it has none."""
        parts = picture_parts(spec) if spec.nested else [Part(0, spec.obs_size, spec.obs_shape)]
        if not parts:
            raise Mistake(
                f"encoder {self.kind}: no part of an observation is a picture, bytes of {SMALLEST} x {SMALLEST} or "
                f"more; use --encoder flat"
            )
        return parts

    def _layout(self, shape: tuple[int, ...]) -> Layout:
        layout = layout_of(shape)
        if layout is None:
            raise Mistake(
                f"encoder {self.kind}: an observation of shape {shape} is no picture; use --encoder flat, or --pixels "
                f"to see the environment as it draws itself"
            )
        return layout

    def _of_picture(self, key: Key, layout: Layout) -> PictureEmbedding:
        channels = [layout.shape[2], *(layer.filters for layer in self.layers)]
        convolutions = []
        for i, (layer, (inputs, outputs)) in enumerate(zip(self.layers, pairwise(channels), strict=True)):
            words = draw_uniform(jax.random.fold_in(key, i), (layer.size**2 * inputs + 1, outputs))
            dense, shape = self.init(words), (layer.size, layer.size, inputs, outputs)
            convolutions.append(Convolution(dense.weight.reshape(shape), dense.bias, layer.stride))
        return PictureEmbedding(tuple(convolutions), self.activation, layout)


RELU_GAIN = 2**0.5  # by which a layer before a ReLU keeps the size of what goes through


@dataclass(frozen=True)
class Conv(OfPictures):
    """Convolutions without padding; `filters`, `kernels` and `strides` are one number for each layer, or one for all.

    The default is DrQ-v2's (Yarats et al. 2022); 32,32,32 with a stride of 2 is near that of Lillicrap et al. 2016.
    """

    kind: Literal["conv"] = field(default="conv", kw_only=True)
    filters: Widths = (32, 32, 32, 32)
    kernels: Widths = (3, 3, 3, 3)
    strides: Widths = (2, 1, 1, 1)
    activation: Annotated[str, Choice(ACTIVATIONS)] = "relu"
    init: AnyInitialiser = Orthogonal(RELU_GAIN)

    @property
    def layers(self) -> list[Kernel]:
        return [
            Kernel(*each)
            for each in of_layers("encoder", kernels=self.kernels, strides=self.strides, filters=self.filters)
        ]

    def check(self, path: str) -> None:
        """Lists of one number each, or equally long."""
        of_layers(path, kernels=self.kernels, strides=self.strides, filters=self.filters)


@dataclass(frozen=True)
class Patches(OfPictures):
    """A picture in patches that touch: each becomes its `filters`, by one product; then patches of those, and so on.

    On a CPU 8 x 8 patches cost a tenth of convolutions (docs/pixels.md).
    """

    kind: Literal["patches"] = field(default="patches", kw_only=True)
    filters: Widths = (64,)
    patches: Widths = (8,)
    activation: Annotated[str, Choice(ACTIVATIONS)] = "relu"
    init: AnyInitialiser = Orthogonal(RELU_GAIN)

    @property
    def layers(self) -> list[Kernel]:
        sizes = of_layers("encoder", patches=self.patches, filters=self.filters)
        return [Kernel(size, size, filters) for size, filters in sizes]

    def check(self, path: str) -> None:
        """Lists of one number each, or equally long."""
        of_layers(path, patches=self.patches, filters=self.filters)


def convolved_size(layers: list[Kernel], layout: Layout, kind: str) -> int:
    """How many numbers leave the last layer. Raises Mistake if a picture is too small for the layers."""
    height, width, _ = layout.shape
    for i, (size, stride, _) in enumerate(layers):
        if size > min(height, width):
            raise Mistake(
                f"encoder {kind}: layer {i} looks at {size} x {size} of what has {height} x {width} then; "
                f"use fewer layers or smaller ones, or larger pictures (--pixels.size)"
            )
        height, width = ((length - size) // stride + 1 for length in (height, width))
    return height * width * layers[-1].filters


def of_layers(path: str, **lists: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The numbers of each layer, of which one may stand for all. Raises Mistake if lists are of different lengths."""
    count = max(map(len, lists.values()))
    if odd := [name for name, numbers in lists.items() if len(numbers) not in (1, count)]:
        given = ", ".join(f"{path}.{name} {','.join(map(str, numbers))}" for name, numbers in lists.items())
        raise Mistake(f"{given}: expected {count} numbers, or one, in {path}.{odd[0]} too")
    return list(zip(*(numbers * (count // len(numbers)) for numbers in lists.values()), strict=True))


AnyEncoder = Annotated[Flat | Conv | Patches | Sale, Discriminator("kind")]
