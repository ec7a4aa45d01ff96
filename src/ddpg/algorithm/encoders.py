"""Encoders: what the networks get to see of an observation, and of the action beside it.

An encoder's parameters are trained by the critic's loss alone, with the critic's optimiser, and have a target copy.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Float, Shaped
from pydantic import Discriminator

from ddpg.algorithm.convolution import Convolution
from ddpg.algorithm.initialisers import AnyInitialiser, Orthogonal
from ddpg.algorithm.layers import ACTIVATIONS, IN_NUMPY, STATIC, steps
from ddpg.algorithm.random import draw_uniform
from ddpg.algorithm.steps import Step
from ddpg.mistake import Mistake
from ddpg.pictures import Layout, layout_of
from ddpg.ranges import Choice, Widths
from ddpg.types import AnyArray, Key, Spec


@runtime_checkable
class Embedding(Protocol):
    """The parameters of an encoder, as a pytree of arrays. With leaves of NumPy it computes in NumPy."""

    def state(self, obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b z"]:
        """z: what the actor gets, and the critic."""
        ...

    def pair(self, z: Float[AnyArray, "b z"], action: Float[AnyArray, "b m"]) -> Float[AnyArray, "b x"]:
        """What joins z in the critic, at its `action_layer`."""
        ...

    def fitted(self, obs: Shaped[AnyArray, "b *obs"], rate: float) -> "Embedding":
        """Running statistics of its batch normalisation, if any, moved by `rate` towards those of a minibatch."""
        ...

    def steps(self) -> list[Step]:
        """`state`, for the files of networks."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """What the part `encoder` of an agent must answer."""

    def sizes(self, spec: Spec) -> tuple[int, int]:
        """How many numbers `state` and `pair` give."""
        ...

    def create(self, key: Key, spec: Spec) -> Embedding:
        """Parameters before training."""
        ...


@dataclass(frozen=True)
class Flat:
    """No encoder: z is the observation as one row of numbers, and the action joins it as it is."""

    kind: Literal["flat"] = field(default="flat", kw_only=True)

    def sizes(self, spec: Spec) -> tuple[int, int]:
        return spec.obs_size, spec.action_dim

    def create(self, key: Key, spec: Spec) -> "FlatEmbedding":
        return FlatEmbedding()


@register_dataclass
@dataclass(frozen=True)
class FlatEmbedding:
    """Without parameters."""

    def state(self, obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b z"]:
        return flatten_observation(obs)

    def pair(self, z: Float[AnyArray, "b z"], action: Float[AnyArray, "b m"]) -> Float[AnyArray, "b m"]:
        return action

    def fitted(self, obs: Shaped[AnyArray, "b *obs"], rate: float) -> "FlatEmbedding":
        return self

    def steps(self) -> list[Step]:
        return [Step("flatten")]


class Kernel(NamedTuple):
    """A convolution's shape."""

    size: int
    stride: int
    filters: int


class OfPictures:
    """What encoders of pictures have in common; each has these fields, and says its `layers`."""

    kind: Any
    activation: Any
    init: Any
    layers: Any

    def sizes(self, spec: Spec) -> tuple[int, int]:
        return convolved_size(self.layers, spec, self.kind), spec.action_dim

    def create(self, key: Key, spec: Spec) -> "PictureEmbedding":
        layout = _layout(spec, self.kind)
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


@register_dataclass
@dataclass(frozen=True)
class PictureEmbedding:
    """Convolutions, and what leaves them as one row of numbers."""

    layers: tuple[Convolution, ...]
    activation: str = field(metadata=STATIC)
    layout: Layout = field(metadata=STATIC)

    def state(self, obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b z"]:
        f = (IN_NUMPY if isinstance(obs, np.ndarray) else ACTIVATIONS)[self.activation]
        centred = self.layout(obs) - np.float32(0.5)  # around 0, if bytes were divided
        x = centred.transpose(3, 1, 2, 0)
        for layer in self.layers:
            x = layer(x, f)
        return flatten_observation(x.transpose(3, 1, 2, 0))

    def pair(self, z: Float[AnyArray, "b z"], action: Float[AnyArray, "b m"]) -> Float[AnyArray, "b m"]:
        return action

    def fitted(self, obs: Shaped[AnyArray, "b *obs"], rate: float) -> "PictureEmbedding":
        return self

    def steps(self) -> list[Step]:
        arrange = {"axes": np.array(self.layout.axes), "shape": np.array(self.layout.shape)}
        centre = Step("affine", {"gain": np.float32(1), "offset": np.float32(-0.5)})
        inside = steps(self.layers, self.activation, self.activation)
        return [Step("picture", arrange), centre, *inside, Step("flatten")]


def convolved_size(layers: list[Kernel], spec: Spec, kind: str) -> int:
    """How many numbers leave the last layer. Mistake if observations are no pictures, or too small for the layers."""
    height, width, _ = _layout(spec, kind).shape
    for i, (size, stride, _) in enumerate(layers):
        if size > min(height, width):
            raise Mistake(
                f"encoder {kind}: layer {i} looks at {size} x {size} of what has {height} x {width} then; "
                f"use fewer layers or smaller ones, or larger pictures (--pixels.size)"
            )
        height, width = ((length - size) // stride + 1 for length in (height, width))
    return height * width * layers[-1].filters


def _layout(spec: Spec, kind: str) -> Layout:
    layout = layout_of(spec.obs_shape)
    if layout is None:
        raise Mistake(
            f"encoder {kind}: an observation of shape {spec.obs_shape} is no picture; use --encoder flat, or --pixels "
            f"to see the environment as it draws itself"
        )
    return layout


def of_layers(path: str, **lists: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The numbers of each layer, of which one may stand for all. Mistake if lists are of different lengths."""
    count = max(map(len, lists.values()))
    if odd := [name for name, numbers in lists.items() if len(numbers) not in (1, count)]:
        given = ", ".join(f"{path}.{name} {','.join(map(str, numbers))}" for name, numbers in lists.items())
        raise Mistake(f"{given}: expected {count} numbers, or one, in {path}.{odd[0]} too")
    return list(zip(*(numbers * (count // len(numbers)) for numbers in lists.values()), strict=True))


AnyEncoder = Annotated[Flat | Conv | Patches, Discriminator("kind")]


def flatten_observation(obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b i"]:
    """One row of numbers per observation."""
    return obs.reshape(obs.shape[0], -1)
