"""Collecting with environments that Python steps: K steps of S x N of them, acting in NumPy."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from ddpg.algorithm.nets import GreedyPolicy
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.python_vector import History, PythonStepResult
from ddpg.records.tree_file import to_numpy
from ddpg.training.collector import BehaviourPolicy
from ddpg.training.driver import OwnMean
from ddpg.training.interruption import Cancelled, never
from ddpg.training.randomness import ActionRandomness
from ddpg.types import Row


@runtime_checkable
class PythonVectorEnv(Protocol):
    """S x N environments with NEXT_STEP autoreset, in one array each; `why_cut`: why some cannot be brought back."""

    @property
    def why_cut(self) -> str: ...
    def reset(self) -> np.ndarray: ...
    def step(self, action: Float[np.ndarray, "s n m"]) -> PythonStepResult: ...
    def history(self) -> History: ...
    def lent(self) -> Sequence[CheckedEnv]: ...
    def truncate(self, mask: Bool[np.ndarray, "s n"]) -> None: ...
    def replay_history(self, history: History, obs: np.ndarray, done: Bool[np.ndarray, "s n"]) -> PythonStepResult: ...
    def close(self) -> None: ...


class PythonEnvState(NamedTuple):
    """Where the environments of every seed stand."""

    obs: np.ndarray  # [s, n, *obs]
    boundary: np.ndarray  # [s, n]: obs is the last of its episode
    noise: Sequence[np.ndarray] | np.ndarray  # [s] of [n, ...]
    start: np.ndarray  # [s, n]: obs is the first of its episode


class CollectorSnapshot(NamedTuple):
    """All that a collector is at one moment."""

    env: PythonEnvState
    running: np.ndarray  # [s, n], returns of the open episodes
    history: History


class PythonCollector:
    """Steps Python environments with the behaviour policy of every seed; episodes end with `numbers` of `info`."""

    def __init__(self, behaviour: BehaviourPolicy, envs: PythonVectorEnv, numbers: int = 0) -> None:
        self.behaviour, self.envs, self._numbers = behaviour, envs, numbers
        self.first = envs.reset()
        no = np.zeros(self.first.shape[:2], bool)
        noise = np.stack([behaviour.init_noise()] * len(no))
        self._state, self._running = PythonEnvState(self.first, no, noise, ~no), np.zeros(no.shape)

    def collect(
        self,
        policies: Sequence[GreedyPolicy],
        t: np.int32,
        randomness: Sequence[ActionRandomness],
        now: Callable[[], bool] = never,
    ) -> Row:
        """The K steps of iteration t: a block of rows [s, k, n, ...].

        Raises EnvironmentFailure if an environment misbehaves, Cancelled if `now` answers true between two steps.
        """
        spec, seeds = self.behaviour.spec, len(policies)
        k, n, m = randomness[0].normal.shape
        block = Row(
            np.empty((seeds, k, n, *spec.obs_shape), spec.obs_dtype),
            np.empty((seeds, k, n, m), np.float32),
            np.empty((seeds, k, n), np.float32),
            *(np.empty((seeds, k, n), bool) for _ in range(3)),
        )
        obs, boundary, noise, start = self._state
        self._own = list[np.ndarray]()
        for i, draws in enumerate(zip(*(each.of_steps() for each in randomness), strict=True)):
            if now():
                raise Cancelled
            selected = [
                self.behaviour.select_action(policy, obs[s], noise[s], start[s], t, np.int32(i), draws[s])
                for s, policy in enumerate(policies)
            ]
            action, noise = np.array([action for action, _ in selected]), [noise for _, noise in selected]
            after, reward, terminated, truncated, own = self.envs.step(action)
            if own is not None:
                self._own.append(own)
            for column, value in zip(block, (obs, action, reward, terminated, truncated, boundary), strict=True):
                column[:, i] = value
            obs, start, boundary = after, boundary, terminated | truncated
            self._state = PythonEnvState(obs, boundary, noise, start)
        return block

    @property
    def obs(self) -> np.ndarray:
        """The observations [s, n, *obs] after the newest step."""
        return self._state.obs

    def episodes(self, block: Row) -> tuple[np.ndarray, np.ndarray]:
        """Mean return, and number, of the episodes that ended in the newest block [s, k, n] of each seed."""
        reward, done = np.asarray(block.reward), np.logical_or(block.terminated, block.truncated)
        finished = np.zeros(len(reward))
        begun = np.zeros((len(reward), reward.shape[2]), int)  # the first step of the open episode
        for seed, i, env in np.argwhere(done):
            finished[seed] += self._running[seed, env] + reward[seed, begun[seed, env] : i + 1, env].sum(dtype=float)
            self._running[seed, env], begun[seed, env] = 0, i + 1
        for seed, env in np.ndindex(begun.shape):
            self._running[seed, env] += reward[seed, begun[seed, env] :, env].sum(dtype=float)
        count = done.sum(axis=(1, 2))
        with np.errstate(invalid="ignore"):
            return finished / count, count

    def own_means(self) -> tuple[OwnMean, ...]:
        """Each number of `info`, over the episodes of each seed [s] that ended with it in the newest block."""
        if not self._numbers:
            return ()
        seeds = len(self._running)
        done = np.concatenate([np.zeros((seeds, 0, self._numbers)), *self._own], axis=1)
        count, total = np.isfinite(done).sum(axis=1), np.nansum(done, axis=1)  # [s, k]
        with np.errstate(invalid="ignore"):
            return tuple(OwnMean(*pair) for pair in zip((total / count).T, count.T, strict=True))

    def snapshot(self) -> CollectorSnapshot:
        """All that `resume` needs, in arrays that nothing changes any more."""
        env = to_numpy(self._state._replace(noise=np.stack(list(self._state.noise))))
        return CollectorSnapshot(env, self._running.copy(), self.envs.history())

    def resume(self, snapshot: CollectorSnapshot) -> np.ndarray:
        """Go to where the snapshot was taken; which episodes [s, n] had to be cut, because they differed."""
        env, running, history = snapshot
        now = self.envs.replay_history(history, env.obs, env.boundary)
        self._state, self._running = env, running.copy()
        return self._truncated(now.terminated | now.truncated)

    def truncate(self, count: int) -> np.ndarray:
        """The first `count` environments were lent: which of their episodes [s, n] had to be cut."""
        return self._cut((np.arange(self._state.boundary.size) < count).reshape(self._state.boundary.shape))

    def begin_anew(self, seeds: Bool[np.ndarray, " s"]) -> np.ndarray:
        """These seeds begin new episodes: which [s, n] are cut; those that have only begun go on."""
        return self._cut(seeds[:, None] & ~(self._state.boundary | self._state.start))

    def _cut(self, mask: Bool[np.ndarray, "s n"]) -> np.ndarray:
        self.envs.truncate(mask)
        return self._truncated(mask)

    def _truncated(self, mask: np.ndarray) -> np.ndarray:
        """Which episodes end here by the mask [s, n]; the rows in memory stay, their last one at a time limit."""
        boundary = self._state.boundary
        self._state = self._state._replace(boundary=boundary | mask)
        self._running[mask & ~boundary] = 0
        return mask & ~boundary

    def close(self) -> None:
        self.envs.close()
