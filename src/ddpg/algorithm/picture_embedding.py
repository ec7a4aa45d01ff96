"""What encoders of pictures compute: convolutions of one picture, or of each in a nested observation."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Float, Shaped

from ddpg.algorithm.convolution import Convolution
from ddpg.algorithm.layers import ACTIVATIONS, IN_NUMPY, STATIC, part, place, steps
from ddpg.algorithm.steps import Step
from ddpg.pictures import Layout, Part, replaced
from ddpg.types import AnyArray


class ActionAsItIs:
    """What embeddings have in common that leave the action as it is, and have no batch normalisation."""

    def pair(self, z: Float[AnyArray, "b z"], action: Float[AnyArray, "b m"]) -> Float[AnyArray, "b m"]:
        return action

    def pair_steps(self) -> list[Step]:
        return []

    def with_statistics(self, obs: Shaped[AnyArray, "b *obs"], rate: float) -> Any:
        return self


@register_dataclass
@dataclass(frozen=True)
class PictureEmbedding(ActionAsItIs):
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

    def steps(self) -> list[Step]:
        arrange = {"axes": np.array(self.layout.axes), "shape": np.array(self.layout.shape)}
        centre = Step("affine", {"gain": np.float32(1), "offset": np.float32(-0.5)})
        inside = steps(self.layers, self.activation, self.activation)
        return [Step("picture", arrange), centre, *inside, Step("flatten")]


@register_dataclass
@dataclass(frozen=True)
class PartsEmbedding(ActionAsItIs):
    """The pictures of a nested observation, each with its own embedding in its place; numbers stay as they are."""

    embeddings: tuple[PictureEmbedding, ...]
    parts: tuple[Part, ...] = field(metadata=STATIC)

    def state(self, obs: Float[AnyArray, "b i"]) -> Float[AnyArray, "b z"]:
        return replaced(obs, self.parts, [embedding.state for embedding in self.embeddings])

    def steps(self) -> list[Step]:
        """The last part first, since what lies before a part stays where it is when that is replaced."""
        program = list[Step]()
        for embedding, (begin, end, shape) in reversed(list(zip(self.embeddings, self.parts, strict=True))):
            program += [part(begin, end, shape), *embedding.steps(), place(begin, end)]
        return program


def flatten_observation(obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b i"]:
    """One row of numbers per observation."""
    return obs.reshape(obs.shape[0], -1)
