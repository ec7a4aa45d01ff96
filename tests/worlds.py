"""The environments in JAX that tests define."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ddpg.envs.pendulum import Pendulum
from ddpg.envs.probes import ACTION
from ddpg.types import Key, Spec


class Point(NamedTuple):
    x: Array
    t: Array


@dataclass(frozen=True)
class Cart:
    """x <- x / 2 + a, rewarded by x - 2 a; an episode ends beyond 1.2 and is truncated after 7 steps."""

    id: str = "cart"
    spec: Spec = Spec(obs_shape=(2,), action_low=(-1.0,), action_high=(1.0,))
    max_episode_steps: int = 7

    def reset(self, key: Key) -> tuple[Point, Array]:
        state = Point(jax.random.uniform(key, minval=-1.0), jnp.int32(0))
        return state, self.observe(state)

    def step(self, state: Point, action: Float[Array, "1"]) -> tuple[Point, Array, Array, Array, Array]:
        reward = state.x - 2 * action[0]
        state = Point(state.x / 2 + action[0], state.t + 1)
        return state, self.observe(state), reward, jnp.abs(state.x) > 1.2, state.t >= self.max_episode_steps

    def observe(self, state: Point) -> Array:
        return jnp.stack([state.x, state.t.astype(jnp.float32)])


@dataclass(frozen=True)
class Walk:
    """x <- x + a from 0; an episode ends above 1 and is truncated after 6 steps, both at once too."""

    id: str = "walk"
    spec: Spec = Spec(obs_shape=(2,), action_low=(-1.0,), action_high=(1.0,))
    max_episode_steps: int = 6

    def reset(self, key: Key) -> tuple[Point, Array]:
        return Point(jnp.float32(0), jnp.int32(0)), jnp.zeros(2)

    def step(self, state: Point, action: Float[Array, "1"]) -> tuple[Point, Array, Array, Array, Array]:
        state = Point(state.x + action[0], state.t + 1)
        obs = jnp.stack([state.x, state.t.astype(jnp.float32)])
        return state, obs, 10 * state.x + 1, state.x > 1, state.t >= self.max_episode_steps


@dataclass(frozen=True)
class Windy:
    """The Pendulum with a random push at every step, and its key in its state; truncated after 50 steps."""

    id = "windy"
    spec = Pendulum.spec
    max_episode_steps = 50

    def reset(self, key: Key) -> tuple[Any, Array]:
        state, obs = Pendulum().reset(key)
        return (state, jax.random.fold_in(key, 7)), obs

    def step(self, state: Any, action: Array) -> tuple[Any, Array, Array, Array, Array]:
        inner, key = state
        push = 0.1 * jax.random.normal(jax.random.fold_in(key, inner.t))
        inner, obs, reward, terminated, _ = Pendulum().step(inner, jnp.clip(action + push, -1, 1))
        return (inner, key), obs, reward, terminated, inner.t >= self.max_episode_steps


@dataclass(frozen=True)
class TwoActions:
    """A probe with two action dimensions, of which the first counts."""

    id = "two"
    spec = replace(ACTION.spec, action_low=(-1.0, -1.0), action_high=(1.0, 1.0))
    max_episode_steps = 1

    def reset(self, key: Key) -> tuple[Any, Array]:
        return ACTION.reset(key)

    def step(self, state: Any, action: Array) -> tuple[Any, Array, Array, Array, Array]:
        return ACTION.step(state, action[:1])
