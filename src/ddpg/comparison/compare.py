"""The statistics of a comparison: per environment, over environments, and per pair of algorithms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from ddpg.comparison.improvement import (
    detectable_shift,
    holm,
    improvement_interval,
    permutation_p_value,
    probability_of_improvement,
    smallest_p_value,
)
from ddpg.comparison.tasks import Range, Task, scaled
from ddpg.records.statistics import Statistic, mean_of_means, pooled_iqm, stratified_interval

LEVEL, ALPHA = 0.95, 0.05
MOST_STEPS, THRESHOLDS = 100, 101  # points of a curve, and of a profile
OVERALL = "all environments"


class Estimate(NamedTuple):
    """A number and the ends of its 95 % interval, NaN if it has none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """Two algorithms: P(X > Y), the p-value that they score alike, and what of a difference could have been shown."""

    x: str
    y: str
    probability: Estimate
    p_value: float
    corrected: float  # for all pairs in the same table (Holm)
    smallest: float  # p-value that is possible with these seeds, uncorrected
    detectable: float | None  # the difference that is shown in 80 % of comparisons, in units of the scores

    @property
    def better(self) -> str | None:
        """The algorithm that is shown to score higher; None if that is undecided."""
        if self.corrected > ALPHA:
            return None
        return self.x if self.probability.value > 0.5 else self.y


@dataclass(frozen=True)
class Lines:
    """Over steps or thresholds `at` [points]: value, low and high of each algorithm [3, points]."""

    at: Real[np.ndarray, " points"]
    lines: Mapping[str, Float[np.ndarray, "3 points"]]


@dataclass(frozen=True)
class Section:
    """One environment, or all of them on one scale. `scores` are those at the compared step, [seeds] per environment.

    `curve` is missing if environments have no steps in common.
    """

    name: str
    scores: Mapping[str, list[np.ndarray]]
    iqm: Mapping[str, Estimate]
    pairs: Sequence[Pair]
    curve: Lines | None

    def mean(self, label: str) -> float:
        """The mean over environments of the mean over seeds."""
        return float(np.mean([x.mean() for x in self.scores[label]]))


@dataclass(frozen=True)
class Comparison:
    """`sections` are the environments, in their units; `overall` is all of them, or the only one."""

    labels: Sequence[str]
    steps: Mapping[str, int]  # at which each environment is compared
    sections: Sequence[Section]
    overall: Section
    profile: Lines
    ranges: Mapping[str, Range] | None  # the returns that are 0 and 1 in `overall`; None: returns are as they are


def compare(tasks: Sequence[Task], reference: Mapping[str, Range] | None = None) -> Comparison:
    """All statistics. With several environments, or a reference, `overall` is of scaled returns."""
    labels = list(tasks[0].returns)
    pairs = len(tasks) * len(labels) * (len(labels) - 1) // 2
    sections = [_section(task.env, [task], pairs) for task in tasks]
    corrected = iter(holm([pair.p_value for each in sections for pair in each.pairs]))
    sections = [_with_corrected(each, [next(corrected) for _ in each.pairs]) for each in sections]
    overall, ranges = sections[0], None
    if len(tasks) > 1 or reference is not None:
        on_one_scale, ranges = scaled(tasks, reference)
        overall = _section(OVERALL if len(tasks) > 1 else tasks[0].env, on_one_scale, pairs // len(tasks))
        overall = _with_corrected(overall, holm([pair.p_value for pair in overall.pairs]))
    steps = {task.env: task.step for task in tasks}
    return Comparison(labels, steps, sections, overall, _profile(overall.scores), ranges)


def _estimates(strata: Sequence[np.ndarray], statistic: Statistic) -> Float[np.ndarray, "3 points"]:
    """A statistic of strata [seeds, points], with the ends of its interval, at every point."""
    points = range(strata[0].shape[1])
    value = [statistic([stratum[None, :, i] for stratum in strata])[0] for i in points]
    return np.stack([value, *stratified_interval(strata, statistic, level=LEVEL)])


def _section(name: str, tasks: Sequence[Task], pairs: int) -> Section:
    """Statistics over some tasks; p-values are not corrected yet for being `pairs` in number."""
    scores = {label: [task.returns[label][:, -1] for task in tasks] for label in tasks[0].returns}
    iqm = {
        label: Estimate(*_estimates([x[:, None] for x in of_label], pooled_iqm)[:, 0].tolist())
        for label, of_label in scores.items()
    }
    compared = [_pair(x, y, scores[x], scores[y], ALPHA / pairs) for x, y in combinations(scores, 2)]
    return Section(name, scores, iqm, compared, _curve(tasks))


def _pair(name: str, other: str, x: Sequence[np.ndarray], y: Sequence[np.ndarray], alpha: float) -> Pair:
    sizes = [(len(a), len(b)) for a, b in zip(x, y, strict=True)]
    probability = probability_of_improvement(x, y)
    ends = improvement_interval(probability, sizes, LEVEL)
    shift = detectable_shift(sizes, alpha)
    spread = float(np.mean([_pooled_deviation(a, b) for a, b in zip(x, y, strict=True)])) if shift else 0.0
    p_value, smallest = permutation_p_value(x, y), smallest_p_value(sizes)
    detectable = shift * spread if shift else None
    return Pair(name, other, Estimate(probability, *ends), p_value, p_value, smallest, detectable)


def _pooled_deviation(a: np.ndarray, b: np.ndarray) -> float:
    squares = ((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()
    return float(np.sqrt(squares / (len(a) + len(b) - 2)))


def _with_corrected(section: Section, p_values: Sequence[float]) -> Section:
    pairs = [replace(pair, corrected=p) for pair, p in zip(section.pairs, p_values, strict=True)]
    return replace(section, pairs=pairs)


def _curve(tasks: Sequence[Task]) -> Lines | None:
    """The IQM over steps that all tasks have, at most MOST_STEPS of them, the last among them."""
    common = reduce(np.intersect1d, [task.steps for task in tasks])
    if not len(common):
        return None
    chosen = common[np.unique(np.linspace(len(common) - 1, 0, min(len(common), MOST_STEPS)).round().astype(int))]
    cut = [task.until(chosen.tolist()) for task in tasks]
    return Lines(
        chosen,
        {label: _estimates([task.returns[label] for task in cut], pooled_iqm) for label in tasks[0].returns},
    )


def _profile(scores: Mapping[str, list[np.ndarray]]) -> Lines:
    """The share of seeds above each threshold, mean over environments (Agarwal et al. 2021, section 4.2)."""
    everything = np.concatenate([x for of_label in scores.values() for x in of_label])
    thresholds = np.linspace(everything.min(), everything.max(), THRESHOLDS)
    above = {label: [(x[:, None] > thresholds).astype(float) for x in of_label] for label, of_label in scores.items()}
    return Lines(thresholds, {label: _estimates(strata, mean_of_means) for label, strata in above.items()})
