"""Stratified bootstrap intervals against scipy's, draw by draw."""

import numpy as np
import pytest
from scipy.stats import bootstrap, trim_mean

from ddpg.records.statistics import interval, mean_of_means, pooled_iqm, stratified_interval


def some(seeds: int, points: int = 2) -> np.ndarray:
    return np.random.default_rng(seeds).normal(size=(seeds, points)) * [1, 10][:points]


def test_one_stratum_is_scipys_bootstrap() -> None:
    returns = some(9)
    low, high = interval(returns, resamples=500, seed=3)
    for i in range(2):
        drawn = bootstrap(
            (returns[:, i],),
            lambda x, axis: trim_mean(x, 0.25, axis=axis),
            n_resamples=500,
            method="percentile",
            rng=np.random.default_rng(3),
        )
        np.testing.assert_allclose((low[i], high[i]), drawn.confidence_interval)


def test_several_strata_are_scipys_bootstrap_of_several_samples() -> None:
    strata = [some(5, 1), some(8, 1), some(6, 1)]
    low, high = stratified_interval(strata, pooled_iqm, level=0.9, resamples=400, seed=1)
    drawn = bootstrap(
        [stratum[:, 0] for stratum in strata],
        lambda *x, axis: trim_mean(np.concatenate(x, axis=axis), 0.25, axis=axis),
        n_resamples=400,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    np.testing.assert_allclose((low[0], high[0]), drawn.confidence_interval)


def test_a_mean_over_environments_weighs_them_alike() -> None:
    assert mean_of_means([np.array([[0.0, 0.0, 0.0, 0.0]]), np.array([[1.0]])]) == [0.5]


@pytest.mark.parametrize("sizes", [(1,), (4, 1)])
def test_one_seed_has_no_interval(sizes: tuple[int, ...]) -> None:
    assert np.isnan(stratified_interval([some(size) for size in sizes], pooled_iqm)).all()
