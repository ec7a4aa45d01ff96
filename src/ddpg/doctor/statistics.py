"""Statistics of the observations and rewards that random actions meet."""

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

STEADY = 1e-6  # relative range below which a component counts as constant

RARE = 0.95  # share of equal rewards above which the others are rare

ACTION_ALONE = 0.999  # share of the rewards' variance explained by the action above which the state has no part in it


@dataclass(frozen=True)
class ObservationStats:
    """One number per component of the flat observation, in the units that ddpg reads."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    constant: tuple[int, ...]  # indices of the components that never changed
    outside: tuple[int, ...]  # indices of those that left the bounds of the space
    orders: float  # of magnitude between the smallest and the largest standard deviation


@dataclass(frozen=True)
class RewardStats:
    """Statistics of the reward of one step; shares are between 0 and 1."""

    mean: float
    std: float
    low: float
    high: float
    largest: float  # in absolute value
    rms: float  # root mean square of the rewards that are not 0
    zeros: float  # share of the rewards that are 0
    most_common: float  # share of the most frequent reward
    explained_by_action: float  # share of the variance that a quadratic function of the action explains

    @property
    def say_little(self) -> bool:
        """Whether hardly any of them depends on the state."""
        return max(self.zeros, self.most_common) >= RARE or self.explained_by_action >= ACTION_ALONE


class RunningMoments:
    """Range, mean and variance of each component in one pass (Welford 1962), since observations may be images."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(shape), np.zeros(shape)
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, obs: np.ndarray) -> None:
        obs = obs.astype(np.float64)
        self.count += 1
        deviation = obs - self.mean
        self.mean += deviation / self.count
        self.squares += deviation * (obs - self.mean)
        np.minimum(self.low, obs, out=self.low)
        np.maximum(self.high, obs, out=self.high)

    def stats(self, space: spaces.Space) -> ObservationStats:
        low, high, mean = (values.ravel() for values in (self.low, self.high, self.mean))
        std = np.sqrt(self.squares.ravel() / self.count)
        largest = np.maximum(abs(low), abs(high))
        steady = high - low <= np.maximum(STEADY * largest, 1e-12)
        moving = std[~steady]
        outside = np.zeros(0, int)
        if isinstance(space, spaces.Box) and space.shape == self.low.shape:
            slack = STEADY * np.maximum(1, largest)  # for rounding to 32 bits
            outside = np.flatnonzero((low < space.low.ravel() - slack) | (high > space.high.ravel() + slack))
        orders = np.log10(moving.max() / moving.min()) if moving.size else 0.0
        return ObservationStats(
            *(tuple(map(float, values)) for values in (low, high, mean, std)),
            constant=tuple(map(int, np.flatnonzero(steady))),
            outside=tuple(map(int, outside)),
            orders=float(orders),
        )


def reward_stats(rewards: np.ndarray, actions: np.ndarray) -> RewardStats:
    """Statistics of rewards [n] that followed actions [n, m]."""
    nonzero = rewards[rewards != 0]
    _, counts = np.unique(rewards, return_counts=True)
    return RewardStats(
        mean=float(rewards.mean()),
        std=float(rewards.std()),
        low=float(rewards.min()),
        high=float(rewards.max()),
        largest=float(abs(rewards).max()),
        rms=float(np.sqrt(np.square(nonzero).mean())) if nonzero.size else 0.0,
        zeros=float((rewards == 0).mean()),
        most_common=float(counts.max() / len(rewards)),
        explained_by_action=_explained(rewards, actions),
    )


def _explained(rewards: np.ndarray, actions: np.ndarray) -> float:
    """The share of the rewards' variance that a, a² and |a| explain by least squares."""
    variance = rewards.var()
    features = np.concatenate([np.ones((len(actions), 1)), actions, np.square(actions), abs(actions)], axis=1)
    if variance == 0 or len(rewards) <= 4 * features.shape[1]:
        return 0.0
    weights, *_ = np.linalg.lstsq(features, rewards, rcond=None)
    return max(0.0, float(1 - (rewards - features @ weights).var() / variance))
