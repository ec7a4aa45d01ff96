"""Pendulum-v1 as pure functions of arrays, with the best known return from every start."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import pi
from typing import ClassVar, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int, UInt8

from ddpg.mistake import Mistake
from ddpg.types import AnyArray, Key, Spec


class PendulumState(NamedTuple):
    """Angle from upright in rad (it winds up, as in Gymnasium), angular velocity in rad/s, steps since reset."""

    theta: Float[Array, ""]
    theta_dot: Float[Array, ""]
    t: Int[Array, ""]


@final
@dataclass(frozen=True)
class Pendulum:
    """Swing a pendulum up and hold it: Gymnasium's Pendulum-v1 (classic_control/pendulum.py), in float32.

    One environment; `jax.vmap` makes many. Observations are [cos theta, sin theta, theta_dot], the action is the
    torque divided by 2 N m, and an episode never ends but is cut after 200 steps.
    """

    id = "Pendulum-v1"
    spec = Spec(obs_shape=(3,), action_low=(-2.0,), action_high=(2.0,))
    max_episode_steps = 200
    max_speed: ClassVar[float] = 8.0  # rad/s
    max_torque: ClassVar[float] = 2.0  # N m
    dt: ClassVar[float] = 0.05  # s
    gravity_gain: ClassVar[float] = 15.0  # 3 g / 2 l, with g = 10 m/s^2 and l = 1 m
    torque_gain: ClassVar[float] = 3.0  # 3 / m l^2, with m = 1 kg

    def reset(self, key: Key) -> tuple[PendulumState, Float[Array, "3"]]:
        """A start drawn uniformly from theta in [-pi, pi] and theta_dot in [-1, 1]."""
        theta, theta_dot = jax.random.uniform(key, (2,), jnp.float32, -1.0, 1.0) * jnp.array([pi, 1.0], jnp.float32)
        state = PendulumState(theta, theta_dot, jnp.zeros((), jnp.int32))
        return state, self.observe(state)

    def step(
        self, state: PendulumState, action: Float[Array, "1"]
    ) -> tuple[PendulumState, Float[Array, "3"], Float[Array, ""], Bool[Array, ""], Bool[Array, ""]]:
        """Holds `action` in [-1, 1] for 0.05 s; returns (state, obs, reward, terminated, truncated)."""
        torque = self.max_torque * jnp.clip(action[0], -1.0, 1.0)
        theta, theta_dot, reward = self.dynamics(state.theta, state.theta_dot, torque)
        state = PendulumState(theta, theta_dot, state.t + 1)
        return state, self.observe(state), reward, jnp.array(False), state.t >= self.max_episode_steps

    def dynamics(
        self, theta: Float[Array, "*#b"], theta_dot: Float[Array, "*#b"], torque: Float[Array, "*#b"]
    ) -> tuple[Float[Array, "*#b"], Float[Array, "*#b"], Float[Array, "*#b"]]:
        """The next theta and theta_dot, and the reward of leaving the present ones; torque in N m, shapes broadcast."""
        reward = -(jnp.square(wrap(theta)) + 0.1 * jnp.square(theta_dot) + 0.001 * jnp.square(torque))
        acceleration = self.gravity_gain * jnp.sin(theta) + self.torque_gain * torque
        theta_dot = jnp.clip(theta_dot + self.dt * acceleration, -self.max_speed, self.max_speed)
        return theta + self.dt * theta_dot, theta_dot, reward

    def observe(self, state: PendulumState) -> Float[Array, "3"]:
        """[cos theta, sin theta, theta_dot], the last in rad/s."""
        return jnp.stack([jnp.cos(state.theta), jnp.sin(state.theta), state.theta_dot])

    def draw(self, state: PendulumState, size: int, colour: bool) -> UInt8[AnyArray, "size size c"]:
        """`picture` of a state."""
        return self.picture(state.theta, size, colour)

    @staticmethod
    def picture(theta: Float[AnyArray, ""], size: int, colour: bool) -> UInt8[AnyArray, "size size c"]:
        """The rod, 1 m long and 0.2 m wide, in a window 2.3 m wide and high: upright is upwards, edges are smooth.

        White on black, or in colour red on white. JAX and NumPy agree within one level of brightness.
        """
        xp = theta.__array_namespace__()
        at = np.linspace(-1.15, 1.15, size, dtype=np.float32)
        x, y = at[None, :], at[:, None]  # metres to the right, and downwards
        tip_x, tip_y = xp.sin(-theta), -xp.cos(theta)  # theta grows anticlockwise, as in Gymnasium
        along = xp.clip(x * tip_x + y * tip_y, 0.0, 1.0)
        distance = xp.sqrt((x - along * tip_x) ** 2 + (y - along * tip_y) ** 2)
        pixel = np.float32(2.3 / size)
        covered = xp.clip((np.float32(0.1) - distance) / pixel + np.float32(0.5), 0.0, 1.0)[..., None]
        level = 255 * covered
        if colour:
            level = 255 - covered * (255 - np.array([204, 77, 77], np.float32))
        return (level + np.float32(0.5)).astype(np.uint8)

    def best_return(self, obs: Float[np.ndarray, "b 3"]) -> Float[np.ndarray, " b"]:
        """`optimum` of the starts that `reset` showed."""
        cos, sin, theta_dot = np.asarray(obs).T
        return self.optimum(np.arctan2(sin, cos), theta_dot)

    def optimum(self, theta: ArrayLike, theta_dot: ArrayLike) -> Float[np.ndarray, "*b"]:
        """The best undiscounted return of a 200-step episode from these starts; shapes that broadcast.

        Read bilinearly from a table of returns that dynamic programming reached (benchmarks/pendulum_optimum.py);
        their mean over resets, -137.1, is below the true optimum by less than 0.2. Reading adds no bias and errs by
        less than 0.1 from 98 % of the starts, but by up to 80 where one swing just suffices or just does not.
        Any real `theta`; `theta_dot` within [-1, 1], where episodes start, else Mistake.
        """
        theta, theta_dot = np.broadcast_arrays(np.asarray(theta, np.float64), np.asarray(theta_dot, np.float64))
        if not (np.abs(theta_dot) <= 1.0).all():
            worst = theta_dot.flat[np.argmax(np.nan_to_num(np.abs(theta_dot), nan=np.inf))]
            raise Mistake(f"theta_dot = {worst}: the optimum is known for [-1, 1], where episodes start; pass those")
        table = optimum_table()
        # Mirrored starts are worth the same, so the table holds theta_dot >= 0 only.
        n, m = table.shape
        x = (np.where(theta_dot < 0, -theta, theta) / (2 * pi) + 0.5) % 1.0 * n
        y = np.abs(theta_dot) * (m - 1)
        i, j = x.astype(int), np.minimum(y.astype(int), m - 2)
        x, y, i, above = x - i, y - j, i % n, (i + 1) % n  # i can be n: a remainder may round to 1
        low = (1 - x) * table[i, j] + x * table[above, j]
        high = (1 - x) * table[i, j + 1] + x * table[above, j + 1]
        return np.asarray((1 - y) * low + y * high)


def wrap(theta: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """The same angle within [-pi, pi]; by rounding, which on a CPU costs a fraction of a floating remainder."""
    return theta - 2 * pi * jnp.round(theta / (2 * pi))


@cache
def optimum_table() -> Float[np.ndarray, "theta theta_dot"]:
    """Best returns over theta in [-pi, pi), periodic, and theta_dot in [0, 1], evenly spaced."""
    with resources.files("ddpg.envs").joinpath("pendulum_optimum.npz").open("rb") as file:
        cost = np.load(file, allow_pickle=False)["cost_in_hundredths"]
    table = cost / -100.0
    table.flags.writeable = False
    return table
