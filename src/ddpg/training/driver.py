"""What a driver must answer: it turns the iterations of all seeds, a chunk at a time."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from ddpg.algorithm.nets import Nets
from ddpg.algorithm.normaliser import InputStats
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.experience.return_scale import ReturnScale
from ddpg.training.learner import LearnerState
from ddpg.types import AnyArray, Keys, Metrics, PyTree, Row


class OwnMean(NamedTuple):
    """A number of `info`: its mean over the episodes that ended with it, and how many did."""

    mean: Float[AnyArray, ""]
    episodes: Int[AnyArray, ""]


class ActorsReport(NamedTuple):
    """Of iterations whose blocks actors collected."""

    staleness: Float[AnyArray, ""]  # updates since the parameters with which they collected
    waiting: Float[AnyArray, ""]  # share of the time in which the learner waited for them
    replaced: Int[AnyArray, ""]  # of them, because they had died


class Report(NamedTuple):
    """Iterations of one seed: means over their updates, and over the episodes that ended in them."""

    metrics: Metrics
    episode_return: Float[AnyArray, ""]
    episodes: Int[AnyArray, ""]
    lowest_reward: Float[AnyArray, ""]  # of the steps that had one; infinite if there was none
    highest_reward: Float[AnyArray, ""]
    own: tuple[OwnMean, ...] = ()  # by the keys of the configuration's log
    actors: ActorsReport | None = None


Program = Callable[[np.int32, int], Report]
"""(t0, n) -> the report of each of n compiled iterations from t0 on, leaves [n, S].

ChunkInterrupted if an environment misbehaves, or the driver is to stop before the end.
"""


class Learned(NamedTuple):
    """The networks of every seed [S, ...] with what their use needs, in NumPy."""

    online: Nets
    target: Nets
    stats: InputStats
    return_scale: ReturnScale | None
    scale_of_updates: Float[AnyArray, " s"] | None = None  # with which the networks learn that are not evaluated
    score: Float[AnyArray, " s"] | None = None  # of the assessed policy that `online` is; -inf before any

    @classmethod
    def of(cls, state: LearnerState) -> "Learned":
        own = state.evaluated, state.agent.target, state.stats, state.evaluated_scale
        return cls(*own) if state.assessed is None else cls(*own, state.candidate.scale, state.assessed.best_score)

    def reward_scales(self, chosen: float) -> Float[np.ndarray, " s"]:
        """By what rewards are multiplied for each seed: `chosen`, unless returns are scaled by their own range."""
        if self.return_scale is None:
            return np.full(len(jax.tree.leaves(self.online)[0]), chosen)
        return np.asarray(self.return_scale.scale, float)

    def reward_scales_of_updates(self, chosen: float) -> Float[np.ndarray, " s"]:
        """The same for what updates measure."""
        own = self.scale_of_updates
        return self.reward_scales(chosen) if own is None else np.asarray(own, float)

    def reward_scales_of_targets(self, chosen: float) -> Float[np.ndarray, " s"]:
        """The same for the target networks."""
        if self.return_scale is None:
            return self.reward_scales(chosen)
        return np.asarray(self.return_scale.scale_of_targets, float)

    @property
    def evaluation_inputs(self) -> tuple[Nets, InputStats, ReturnScale | None]:
        return self.online, self.stats, self.return_scale


class Lent(NamedTuple):
    """The driver's environments, for evaluations to play in, and how to give back the first so many of them."""

    envs: Sequence[CheckedEnv]
    give_back: Callable[[int], None]


class Driver(Protocol):
    """The state of every seed, and how it moves on.

    `Scan` compiles whole chunks with JAX-native environments; `Host` steps Python environments beside the learner;
    `Actors` has them stepped in processes of a Ray cluster.
    """

    @property
    def notes(self) -> Sequence[str]:
        """What to say of it when a run begins."""
        ...

    def start(self, keys: Keys) -> None:
        """Go to the first iteration. Once only."""
        ...

    def compile(self, *, longest: int, learning: bool) -> Program:
        """Compile iterations for chunks of at most so many."""
        ...

    def read(self) -> Learned:
        """A copy of the networks as they are now."""
        ...

    def snapshot(self, newest: int | None = None) -> PyTree:
        """All that `resume` needs, in NumPy arrays that nothing changes any more; leaves [S, ...].

        With `newest` only so many rows of the observations that a replay has in an array of their own, in order.
        """
        ...

    def snapshot_shapes(self, keys: Keys) -> PyTree:
        """The shapes that `snapshot` may give; -n stands for any length up to n."""
        ...

    def resume(self, snapshot: PyTree, keys: Keys) -> list[str]:
        """Go to where the snapshot was taken; a line for each thing that could not be restored.

        Raises Mistake if it is not of this loop, and EnvironmentFailure if an environment misbehaves while its
        episode is replayed.
        """
        ...

    def stop_when(self, soon: Callable[[], bool], now: Callable[[], bool], unsaved: Callable[[], int | None]) -> None:
        """Ask `soon` every second or so, between iterations, and `now` within one that takes longer.

        That one is cancelled: the driver is then what it was before it, for `read` and `snapshot` alone, and that
        with the `unsaved` newest rows at most.
        """
        ...

    def lend(self) -> Lent | None:
        """Its environments, or None if they cannot be lent: if they are compiled, or in other processes."""
        ...

    def close(self) -> None:
        """Close the environments."""
        ...


class ChunkInterrupted(Exception):
    """A chunk ended early, after so many iterations: an environment failed (`error`), or it was to stop."""

    def __init__(self, iterations: int, error: EnvironmentFailure | None, report: Report | None) -> None:
        super().__init__(str(error))
        self.iterations, self.error, self.report = iterations, error, report


def reward_range(block: Row, axis: int | tuple[int, ...] | None = None) -> tuple[AnyArray, AnyArray]:
    """The lowest and the highest reward of a block, of which boundary rows have none."""
    xp = block.reward.__array_namespace__()
    low = xp.where(block.boundary, xp.inf, block.reward).min(axis=axis)
    return low, xp.where(block.boundary, -xp.inf, block.reward).max(axis=axis)


def own_mean(numbers: Float[Array, "k n"]) -> OwnMean:
    """Of a number of `info` at the ends of episodes, NaN elsewhere."""
    return OwnMean(jnp.nanmean(numbers), jnp.sum(jnp.isfinite(numbers)))


def mean_metrics(metrics: Metrics) -> Metrics:
    """Means over updates [u]: the actor's over those that moved it, the critic's over all, so that NaN shows."""
    mean = jax.tree.map(jnp.nanmean, metrics)
    return mean._replace(q=jnp.mean(metrics.q), critic_loss=jnp.mean(metrics.critic_loss))
