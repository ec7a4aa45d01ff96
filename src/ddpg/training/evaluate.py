"""Greedy episodes in JAX-native environments, all of them side by side in one compiled program."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Shaped

from ddpg.algorithm.agent import Nets
from ddpg.algorithm.normaliser import InputStats, normalise
from ddpg.envs import catalogue
from ddpg.envs.protocol import Environment
from ddpg.envs.view import unseen
from ddpg.experience.return_scale import ReturnScale
from ddpg.training.devices import compiled, gathered, jit_group, place_on_devices
from ddpg.training.evaluation import CriticComparison, Episodes, Evaluation
from ddpg.types import PyTree


@dataclass(frozen=True)
class CompiledEvaluator:
    """Plays `episodes` greedy episodes from starts that depend on `seed` alone."""

    env: Environment
    judge: CriticComparison
    episodes: int = 100
    seed: int = 0

    def starts(self) -> tuple[PyTree, Shaped[Array, "e *obs"]]:
        return jax.vmap(self.env.reset)(jax.random.split(jax.random.key(self.seed), self.episodes))

    def optimum(self) -> float | None:
        solved = catalogue.solved(unseen(self.env))
        if solved is None:
            return None
        plain = replace(self, env=unseen(self.env))
        _, obs = jax.jit(plain.starts)()
        return float(np.mean(solved.best_return(np.asarray(obs))))

    def rollout(self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None) -> Evaluation:
        """Of one seed."""
        state, first = self.starts()

        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            state, obs, running, bootstrap, returns, discounted, discount = carry
            action = nets.mu(normalise(obs, stats))
            moved, next_obs, reward, terminated, truncated = jax.vmap(self.env.step)(state, action)
            returns = returns + jnp.where(running, reward, 0.0)
            discounted = discounted + jnp.where(running, discount * reward, 0.0)
            discount = jnp.where(running, discount * self.judge.gamma, discount)
            bootstrap = bootstrap & ~(running & terminated)

            def keep(new: Array, old: Array) -> Array:
                return jnp.where(running.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

            state, obs = jax.tree.map(keep, (moved, next_obs), (state, obs))
            return (state, obs, running & ~(terminated | truncated), bootstrap, returns, discounted, discount), None

        zero, yes = jnp.zeros((self.episodes,)), jnp.ones((self.episodes,), bool)
        carry = (state, first, yes, yes, zero, zero, jnp.ones((self.episodes,)))
        (_, last, _, bootstrap, returns, discounted, discount), _ = jax.lax.scan(
            step, carry, None, length=self.env.max_episode_steps
        )
        tail = jnp.where(bootstrap, discount, 0.0)
        return self.judge(nets, stats, return_scale, Episodes(first, last, returns, discounted, tail))

    def __call__(self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None) -> Evaluation:
        return gathered([_rollouts(self)(group) for group in place_on_devices((nets, stats, return_scale))])

    def compile(
        self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None
    ) -> Callable[..., Evaluation]:
        rollouts = compiled(_rollouts(self), place_on_devices((nets, stats, return_scale)))
        return lambda *inputs: gathered(rollouts(place_on_devices(inputs)))

    def warnings(self) -> dict[str, str]:
        return {}

    def stop_when(self, now: Callable[[], bool]) -> None:
        """Compiled episodes take little time: nothing asks meanwhile."""

    def close(self) -> None:
        """Nothing is open: what plays is compiled."""


@cache
def _rollouts(evaluator: CompiledEvaluator) -> Wrapped:
    return jit_group(lambda inputs: evaluator.rollout(*inputs))
