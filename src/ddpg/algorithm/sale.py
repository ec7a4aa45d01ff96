"""SALE: embeddings of a state and of its action that are trained to predict the next state's (TD7)."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.tree_util import register_dataclass
from jaxtyping import Float, Shaped

from ddpg.algorithm.initialisers import AnyInitialiser, FanIn
from ddpg.algorithm.layers import ACTIVATIONS, IN_NUMPY, STATIC, Activation, Layers, forward, part, place, steps
from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.norms import AvgL1Norm
from ddpg.algorithm.picture_embedding import flatten_observation
from ddpg.algorithm.steps import Step
from ddpg.ranges import Choice, Natural, Positive, Widths
from ddpg.types import AnyArray, Key, PyTree, Spec, Transition


@register_dataclass
@dataclass(frozen=True)
class SaleEmbedding:
    """z_s = f(s) and z_sa = g(z_s, a). `state` gives z_s and s, `pair` a and z_sa: s and a lie side by side."""

    f: Layers
    g: Layers
    activation: str = field(metadata=STATIC)

    def state(self, obs: Shaped[AnyArray, "b *obs"]) -> Float[AnyArray, "b z"]:
        s = flatten_observation(obs)
        return s.__array_namespace__().concatenate([self.embedded(s), s], axis=-1)

    def pair(self, z: Float[AnyArray, "b z"], action: Float[AnyArray, "b m"]) -> Float[AnyArray, "b x"]:
        z_s = z[:, : len(self.f[-1].bias)]
        return action.__array_namespace__().concatenate([action, self.predicted(z_s, action)], axis=-1)

    def embedded(self, s: Float[AnyArray, "b i"]) -> Float[AnyArray, "b z"]:
        """z_s = f(s)."""
        return forward(self.f, s, self._activation(s), _linear)

    def predicted(self, z_s: Float[AnyArray, "b z"], action: Float[AnyArray, "b m"]) -> Float[AnyArray, "b z"]:
        """z_sa = g(z_s, a), which is to be f(s')."""
        x = action.__array_namespace__().concatenate([z_s, action], axis=-1)
        return forward(self.g, x, self._activation(x), _linear)

    def with_statistics(self, obs: Shaped[AnyArray, "b *obs"], rate: float) -> "SaleEmbedding":
        return self

    def steps(self) -> list[Step]:
        inner = steps(self.f, self.activation, None)
        return [Step("flatten"), part(0, len(self.f[0].weight)), *inner, place(0, 0)]

    def pair_steps(self) -> list[Step]:
        """Of [z_s, s, a]: g sees s, too, by weights of 0."""
        z, s = len(self.f[-1].bias), len(self.f[0].weight)
        weight = np.insert(np.asarray(self.g[0].weight), [z] * s, 0.0, axis=0)
        wider, end = (replace(self.g[0], weight=weight), *self.g[1:]), len(weight)
        return [part(0, end), *steps(wider, self.activation, None), place(end, end)]

    def _activation(self, x: AnyArray) -> Activation:
        return (IN_NUMPY if isinstance(x, np.ndarray) else ACTIVATIONS)[self.activation]


def _linear(x: AnyArray) -> AnyArray:
    return x


class EncoderTraining(NamedTuple):
    """An encoder in training by its own loss, and its optimiser; networks get a copy when the targets move."""

    encoder: SaleEmbedding
    opt: PyTree


@dataclass(frozen=True)
class Sale:
    """State-action learned embeddings (SALE: Fujimoto et al. 2023) of `size` numbers each.

    f and g are trained to make g(f(s), a) equal to f(s'), by their own Adam. Actor and critic see the embeddings
    beside s and a, and get a copy of f and g with each update of the targets, whose encoder becomes what they saw.
    `widths` are those of the hidden layers of f and of g.
    """

    kind: Literal["sale"] = field(default="sale", kw_only=True)
    size: Natural = 256
    widths: Widths = (256, 256)
    activation: Annotated[str, Choice(ACTIVATIONS)] = "elu"
    init: AnyInitialiser = FanIn()
    lr: Positive = 3e-4

    def sizes(self, spec: Spec) -> tuple[int, int]:
        return self.size + spec.obs_size, spec.action_dim + self.size

    def embedded(self, spec: Spec) -> list[range]:
        return [range(self.size)]

    def create(self, key: Key, spec: Spec) -> SaleEmbedding:
        recipe, (f_key, g_key) = NetworkConfig(widths=self.widths, init=self.init), jax.random.split(key)
        *hidden, last = recipe.layers(f_key, spec.obs_size, 0, self.size)
        g = recipe.layers(g_key, self.size + spec.action_dim, 0, self.size)
        return SaleEmbedding((*hidden, replace(last, after=AvgL1Norm())), g, self.activation)

    def begin(self, encoder: Any) -> EncoderTraining:
        return EncoderTraining(jax.tree.map(jnp.copy, encoder), optax.adam(self.lr).init(encoder))

    def learn(self, training: EncoderTraining | None, batch: Transition) -> EncoderTraining | None:
        """One step down the mean of (g(f(s), a) - f(s'))^2, of which f(s') is given."""
        if training is None:
            return None
        encoder, opt = training
        following = batch.next_obs if batch.following is None else batch.following
        next_z = encoder.embedded(flatten_observation(following))

        def loss(encoder: SaleEmbedding) -> Float[Array, ""]:
            predicted = encoder.predicted(encoder.embedded(flatten_observation(batch.obs)), batch.action)
            return jnp.mean(batch.weight[:, None] * jnp.square(predicted - next_z))

        updates, opt = optax.adam(self.lr).update(jax.grad(loss)(encoder), opt)
        return EncoderTraining(jax.tree.map(jnp.add, encoder, updates), opt)
