"""What an evaluation is: returns of greedy episodes, and how far the critic's values are from them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Float, Shaped

from ddpg.algorithm.nets import Nets
from ddpg.algorithm.normaliser import InputStats, normalise
from ddpg.algorithm.values import AnyValue
from ddpg.envs.episodes import Episodes
from ddpg.experience.return_scale import ReturnScale
from ddpg.hyperparameters import split, with_numbers
from ddpg.types import AnyArray


class Evaluation(NamedTuple):
    """One row per episode: undiscounted returns, discounted ones, the bias of Q(s_0, mu(s_0)), and |dQ/da| there.

    `discounted` is in the units the critic learns, and adds Q's estimate of the time after a time limit; `q_bias` is
    Q(s_0, mu(s_0)) minus that. `ends` are the first and the last observation of each episode.
    """

    returns: Float[AnyArray, " e"]
    discounted: Float[AnyArray, " e"]
    q_bias: Float[AnyArray, " e"]
    dq_da: Float[AnyArray, " e"]
    ends: Shaped[AnyArray, "two e *obs"]
    own: tuple[Float[AnyArray, " e"], ...] = ()  # as in `Episodes`

    def mean_returns(self) -> Float[np.ndarray, " s"]:
        """Of every seed, if the leaves are [S, e]."""
        return np.asarray(self.returns, float).mean(axis=1)

    def mean_own(self) -> list[Float[np.ndarray, " s"]]:
        """Each number of `info` over the episodes of every seed that ended with it; NaN if none did."""
        with np.errstate(invalid="ignore"):
            return [np.nansum(each, axis=1) / np.isfinite(each).sum(axis=1) for each in self.own]


class Evaluator(Protocol):
    """Plays greedy episodes from starts that depend on a seed alone: the same for every agent and run."""

    def optimum(self) -> float | None:
        """The best mean return from these very starts, if it is known."""
        ...

    def __call__(self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None) -> Evaluation:
        """Of every seed: leaves [S, ...] -> [S, e]. Raises EnvironmentFailure if an environment misbehaves."""
        ...

    def compile(
        self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None
    ) -> Callable[..., Evaluation]:
        """The same, compiled ahead for networks like these."""
        ...

    def warnings(self) -> dict[str, str]:
        """Of the last evaluation: a line for each kind."""
        ...

    def stop_when(self, now: Callable[[], bool]) -> None:
        """Ask `now` while Python steps the environments; Cancelled if it answers true."""
        ...

    def close(self) -> None:
        """Close the environments."""
        ...


@dataclass(frozen=True)
class CriticComparison:
    """Compares the critic's values with the returns of episodes."""

    value: AnyValue
    gamma: float
    reward_scale: float = 1.0

    def __call__(
        self, nets: Nets, stats: InputStats, return_scale: ReturnScale | None, episodes: Episodes
    ) -> Evaluation:
        """In the units the critic learns."""
        first, last = normalise(episodes.first, stats), normalise(episodes.last, stats)

        # Q itself estimates the return after a time limit, as in training: the comparison is of what was played.
        def q(obs: Float[Array, "e *obs"], action: Float[Array, "e m"]) -> Float[Array, " e"]:
            return self.value.mean(nets.q(obs, action))[0]

        tail = jnp.where(episodes.tail > 0, episodes.tail * q(last, nets.mu(last)), 0.0)
        value, vjp = jax.vjp(lambda action: q(first, action), nets.mu(first))
        (dq_da,) = vjp(jnp.ones_like(value))
        scale = self.reward_scale if return_scale is None else return_scale.scale
        total, ends = scale * episodes.discounted + tail, jnp.stack([episodes.first, episodes.last])
        return Evaluation(episodes.returns, total, value - total, jnp.linalg.norm(dq_da, axis=-1), ends)


def compiled_comparison(judge: CriticComparison) -> Callable[..., Evaluation]:
    """The same as `judge`, compiled once for all numbers."""
    structure, numbers = split(judge)
    return partial(_comparison(structure), numbers)


@cache
def _comparison(structure: CriticComparison) -> Wrapped:
    return jax.jit(lambda numbers, *inputs: with_numbers(structure, numbers)(*inputs))
