"""Your own environment in JAX, trained in seconds: push a cart without friction to the middle of its rail.

    python examples/own_environment.py [--steps 10000] [--run FOLDER]

Any object with these two methods and three attributes is an environment (`ddpg.envs.protocol.Environment`).
The methods are pure functions of JAX arrays, for one environment; ddpg compiles them together with the learner.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

import ddpg
from ddpg.types import Key, Spec

SPEC = Spec(obs_shape=(2,), action_low=(-2.0,), action_high=(2.0,))  # position and velocity; newtons


class Cart(NamedTuple):
    """Position in m, velocity in m/s, steps since reset."""

    x: Array
    v: Array
    t: Array


@dataclass(frozen=True)  # hashable, since compiled programs are cached by it
class DoubleIntegrator:
    """A cart of 1 kg on a rail of 4 m, pushed with at most 2 N per step of 0.1 s; it stops at the rail's ends."""

    id: str = "DoubleIntegrator"
    spec: Spec = SPEC
    max_episode_steps: int = 100

    def reset(self, key: Key) -> tuple[Cart, Array]:
        x, v = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        cart = Cart(x, v, jnp.int32(0))
        return cart, jnp.stack([cart.x, cart.v])

    def step(self, state: Cart, action: Array) -> tuple[Cart, Array, Array, Array, Array]:
        """`action` is in [-1, 1], and `spec` has its range in newtons. Time limits are `truncated`."""
        force = 2.0 * action[0]
        reward = -(jnp.square(state.x) + 0.1 * jnp.square(state.v) + 0.01 * jnp.square(force))
        v = state.v + 0.1 * force
        x = jnp.clip(state.x + 0.1 * v, -2.0, 2.0)
        cart = Cart(x, jnp.where(jnp.abs(x) < 2.0, v, 0.0), state.t + 1)
        return cart, jnp.stack([cart.x, cart.v]), reward, jnp.array(False), cart.t >= self.max_episode_steps


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description="Train DDPG on your own environment.")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--run", help="the run folder (a new one under runs/)")
    args = parser.parse_args(argv)
    run = ddpg.train(DoubleIntegrator(), steps=args.steps, run=args.run)
    policy = ddpg.load(run.path)
    force = policy([1.0, 0.0])[0]
    print(f"return {run.summary['mean']:.2f}; at rest 1 m to the right, it pushes with {force:.2f} N")


if __name__ == "__main__":
    main()
