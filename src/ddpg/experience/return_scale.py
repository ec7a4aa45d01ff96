"""The scale of returns: what rewards are multiplied by so that returns lie within [-1, 1]."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from ddpg.hyperparameters import Number
from ddpg.types import AnyArray, Row, Transition


class ReturnScale(NamedTuple):
    """The running discounted sum of rewards of each of N environments, G <- gamma G + r, and the largest so far.

    It grows as large as the returns that are to be predicted, which are the same sums read backwards. The products
    are carried from step to step: if product and sum were one operation, the compiler would round once or twice as
    it likes, and a seed among many would differ from that seed alone.
    """

    product: Float[AnyArray, " n"]  # gamma G, to which the next reward is added
    power: Float[AnyArray, " n"]  # gamma^(t+1), t steps into the episode
    least_power: Float[AnyArray, ""]  # gamma^T of the longest episode that ended; 1 before any
    largest: Float[AnyArray, ""]  # |G|
    scale: Float[AnyArray, ""]  # of rewards, renewed when the targets move
    scale_of_targets: Float[AnyArray, ""]  # with which the target critic is taken to have learned

    def before_learning(self) -> "ReturnScale":
        """While nothing has been learned, the newest scale holds at once."""
        return self._replace(scale=self.newest_scale, scale_of_targets=self.newest_scale)

    def scaled(self, batch: Transition) -> Transition:
        """With rewards and Q' in the same unit.

        Rewards shrink as better policies have larger returns. If Q' did not shrink with them, it would be too large by
        as much, and with gamma 0.99 a hundred moves of the targets would pass until that is forgotten. The online
        critic has the updates between two moves to learn the new scale; what it has not learned by then stays.
        """
        ratio = self.scale / self.scale_of_targets
        return batch._replace(reward=self.scale * batch.reward, discount=ratio * batch.discount)

    def after_update(self, moved: Bool[Array, ""], tau: Number) -> "ReturnScale":
        """After an update, in which the targets may have `moved`, with the Polyak coefficient `tau`."""
        of_targets = tau * self.scale + (1 - tau) * self.scale_of_targets
        return self._replace(
            scale=jnp.where(moved, self.newest_scale, self.scale),
            scale_of_targets=jnp.where(moved, of_targets, self.scale_of_targets),
        )

    @property
    def newest_scale(self) -> Float[Array, ""]:
        """The factor of rewards by which returns lie within [-1, 1] (SimbaV2, Lee et al. 2025, equation 19).

        A quarter of room is left for the larger returns of a better policy.
        """
        return jnp.where(self.largest > 0, 1 / (1.25 * self.largest), 1.0)


def init_return_scale(n: int, gamma: Number) -> ReturnScale:
    """Before the first step."""
    return ReturnScale(
        product=jnp.zeros((n,)),
        power=jnp.full((n,), gamma, jnp.float32),
        least_power=jnp.float32(1),
        largest=jnp.float32(0),
        scale=jnp.float32(1),
        scale_of_targets=jnp.float32(1),
    )


def update_return_scale(scale: ReturnScale, block: Row, gamma: Number) -> ReturnScale:
    """After one more block of rows [K, N, ...].

    At a time limit the critic bootstraps: if T steps' rewards repeat for ever, the return is G / (1 - gamma^T). An
    episode that is cut when others were longer is at no limit, as one cut for an assessment; there G alone counts, for
    a few steps' rewards tell nothing of those that would have followed.
    """

    def step(
        state: tuple[Array, Array, Array], row: tuple[Array, ...]
    ) -> tuple[tuple[Array, Array, Array], Float[Array, " n"]]:
        (product, power, least), (reward, boundary, terminated, truncated) = state, row
        total = jnp.where(boundary, 0.0, product + reward)
        cut = truncated & ~terminated  # a true end at the time limit is a true end, as in `fold`
        endless = cut & ~boundary & (power <= least) & (power < 1)
        size = jnp.abs(total) / jnp.where(endless, 1 - power, 1.0)
        ended = jnp.where((terminated | truncated) & ~boundary, power, 1.0)
        return (gamma * total, jnp.where(boundary, gamma, gamma * power), jnp.minimum(least, jnp.min(ended))), size

    rows = (block.reward, block.boundary, block.terminated, block.truncated)
    (product, power, least), sizes = jax.lax.scan(step, (scale.product, scale.power, scale.least_power), rows)
    largest = jnp.maximum(scale.largest, jnp.max(sizes))
    return scale._replace(product=product, power=power, least_power=least, largest=largest)
