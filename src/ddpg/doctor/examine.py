"""Steps an environment with random actions and measures what it is like."""

import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import NamedTuple

import numpy as np

from ddpg.doctor.statistics import ObservationStats, RewardStats, RunningMoments, reward_stats
from ddpg.envs import catalogue
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.gymnasium_factory import GymFactory, episode_seed
from ddpg.terminal import one_line

PATIENCE = 60.0  # seconds after which a slow environment has been stepped enough

COMPARED_STEPS = 1_000  # of two environments with the same seed


@dataclass(frozen=True)
class Findings:
    """All that was measured. Steps are those of ddpg, which `action_repeat` makes longer than the environment's."""

    env: str
    steps: int
    seed: int
    compiled: bool  # whether ddpg has a compiled version of it
    observation_space: str
    action_space: str
    obs_shape: tuple[int, ...]
    obs_dtype: str
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    observations: ObservationStats
    rewards: RewardStats
    lengths: tuple[int, ...]  # of the episodes that ended
    terminated: int
    truncated: int
    both: int  # ended both ways at once; counted in each of the two above
    unfinished: int  # steps of the last episode, which did not end
    time_limit: int | None
    differs_at: int | None  # first step at which two fresh environments differ; 0 is the first observation
    reset_differs: bool  # whether a reset with the first seed gives another observation after the episodes
    actions_matter: bool | None  # whether other actions change anything; None if the environment is not deterministic
    compared: int  # steps of these comparisons
    steps_per_second: float
    render_modes: tuple[str, ...]
    remarks: tuple[str, ...] = ()  # warnings of Gymnasium's own checks

    @property
    def length(self) -> float:
        """The median length of an episode, or the best guess if none ended."""
        return median(self.lengths) if self.lengths else float(self.time_limit or self.unfinished)


def examine(gym: GymFactory, steps: int = 5_000, seed: int = 0) -> Findings:
    """Take `steps` uniformly random actions, or as many as a minute allows. Misbehaved if the environment does."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        findings = _measure(gym, steps, seed)
    messages = [re.sub(r"\x1b\[\d+m", "", str(each.message)) for each in caught if each.category is UserWarning]
    remarks = dict.fromkeys(one_line(text.removeprefix("WARN: ")) for text in messages)
    return replace(findings, remarks=tuple(remarks)[:5])


def _measure(gym: GymFactory, steps: int, seed: int) -> Findings:
    actions, others = (
        np.random.default_rng([seed, i]).uniform(-1, 1, (steps, gym.spec.action_dim)).astype(np.float32) for i in (0, 1)
    )
    fresh = partial(_fresh, gym, seed)
    with fresh() as env:
        first = env.reset()[0].copy()
        walk = _record(_walk(env, actions, first), gym.spec.obs_shape)
        again = env.reset(seed=episode_seed(seed, 0, 0))[0]
        space, action_space, render_modes = env.env.observation_space, env.env.action_space, env.metadata
    taken = len(walk.rewards)
    compared = min(taken, COMPARED_STEPS)
    differs_at = _first_difference(fresh, actions[:compared], actions[:compared])
    differs_by_action = _first_difference(fresh, actions[:compared], others[:compared])
    return Findings(
        env=gym.id,
        steps=taken,
        seed=seed,
        compiled=gym.id in catalogue.NATIVE and not gym.changed,
        observation_space=str(space),
        action_space=str(action_space),
        obs_shape=gym.spec.obs_shape,
        obs_dtype=gym.spec.obs_dtype,
        action_low=gym.spec.action_low,
        action_high=gym.spec.action_high,
        observations=walk.moments.stats(space),
        rewards=reward_stats(np.array(walk.rewards), actions[:taken]),
        lengths=tuple(walk.lengths),
        terminated=sum(terminated for terminated, _ in walk.ends),
        truncated=sum(truncated for _, truncated in walk.ends),
        both=walk.ends.count((True, True)),
        unfinished=taken - sum(walk.lengths),
        time_limit=gym.limit,
        differs_at=differs_at,
        reset_differs=differs_at is None and not np.array_equal(first, again),
        actions_matter=None if differs_at is not None else differs_by_action is not None,
        compared=compared,
        steps_per_second=taken / max(walk.seconds, 1e-9),
        render_modes=tuple(map(str, render_modes.get("render_modes") or ())),
    )


class WalkStep(NamedTuple):
    """An observation, and the reward and the flags that came with it unless it is the first of an episode."""

    obs: np.ndarray
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    is_reset: bool = True


@dataclass(frozen=True)
class Walk:
    """The record of one walk."""

    moments: RunningMoments
    rewards: list[float]
    lengths: list[int]  # of the episodes that ended
    ends: list[tuple[bool, bool]]  # their flags, terminated and truncated
    seconds: float


@contextmanager
def _fresh(gym: GymFactory, seed: int) -> Iterator[CheckedEnv]:
    """A new environment. Misbehaved if it cannot be made a second time."""
    with closing(gym.one(0, partial(episode_seed, seed, 0))) as env:
        yield env


def _walk(env: CheckedEnv, actions: np.ndarray, first: np.ndarray) -> Iterator[WalkStep]:
    """Every step from the first observation on, with a reset after every end."""
    yield WalkStep(first)
    over = False
    for action in actions:
        if over:
            yield WalkStep(env.reset()[0])
        obs, reward, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
        yield WalkStep(obs, reward, terminated, truncated, False)


def _record(steps: Iterable[WalkStep], obs_shape: tuple[int, ...]) -> Walk:
    """Take the steps, for PATIENCE seconds at most; only the environment's own time counts."""
    moments, rewards, lengths, ends = RunningMoments(obs_shape), list[float](), list[int](), list[tuple[bool, bool]]()
    seconds, began = 0.0, time.perf_counter()
    for step in steps:
        seconds += time.perf_counter() - began
        moments.add(step.obs)
        if not step.is_reset:
            rewards.append(step.reward)
            if step.terminated or step.truncated:
                lengths.append(len(rewards) - sum(lengths))
                ends.append((step.terminated, step.truncated))
            if seconds > PATIENCE:
                break
        began = time.perf_counter()
    return Walk(moments, rewards, lengths, ends, seconds)


def _first_difference(
    fresh: Callable[[], AbstractContextManager[CheckedEnv]], actions: np.ndarray, others: np.ndarray
) -> int | None:
    """The first step at which two new environments with the same seeds differ, under `actions` and under `others`."""
    began = time.perf_counter()
    with fresh() as one, fresh() as other:
        walks = (_walk(env, a, env.reset()[0]) for env, a in ((one, actions), (other, others)))
        count = 0
        for a, b in zip(*walks, strict=True):
            count += not a.is_reset
            if a[1:] != b[1:] or not np.array_equal(a.obs, b.obs):
                return count
            if time.perf_counter() - began > PATIENCE:
                break
    return None
