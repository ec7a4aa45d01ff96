"""Encoders: what the networks get to see of an observation, and of the action beside it.

An encoder's parameters are trained by the critic's loss alone, with the critic's optimiser, and have a target copy.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from jax.tree_util import register_dataclass
from jaxtyping import Float, Shaped

from ddpg.algorithm.steps import Step
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

    def init(self, key: Key, spec: Spec) -> Embedding:
        """Parameters before training."""
        ...


@dataclass(frozen=True)
class Flat:
    """No encoder: z is the observation as one row of numbers, and the action joins it as it is."""

    kind: Literal["flat"] = field(default="flat", kw_only=True)

    def sizes(self, spec: Spec) -> tuple[int, int]:
        return spec.obs_size, spec.action_dim

    def init(self, key: Key, spec: Spec) -> "FlatEmbedding":
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


AnyEncoder = Flat  # a union, once there are several


def flatten_observation(obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b i"]:
    """One row of numbers per observation."""
    return obs.reshape(obs.shape[0], -1)
