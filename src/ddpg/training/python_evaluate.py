"""Greedy episodes in environments that Python steps, a few of them side by side."""

from collections.abc import Callable
from contextlib import closing, suppress
from operator import itemgetter

import jax
import numpy as np

from ddpg.algorithm.nets import GreedyPolicy, Nets
from ddpg.algorithm.normaliser import InputStats
from ddpg.envs import catalogue
from ddpg.envs.episode_info import numbers_in
from ddpg.envs.episodes import Episodes
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.view import View
from ddpg.experience.return_scale import ReturnScale
from ddpg.terminal import one_line
from ddpg.training.driver import Lent
from ddpg.training.evaluation import CriticComparison, Evaluation, compiled_comparison
from ddpg.training.interruption import Cancelled, never

PARALLEL_EPISODES = 10  # environments that play side by side, for one call of the actor


class PythonEvaluator:
    """Episode e starts with the seed `seed` + e, in environments of its own, or `lent` ones.

    Of its own it makes as many as play side by side, or as there can be.
    """

    def __init__(
        self, env: GymFactory, judge: CriticComparison, episodes: int = 100, seed: int = 0, lent: Lent | None = None
    ) -> None:
        self._env, self._judge, self._episodes, self._seed, self._lent = env, judge, episodes, seed, lent
        self._now: Callable[[], bool] = never
        self._endless = 0  # episodes without an end
        self._unseen = dict.fromkeys(env.log)  # keys of `info` that no episode has ended with
        self._offered = dict[str, None]()  # those under which it had numbers
        count = min(PARALLEL_EPISODES, episodes)
        if lent is not None:
            self._envs = list(lent.envs[:count])
            return
        self._envs = [env.make(0)]
        with suppress(EnvironmentFailure):
            self._envs.extend(env.make(slot) for slot in range(1, count))

    def optimum(self) -> float | None:
        solved = catalogue.solved(self._env)
        if solved is None or self._lent or self._env.seeding in ("once", "never"):  # then nobody knows the starts
            return None
        with closing(self._env.seen(View()).make()) as own:  # of what it observes itself
            first = [own.reset(seed=self._seed + e)[0] for e in range(self._episodes)]
        return float(np.mean(solved.best_return(np.stack(first))))

    def play(self, policy: GreedyPolicy) -> Episodes:
        """Every episode once, with networks of NumPy."""
        total, gamma = self._episodes, np.float32(self._judge.gamma)
        first = np.zeros((total, *self._env.spec.obs_shape), self._env.spec.obs_dtype)
        returns, discounted, tail = np.zeros((3, total), np.float32)
        own = tuple(np.full(total, np.nan) for _ in self._env.log)
        played = Episodes(first, np.zeros_like(first), returns, discounted, tail, own)
        coming = iter(range(total))
        open_episodes = dict(zip(range(len(self._envs)), coming, strict=False))  # by environment
        obs = {slot: self._begin(slot, e, played) for slot, e in open_episodes.items()}
        steps, discount = np.zeros(total, int), np.ones(total, np.float32)
        while open_episodes:
            if self._now():
                raise Cancelled
            actions = policy(np.stack(list(obs.values())))
            for (slot, e), action in zip(list(open_episodes.items()), actions, strict=True):
                obs[slot], reward, terminated, truncated, _ = self._envs[slot].step(action)
                played.returns[e] += reward
                played.discounted[e] += discount[e] * reward
                discount[e] *= gamma
                steps[e] += 1
                endless = steps[e] >= self._env.max_episode_steps
                if terminated or truncated or endless:
                    self._endless += not (terminated or truncated)
                    played.last[e], played.tail[e] = obs[slot], 0.0 if terminated else discount[e]
                    self._take_own(self._envs[slot], e, played)
                    del open_episodes[slot], obs[slot]
                    if (following := next(coming, None)) is not None:
                        open_episodes[slot], obs[slot] = following, self._begin(slot, following, played)
        return played

    def __call__(self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None) -> Evaluation:
        self._endless = 0
        inputs = jax.tree.map(np.asarray, (nets, stats, return_scale))
        seeds = [jax.tree.map(itemgetter(s), inputs) for s in range(len(jax.tree.leaves(nets)[0]))]
        judge = compiled_comparison(self._judge)
        evaluations = list[Evaluation]()
        for nets, stats, scale in seeds:
            played = self.play(GreedyPolicy(stats, nets.encoder, nets.actor))
            compared = judge(nets, stats, scale, played._replace(own=()))
            evaluations.append(compared._replace(own=played.own))
        if self._lent is not None:
            self._lent.give_back(len(self._envs))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *evaluations)

    def warnings(self) -> dict[str, str]:
        lines = dict[str, str]()
        if self._endless and self._env.limit is None:
            limit = self._env.max_episode_steps
            line = f"episodes of the evaluation had no end and were cut after {limit:,} steps; give the environment a"
            lines["endless"] = f"{line} time limit: max_episode_steps in gymnasium.register or --env-args, or TimeLimit"
        if self._unseen:
            offered = f"it has {', '.join(self._offered)}" if self._offered else "it has no numbers"
            line = f"log {','.join(self._unseen)}: not in info at the end of any episode of the evaluation"
            lines["log"] = f"{line}; {one_line(offered)}"
        return lines

    def compile(
        self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None
    ) -> Callable[..., Evaluation]:
        return self

    def stop_when(self, now: Callable[[], bool]) -> None:
        self._now = now

    def close(self) -> None:
        for env in self._envs if self._lent is None else ():
            env.close()

    def _take_own(self, env: CheckedEnv, episode: int, played: Episodes) -> None:
        """The numbers of `info` at the end of an episode."""
        for key, column, number in zip(self._env.log, played.own, env.own_numbers(), strict=True):
            column[episode] = number
            if np.isfinite(number):
                self._unseen.pop(key, None)
        if self._unseen:
            with suppress(Exception):  # of a mapping of somebody else's
                self._offered |= dict.fromkeys(numbers_in(env.last_info))

    def _begin(self, slot: int, episode: int, played: Episodes) -> np.ndarray:
        if self._now():
            raise Cancelled
        played.first[episode], _ = self._envs[slot].reset(seed=self._seed + episode)
        return played.first[episode]
