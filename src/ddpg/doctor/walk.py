"""Steps an environment with random actions, and compares two that should do the same."""

import random
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ddpg.algorithm.exploration import Exploration
from ddpg.doctor.statistics import RunningMoments
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.gymnasium_factory import GymFactory, episode_seed

PATIENCE = 5.0  # seconds after which a slow environment has been stepped enough

COMPARING = 1.0  # seconds of one comparison

FEWEST = 10  # steps of one, however slow they are


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
def fresh_env(gym: GymFactory, seed: int) -> Iterator[CheckedEnv]:
    """A new environment. Raises EnvironmentFailure if it cannot be made a second time."""
    with closing(gym.make(0, partial(episode_seed, seed, 0))) as env:
        yield env


def walk(env: CheckedEnv, actions: np.ndarray, first: np.ndarray) -> Iterator[WalkStep]:
    """Every step from the first observation on, with a reset after every end."""
    yield WalkStep(first)
    done = False
    for action in actions:
        if done:
            yield WalkStep(env.reset()[0])
        obs, reward, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
        yield WalkStep(obs, reward, terminated, truncated, False)


def steady_actions(noise: Exploration, steps: int, m: int, seed: int) -> np.ndarray:
    """The noise alone as actions [steps, m], clipped to their bounds."""
    normal = np.random.default_rng([seed, 2]).standard_normal((steps, 1, m)).astype(np.float32)
    state, start, actions = noise.init_state(1, m), np.zeros(1, bool), np.empty((steps, m), np.float32)
    for t in range(steps):
        state, drawn = noise(state, normal[t], start, np.int32(t))
        actions[t] = np.clip(drawn[0], -1, 1)
    return actions


def record(steps: Iterable[WalkStep], obs_shape: tuple[int, ...]) -> Walk:
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


def first_difference(
    gym: GymFactory, actions: np.ndarray, others: np.ndarray, seeds: tuple[int, int]
) -> tuple[int | None, int]:
    """The first step at which two new environments differ, one per seed and row of actions; and the steps compared."""
    first = list(_walk_for(gym, actions, seeds[0], COMPARING / 2))  # before the second exists: there may be but one
    count = 0
    with closing(_walk_for(gym, others, seeds[1], COMPARING)) as second:
        for a, b in zip(first, second, strict=False):
            count += not a.is_reset
            if differ(a, b):
                return count, count
    return None, count


def _walk_for(gym: GymFactory, actions: np.ndarray, seed: int, seconds: float) -> Generator[WalkStep, None, None]:
    """The first steps of a new environment, copied."""
    with fresh_env(gym, seed) as env:
        first = env.reset()[0]
        began = time.perf_counter()
        for t, step in enumerate(walk(env, actions, first)):
            yield step._replace(obs=step.obs.copy())
            if t >= FEWEST and time.perf_counter() - began > seconds:
                return


def uses_global_random(gym: GymFactory, actions: np.ndarray, seed: int) -> bool:
    """Whether two new environments do the same once Python's and NumPy's global generators are seeded."""

    def seeded() -> Iterator[WalkStep]:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  # the very generator that environments should not use
        with fresh_env(gym, seed) as env:
            yield from walk(env, actions, env.reset()[0])

    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        return not any(differ(a, b) for a, b in zip(list(seeded()), seeded(), strict=True))
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


def differ(a: WalkStep, b: WalkStep) -> bool:
    return a[1:] != b[1:] or not np.array_equal(a.obs, b.obs)
