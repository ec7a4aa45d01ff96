"""Parameter noise: exploration by noise on the weights of the actor."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Gt
from jax import Array
from jaxtyping import Bool, Float, Shaped

from ddpg.algorithm.norms import NORMS
from ddpg.algorithm.random import draw_uniform, to_normal
from ddpg.ranges import Natural, Positive
from ddpg.schedules import Constant, Schedule, StepCount
from ddpg.types import AnyArray, Key, PyTree


@dataclass(frozen=True)
class ParameterNoise:
    """Noise on the actor's weights instead of its actions, the same for many steps (Plappert et al. 2018).

    The standard deviation of the weights begins at `begin_sigma`. It grows or shrinks by `growth` every 50 environment
    steps, until actions differ by about `sigma` (section 3, "Adaptive noise scaling"). New noise is drawn
    every `steps` steps. An actor with layer normalisation (`--actor.block.norm layer`) is what the paper asks for;
    scales and shifts of normalisations get no noise.
    """

    kind: Literal["parameters"] = field(default="parameters", kw_only=True)
    sigma: Positive = 0.2
    begin_sigma: Positive = 0.05
    growth: Annotated[Positive, Gt(1)] = 1.01
    steps: Natural = 200
    schedule: Schedule = Constant()

    def init_state(self, n: int, m: int) -> Float[np.ndarray, "n 0"]:
        return np.zeros((n, 0), np.float32)

    def __call__(
        self,
        state: Float[AnyArray, "n 0"],
        normal: Float[AnyArray, "n m"],
        start: Bool[AnyArray, " n"],
        step: StepCount,
    ) -> tuple[Float[AnyArray, "n 0"], Float[AnyArray, "n m"]]:
        return state, 0 * normal

    def perturb(self, actor: PyTree, scale: Float[Array, ""], key: Key) -> PyTree:
        """The actor with N(0, scale^2) added to each of its numbers, except those of normalisations."""

        def is_norm(x: PyTree) -> bool:
            return isinstance(x, tuple(NORMS.values()))

        parts, tree = jax.tree.flatten(actor, is_leaf=is_norm)
        sizes = [0 if is_norm(x) else x.size for x in parts]
        noise = jnp.split(to_normal(draw_uniform(key, (sum(sizes),))), np.cumsum(sizes)[:-1])
        return tree.unflatten(
            [x + scale * e.reshape(x.shape) if n else x for x, n, e in zip(parts, sizes, noise, strict=True)]
        )

    def adapt(
        self,
        scale: Float[Array, ""],
        policy: Callable[[Array], Array],
        perturbed: Callable[[Array], Array],
        obs: Shaped[Array, "b *obs"],
        step: StepCount,
        interval: int,
    ) -> Float[Array, ""]:
        """A larger scale if the actions of the two policies differ by less than sigma, else a smaller one.

        `interval` is the number of steps between two calls; the rate of change per step does not depend on it.
        """
        distance = jnp.sqrt(jnp.mean(jnp.square(perturbed(obs) - policy(obs))))
        growth = self.growth ** (interval / 50)
        return jnp.where(distance < self.sigma * self.schedule(step), scale * growth, scale / growth)


class Perturbed(NamedTuple):
    """The actor with noise on its weights, which acts, and the scale of that noise."""

    actor: PyTree
    scale: Float[Array, ""]
