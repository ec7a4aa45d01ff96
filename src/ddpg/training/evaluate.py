"""Greedy rollouts on fixed starts, and how far the critic's values are from the returns they predict."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Float

from ddpg.algorithm.agent import DPG, Nets
from ddpg.envs import catalogue
from ddpg.envs.base import Environment, Solved
from ddpg.records.export import load_models
from ddpg.records.plot import iqm
from ddpg.training.config import load
from ddpg.training.devices import over_seeds, prepare
from ddpg.training.policy import model_folder
from ddpg.types import PyTree


class Evaluation(NamedTuple):
    """One row an episode: undiscounted returns, Q(s_0, mu(s_0)) minus the discounted return, and action gradients."""

    returns: Float[Array, " e"]
    q_bias: Float[Array, " e"]
    dq_da: Float[Array, " e"]


@dataclass(frozen=True)
class Evaluator:
    """Plays `episodes` greedy episodes from starts that depend on `seed` alone: the same for every agent and run."""

    env: Environment
    agent: DPG
    gamma: float
    episodes: int = 100
    seed: int = 0

    def starts(self) -> tuple[PyTree, Float[Array, "e *obs"]]:
        return jax.vmap(self.env.reset)(jax.random.split(jax.random.key(self.seed), self.episodes))

    def optimum(self) -> float | None:
        """The best mean return from these very starts, where the environment knows it."""
        if not isinstance(self.env, Solved):
            return None
        states, _ = jax.jit(self.starts)()
        return float(np.mean(self.env.best_return(states)))

    def rollout(self, nets: Nets) -> Evaluation:
        state, first = self.starts()

        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            state, obs, running, bootstrap, returns, discounted, discount = carry
            moved, next_obs, reward, terminated, truncated = jax.vmap(self.env.step)(state, nets.actor(obs))
            returns = returns + jnp.where(running, reward, 0.0)
            discounted = discounted + jnp.where(running, discount * reward, 0.0)
            discount = jnp.where(running, discount * self.gamma, discount)
            bootstrap = bootstrap & ~(running & terminated)

            def keep(new: Array, old: Array) -> Array:
                return jnp.where(running.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

            state, obs = jax.tree.map(keep, (moved, next_obs), (state, obs))
            return (state, obs, running & ~(terminated | truncated), bootstrap, returns, discounted, discount), None

        zero, all_of = jnp.zeros((self.episodes,)), jnp.ones((self.episodes,), bool)
        carry = (state, first, all_of, all_of, zero, zero, jnp.ones((self.episodes,)))
        (_, last, _, bootstrap, returns, discounted, discount), _ = jax.lax.scan(
            step, carry, None, length=self.env.max_episode_steps
        )

        # The return after a time limit is estimated by Q itself, as in training: only what was seen can contradict.
        def q(obs: Float[Array, "e *obs"], action: Float[Array, "e m"]) -> Float[Array, " e"]:
            return self.agent.value.mean(nets.critic(obs, action))[0]

        tail = jnp.where(bootstrap, discount * q(last, nets.actor(last)), 0.0)
        value, pull_back = jax.vjp(lambda action: q(first, action), nets.actor(first))
        (dq_da,) = pull_back(jnp.ones_like(value))
        return Evaluation(returns, value - discounted - tail, jnp.linalg.norm(dq_da, axis=-1))

    def __call__(self, nets: Nets) -> Evaluation:
        """Of every seed: leaves [K, ...] -> [K, e]."""
        return _rollouts(self)(nets)

    def compile(self, nets: Nets) -> Callable[[Nets], Evaluation]:
        """The same, compiled ahead for networks of these shapes."""
        return _rollouts(self).lower(nets).compile()


@cache
def _rollouts(evaluator: Evaluator) -> Wrapped:
    return over_seeds(evaluator.rollout)


def evaluate_run(run: Path, episodes: int = 100, seed: int = 0, env: str | None = None) -> dict[str, Any]:
    """Greedy returns of every seed of a run: what `ddpg eval` prints.

    `return_mean`, `return_std` and `return_iqm` are over all episodes of all seeds, `returns` the mean of each seed.
    ValueError, in one line, if the folder is no run, or `env` is none or has other spaces.
    """
    config = load(run)
    environment = catalogue.make(env or config.env)
    seeds = range(config.seed, config.seed + config.seeds)
    evaluator = Evaluator(environment, config.agent, config.gamma, episodes, seed)
    prepare(1, 0.0)
    nets = [load_models(model_folder(run, config, s), environment.spec)[0] for s in seeds]
    rollout = jax.jit(evaluator.rollout)
    returns = np.stack([np.asarray(rollout(net).returns) for net in nets])
    said: dict[str, Any] = {
        "env": env or config.env,
        "episodes": int(returns.size),
        "seeds": list(seeds),
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "return_iqm": float(iqm(returns.ravel())),
        "returns": returns.mean(axis=1).tolist(),
    }
    if (optimum := evaluator.optimum()) is not None:
        said |= {"optimum": optimum, "gap_to_optimum": optimum - said["return_mean"]}
    return said
