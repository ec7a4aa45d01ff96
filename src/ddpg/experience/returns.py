"""The n-step fold: a window of rows -> a transition. The only place where ends of episodes are interpreted."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ddpg.hyperparameters import Number
from ddpg.types import Row, Transition


def fold(window: Row, gamma: Number, n: Float[Array, ""] | None = None) -> Transition:
    """Fold windows of l + 1 consecutive rows [l + 1, b, ...] into transitions [b, ...] of n steps, at most l (default).

    Rewards are summed with gamma^k up to the first end inside the window. A true end stops the bootstrap
    (discount 0); a time limit only shortens it: discount gamma^m at the observation in which it was reached.
    A window that starts on a boundary row is no transition: its weight is 0, the others' weights average to 1.
    """
    longest = window.reward.shape[0] - 1
    reward, next_obs = window.reward[0], window.obs[1]
    discount = jnp.full_like(reward, gamma)
    alive, ended = jnp.ones_like(window.boundary[0]), window.terminated[0]
    for k in range(1, longest):  # small and static: unrolled, and nothing at all for 1
        alive = alive & ~(window.terminated[k - 1] | window.truncated[k - 1])
        if n is not None:
            alive = alive & (k < n)
        reward = reward + jnp.where(alive, discount * window.reward[k], 0.0)
        discount = jnp.where(alive, discount * gamma, discount)
        ended = ended | (alive & window.terminated[k])
        next_obs = jnp.where(alive.reshape(-1, *(1,) * (next_obs.ndim - 1)), window.obs[k + 1], next_obs)
    valid = (~window.boundary[0]).astype(reward.dtype)
    return Transition(
        obs=window.obs[0],
        action=window.action[0],
        reward=reward,
        discount=jnp.where(ended, 0.0, discount),
        next_obs=next_obs,
        weight=valid / jnp.maximum(jnp.mean(valid), 1e-6),
        following=window.obs[1] if longest > 1 else None,
    )
