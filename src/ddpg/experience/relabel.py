"""Hindsight experience replay: windows as if what was achieved later had been desired (Andrychowicz et al. 2017)."""

from dataclasses import dataclass, field
from math import prod
from typing import Annotated, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, UInt32
from pydantic import Discriminator

from ddpg.experience.ring import Ring, rows_at
from ddpg.experience.sampling import Index
from ddpg.ranges import NonNegative
from ddpg.types import AnyArray, Row, Spec


class Goals(NamedTuple):
    """Where a flat observation has the achieved and the desired goal, and the shape of either in the environment."""

    achieved: int
    desired: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)

    def achieved_in(self, obs: Float[AnyArray, "*b d"]) -> Float[AnyArray, "*b g"]:
        return obs[..., self.achieved : self.achieved + self.size]

    def desired_in(self, obs: Float[AnyArray, "*b d"]) -> Float[AnyArray, "*b g"]:
        return obs[..., self.desired : self.desired + self.size]

    def with_desired(self, obs: Float[Array, "*b d"], goal: Float[Array, "*b g"]) -> Float[Array, "*b d"]:
        """The observations with these goals in the place of theirs."""
        return jnp.concatenate([obs[..., : self.desired], goal, obs[..., self.desired + self.size :]], axis=-1)


def goals_of(spec: Spec) -> Goals | None:
    """The goals of a Dict observation with the parts `achieved_goal` and `desired_goal`; None if it has none."""
    starts = dict(zip((part.path for part in spec.parts), [0, *spec.ends], strict=False))
    parts = {part.path: part for part in spec.parts}
    achieved, desired = (parts.get((name,)) for name in ("achieved_goal", "desired_goal"))
    if achieved is None or desired is None or spec.obs_dtype != "float32":
        return None
    if achieved.shape != desired.shape or achieved.counts or desired.counts:
        return None
    return Goals(starts[achieved.path], starts[desired.path], achieved.shape)


class Hindsight(NamedTuple):
    """What a minibatch of windows of n + 1 rows would be in hindsight."""

    relabelled: Bool[Array, " b"]  # which get another goal
    goal: Float[Array, "b g"]  # it
    achieved: Float[Array, "n b g"]  # after each of their n steps


class HindsightRewards(NamedTuple):
    """The environment's rewards for the achieved goals, if `goal` had been desired; and its true ends, if it has any.

    Without those an episode ends as it did.
    """

    reward: Float[AnyArray, "*u n b"]
    terminated: Bool[AnyArray, "*u n b"] | None


@dataclass(frozen=True)
class AsStored:
    """Every transition with the goal that it had."""

    kind: Literal["none"] = field(default="none", kw_only=True)


@dataclass(frozen=True)
class Future:
    """A share of k / (1 + k) of the transitions gets a goal that was achieved later in their episode.

    The strategy `future` (Andrychowicz et al. 2017, section 4.5): that of one of the observations that followed, all
    equally likely; the next one is the first of them. Of an open episode they are those that are stored.
    """

    kind: Literal["future"] = field(default="future", kw_only=True)
    k: NonNegative = 4.0

    def draw(
        self, ring: Ring, goals: Goals, index: Index, window: Row, words: UInt32[Array, "two b"], spec: Spec
    ) -> Hindsight:
        """For windows whose first rows are at `index`, two random words each."""
        rows, n = ring.columns.shape[:2]
        row, env = index // n, index % n
        assert ring.ends is not None
        later = jnp.maximum(ring.ends.later(row, env), 1)  # of a boundary row nothing: its weight is 0
        ahead = 1 + (words[0] % later.astype(jnp.uint32)).astype(jnp.int32)
        (chosen,) = rows_at(ring, ((row + ahead) % rows * n + env)[None], spec).obs
        share = self.k / (1 + self.k)
        relabelled = (words[1] >> 8) * np.float32(2**-24) < share
        return Hindsight(relabelled, goals.achieved_in(chosen), goals.achieved_in(window.obs[1:]))


AnyRelabelling = Annotated[AsStored | Future, Discriminator("kind")]


def relabel(window: Row, goals: Goals, hindsight: Hindsight, hindsight_rewards: HindsightRewards) -> Row:
    """Windows [n + 1, b, ...] with the goals, rewards and true ends of hindsight.

    An end that is none for the new goal stays one of the episode, as at a time limit.
    """
    new, n = hindsight.relabelled, len(hindsight.achieved)
    goal = jnp.broadcast_to(hindsight.goal, (n + 1, *hindsight.goal.shape))
    obs = jnp.where(new[:, None], goals.with_desired(window.obs, goal), window.obs)
    reward = window.reward.at[:n].set(jnp.where(new, hindsight_rewards.reward, window.reward[:n]))
    if hindsight_rewards.terminated is None:
        return window._replace(obs=obs, reward=reward)
    ended = window.terminated | window.truncated
    # A boundary row is no step: what is achieved after it belongs to the next episode.
    now = jnp.where(new & ~window.boundary[:n], hindsight_rewards.terminated, window.terminated[:n])
    terminated = window.terminated.at[:n].set(now)
    return window._replace(obs=obs, reward=reward, terminated=terminated, truncated=ended & ~terminated)
