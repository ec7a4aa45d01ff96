"""Probabilities of improvement and exact tests against scipy, loops over all permutations, and published figures."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from ddpg.comparison.improvement import (
    POWER,
    detectable_shift,
    holm,
    improvement_interval,
    permutation_p_value,
    probability_of_improvement,
    seeds_needed,
    smallest_p_value,
)

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (2, 9), (5, 4), (10, 10), (30, 25)])
def test_one_environment_is_scipys_mann_whitney_test(n: int, m: int) -> None:
    for shift in (0.0, 0.5, 3.0):
        x, y = RANDOM.normal(shift, 1, n), RANDOM.normal(0, 1, m)
        u, p = mannwhitneyu(x, y, method="exact")
        assert probability_of_improvement([x], [y]) == pytest.approx(u / (n * m))
        assert permutation_p_value([x], [y]) == pytest.approx(p)


def test_hundred_seeds_are_near_the_normal_limit() -> None:
    x, y = RANDOM.normal(0.3, 1, 100), RANDOM.normal(0, 1, 90)
    assert permutation_p_value([x], [y]) == pytest.approx(mannwhitneyu(x, y, method="asymptotic").pvalue, rel=0.05)


@pytest.mark.parametrize("sizes", [[(3, 2), (2, 3)], [(3, 3), (2, 1), (1, 2)], [(4, 3)]])
@pytest.mark.parametrize("ties", [False, True])
def test_several_environments_are_a_loop_over_all_exchanges(sizes: list[tuple[int, int]], ties: bool) -> None:
    x, y = ([RANDOM.normal(shift, 1, size[i]) for size in sizes] for i, shift in enumerate((0.8, 0.0)))
    if ties:
        x, y = ([np.round(each) for each in of_all] for of_all in (x, y))

    def wins(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([(u > v) + 0.5 * (u == v) for u in a for v in b]))

    def exchanges(a: np.ndarray, b: np.ndarray) -> list[float]:
        both = np.concatenate([a, b])
        chosen = [list(taken) for taken in combinations(range(len(both)), len(a))]
        return [wins(both[taken], np.delete(both, taken)) for taken in chosen]

    measured = np.mean([wins(a, b) for a, b in zip(x, y, strict=True)])
    null = np.array([np.mean(case) for case in product(*map(exchanges, x, y))])
    assert probability_of_improvement(x, y) == pytest.approx(measured)
    extreme = np.abs(null - 0.5) >= abs(measured - 0.5) - 1e-9
    assert permutation_p_value(x, y) == pytest.approx(extreme.mean())


def test_sizes_without_a_common_grid_are_rounded_to_a_fine_one() -> None:
    sizes = [(7, 11), (9, 13), (10, 8)]
    x, y = ([RANDOM.normal(shift, 1, size[i]) for size in sizes] for i, shift in enumerate((0.4, 0.0)))
    wins = np.mean(
        [
            [(a[:, None] > b).mean() for a, b in zip(shuffled, others, strict=True)]
            for shuffled, others in (exchanged(x, y) for _ in range(4_000))
        ],
        axis=1,
    )
    estimate = (np.abs(wins - 0.5) >= abs(probability_of_improvement(x, y) - 0.5)).mean()
    assert permutation_p_value(x, y) == pytest.approx(estimate, abs=4 * np.sqrt(estimate / 4_000))


def exchanged(x: list[np.ndarray], y: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    mixed = [RANDOM.permutation(np.concatenate([a, b])) for a, b in zip(x, y, strict=True)]
    sizes = list(map(len, x))
    return [m[:n] for m, n in zip(mixed, sizes, strict=True)], [m[n:] for m, n in zip(mixed, sizes, strict=True)]


@pytest.mark.parametrize(
    ("probability", "n", "m"), [(0.0, 5, 5), (1.0, 3, 3), (0.64, 5, 7), (0.5, 10, 10), (0.9, 4, 9)]
)
def test_the_interval_is_newcombes_method_5(probability: float, n: int, m: int) -> None:
    """Its ends are the roots of the quadratic condition, with Hanley and McNeil's variance and N* for both sizes."""

    def distance(p: float) -> float:
        q1, q2, middle = p / (2 - p), 2 * p * p / (1 + p), (n + m) / 2
        variance = (p * (1 - p) + (middle - 1) * (q1 - p * p) + (middle - 1) * (q2 - p * p)) / (n * m)
        return float((probability - p) ** 2 - norm.ppf(0.975) ** 2 * variance)

    low, high = improvement_interval(probability, [(n, m)])
    assert low <= probability <= high
    for end, outer in ((low, -1e-4), (high, 1e-4)):
        if 1e-4 < end < 1 - 1e-4:
            assert distance(end) * distance(end + outer) <= 1e-9
    assert improvement_interval(1 - probability, [(m, n)]) == pytest.approx((1 - high, 1 - low), abs=2e-4)


def test_more_environments_narrow_the_interval_as_more_seeds_do() -> None:
    widths = [np.ptp(improvement_interval(0.7, [(5, 5)] * n)) for n in (1, 4, 16)]
    assert widths[0] > 1.5 * widths[1] > 2 * widths[2]


def test_the_interval_covers_what_is_true_with_three_seeds() -> None:
    x, y = RANDOM.normal(2, 1, (400, 3)), RANDOM.normal(0, 1, (400, 3))
    true = norm.cdf(2 / np.sqrt(2))
    ends = [improvement_interval(probability_of_improvement([a], [b]), [(3, 3)]) for a, b in zip(x, y, strict=True)]
    assert 0.92 < np.mean([low <= true <= high for low, high in ends]) <= 1


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_how_few_seeds_can_show_anything() -> None:
    assert smallest_p_value([(3, 3)]) == pytest.approx(0.1)
    assert smallest_p_value([(3, 3)] * 2) == pytest.approx(2 / 400)
    assert [seeds_needed(1, 1), seeds_needed(1, 3), seeds_needed(1, 10), seeds_needed(4, 3)] == [4, 5, 6, 2]
    assert detectable_shift([(3, 3)], 0.05) is None


@pytest.mark.parametrize("sizes", [[(5, 5)], [(8, 6)], [(4, 4)] * 3])
def test_the_detectable_shift_is_detected(sizes: list[tuple[int, int]]) -> None:
    shift = detectable_shift(sizes, 0.05)
    assert shift is not None
    found = [
        permutation_p_value([RANDOM.normal(shift, 1, n) for n, _ in sizes], [RANDOM.normal(0, 1, m) for _, m in sizes])
        for _ in range(400)
    ]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(POWER, abs=0.08)
