"""The scale of returns: what rewards are multiplied by so that returns lie within [-1, 1]."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ddpg.types import AnyArray, Row


class ReturnScale(NamedTuple):
    """The discounted sum of rewards that each of N environments is at, G <- gamma G + r, and the largest so far.

    It grows as large as the returns that are to be predicted, which are the same sums read backwards. Products are
    kept from one step to the next: made and added to in one, the compiler rounds them once or twice as it likes, and
    a seed among many would not be that seed alone.
    """

    before: Float[AnyArray, " n"]  # gamma G, to which the next reward is added
    power: Float[AnyArray, " n"]  # gamma^(t+1), t steps into the episode
    largest: Float[AnyArray, ""]  # in absolute value

    @property
    def scale(self) -> Float[Array, ""]:
        """By which rewards are multiplied so that returns lie within [-1, 1] (SimbaV2, Lee et al. 2025, equation 19).

        A quarter of room is left for what a better policy earns more.
        """
        return jnp.where(self.largest > 0, 1 / (1.25 * self.largest), 1.0)


def init_return_scale(n: int, gamma: float) -> ReturnScale:
    """Before the first step."""
    return ReturnScale(jnp.zeros((n,)), jnp.full((n,), gamma, jnp.float32), jnp.float32(0))


def update_return_scale(until: ReturnScale, block: Row, gamma: float) -> ReturnScale:
    """With a block of rows [K, N, ...] more.

    The critic goes on where a time limit cuts: of T steps' rewards again and again, G / (1 - gamma^T) is the return.
    """

    def step(state: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[tuple[Array, Array], Float[Array, " n"]]:
        (before, power), (reward, boundary, cut) = state, row
        total = jnp.where(boundary, 0.0, before + reward)
        endless = cut & ~boundary & (power < 1)
        size = jnp.abs(total) / jnp.where(endless, 1 - power, 1.0)
        return (gamma * total, jnp.where(boundary, gamma, gamma * power)), size

    state = until.before, until.power
    cut = block.truncated & ~block.terminated  # a true end at the limit is one, as in `fold`
    (before, power), sizes = jax.lax.scan(step, state, (block.reward, block.boundary, cut))
    return ReturnScale(before, power, jnp.maximum(until.largest, jnp.max(sizes)))
