"""Greedy episodes in JAX-native environments, all of them side by side in one compiled program."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import jax
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Float, Shaped

from ddpg.algorithm.layers import STATIC
from ddpg.algorithm.nets import Nets
from ddpg.algorithm.normaliser import InputStats, normalise
from ddpg.envs import catalogue
from ddpg.envs.episodes import play, starts
from ddpg.envs.protocol import Environment, HasInfo
from ddpg.envs.view import unseen
from ddpg.experience.return_scale import ReturnScale
from ddpg.hyperparameters import split, with_numbers
from ddpg.training.devices import compiled, gathered, jit_group, numbers_of_each, place_on_devices
from ddpg.training.evaluation import CriticComparison, Evaluation
from ddpg.types import PyTree


@dataclass(frozen=True)
class CompiledEvaluator:
    """Plays `episodes` greedy episodes from starts that depend on `seed` alone; `log` are keys of their `info`."""

    env: Environment = field(metadata=STATIC)
    judge: CriticComparison
    episodes: int = 100
    seed: int = 0
    log: tuple[str, ...] = ()

    def starts(self) -> tuple[PyTree, Shaped[Array, "e *obs"]]:
        return starts(self.env, self.episodes, self.seed)

    def optimum(self) -> float | None:
        solved = catalogue.solved(unseen(self.env))
        if solved is None:
            return None
        obs = _first_observations(unseen(self.env), self.episodes, self.seed)
        return float(np.mean(solved.best_return(np.asarray(obs))))

    def rollout(self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None) -> Evaluation:
        """Of one seed."""
        episodes = play(self.env, lambda obs: nets.mu(normalise(obs, stats)), self.starts(), self.judge.gamma)
        evaluation = self.judge(nets, stats, return_scale, episodes)
        if not self.log or not isinstance(self.env, HasInfo):
            return evaluation
        info = self.env.info(episodes.last)
        return evaluation._replace(own=tuple(info[key] for key in self.log))

    def __call__(self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None) -> Evaluation:
        (structure, numbers), groups = split(self), place_on_devices((nets, stats, return_scale))
        each = zip(groups, numbers_of_each(numbers, _seeds(nets)), strict=True)
        return gathered([_rollouts(structure)(*pair) for pair in each])

    def compile(
        self, nets: Nets, stats: InputStats = None, return_scale: ReturnScale | None = None
    ) -> Callable[..., Evaluation]:
        return self.compile_for(split(self)[1], nets, stats, return_scale)

    def compile_for(
        self,
        numbers: Float[np.ndarray, "*S n"],
        nets: Nets,
        stats: InputStats = None,
        return_scale: ReturnScale | None = None,
    ) -> Callable[..., Evaluation]:
        """`compile`, for seeds that have hyperparameters of their own, as `split` gives them."""
        structure, placed = split(self)[0], numbers_of_each(numbers, _seeds(nets))
        rollouts = compiled(_rollouts(structure), place_on_devices((nets, stats, return_scale)), placed)
        return lambda *inputs: gathered(rollouts(place_on_devices(inputs), placed))

    def warnings(self) -> dict[str, str]:
        return {}

    def stop_when(self, now: Callable[[], bool]) -> None:
        """Compiled episodes take little time: nothing asks meanwhile."""

    def close(self) -> None:
        """Nothing is open: what plays is compiled."""


def _seeds(nets: Nets) -> int:
    return len(jax.tree.leaves(nets)[0])


@cache
def _first_observations(env: Environment, episodes: int, seed: int) -> Shaped[Array, "e *obs"]:
    return jax.jit(starts, static_argnums=(0, 1, 2))(env, episodes, seed)[1]


@cache
def _rollouts(structure: CompiledEvaluator) -> Wrapped:
    return jit_group(lambda inputs, numbers: with_numbers(structure, numbers).rollout(*inputs))
