"""S x N environments that Python steps, one after the other or in a process each, as arrays [s, n, ...]."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ddpg.envs.gymnasium_edge import OWN, CheckedEnv, EpisodeHistory
from ddpg.envs.gymnasium_factory import GymFactory, episode_seed
from ddpg.envs.pools import NOT_REPLAYED, Pools, is_pooled
from ddpg.envs.worker_processes import Processes
from ddpg.mistake import Mistake

NOTHING = np.empty(0)
PRUNE_EVERY = 1_000  # steps after which the actions of episodes that ended are dropped


class PythonStepResult(NamedTuple):
    """One step of S x N environments, in NumPy."""

    obs: np.ndarray  # [s, n, *obs]
    reward: Float[np.ndarray, "s n"]
    terminated: Bool[np.ndarray, "s n"]
    truncated: Bool[np.ndarray, "s n"]
    own: Float[np.ndarray, "s n k"] | None = None  # numbers of `info`, NaN but where an episode ended with them


class History(NamedTuple):
    """How to bring S x N environments back to where they stood: the actions of their open episodes."""

    episodes: np.ndarray  # [s * n], begun
    steps: np.ndarray  # [s * n], of each environment
    lengths: np.ndarray  # [s * n], actions since the last reset
    actions: np.ndarray  # [sum of lengths, m], one environment after the other


class PythonVector:
    """N environments for each of S seeds, stepped by Python, with NEXT_STEP autoreset.

    The seed of an episode is a function of (run seed, index of the environment, number of the episode), so a seed's
    episodes do not depend on the other seeds. `mode` "sync" steps all in this process, "async" each in its own.
    Environments of a seed are counted from `first` on. Those of EnvPool are stepped by it. `why_cut` says why some
    cannot be brought back.
    """

    why_cut = "is not deterministic: its open episode went differently when replayed"

    def __init__(
        self, gym: GymFactory, seeds: Sequence[int], n: int, mode: Literal["sync", "async"] = "sync", first: int = 0
    ) -> None:
        self._shape = len(seeds), n
        if is_pooled(gym):
            self._all, self.why_cut = Pools(gym, seeds, n, first, mode), NOT_REPLAYED
        else:
            makers = [
                partial(gym.make, i + n * s, partial(episode_seed, seed, i))
                for s, seed in enumerate(seeds)
                for i in range(first, first + n)
            ]
            self._all = InProcess(makers) if mode == "sync" else Processes(makers)
        count, m = len(seeds) * n, gym.spec.action_dim
        self._repeat, self._recent = gym.repeat, list[tuple[np.ndarray, np.ndarray, np.ndarray]]()
        self._done = np.zeros(count, bool)
        self._episodes, self._steps = np.ones(count, np.int64), np.zeros(count, np.int64)
        self._open = [[np.zeros((0, m), np.float32)] for _ in range(count)]

    def reset(self) -> np.ndarray:
        """The first observations [s, n, *obs]. Once only: an episode that began is never left before its end."""
        first = self._split(self._all.reset())
        self._obs_shape = first.shape
        return first

    def step(self, action: Float[np.ndarray, "s n m"]) -> PythonStepResult:
        """One step of each; the caller must not change `action` afterwards."""
        flat = action.reshape(-1, action.shape[-1])
        obs, reward, terminated, truncated, own = self._all.step(flat)
        self._recent.append((flat, terminated, truncated))
        if len(self._recent) >= PRUNE_EVERY:
            self._prune()
        s_n, own = self._shape, None if own is None else self._split(own)
        obs = obs.reshape(self._obs_shape)
        return PythonStepResult(obs, reward.reshape(s_n), terminated.reshape(s_n), truncated.reshape(s_n), own)

    def history(self) -> History:
        """What `replay_history` needs to come back here."""
        self._prune()
        actions = [np.concatenate(chunks) for chunks in self._open]
        lengths = np.array([len(each) for each in actions], np.int64)
        return History(self._episodes.copy(), self._steps.copy(), lengths, np.concatenate(actions))

    def replay_history(self, history: History, obs: np.ndarray, done: Bool[np.ndarray, "s n"]) -> PythonStepResult:
        """Replay the open episodes of `history`, which had led to `obs`, and were done where `done`.

        An episode that goes differently, because its environment is not deterministic, is truncated there.
        Raises EnvironmentFailure if an environment misbehaves, and Mistake if the history is inconsistent.
        """
        lengths = history.lengths
        if (lengths < 0).any() or lengths.sum() != len(history.actions) or (history.episodes < 1).any():
            raise Mistake(f"{len(history.actions)} actions in episodes of {lengths.tolist()} steps")
        actions = np.split(history.actions, np.cumsum(history.lengths)[:-1])
        flat_obs, flat_done = obs.reshape(-1, *obs.shape[2:]), done.ravel()
        counts = history.episodes.tolist(), history.steps.tolist()
        each_env = zip(*counts, actions, flat_obs, flat_done.tolist(), strict=True)
        self._all.set_histories([EpisodeHistory(*own) for own in each_env])
        self._all.reset()
        *answer, _ = self._all.step(np.zeros((len(flat_done), history.actions.shape[1]), np.float32))
        self._done = answer[2] | answer[3]
        self._recent.clear()
        self._episodes, self._steps = history.episodes.copy(), history.steps.copy()
        self._open = [[each] for each in actions]
        return PythonStepResult(*map(self._split, answer))

    def lent(self) -> Sequence[CheckedEnv]:
        """The environments for others to use, if they are in this process; afterwards they must be `truncate`d."""
        return self._all.lent() if isinstance(self._all, InProcess) else ()

    def truncate(self, mask: Bool[np.ndarray, "s n"]) -> None:
        """Leave the open episodes there: the next step begins new ones."""
        self._prune()
        self._done |= mask.ravel()
        if not isinstance(self._all, Processes):
            self._all.truncate(mask.ravel().tolist())

    def _prune(self) -> None:
        """Drop the actions of episodes that have ended."""
        if not self._recent:
            return
        actions = np.stack([flat for flat, _, _ in self._recent])
        done = np.stack([terminated | truncated for _, terminated, truncated in self._recent])
        reset = np.concatenate([self._done[None], done[:-1]])  # the step after an end
        for i, chunks in enumerate(self._open):
            resets = np.flatnonzero(reset[:, i])
            if len(resets):
                chunks.clear()
            chunks.append(actions[resets[-1] + 1 if len(resets) else 0 :, i])
        self._episodes += reset.sum(axis=0)
        self._steps += self._repeat * (len(reset) - reset.sum(axis=0))
        self._done = done[-1]
        self._recent.clear()

    def close(self) -> None:
        self._all.close()

    def _split(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(*self._shape, *array.shape[1:])


class InProcess:
    """Environments one after the other. Gymnasium's SyncVectorEnv copies and stacks, at the cost of a small step."""

    def __init__(self, makers: Sequence[Callable[[], CheckedEnv]]) -> None:
        self._envs = [maker() for maker in makers]
        self._done = [True] * len(makers)

    def set_histories(self, histories: Sequence[EpisodeHistory]) -> None:
        for env, each in zip(self._envs, histories, strict=True):
            env.history = each

    def reset(self) -> np.ndarray:
        self._done = [False] * len(self._envs)
        return np.stack([env.reset()[0] for env in self._envs])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        count = len(self._envs)
        obs: list[np.ndarray] = [NOTHING] * count
        reward, ends, own = np.zeros(count, np.float32), np.zeros((2, count), bool), None
        for i, env in enumerate(self._envs):
            if self._done[i]:
                obs[i], _ = env.reset()
                self._done[i] = False
            else:
                obs[i], reward[i], terminated, truncated, info = env.step(action[i])
                if terminated or truncated:
                    ends[:, i] = terminated, truncated
                    self._done[i] = True
                    if info:
                        own = np.full((count, len(info[OWN])), np.nan) if own is None else own
                        own[i] = info[OWN]
        return np.array(obs), reward, ends[0], ends[1], own

    def lent(self) -> Sequence[CheckedEnv]:
        return [env.beside(i) for i, env in enumerate(self._envs)]

    def truncate(self, mask: Sequence[bool]) -> None:
        self._done = [done or truncated for done, truncated in zip(self._done, mask, strict=True)]

    def close(self) -> None:
        for env in self._envs:
            env.close()
