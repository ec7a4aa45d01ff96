"""Statistics over seeds: interquartile means and bootstrap intervals."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float


def iqm(x: Float[np.ndarray, "..."], axis: int = 0) -> Float[np.ndarray, "..."]:
    """Interquartile mean along `axis`: the mean of the middle half, robust to a failed seed as the mean is not.

    The 25 % trimmed mean, which drops floor(K / 4) of K values at either end (the mean for K < 4): exactly
    `scipy.stats.trim_mean(x, 0.25)`, the definition of rliable (Agarwal et al. 2021, arXiv 2108.13264, section 4.3),
    but NaN if any value is NaN, and without the 0.9 s that importing scipy.stats takes.
    """
    ordered = np.sort(x, axis=axis)
    quarter = x.shape[axis] // 4
    middle = np.take(ordered, np.arange(quarter, x.shape[axis] - quarter), axis=axis).mean(axis=axis)
    return np.where(np.isnan(x).any(axis=axis), np.nan, middle)


def interval(
    returns: Float[np.ndarray, "seeds points"], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Lower and upper end of the percentile-bootstrap interval of the interquartile mean at every point.

    Seeds are drawn with replacement, whole curves at a time (Agarwal et al. 2021, section 4.1); `seed` fixes the
    draws, so a figure drawn twice is the same figure. One seed has no spread: NaN.
    """
    return stratified_interval([returns], pooled_iqm, level=level, resamples=resamples, seed=seed)


Statistic = Callable[[Sequence[np.ndarray]], np.ndarray]
"""A number [resamples] of resampled seeds, [resamples, seeds] of each stratum."""


def pooled_iqm(strata: Sequence[np.ndarray]) -> np.ndarray:
    """The interquartile mean over the seeds of all strata together."""
    return iqm(np.concatenate(strata, axis=1), axis=1)


def mean_of_means(strata: Sequence[np.ndarray]) -> np.ndarray:
    """The mean over strata of the mean over seeds."""
    return np.mean([stratum.mean(axis=1) for stratum in strata], axis=0)


def stratified_interval(
    strata: Sequence[Float[np.ndarray, "_ points"]],
    statistic: Statistic,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Lower and upper end of the stratified percentile-bootstrap interval of a statistic at every point.

    A stratum [seeds, points] is one algorithm in one environment. Seeds are drawn with replacement within each, whole
    curves at a time (Agarwal et al. 2021, section 4.1). NaN if a stratum has one seed, and so no spread.
    """
    points = strata[0].shape[1]
    if min(map(len, strata)) < 2:
        return np.full(points, np.nan), np.full(points, np.nan)
    random = np.random.default_rng(seed)
    draws = [random.integers(len(stratum), size=(resamples, len(stratum))) for stratum in strata]
    tails = [50 * (1 - level), 50 * (1 + level)]
    # One point at a time: all at once is resamples x seeds x points numbers, gigabytes for a long run of many seeds.
    columns = ([stratum[:, i][draw] for stratum, draw in zip(strata, draws, strict=True)] for i in range(points))
    ends = [np.percentile(statistic(column), tails) for column in columns]
    low, high = np.array(ends, dtype=float).reshape(points, 2).T
    return low, high


def summary(
    returns_last: Float[np.ndarray, " seeds"], *, seed: int = 0
) -> dict[str, float | list[float | None] | None]:
    """The last return of each seed as in summary.json: iqm, ci_low, ci_high, mean, returns; None instead of NaN."""
    returns = np.asarray(returns_last, dtype=float)
    low, high = interval(returns[:, None], seed=seed)
    known = [float(x) if np.isfinite(x) else None for x in (iqm(returns), low[0], high[0], returns.mean(), *returns)]
    return {"iqm": known[0], "ci_low": known[1], "ci_high": known[2], "mean": known[3], "returns": known[4:]}
