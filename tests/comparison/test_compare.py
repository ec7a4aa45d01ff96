"""Statistics over environments against scipy, and a published table recomputed from its seeds."""

import numpy as np
import pytest
from scipy.stats import bootstrap, trim_mean

from ddpg.comparison.compare import OVERALL, compare
from ddpg.comparison.tasks import Task

# MR.Q (Fujimoto et al. 2025, arXiv 2501.16142): returns of its ten seeds at a million steps, rounded, from
# facebookresearch/MRQ@8a44a7d results/gym_results.txt; returns of a random policy and of TD3 from its appendix B.3.
MRQ = {
    "Ant-v4": [6308.1, 7553.3, 6189.0, 5844.1, 7734.4, 4958.2, 7257.5, 7686.3, 7727.3, 7760.0],
    "HalfCheetah-v4": [13595.8, 14219.1, 13636.6, 12874.6, 13713.2, 12702.9, 7571.8, 13198.2, 13719.6, 14163.8],
    "Hopper-v4": [2075.1, 2106.1, 3590.0, 1520.2, 2863.9, 1778.3, 1802.9, 4137.1, 3689.5, 3363.0],
    "Humanoid-v4": [10697.9, 10052.2, 10614.9, 10012.5, 10566.1, 10778.8, 10374.0, 10024.6, 9142.2, 9973.4],
    "Walker2d-v4": [6452.7, 6457.3, 6482.4, 6136.0, 4784.3, 5770.1, 6175.5, 6266.4, 5151.9, 6718.8],
}
REFERENCE = {
    "Ant-v4": (-70.288, 3942.0),
    "HalfCheetah-v4": (-289.415, 10574.0),
    "Hopper-v4": (18.791, 3226.0),
    "Humanoid-v4": (120.423, 5165.0),
    "Walker2d-v4": (2.791, 3946.0),
}
# Its table 4: means by environment (cut, not rounded), then mean and IQM of the scaled returns with 95 % intervals.
MEANS = {"Ant-v4": 6901, "HalfCheetah-v4": 12939, "Hopper-v4": 2692, "Humanoid-v4": 10223, "Walker2d-v4": 6039}
MEAN, IQM = 1.46, (1.50, 1.44, 1.55)


def task(env: str, returns: dict[str, list[float]]) -> Task:
    """Evaluated once."""
    return Task(env, np.array([1_000_000]), {label: np.array(x, float)[:, None] for label, x in returns.items()})


def test_a_published_table_from_its_seeds() -> None:
    found = compare([task(env, {"mrq": returns}) for env, returns in MRQ.items()], REFERENCE)
    for each in found.sections:
        assert int(each.mean("mrq")) == MEANS[each.name]
    assert found.overall.name == OVERALL
    assert round(found.overall.mean("mrq"), 2) == MEAN
    iqm = found.overall.iqm["mrq"]
    assert round(iqm.value, 2) == IQM[0]
    # Their draws are other ones. Beyond that the paper's interval is 0.02 narrower than ours and scipy's.
    assert (iqm.low, iqm.high) == pytest.approx(IQM[1:], abs=0.015)


def test_the_interval_over_environments_is_scipys() -> None:
    found = compare([task(env, {"mrq": returns}) for env, returns in MRQ.items()], REFERENCE)
    scores = [
        (np.array(returns) - low) / (high - low)
        for returns, (low, high) in zip(MRQ.values(), REFERENCE.values(), strict=True)
    ]
    drawn = bootstrap(
        scores,
        lambda *x, axis: trim_mean(np.concatenate(x, axis=axis), 0.25, axis=axis),
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(found.overall.iqm["mrq"][1:], drawn.confidence_interval)


def several(seeds: int = 6, points: int = 3) -> list[Task]:
    random = np.random.default_rng(2)
    shifts = {"a": 0.0, "b": 0.4, "c": 3.0}
    steps = np.arange(1, points + 1) * 100
    return [
        Task(env, steps, {label: random.normal(shift, 1, (seeds, points)) for label, shift in shifts.items()})
        for env in ("one", "two")
    ]


def test_pairs_are_corrected_for_their_number() -> None:
    found = compare(several())
    assert [(pair.x, pair.y) for pair in found.overall.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.better for pair in found.overall.pairs] == [None, "c", "c"]
    smallest = min(found.overall.pairs, key=lambda pair: pair.p_value)
    assert smallest.corrected == pytest.approx(3 * smallest.p_value)
    apart = min((pair for each in found.sections for pair in each.pairs), key=lambda pair: pair.p_value)
    assert apart.corrected == pytest.approx(6 * apart.p_value)


def test_the_scale_is_the_range_of_all_that_is_compared() -> None:
    tasks = several()
    found = compare(tasks)
    assert found.ranges is not None
    for each in tasks:
        returns = np.concatenate(list(each.returns.values()))
        assert found.ranges[each.env] == (returns.min(), returns.max())
    assert all(0 <= score <= 1 for of in found.overall.scores.values() for x in of for score in x)


def test_the_profile_is_the_share_of_seeds_above() -> None:
    tasks = [task("one", {"a": [0, 1, 2, 3]}), task("two", {"a": [0, 4]})]
    found = compare(tasks, {"one": (0.0, 4.0), "two": (0.0, 4.0)})
    share, low, high = found.profile.lines["a"]
    at = found.profile.at.searchsorted(0.3)
    assert share[at] == (2 / 4 + 1 / 2) / 2
    assert low[at] <= share[at] <= high[at]
    assert (np.diff(share) <= 0).all()


def test_curves_are_of_the_common_steps_and_not_of_too_many() -> None:
    returns = np.random.default_rng(0).normal(size=(4, 250))
    longer = Task("one", np.arange(250), {"a": returns})
    shorter = Task("two", np.arange(0, 200, 2), {"a": returns[:, :100]})
    curve = compare([longer, shorter]).overall.curve
    assert curve is not None
    assert curve.at.tolist() == list(range(0, 200, 2))
    alone = compare([longer]).overall.curve
    assert alone is not None
    assert (len(alone.at), alone.at[-1]) == (100, 249)
    apart = Task("two", np.arange(1000, 1100), {"a": returns[:, :100]})
    assert compare([longer, apart]).overall.curve is None


def test_equal_returns_are_undecided() -> None:
    found = compare([task("one", {"a": [1.0] * 5, "b": [1.0] * 5}), task("two", {"a": [0.0] * 5, "b": [0.0] * 5})])
    [pair] = found.overall.pairs
    assert (pair.probability.value, pair.p_value, pair.better) == (0.5, 1.0, None)
