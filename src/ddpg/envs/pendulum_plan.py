"""The best value and action on Pendulum of the endless discounted problem, which is what a critic there learns."""

from functools import cache
from math import pi
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from ddpg.envs.pendulum import Pendulum

THETAS, SPEEDS, ACTIONS = 480, 321, 21  # upright and at rest is a point, where the value is exactly 0
SWEEPS = 50  # backups of one policy between two choices of a better one
CHOICES = 20  # of a better policy; after fifteen nothing changes any more, with gamma 0.9, 0.99 and 0.999
GAMMA = 0.999  # a discount above counts as this

Grid = Float[Array, "theta theta_dot"]  # over theta_i = -pi + 2 pi i / n, periodic, and theta_dot_j in [-8, 8]


class Plan(NamedTuple):
    """Over theta_i = -pi + 2 pi i / 480 rad and 321 speeds from -8 to 8 rad/s."""

    value: Float[np.ndarray, "480 321"]  # max_a Q*(s, a), in discounted reward
    action: Float[np.ndarray, "480 321"]  # argmax_a Q*(s, a), in [-1, 1]


@cache
def pendulum_plan(gamma: float) -> Plan:
    """By modified policy iteration (Puterman 2014, section 6.5): some backups of a policy, then a better policy."""
    gamma, value = min(gamma, GAMMA), jnp.zeros((THETAS, SPEEDS))
    for _ in range(CHOICES):
        _, action = _improved(value, gamma)
        value = _evaluated(value, action, gamma)
    value, action = _improved(value, gamma)
    return Plan(np.asarray(value, float), np.asarray(action, float))


def lookahead(
    v: Grid, gamma: float | Float[Array, ""], theta: Float[Array, "*#b"], theta_dot: Float[Array, "*#b"], action: Array
) -> Float[Array, "*#b"]:
    """r(s, a) + gamma V(f(s, a)), V read bilinearly."""
    env = Pendulum()
    theta, theta_dot, reward = env.dynamics(theta, theta_dot, env.max_torque * action)
    x = (theta / (2 * pi) + 0.5) * v.shape[0]
    y = (theta_dot / (2 * env.max_speed) + 0.5) * (v.shape[1] - 1)
    i, j = jnp.floor(x).astype(int), jnp.clip(y.astype(int), 0, v.shape[1] - 2)
    x, y, i, above = x - i, y - j, i % v.shape[0], (i + 1) % v.shape[0]
    low = (1 - x) * v[i, j] + x * v[above, j]
    high = (1 - x) * v[i, j + 1] + x * v[above, j + 1]
    return reward + gamma * ((1 - y) * low + y * high)


def grid(v: Grid) -> tuple[Float[Array, "theta 1"], Float[Array, " theta_dot"]]:
    """The states of the points of a grid; shapes that broadcast."""
    theta = -pi + 2 * pi / v.shape[0] * jnp.arange(v.shape[0])[:, None]
    return theta, jnp.linspace(-Pendulum.max_speed, Pendulum.max_speed, v.shape[1])


@jax.jit
def _improved(v: Grid, gamma: float | Float[Array, ""]) -> tuple[Grid, Grid]:
    """The best value after one step, and the action that has it."""
    actions = jnp.linspace(-1.0, 1.0, ACTIONS)

    def better(k: Int[Array, ""], best: tuple[Grid, Grid]) -> tuple[Grid, Grid]:
        q = lookahead(v, gamma, *grid(v), actions[k])
        return jnp.maximum(q, best[0]), jnp.where(q > best[0], actions[k], best[1])

    return jax.lax.fori_loop(0, ACTIONS, better, (jnp.full_like(v, -jnp.inf), v))


@jax.jit
def _evaluated(v: Grid, action: Grid, gamma: float | Float[Array, ""]) -> Grid:
    """The value after some more steps of a policy."""
    return jax.lax.fori_loop(0, SWEEPS, lambda _, v: lookahead(v, gamma, *grid(v), action), v)
