"""What random actions show of an environment."""

import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from ddpg.envs import catalogue
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.gymnasium_factory import GymFactory, episode_seed

PATIENCE = 60.0  # seconds after which a slow environment has been stepped enough

PROBE = 1_000  # steps that are compared between environments

STEADY = 1e-6  # relative range below which a component counts as never changing


@dataclass(frozen=True)
class Observations:
    """Of every component, as ddpg sees it; `order` is how many powers of ten lie between the standard deviations."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    constant: tuple[int, ...]  # those that never changed
    outside: tuple[int, ...]  # those that left the bounds of the space
    orders: float


@dataclass(frozen=True)
class Rewards:
    """Of one step. `commonest` is the share of the most frequent reward, `by_action` what the action alone explains."""

    mean: float
    std: float
    low: float
    high: float
    largest: float  # in absolute value
    size: float  # root mean square of those that are not 0
    zeros: float
    commonest: float
    by_action: float


@dataclass(frozen=True)
class Findings:
    """What was seen of one environment; lengths of episodes are in steps of ddpg, which action_repeat makes longer."""

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
    observations: Observations
    rewards: Rewards
    lengths: tuple[int, ...]  # of the episodes that ended
    terminated: int
    truncated: int
    both: int  # ended by both at once, counted in either
    unfinished: int  # steps of the episode under way at the end
    time_limit: int | None
    differs_at: int | None  # the first step at which two fresh environments differ, 0 being the first observation
    leaks: bool  # whether a reset with the first seed gives another observation after the episodes than before
    effect: bool | None  # whether other actions change anything; None where nothing can be compared
    compared: int  # steps of these comparisons
    steps_per_second: float
    render_modes: tuple[str, ...]
    remarks: tuple[str, ...]  # warnings of Gymnasium's own checks

    @property
    def length(self) -> float:
        """Of a usual episode, or what is known of it."""
        return median(self.lengths) if self.lengths else float(self.time_limit or self.unfinished)


class Seen(NamedTuple):
    """An observation, and what the step to it gave; `begins` where a reset did."""

    obs: np.ndarray
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    begins: bool = True


def examine(gym: GymFactory, steps: int = 5_000, seed: int = 0) -> Findings:
    """What `steps` uniformly random actions meet, or those of a minute. Misbehaved if the environment is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _examined(gym, steps, seed)
    said = [re.sub(r"\x1b\[\d+m", "", str(each.message)) for each in caught if each.category is UserWarning]
    remarks = dict.fromkeys(" ".join(text.removeprefix("WARN: ").split())[:200] for text in said)
    return replace(found, remarks=tuple(remarks)[:5])


def _examined(gym: GymFactory, steps: int, seed: int) -> Findings:
    actions, others = (
        np.random.default_rng([seed, i]).uniform(-1, 1, (steps, gym.spec.action_dim)).astype(np.float32) for i in (0, 1)
    )
    new = partial(_made, gym, seed)
    rewards, lengths, ends = list[float](), list[int](), list[tuple[bool, bool]]()
    running, seconds, moments = 0, 0.0, _Moments(gym.spec.obs_shape)
    with new() as env:
        first = env.reset()[0].copy()
        for seen, took in _timed(_walk(env, actions, first)):
            seconds += took
            moments.add(seen.obs)
            if seen.begins:
                continue
            rewards.append(seen.reward)
            running += 1
            if seen.terminated or seen.truncated:
                lengths.append(running)
                ends.append((seen.terminated, seen.truncated))
                running = 0
            if seconds > PATIENCE:
                break
        again = env.reset(seed=episode_seed(seed, 0, 0))[0]
        spaces_said, modes = (str(env.env.observation_space), str(env.env.action_space)), env.metadata
        space = env.env.observation_space
    compared = min(len(rewards), PROBE)
    differs_at = _first_difference(new, actions[:compared], actions[:compared])
    differs_by_action = _first_difference(new, actions[:compared], others[:compared])
    ended = np.array(ends, bool).reshape(-1, 2)
    return Findings(
        env=gym.id,
        steps=len(rewards),
        seed=seed,
        compiled=gym.id in catalogue.NATIVE and not gym.changed,
        observation_space=spaces_said[0],
        action_space=spaces_said[1],
        obs_shape=gym.spec.obs_shape,
        obs_dtype=gym.spec.obs_dtype,
        action_low=gym.spec.action_low,
        action_high=gym.spec.action_high,
        observations=moments.summary(space),
        rewards=_of_rewards(np.array(rewards), actions[: len(rewards)]),
        lengths=tuple(lengths),
        terminated=int(ended[:, 0].sum()),
        truncated=int(ended[:, 1].sum()),
        both=int(ended.all(axis=1).sum()),
        unfinished=running,
        time_limit=gym.limit,
        differs_at=differs_at,
        leaks=differs_at is None and not np.array_equal(first, again),
        effect=None if differs_at is not None else differs_by_action is not None,
        compared=compared,
        steps_per_second=len(rewards) / max(seconds, 1e-9),
        render_modes=tuple(map(str, modes.get("render_modes") or ())),
        remarks=(),
    )


@contextmanager
def _made(gym: GymFactory, seed: int) -> Iterator[CheckedEnv]:
    """A fresh environment. Misbehaved if it cannot be made again."""
    env = gym.one(0, partial(episode_seed, seed, 0))
    try:
        yield env
    finally:
        with suppress(Exception):  # what misbehaved may do so once more
            env.close()


def _walk(env: CheckedEnv, actions: np.ndarray, first: np.ndarray) -> Iterator[Seen]:
    """Step by step from the first observation on, with a reset after every end."""
    yield Seen(first)
    over = False
    for action in actions:
        if over:
            yield Seen(env.reset()[0])
        obs, reward, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
        yield Seen(obs, reward, terminated, truncated, False)


def _timed(walk: Iterator[Seen]) -> Iterator[tuple[Seen, float]]:
    """With the seconds that each took."""
    began = time.perf_counter()
    for seen in walk:
        yield seen, time.perf_counter() - began
        began = time.perf_counter()


def _first_difference(
    new: Callable[[], AbstractContextManager[CheckedEnv]], actions: np.ndarray, others: np.ndarray
) -> int | None:
    """The first step at which two fresh environments of the same seeds differ, after these actions and the others."""
    began = time.perf_counter()
    with new() as one, new() as other:
        walks = (_walk(env, a, env.reset()[0]) for env, a in ((one, actions), (other, others)))
        step = 0
        for a, b in zip(*walks, strict=True):
            step += not a.begins
            if a[1:] != b[1:] or not np.array_equal(a.obs, b.obs):
                return step
            if time.perf_counter() - began > PATIENCE:
                break
    return None


class _Moments:
    """Range, mean and variance of each component, in one pass, since observations may be images."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(shape), np.zeros(shape)
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, obs: np.ndarray) -> None:
        obs = obs.astype(np.float64)
        self.count += 1
        step = obs - self.mean
        self.mean += step / self.count
        self.squares += step * (obs - self.mean)
        np.minimum(self.low, obs, out=self.low)
        np.maximum(self.high, obs, out=self.high)

    def summary(self, space: spaces.Space) -> Observations:
        low, high, mean = (values.ravel() for values in (self.low, self.high, self.mean))
        std = np.sqrt(self.squares.ravel() / self.count)
        steady = high - low <= np.maximum(STEADY * np.maximum(abs(low), abs(high)), 1e-12)
        moving = std[~steady]
        outside = np.zeros(0, int)
        if isinstance(space, spaces.Box) and space.shape == self.low.shape:
            slack = STEADY * np.maximum(1, np.maximum(abs(low), abs(high)))  # of 32 bits
            outside = np.flatnonzero((low < space.low.ravel() - slack) | (high > space.high.ravel() + slack))
        orders = np.log10(moving.max() / moving.min()) if moving.size else 0.0
        return Observations(
            *(tuple(map(float, values)) for values in (low, high, mean, std)),
            constant=tuple(map(int, np.flatnonzero(steady))),
            outside=tuple(map(int, outside)),
            orders=float(orders),
        )


def _of_rewards(rewards: np.ndarray, actions: np.ndarray) -> Rewards:
    variance, by_action = rewards.var(), 0.0
    features = np.concatenate([np.ones((len(actions), 1)), actions, np.square(actions), abs(actions)], axis=1)
    if variance > 0 and len(rewards) > 4 * features.shape[1]:
        weights, *_ = np.linalg.lstsq(features, rewards, rcond=None)
        by_action = max(0.0, 1 - (rewards - features @ weights).var() / variance)
    some = rewards[rewards != 0]
    _, counts = np.unique(rewards, return_counts=True)
    return Rewards(
        mean=float(rewards.mean()),
        std=float(rewards.std()),
        low=float(rewards.min()),
        high=float(rewards.max()),
        largest=float(abs(rewards).max()),
        size=float(np.sqrt(np.square(some).mean())) if some.size else 0.0,
        zeros=float((rewards == 0).mean()),
        commonest=float(counts.max() / len(rewards)),
        by_action=float(by_action),
    )
