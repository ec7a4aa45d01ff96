"""Where agents lose their last points on Pendulum-v1, and what of it a better critic could win back.

    ddpg train --seeds 10 --run runs/pendulum
    python benchmarks/pendulum_last_points.py runs/pendulum [--out benchmarks/results/pendulum_last_points.json]
    python benchmarks/pendulum_last_points.py RUN ...       of pictures, too: at which starts their policies lose

Of every seed mu that sees the state: V of mu by dynamic programming, and one step of policy improvement,
argmax_a r + gamma V(f(s, a)) with the true f and r, on that V, on that V blurred, and on the critic's own V(s) =
Q(s, mu(s)), and on networks fitted to V and to V blurred, everywhere; and argmax_a Q(s, a).
"""

import argparse
import json
from collections.abc import Callable
from math import pi
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ddpg.algorithm.layers import ACTIVATIONS, Layers, forward
from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.normaliser import normalise
from ddpg.algorithm.optimiser import gradient_step, init_optimiser
from ddpg.environment import resolve_for
from ddpg.envs.episodes import starts as play_starts
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.pendulum_plan import ACTIONS, GAMMA, SPEEDS, THETAS, Grid, grid, lookahead, pendulum_plan
from ddpg.schedules import Linear
from ddpg.training.backend import evaluator_for
from ddpg.training.folder import RunFolder
from ddpg.training.policy import load_seed
from ddpg.types import AnyArray

ENV = Pendulum()
BLURS = ((0.05, 0.1), (0.1, 0.3), (0.3, 1.0))  # standard deviations in rad and rad/s
FIT = NetworkConfig(widths=(128, 128, 128), activation="silu", schedule=Linear(final=0.01, steps=20_000))
SWEEPS = 1_500  # backups, after which gamma^t is nothing
Policy = Callable[[Array, Array], Array]


def values(policy: Policy, gamma: float) -> Grid:
    v = jnp.zeros((THETAS, SPEEDS))
    theta, theta_dot = jnp.broadcast_arrays(*grid(v))
    action = policy(theta.ravel(), theta_dot.ravel()).reshape(v.shape)
    return jax.lax.fori_loop(0, SWEEPS, lambda _, v: lookahead(v, gamma, theta, theta_dot, action), v)


def improved(v: Grid, gamma: float) -> Policy:
    actions = jnp.linspace(-1, 1, ACTIONS)
    return lambda theta, theta_dot: actions[
        jnp.argmax(lookahead(v, gamma, theta[:, None], theta_dot[:, None], actions), axis=1)
    ]


def blurred(v: Grid, theta: float, theta_dot: float) -> Grid:
    """With a Gaussian of these standard deviations; theta is periodic, and what is beyond the greatest speed, as it."""

    def kernel(sigma: float) -> Array:
        x = jnp.arange(-int(4 * sigma) - 1, int(4 * sigma) + 2)
        weight = jnp.exp(-(x**2) / (2 * sigma**2))
        return weight / weight.sum()

    rows, columns = kernel(theta * THETAS / (2 * pi)), kernel(theta_dot * (SPEEDS - 1) / (2 * ENV.max_speed))
    one = jnp.vectorize(lambda x, k: jnp.convolve(x, k, "valid"), signature="(n),(k)->(m)")
    v = one(jnp.pad(v, ((len(rows) // 2,) * 2, (0, 0)), mode="wrap").T, rows).T
    return one(jnp.pad(v, ((0, 0), (len(columns) // 2,) * 2), mode="edge"), columns)


def seen(theta: AnyArray, theta_dot: AnyArray) -> Array:
    return jnp.stack([jnp.cos(theta), jnp.sin(theta), theta_dot], axis=-1).astype(jnp.float32)


@jax.jit
def fitted(v: Grid) -> Grid:
    """What a network makes of it that learns it by 20 000 minibatches of 64 states."""
    obs, y = seen(*(x.ravel() for x in jnp.broadcast_arrays(*grid(v)))), 0.1 * v.ravel()

    def predicted(layers: Layers, obs: Array) -> Array:
        return forward(layers, obs, ACTIVATIONS[FIT.activation], lambda x: x)[:, 0]

    def step(carry: Any, key: Array) -> tuple[Any, None]:
        layers, opt = carry
        some = jax.random.randint(key, (64,), 0, len(y))
        grad = jax.grad(lambda layers: jnp.mean((predicted(layers, obs[some]) - y[some]) ** 2))(layers)
        return gradient_step(FIT, layers, grad, opt), None

    layers = FIT.layers(jax.random.key(0), 3, 0, 1)
    keys = jax.random.split(jax.random.key(1), 20_000)
    (layers, _), _ = jax.lax.scan(step, (layers, init_optimiser(FIT, layers)), keys)
    return 10 * predicted(layers, obs).reshape(v.shape)


def returns(policy: Policy, starts: Any) -> np.ndarray:
    def step(state: Any, _: Any) -> tuple[Any, Array]:
        state, _, reward, *_ = jax.vmap(ENV.step)(state, policy(state.theta, state.theta_dot)[:, None])
        return state, reward

    return np.asarray(jax.jit(lambda state: jax.lax.scan(step, state, length=ENV.max_episode_steps)[1].sum(0))(starts))


def lost_by(folder: RunFolder, seed: int, episodes: int, best: np.ndarray) -> np.ndarray:
    """What mu loses at each start, from whatever it sees."""
    config = folder.read_config()
    evaluator = evaluator_for(config, env := resolve_for(config), episodes, 0)
    saved = load_seed(folder, config, seed, env.spec)[0]
    played = evaluator(*jax.tree.map(lambda x: x[None], (saved.online, saved.stats)))
    return best - np.asarray(played.returns[0])


def improvements(folder: RunFolder, seed: int, starts: Any, best: np.ndarray) -> dict[str, float]:
    config = folder.read_config()
    saved = load_seed(folder, config, seed, resolve_for(config).spec)[0]
    nets, gamma = saved.online, config.gamma

    def mu(theta: Array, theta_dot: Array) -> Array:
        return nets.mu(normalise(seen(theta, theta_dot), saved.stats))[:, 0]

    def q(theta: Array, theta_dot: Array, action: Array) -> Array:
        q = config.agent.value.mean(nets.q(normalise(seen(theta, theta_dot), saved.stats), action[:, None]))
        return jnp.mean(q, axis=0) / config.reward_scale

    def of_critic(theta: Array, theta_dot: Array) -> Array:
        every = [q(theta, theta_dot, jnp.full(theta.shape, a)) for a in np.linspace(-1, 1, ACTIONS)]
        return jnp.linspace(-1, 1, ACTIONS)[jnp.argmax(jnp.stack(every), axis=0)]

    v = jax.jit(lambda: values(mu, gamma))()
    theta, theta_dot = (x.ravel() for x in jnp.broadcast_arrays(*grid(v)))
    critics = q(theta, theta_dot, mu(theta, theta_dot)).reshape(v.shape)
    a, b = BLURS[1]
    policies: dict[str, Policy] = {
        "mu": mu,
        "improved on V of mu": improved(v, gamma),
        **{
            f"improved on V blurred by {each[0]} rad, {each[1]} rad/s": improved(blurred(v, *each), gamma)
            for each in BLURS
        },
        "improved on a network's V": improved(fitted(v), gamma),
        f"improved on a network's V blurred by {a} rad, {b} rad/s": improved(fitted(blurred(v, a, b)), gamma),
        "improved on the critic's V": improved(critics, gamma),
        "argmax of Q": of_critic,
    }
    return {name: round(float((best - returns(policy, starts)).mean()), 2) for name, policy in policies.items()}


def main(runs: list[Path], out: Path | None, episodes: int) -> None:
    folders = [RunFolder.at(run) for run in runs]
    seeds = [(folder, seed) for folder in folders for seed in folder.read_config().seed_range]
    starts, _ = play_starts(ENV, episodes, 0)
    best = np.asarray(ENV.optimum(starts.theta, starts.theta_dot))
    lost = np.array([lost_by(folder, seed, episodes, best) for folder, seed in seeds])
    plan = returns(improved(jnp.asarray(pendulum_plan(GAMMA).value, jnp.float32), GAMMA), starts)
    more = plan - best + lost  # than each seed: beside a cliff the optimum, read from a table, may err
    least, mean, low = np.min(more, axis=0), np.mean(more, axis=0), np.abs(np.asarray(starts.theta)) > pi / 2
    result: dict[str, Any] = {
        "starts": episodes,
        "gap of each seed": lost.mean(axis=1).round(2).tolist(),
        "over starts above the pivot": lost[:, ~low].mean(axis=1).round(2).tolist(),
        "over starts below it": lost[:, low].mean(axis=1).round(2).tolist(),
        "what a plan has more than the mean seed": round(float(mean.mean()), 2),
        "starts where it has 30 more than every seed": int((least > 30).sum()),
        "their share of that": round(float(mean[least > 30].sum() / mean.sum()), 3),
        "starts where it has 30 more than the mean seed": int((mean > 30).sum()),
        "share of these": round(float(mean[mean > 30].sum() / mean.sum()), 3),
        "median over starts": round(float(np.median(mean)), 2),
    }
    if all(folder.read_config().pixels.kind == "own" for folder in folders):
        result["below the optimum"] = [improvements(*seed, starts, best) for seed in seeds]
    print(json.dumps(result, indent=1))
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--episodes", type=int, default=500)
    main(**vars(parser.parse_args()))
