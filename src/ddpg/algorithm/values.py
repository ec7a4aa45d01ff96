"""Values: how the outputs of a critic are read as a return, and how they are trained."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from annotated_types import Ge
from jax import Array
from jaxtyping import Float
from pydantic import Discriminator

from ddpg.algorithm.layers import STATIC
from ddpg.algorithm.steps import Step
from ddpg.mistake import Mistake
from ddpg.ranges import Finite, Natural, Positive
from ddpg.types import Transition


@runtime_checkable
class Value(Protocol):
    """What the part `value` of an agent must answer. Predictions are [*k, b, outputs], of K critics or of one."""

    @property
    def outputs(self) -> int:
        """Numbers that a critic gives per state and action."""
        ...

    @property
    def predicts_returns(self) -> bool:
        """Whether each output is a return, to which `DPG.clip_values` applies."""
        ...

    @property
    def scales_returns(self) -> bool:
        """Whether returns must come scaled into [-1, 1]."""
        ...

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest return that can be represented."""
        ...

    def mean(self, prediction: Float[Array, "*k b outputs"]) -> Float[Array, "*k b"]:
        """Q, the expected return."""
        ...

    def steps(self) -> list[Step]:
        """`mean`, for the files of critics: from the outputs to one number per state and action."""
        ...

    def target(
        self, reward: Float[Array, " b"], discount: Float[Array, " b"], prediction: Float[Array, "b outputs"]
    ) -> Float[Array, "b outputs"]:
        """y = r + gamma Q'(s', mu'(s')), in the form that `loss` takes; `discount` is 0 after a true end."""
        ...

    def loss(self, prediction: Float[Array, "*k b outputs"], target: Float[Array, "b outputs"]) -> Float[Array, "*k b"]:
        """What the critic minimises, per sample."""
        ...

    def error(
        self, prediction: Float[Array, "*k b outputs"], target: Float[Array, "b outputs"]
    ) -> Float[Array, "*k b"]:
        """The size of the TD error, by which prioritised replay goes: 0 if nothing is left to learn."""
        ...


@dataclass(frozen=True)
class Scalar:
    """One number per state and action, learned by the squared error (the article's equations 1 and 2).

    If `huber` is set, the loss is half the square up to that error and linear beyond it (Huber 1964).
    """

    kind: Literal["scalar"] = field(default="scalar", kw_only=True)
    huber: Positive | None = None

    @property
    def outputs(self) -> int:
        return 1

    @property
    def predicts_returns(self) -> bool:
        return True

    @property
    def scales_returns(self) -> bool:
        return False

    @property
    def bounds(self) -> tuple[float, float]:
        return -np.inf, np.inf

    def mean(self, prediction: Float[Array, "*k b 1"]) -> Float[Array, "*k b"]:
        return prediction[..., 0]

    def steps(self) -> list[Step]:
        return []

    def target(
        self, reward: Float[Array, " b"], discount: Float[Array, " b"], prediction: Float[Array, "b 1"]
    ) -> Float[Array, "b 1"]:
        return reward[:, None] + discount[:, None] * prediction

    def loss(self, prediction: Float[Array, "*k b 1"], target: Float[Array, "b 1"]) -> Float[Array, "*k b"]:
        if self.huber is not None:
            return optax.huber_loss(prediction, target, delta=self.huber)[..., 0]
        return jnp.square(prediction - target)[..., 0]

    def error(self, prediction: Float[Array, "*k b 1"], target: Float[Array, "b 1"]) -> Float[Array, "*k b"]:
        return jnp.abs(prediction - target)[..., 0]


@dataclass(frozen=True)
class Categorical:
    """A distribution over `atoms` returns from `low` to `high`, as logits (Bellemare et al. 2017; D4PG).

    Without `low` and `high`, returns are scaled into [-1, 1] by the largest so far, and these are the bounds.
    """

    kind: Literal["categorical"] = field(default="categorical", kw_only=True)
    atoms: Annotated[Natural, Ge(2)] = 51
    low: Finite | None = field(default=None, metadata=STATIC)  # NumPy computes the support, in 64 bits
    high: Finite | None = field(default=None, metadata=STATIC)

    @property
    def outputs(self) -> int:
        return self.atoms

    @property
    def predicts_returns(self) -> bool:
        return False  # they are logits; the returns of the atoms have bounds already

    @property
    def scales_returns(self) -> bool:
        return self.low is None or self.high is None

    @property
    def bounds(self) -> tuple[float, float]:
        return (-np.inf, np.inf) if self.low is None or self.high is None else (self.low, self.high)

    @property
    def support(self) -> np.ndarray:
        """The returns z_i [atoms]."""
        low, high = (-1.0, 1.0) if self.low is None or self.high is None else (self.low, self.high)
        return np.linspace(low, high, self.atoms)

    def mean(self, prediction: Float[Array, "*k b atoms"]) -> Float[Array, "*k b"]:
        return jax.nn.softmax(prediction) @ self.support

    def steps(self) -> list[Step]:
        return [Step("softmax"), Step("dense", {"weight": self.support[:, None], "bias": np.zeros(1)})]

    def target(
        self, reward: Float[Array, " b"], discount: Float[Array, " b"], prediction: Float[Array, "b atoms"]
    ) -> Float[Array, "b atoms"]:
        """Probabilities of r + gamma Z'(s', mu'(s')), each shared by its two neighbouring atoms (C51, algorithm 1)."""
        z, atoms, p = self.support, np.arange(self.atoms), jax.nn.softmax(prediction)
        moved = jnp.clip(reward[:, None] + discount[:, None] * z, z[0], z[-1])
        position = (moved - z[0]) / (z[1] - z[0])  # in atoms, between two of them

        def add_share(i: Array, m: Float[Array, "b atoms"]) -> Float[Array, "b atoms"]:
            share = jnp.clip(1 - jnp.abs(position[:, i, None] - atoms), 0, 1)
            return m + p[:, i, None] * share

        # Atom by atom: all shares at once are [b, atoms, atoms], a gigabyte for minibatches of FastTD3's size.
        return jax.lax.fori_loop(0, self.atoms, add_share, jnp.zeros_like(p), unroll=16)

    def loss(self, prediction: Float[Array, "*k b atoms"], target: Float[Array, "b atoms"]) -> Float[Array, "*k b"]:
        """The cross-entropy."""
        return -jnp.sum(target * jax.nn.log_softmax(prediction), axis=-1)

    def error(self, prediction: Float[Array, "*k b atoms"], target: Float[Array, "b atoms"]) -> Float[Array, "*k b"]:
        """The root of the relative entropy: 0 if nothing is left to learn, and linear near it, as |y - Q| is."""
        relative = self.loss(prediction, target) + jnp.sum(jax.scipy.special.xlogy(target, target), axis=-1)
        return jnp.sqrt(jnp.maximum(relative, 0.0))  # which rounding can leave below 0

    def check(self, path: str) -> None:
        """Both bounds are set, the lower one first, or neither is."""
        low, high = self.low, self.high
        if low is not None and high is not None:
            if low >= high:
                raise Mistake(f"{path}.low {low:g} is not below {path}.high {high:g}; use a smaller --{path}.low")
        elif low is not None or high is not None:
            name, missing = ("high", "low") if low is None else ("low", "high")
            bound = f"{path}.{name} {getattr(self, name):g}"
            raise Mistake(f"{bound}: {path}.{missing} is missing; use both, or neither")


AnyValue = Annotated[Scalar | Categorical, Discriminator("kind")]


class ValueRange(NamedTuple):
    """A range of returns that grows with each minibatch, and what it was when the target networks last moved.

    Q' is clipped to the latter, which is [0, 0] before they first move. `RANGES` says of which returns.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]
    clip_low: Float[Array, ""]
    clip_high: Float[Array, ""]

    @classmethod
    def empty(cls) -> "ValueRange":
        return cls(jnp.float32(jnp.inf), jnp.float32(-jnp.inf), jnp.float32(0), jnp.float32(0))

    def clip(self, prediction: Float[Array, "b n"]) -> Float[Array, "b n"]:
        return jnp.clip(prediction, self.clip_low, self.clip_high)

    def extended(self, returns: Float[Array, "b n"], weight: Float[Array, " b"]) -> "ValueRange":
        """The range extended by the returns of a minibatch, without samples of weight 0, which are no transitions."""
        known = weight[:, None] > 0
        low, high = jnp.min(jnp.where(known, returns, jnp.inf)), jnp.max(jnp.where(known, returns, -jnp.inf))
        return self._replace(low=jnp.minimum(self.low, low), high=jnp.maximum(self.high, high))

    def unclipped(self) -> "ValueRange":
        return self._replace(clip_low=jnp.float32(-jnp.inf), clip_high=jnp.float32(jnp.inf))

    def with_clip_updated(self) -> "ValueRange":
        """The range as it is when the target networks move."""
        return ValueRange(self.low, self.high, self.low, self.high)


def repeated_rewards(y: Float[Array, "b n"], batch: Transition) -> Float[Array, "b 2"]:
    """The return R / (1 - gamma^n) that each sample would have if its rewards came again and again; none with gamma 1.

    With V the largest of all, R + gamma^n V is at most V, so no policy has more where rewards are like those so far.
    """
    endless = batch.discount == 1
    repeated = batch.reward / jnp.where(endless, 1.0, 1 - batch.discount)
    return jnp.stack([jnp.where(endless, -jnp.inf, repeated), jnp.where(endless, jnp.inf, repeated)], axis=1)


# Of which returns Q' stays in the range: of all targets so far (TD7), or of all that the rewards so far allow.
RANGES = {"targets": lambda y, batch: y, "rewards": repeated_rewards}


def clipped_double_q(prediction: Float[Array, "k b size"], q: Float[Array, "k b"]) -> Float[Array, "b size"]:
    """Per sample, the member with the smallest mean (TD3, section 4.2); with one member, that member."""
    if prediction.shape[0] == 1:
        return prediction[0]
    return jnp.take_along_axis(prediction, jnp.argmin(q, axis=0)[None, :, None], axis=0)[0]
