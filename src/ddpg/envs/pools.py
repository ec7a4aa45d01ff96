"""Environments of EnvPool (Weng et al. 2022): simulators in C++, of which a call steps many, in threads of its own."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from ddpg.envs.episode_info import numbers_of
from ddpg.envs.foreign import EnvironmentFailure, Guard, close_quietly
from ddpg.envs.gymnasium_edge import EpisodeHistory, not_finite
from ddpg.envs.gymnasium_factory import GymFactory, episode_seed
from ddpg.envs.observations import flatten
from ddpg.envs.view import View, has_pictures
from ddpg.mistake import Mistake
from ddpg.types import PyTree

NOT_REPLAYED = "of EnvPool cannot return to where it was: its open episode is truncated"

Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class PoolMaker:
    """Makes EnvPool's `name` with keyword arguments: many in a pool or, when it is called, one as Gymnasium has it."""

    name: str
    args: Mapping[str, Any]

    def pool(self, n: int, seed: int) -> Any:
        """N of them; the seed decides all their episodes."""
        with warnings.catch_warnings(action="ignore"):  # of bounds that 32 bits do not hold exactly
            pool = import_module("envpool").make_gymnasium(self.name, num_envs=n, seed=seed, **self.args)
            _ = pool.observation_space, pool.action_space  # made now, and kept by the pool
        return pool

    def __call__(self, render_mode: str | None = None) -> gymnasium.Env:
        return PooledEnv(self)


class PooledEnv(gymnasium.Env):
    """A pool of one, for evaluations and `ddpg doctor`; it cannot draw itself. A seed makes a new pool."""

    def __init__(self, maker: PoolMaker) -> None:
        self._maker, self._pool = maker, maker.pool(1, 0)
        self.observation_space, self.action_space = self._pool.observation_space, self._pool.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._pool.close()
            self._pool = self._maker.pool(1, seed)
        return _at(0, self._pool.reset())

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return _at(0, self._pool.step(action[None]))

    def close(self) -> None:
        self._pool.close()


class Pools:
    """A pool of N environments for each of S seeds. It resets by itself, at the step after an end, as rows are stored.

    A pool is seeded as a whole, so no episode can be replayed: environments that are to go on with a history are
    truncated where it ends. Raises Mistake if `gym` asks for what a pool cannot do; EnvironmentFailure, in one line,
    for whatever a pool raises, and for numbers that are not finite.
    """

    def __init__(self, gym: GymFactory, seeds: Sequence[int], n: int, first: int, mode: str) -> None:
        check_pool(gym, mode)
        self._gym, self._seeds, self._n, self._first = gym, seeds, n, first
        self._cut = np.zeros((len(seeds), n), bool)  # to be reset at the next step, though no episode ended
        self._step, self._histories, self._pools = 0, list[EpisodeHistory](), list[Any]()
        self._begin(0)

    def set_histories(self, histories: Sequence[EpisodeHistory]) -> None:
        self._histories, self._step = list(histories), max(each.steps for each in histories)
        self._begin(sum(each.episodes for each in histories))  # else the run's first episodes would come once more

    def reset(self) -> np.ndarray:
        with self._guard("reset raised"):
            first = np.concatenate([self._array(pool.reset()[0], self._n) for pool in self._pools])
        return self._checked(first)

    def step(self, action: np.ndarray) -> Columns:
        """One step of each, as `InProcess.step`; if there are histories, where these ended, truncated."""
        count = self._cut.size
        if self._histories:
            obs, self._histories, self._cut[:] = np.stack([each.obs for each in self._histories]), [], True
            return obs, np.zeros(count, np.float32), np.zeros(count, bool), np.ones(count, bool), None
        (low, high), (middle, half) = self._gym.spec.bounds, self._gym.spec.middle_and_half
        units = np.fmin(np.fmax(middle + action * half, low), high).astype(self._space.dtype)
        units, self._step = units.reshape(len(self._pools), self._n, *self._space.shape), self._step + 1
        with self._guard("step raised"):
            each_pool = [self._stepped(*of) for of in zip(self._pools, units, self._cut, strict=True)]
        obs, reward, terminated, truncated, own = (np.concatenate(column) for column in zip(*each_pool, strict=True))
        self._cut[:] = False
        if not np.isfinite(reward).all():
            i = int(np.argmin(np.isfinite(reward)))
            raise self._failure(i, f"reward {reward[i]}, expected a finite number of 32 bits")
        return self._checked(obs), reward, terminated, truncated, own if self._gym.log else None

    def truncate(self, mask: Sequence[bool]) -> None:
        self._cut |= np.reshape(mask, self._cut.shape)

    def close(self) -> None:
        for pool in self._pools:
            close_quietly(pool)

    def _begin(self, episodes: int) -> None:
        """New pools, whose seeds depend on how many episodes the run has begun."""
        maker = self._gym.maker
        assert isinstance(maker, PoolMaker)
        self.close()
        with self._guard("cannot be made:"):
            self._pools = [maker.pool(self._n, episode_seed(seed, self._first, episodes)) for seed in self._seeds]
            self._space: spaces.Box = self._pools[0].action_space

    def _stepped(self, pool: Any, units: np.ndarray, cut: np.ndarray) -> tuple[np.ndarray, ...]:
        """The same of one pool [n], which resets what was `cut`; `own` is NaN where no episode ended."""
        n, spec = self._n, self._gym.spec
        obs, reward = np.zeros((n, *spec.obs_shape), spec.obs_dtype), np.zeros(n, np.float32)
        ends, own = np.zeros((2, n), bool), np.full((n, len(self._gym.log)), np.nan)
        begun, going = np.flatnonzero(cut), np.flatnonzero(~cut)
        if len(begun):
            obs[begun] = self._array(pool.reset(begun)[0], len(begun))
        if len(going):
            answer, reward[going], *done, info = pool.step(units[going], going)
            obs[going], ends[:, going] = self._array(answer, len(going)), done
            for i in np.flatnonzero(np.any(done, axis=0)) if self._gym.log else ():
                own[going[i]] = numbers_of(_at(i, info), self._gym.log)
        return obs, reward, *ends, own

    def _array(self, obs: PyTree, count: int) -> np.ndarray:
        """Observations as one array [count, *obs] of the spec's dtype, of its own: the pool fills its own again."""
        spec = self._gym.spec
        if spec.nested:
            return np.stack([flatten(spec, _at(i, obs)) for i in range(count)])
        if obs.shape != (count, *spec.obs_shape):
            raise ValueError(f"observations of shape {obs.shape}, expected {(count, *spec.obs_shape)}")
        with np.errstate(over="ignore"):  # infinity is found by `_checked`
            return np.array(obs, spec.obs_dtype)

    def _checked(self, obs: np.ndarray) -> np.ndarray:
        if not np.isfinite(obs).all():
            i = int(np.argwhere(~np.isfinite(obs))[0][0])
            raise self._failure(i, f"{not_finite(self._gym.spec, obs[i], obs[i])}, expected finite numbers of 32 bits")
        return obs

    def _failure(self, i: int, what: str) -> EnvironmentFailure:
        return EnvironmentFailure(f"environment {i} at its step {self._step}: {what}")

    def _guard(self, what: str) -> Guard:
        return Guard(lambda: f"{self._gym.id!r} at step {self._step}: {what}")


def is_pooled(gym: GymFactory) -> bool:
    """Whether EnvPool steps it."""
    return isinstance(gym.maker, PoolMaker)


def check_pool(gym: GymFactory, mode: str) -> None:
    """Raise Mistake if `gym` asks for what a pool cannot do."""
    refused = {
        f"collect.vector {mode}": mode != "sync" and "has threads of its own; use --collect.vector sync",
        f"env_seeds {gym.seeding}": gym.seeding != "episode" and "seeds a whole pool, once; use --env-seeds episode",
        f"action_repeat {gym.repeat}": gym.repeat > 1
        and "repeats none; use --action_repeat 1, or frame_skip in --env-args",
        "pixels": (gym.view != View() or has_pictures(gym.spec)) and "gives ddpg no pictures; use gym:ID with --pixels",
    }
    for what, why in refused.items():
        if why:
            raise Mistake(f"{what}: {gym.id} is of EnvPool, which {why}")


def _at(i: int | np.intp, tree: PyTree) -> Any:
    """The part of environment `i` in what a pool answers."""
    return jax.tree.map(lambda column: column[i], tree)
