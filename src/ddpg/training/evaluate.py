"""Greedy rollouts on fixed starts, and how far the critic's values are from the returns they predict."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Float, Shaped

from ddpg.algorithm.agent import DPG, Nets
from ddpg.algorithm.networks import Actor
from ddpg.algorithm.normaliser import RunningStats, normalise
from ddpg.config.config import Config
from ddpg.envs import catalogue
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.experience.return_scale import ReturnScale
from ddpg.training.devices import compiled, gathered, jit_group, place_on_devices
from ddpg.types import AnyArray, PyTree

PARALLEL_EPISODES = 10  # environments that play side by side, for one call of the actor


class Evaluation(NamedTuple):
    """One row an episode: undiscounted returns, discounted ones, the bias of Q(s_0, mu(s_0)), and |dQ/da| there.

    `discounted` is in the units that are learned, and adds what Q says of the time after a time limit; `q_bias` is
    Q(s_0, mu(s_0)) minus that.
    """

    returns: Float[Array, " e"]
    discounted: Float[Array, " e"]
    q_bias: Float[Array, " e"]
    dq_da: Float[Array, " e"]


@dataclass(frozen=True)
class Evaluator:
    """Plays `episodes` greedy episodes from starts that depend on `seed` alone: the same for every agent and run."""

    env: Any  # an Environment; a Gym where only `judge` is asked for
    agent: DPG
    gamma: float
    episodes: int = 100
    seed: int = 0
    reward_scale: float = 1.0

    def starts(self) -> tuple[PyTree, Float[Array, "e *obs"]]:
        return jax.vmap(self.env.reset)(jax.random.split(jax.random.key(self.seed), self.episodes))

    def optimum(self) -> float | None:
        """The best mean return from these very starts, where somebody knows it."""
        solved = catalogue.solved(self.env)
        if solved is None:
            return None
        _, obs = jax.jit(self.starts)()
        return float(np.mean(solved.best_return(np.asarray(obs))))

    def rollout(self, nets: Nets, stats: RunningStats | None = None, earned: ReturnScale | None = None) -> Evaluation:
        state, first = self.starts()

        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            state, obs, running, bootstrap, returns, discounted, discount = carry
            action = nets.actor(normalise(obs, stats))
            moved, next_obs, reward, terminated, truncated = jax.vmap(self.env.step)(state, action)
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
        tail = jnp.where(bootstrap, discount, 0.0)
        return self.compare_with_critic(nets, stats, earned, Episodes(first, last, returns, discounted, tail))

    def compare_with_critic(
        self, nets: Nets, stats: RunningStats | None, earned: ReturnScale | None, played: "Episodes"
    ) -> Evaluation:
        """What the critic had expected of the episodes played, in units in which it has learned."""
        first, last = normalise(played.first, stats), normalise(played.last, stats)

        # The return after a time limit is estimated by Q itself, as in training: only what was seen can contradict.
        def q(obs: Float[Array, "e *obs"], action: Float[Array, "e m"]) -> Float[Array, " e"]:
            return self.agent.value.mean(nets.critic(obs, action))[0]

        tail = jnp.where(played.tail > 0, played.tail * q(last, nets.actor(last)), 0.0)
        value, pull_back = jax.vjp(lambda action: q(first, action), nets.actor(first))
        (dq_da,) = pull_back(jnp.ones_like(value))
        scale = self.reward_scale if earned is None else earned.scale
        total = scale * played.discounted + tail
        return Evaluation(played.returns, total, value - total, jnp.linalg.norm(dq_da, axis=-1))

    def __call__(self, nets: Nets, stats: RunningStats | None = None, earned: ReturnScale | None = None) -> Evaluation:
        """Of every seed: leaves [S, ...] -> [S, e]. `earned` is what rewards are scaled by, where it was found."""
        return gathered([_rollouts(self)(group) for group in place_on_devices((nets, stats, earned))])

    def compile(
        self, nets: Nets, stats: RunningStats | None = None, earned: ReturnScale | None = None
    ) -> Callable[..., Evaluation]:
        """The same, compiled ahead for networks like these."""
        rollouts = compiled(_rollouts(self), place_on_devices((nets, stats, earned)))
        return lambda *learned: gathered(rollouts(place_on_devices(learned)))

    def close(self) -> None:
        """Nothing is open: what plays is compiled."""


class Episodes(NamedTuple):
    """Greedy episodes, one row each: how they began and ended and what they earned.

    `tail` is the discount of what would follow a time limit, 0 after a true end.
    """

    first: Shaped[AnyArray, "e *obs"]
    last: Shaped[AnyArray, "e *obs"]
    returns: Float[AnyArray, " e"]
    discounted: Float[AnyArray, " e"]
    tail: Float[AnyArray, " e"]


@cache
def _rollouts(evaluator: Evaluator) -> Wrapped:
    return jit_group(lambda learned: evaluator.rollout(*learned))


class HostEvaluator:
    """The same for environments that Python steps: episode e starts with the seed `seed` + e, in ones of its own."""

    def __init__(self, compare_with_critic: Evaluator, gym: GymFactory) -> None:
        self._judge, self._gym = compare_with_critic, gym
        self._envs = [gym.one(slot) for slot in range(min(PARALLEL_EPISODES, compare_with_critic.episodes))]

    def optimum(self) -> float | None:
        solved = catalogue.solved(self._gym)
        if solved is None:
            return None
        first = [self._envs[0].reset(seed=self._judge.seed + e)[0] for e in range(self._judge.episodes)]
        return float(np.mean(solved.best_return(np.stack(first))))

    def play(self, actor: Actor, stats: RunningStats | None) -> Episodes:
        """Every episode once, TOGETHER of them side by side; networks of NumPy."""
        total, gamma = self._judge.episodes, np.float32(self._judge.gamma)
        first = np.zeros((total, *self._gym.spec.obs_shape), self._gym.spec.obs_dtype)
        played = Episodes(first, np.zeros_like(first), *(np.zeros(total, np.float32) for _ in range(3)))
        coming = iter(range(total))
        under_way = dict(zip(range(len(self._envs)), coming, strict=False))
        obs = {slot: self._begin(slot, e, played) for slot, e in under_way.items()}
        steps, discount = np.zeros(total, int), np.ones(total, np.float32)
        while under_way:
            actions = actor(normalise(np.stack(list(obs.values())), stats))
            for (slot, e), action in zip(list(under_way.items()), actions, strict=True):
                obs[slot], reward, terminated, truncated, _ = self._envs[slot].step(action)
                played.returns[e] += reward
                played.discounted[e] += discount[e] * reward
                discount[e] *= gamma
                steps[e] += 1
                if terminated or truncated or steps[e] >= self._gym.max_episode_steps:
                    played.last[e], played.tail[e] = obs[slot], 0.0 if terminated else discount[e]
                    del under_way[slot], obs[slot]
                    if (following := next(coming, None)) is not None:
                        under_way[slot], obs[slot] = following, self._begin(slot, following, played)
        return played

    def __call__(self, nets: Nets, stats: RunningStats | None = None, earned: ReturnScale | None = None) -> Evaluation:
        """Of every seed: leaves [S, ...] -> [S, e]. Misbehaved if an environment is."""
        both = jax.tree.map(np.asarray, (nets, stats, earned))
        seeds = [jax.tree.map(itemgetter(s), both) for s in range(len(jax.tree.leaves(nets)[0]))]
        said = [_judged(self._judge)(*seed, self.play(seed[0].actor, seed[1])) for seed in seeds]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *said)

    def compile(
        self, nets: Nets, stats: RunningStats | None = None, earned: ReturnScale | None = None
    ) -> Callable[..., Evaluation]:
        return self

    def close(self) -> None:
        for env in self._envs:
            with suppress(Exception):  # what misbehaved may do so once more
                env.close()

    def _begin(self, slot: int, episode: int, played: Episodes) -> np.ndarray:
        played.first[episode], _ = self._envs[slot].reset(seed=self._judge.seed + episode)
        return played.first[episode]


@cache
def _judged(evaluator: Evaluator) -> Wrapped:
    return jax.jit(evaluator.compare_with_critic)


def evaluator_for(config: Config, env: Environment | GymFactory, episodes: int, seed: int) -> Evaluator | HostEvaluator:
    compare_with_critic = Evaluator(env, config.agent, config.gamma, episodes, seed, config.reward_scale)
    return HostEvaluator(compare_with_critic, env) if isinstance(env, GymFactory) else compare_with_critic
