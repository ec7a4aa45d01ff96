"""A comparison as plain data, for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from ddpg.comparison.compare import LEVEL, Comparison, Estimate, Lines, Section


def as_data(comparison: Comparison, notes: Sequence[str]) -> dict[str, Any]:
    """Everything, with the returns of every seed; docs/compare.md defines the keys."""
    return {
        "level": LEVEL,
        "algorithms": list(comparison.labels),
        "environments": {
            each.name: {"step": comparison.steps[each.name], **_section(each)} for each in comparison.sections
        },
        "scale": None if comparison.ranges is None else {env: list(x) for env, x in comparison.ranges.items()},
        "overall": _section(comparison.overall),
        "profile": _lines(comparison.profile, "threshold", "share"),
        "notes": list(notes),
    }


def _section(section: Section) -> dict[str, Any]:
    several = any(len(of_label) > 1 for of_label in section.scores.values())
    scores = {label: [x.tolist() for x in of_label] for label, of_label in section.scores.items()}
    return {
        "algorithms": {
            label: {
                "scores": scores[label] if several else scores[label][0],
                **_estimate("iqm", section.iqm[label]),
                "mean": section.mean(label),
            }
            for label in section.scores
        },
        "pairs": [
            {
                "x": pair.x,
                "y": pair.y,
                **_estimate("probability_of_improvement", pair.probability),
                "p": pair.p_value,
                "p_holm": pair.corrected,
                "smallest_p": pair.smallest,
                "detectable_difference": pair.detectable,
                "better": pair.better,
            }
            for pair in section.pairs
        ],
        "curve": None if section.curve is None else _lines(section.curve, "step", "iqm"),
    }


def _estimate(name: str, of: Estimate) -> Mapping[str, float]:
    return {name: of.value, "ci_low": of.low, "ci_high": of.high}


def _lines(lines: Lines, at: str, name: str) -> dict[str, Any]:
    """The ends of these intervals hold at each point alone."""
    rows = (name, "ci_low", "ci_high")
    return {
        at: lines.at.tolist(),
        "algorithms": {label: dict(zip(rows, x.tolist(), strict=True)) for label, x in lines.lines.items()},
    }
