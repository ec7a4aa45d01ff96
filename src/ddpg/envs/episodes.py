"""Whole episodes of a policy in a JAX-native environment, all of them side by side in compiled code."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Shaped

from ddpg.envs.protocol import Environment
from ddpg.hyperparameters import Number
from ddpg.types import AnyArray, PyTree


class Episodes(NamedTuple):
    """Greedy episodes, one row each.

    `tail` is the discount of the return after a time limit, 0 after a true end.
    """

    first: Shaped[AnyArray, "e *obs"]
    last: Shaped[AnyArray, "e *obs"]
    returns: Float[AnyArray, " e"]
    discounted: Float[AnyArray, " e"]
    tail: Float[AnyArray, " e"]
    own: tuple[Float[AnyArray, " e"], ...] = ()  # numbers of `info` at their ends, NaN where it had none


def starts(env: Environment, episodes: int, seed: int = 0) -> tuple[PyTree, Shaped[Array, "e *obs"]]:
    """States and observations that depend on `seed` alone: the same for every agent."""
    return jax.vmap(env.reset)(jax.random.split(jax.random.key(seed), episodes))


def play(
    env: Environment,
    act: Callable[[Shaped[Array, "e *obs"]], Float[Array, "e m"]],
    begin: tuple[PyTree, Shaped[Array, "e *obs"]],
    gamma: Number = 1.0,
) -> Episodes:
    """One episode from each of `begin`, with the actions [e, m] in [-1, 1] that `act` chooses."""
    state, first = begin
    episodes = len(first)

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        state, obs, running, bootstrap, returns, discounted, discount = carry
        action = act(obs)
        moved, next_obs, reward, terminated, truncated = jax.vmap(env.step)(state, action)
        returns = returns + jnp.where(running, reward, 0.0)
        discounted = discounted + jnp.where(running, discount * reward, 0.0)
        discount = jnp.where(running, discount * gamma, discount)
        bootstrap = bootstrap & ~(running & terminated)

        def keep(new: Array, old: Array) -> Array:
            return jnp.where(running.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

        state, obs = jax.tree.map(keep, (moved, next_obs), (state, obs))
        return (state, obs, running & ~(terminated | truncated), bootstrap, returns, discounted, discount), None

    zero, yes = jnp.zeros((episodes,)), jnp.ones((episodes,), bool)
    carry = (state, first, yes, yes, zero, zero, jnp.ones((episodes,)))
    (_, last, _, bootstrap, returns, discounted, discount), _ = jax.lax.scan(
        step, carry, None, length=env.max_episode_steps
    )
    return Episodes(first, last, returns, discounted, jnp.where(bootstrap, discount, 0.0))
