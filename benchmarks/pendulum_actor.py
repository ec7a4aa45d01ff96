"""How near the optimum an actor comes on Pendulum that learns from the exact critic: what is left is the actor's own.

    python benchmarks/pendulum_actor.py [--seeds 3] [--updates 8000]

The critic is Q*(s, a) = r + gamma V*(f(s, a)) of the endless problem with gamma 0.99, by dynamic programming; its
gradient is exact. The actor ascends it as DDPG's does, on minibatches of 256 of the last 80 000 states that it has
visited itself without noise, with Adam whose learning rate falls to 0 by a cosine. Printed are, for each actor, the
greedy return from 100 fixed starts below the best achievable one, mean over seeds with the lowest and highest, beside
the policy that is greedy in Q* itself.
"""

import argparse
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float

from ddpg.algorithm.networks import Actor, NetworkConfig
from ddpg.envs.episodes import play, starts
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.pendulum_plan import lookahead, pendulum_plan
from ddpg.types import Key, PyTree

GAMMA, EPISODES, BLOCK, BLOCKS, BATCH = 0.99, 50, 500, 8, 256
ENV, VALUE = Pendulum(), jnp.asarray(pendulum_plan(GAMMA).value)
NETWORK = NetworkConfig(final_init=3e-3)  # of first actions near 0, so that none begins in saturation
ACTORS = {
    "64-64, learning rate 1e-3, as in the preset": (NETWORK, 1.0),
    "64-64, learning rate 3e-3": (replace(NETWORK, lr=3e-3), 1.0),
    "64-64, tanh": (replace(NETWORK, activation="tanh"), 1.0),
    "256-256": (replace(NETWORK, widths=(256, 256)), 1.0),
    "64-64-64": (replace(NETWORK, widths=(64, 64, 64)), 1.0),
    "64-64, learning rate 3e-3, cos and sin times 3": (replace(NETWORK, lr=3e-3), 3.0),
}


def q(obs: Float[Array, "b 3"], action: Float[Array, " b"]) -> Float[Array, " b"]:
    return lookahead(VALUE, GAMMA, jnp.arctan2(obs[:, 1], obs[:, 0]), obs[:, 2], action)


def greedy(obs: Float[Array, "b 3"]) -> Float[Array, "b 1"]:
    """The best of 41 actions under Q*."""
    actions = jnp.linspace(-1.0, 1.0, 41)
    return actions[jnp.argmax(jax.vmap(lambda a: q(obs, jnp.full(len(obs), a)))(actions), axis=0)][:, None]


def visited(policy: Actor, scale: Array, key: Key) -> Float[Array, "n 3"]:
    """The states of some episodes of the policy."""
    state, first = jax.vmap(ENV.reset)(jax.random.split(key, EPISODES))

    def step(now: tuple, _: Any) -> tuple[tuple, Array]:
        state, obs = now
        state, obs, *_ = jax.vmap(ENV.step)(state, policy(obs * scale))
        return (state, obs), obs

    return jax.lax.scan(step, (state, first), None, length=200)[1].reshape(-1, 3)


@partial(jax.jit, static_argnums=(0, 2))
def learned(network: NetworkConfig, factor: float, updates: int, key: Key) -> Float[Array, ""]:
    """The mean return of an actor after so many updates; `factor` multiplies the first two inputs."""
    scale, blocks = jnp.array([factor, factor, 1.0]), updates // BLOCK
    actor: PyTree = network.init_actor(key, 3, 1)
    adam = optax.adam(optax.cosine_decay_schedule(network.lr, updates))
    replay = jnp.tile(visited(actor, scale, key), (BLOCKS, 1))

    def loss(actor: Actor, obs: Float[Array, "b 3"]) -> Float[Array, ""]:
        return -jnp.mean(q(obs, actor(obs * scale)[:, 0]))

    def block(now: tuple, i: Array) -> tuple[tuple, None]:
        actor, opt, replay = now
        keys = jax.random.split(jax.random.fold_in(key, i), BLOCK + 1)

        def update(now: tuple, key: Key) -> tuple[tuple, None]:
            obs = replay[jax.random.randint(key, (BATCH,), 0, len(replay))]
            change, opt = adam.update(jax.grad(loss)(now[0], obs), now[1])
            return (optax.apply_updates(now[0], change), opt), None

        (actor, opt), _ = jax.lax.scan(update, (actor, opt), keys[1:])
        new = visited(actor, scale, keys[0])
        return (actor, opt, jnp.concatenate([replay[len(new) :], new])), None

    (actor, *_), _ = jax.lax.scan(block, (actor, adam.init(actor), replay), jnp.arange(blocks))
    return play(ENV, lambda obs: actor(obs * scale), starts(ENV, 100)).returns.mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=8_000)
    args = parser.parse_args()
    first = starts(ENV, 100)
    best = float(np.mean(ENV.best_return(np.asarray(first[1]))))
    rows = [("greedy in Q*", np.array([float(jax.jit(lambda: play(ENV, greedy, first).returns.mean())())]))]
    for name, (network, factor) in ACTORS.items():
        keys = [jax.random.key(seed) for seed in range(args.seeds)]
        rows.append((name, np.array([float(learned(network, factor, args.updates, key)) for key in keys])))
    print("| actor | below the optimum | lowest | highest |\n|---|---:|---:|---:|")
    for name, returns in rows:
        gaps = best - returns
        print(f"| {name} | {gaps.mean():.1f} | {gaps.min():.1f} | {gaps.max():.1f} |", flush=True)


if __name__ == "__main__":
    main()
