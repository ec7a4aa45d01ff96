"""Whether one algorithm is better than another: the probability of improvement, its interval, and an exact test.

In all of it an algorithm is its scores in each environment: arrays [seeds], which may differ in length.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

Scores = Sequence[Float[np.ndarray, " _"]]

FINEST = 2**14  # steps between P = 0 and 1 on which the test counts, if the numbers of seeds have no coarser ones
POWER = 0.8  # the share of comparisons in which a difference is shown that counts as detectable


def probability_of_improvement(x: Scores, y: Scores) -> float:
    """P(X > Y): how likely a seed of X scores higher than one of Y in the same environment, mean over environments.

    Ties count half. In one environment it is Mann and Whitney's U over the number of pairs (Agarwal et al. 2021,
    section 4.3).
    """
    return float(np.mean([_wins(a, b) / (2 * len(a) * len(b)) for a, b in zip(x, y, strict=True)]))


def improvement_interval(
    probability: float, sizes: Sequence[tuple[int, int]], level: float = 0.95
) -> tuple[float, float]:
    """The interval of P(X > Y); `sizes` are the numbers of seeds of X and Y in each environment.

    Newcombe's method 5 (2006, Statistics in Medicine 25, 559-573): all P whose distance to what was measured is at
    most z standard errors, which are those at that P. Over environments variances add up. Unlike the bootstrap's
    interval it has a width if every seed of X is above every seed of Y, and it covers P about as often as it says with
    as few as three seeds (docs/compare.md).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = np.linspace(0, 1, 20_001)
    spread = (1 - p) / (2 - p) + p / (1 + p)
    variance = sum(p * (1 - p) / (n * m) * (1 + ((n + m) / 2 - 1) * spread) for n, m in sizes) / len(sizes) ** 2
    inside = p[(p - probability) ** 2 <= z**2 * variance + 1e-12]
    return float(inside[0]), float(inside[-1])


def permutation_p_value(x: Scores, y: Scores) -> float:
    """The two-sided p-value of an exact permutation test that X and Y score alike in every environment.

    Seeds are exchanged within environments only; the statistic is P(X > Y). In one environment without ties this is
    the exact test of Mann and Whitney.
    """
    sizes = [(len(a), len(b)) for a, b in zip(x, y, strict=True)]
    grid = _grid(sizes)
    null = _null([_chances_of(a, b) for a, b in zip(x, y, strict=True)], grid)
    wins = sum(_on_grid(np.array([_wins(a, b)]), len(a) * len(b), grid) for a, b in zip(x, y, strict=True))
    distance = np.abs(2 * np.arange(len(null)) - grid * len(sizes))
    p_value = float(null[distance >= np.abs(2 * wins - grid * len(sizes))].sum())
    return min(1.0, max(p_value, smallest_p_value(sizes)))  # of less than 1e-15 the sum knows nothing


def smallest_p_value(sizes: Sequence[tuple[int, int]]) -> float:
    """The p-value if every seed of one algorithm is above every seed of the other: no test can say more."""
    return min(1.0, 2 / math.prod(math.comb(n + m, n) for n, m in sizes))


def seeds_needed(environments: int, pairs: int, alpha: float = 0.05) -> int:
    """The fewest seeds of each algorithm with which the first of so many pairs can be shown to differ."""
    seeds = 1
    while pairs * smallest_p_value([(seeds, seeds)] * environments) > alpha:
        seeds += 1
    return seeds


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: with these, the chance of any false claim is at most alpha (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, float)[order] * factors))
    return corrected.tolist()


def detectable_shift(sizes: Sequence[tuple[int, int]], alpha: float, power: float = POWER) -> float | None:
    """The difference, in standard deviations of a seed, that the test shows in a share `power` of comparisons.

    Simulated for normal scores with the same difference in every environment; None if no difference can be shown.
    """
    critical = _critical(sizes, alpha)
    if critical is None:
        return None
    random = np.random.default_rng(0)
    draws = min(2_000, 200 + 4_000_000 // sum(n * m for n, m in sizes))
    samples = [(random.normal(size=(draws, n, 1)), random.normal(size=(draws, 1, m))) for n, m in sizes]
    gaps = [(b - a).reshape(draws, -1) for a, b in samples]  # X wins a pair if it is shifted by more than this

    def shown(shift: float) -> float:
        share = np.mean([(gap < shift).mean(axis=1) for gap in gaps], axis=0)
        return float((share >= critical - 1e-9).mean())

    low, high = 0.0, 1.0
    while shown(high) < power:
        low, high = high, 2 * high
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) >= power else (middle, high)
    return high


def _critical(sizes: Sequence[tuple[int, int]], alpha: float) -> float | None:
    """The smallest P(X > Y) that the test shows to be above one half at this alpha, without ties."""
    if smallest_p_value(sizes) > alpha:
        return None
    grid = _grid(sizes)
    null = _null([_chances_of(np.arange(n), np.arange(n, n + m)) for n, m in sizes], grid)
    tail = np.cumsum(null[::-1])[::-1]  # of at least so much
    return float(np.flatnonzero((2 * tail <= alpha + 1e-12) & (null > 1e-15))[0] / (grid * len(sizes)))


def _wins(a: np.ndarray, b: np.ndarray) -> int:
    """Pairs in which a is above b, twice, so that a tie is one."""
    return int((a[:, None] > b).sum() + (a[:, None] >= b).sum())


def _chances_of(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, " _"]:
    """How likely each number of `_wins`, from 0 on, is if the labels of all values are drawn at random."""
    values = np.sort(np.concatenate([a, b]))
    ranks = np.searchsorted(values, values, "left") + np.searchsorted(values, values, "right") + 1  # twice the midranks
    return _chances(tuple(ranks.tolist()), len(a))


@lru_cache(maxsize=64)
def _chances(ranks: tuple[int, ...], n: int) -> Float[np.ndarray, " _"]:
    """By wins: n of the ranks are taken, each by the throw of a coin, so that no binomial coefficient overflows."""
    m = len(ranks) - n
    taken = np.zeros((n + 1, 2 * n * m + 1))  # by number taken, and their wins
    taken[0, 0] = 1
    for rank in ranks:  # ascending
        taken /= 2
        for k in range(n, 0, -1):
            more = rank - 2 * k  # wins over those who are not taken
            shorter = taken[k - 1, max(0, -more) : taken.shape[1] - max(0, more)]
            taken[k, max(0, more) : max(0, more) + len(shorter)] += shorter
    return taken[n] / taken[n].sum()


def _grid(sizes: Sequence[tuple[int, int]]) -> int:
    """Steps between P = 0 and 1 in one environment that hold the values it can have in each."""
    return min(math.lcm(*(2 * n * m for n, m in sizes)), FINEST)


def _on_grid(wins: Int[np.ndarray, " _"], pairs: int, grid: int) -> Int[np.ndarray, " _"]:
    return np.rint(wins * (grid / (2 * pairs))).astype(int)


def _null(chances: Sequence[Float[np.ndarray, " _"]], grid: int) -> Float[np.ndarray, " _"]:
    """The distribution of the sum over environments, on the grid: a convolution."""
    length = grid * len(chances) + 1
    product = np.ones(length // 2 + 1, complex)
    for of_wins in chances:
        spread = np.zeros(length)
        np.add.at(spread, _on_grid(np.arange(len(of_wins)), (len(of_wins) - 1) // 2, grid), of_wins)
        product *= np.fft.rfft(spread)
    return np.maximum(np.fft.irfft(product, length), 0)
