"""How often to learn: from one update every eight steps to eight updates per step, and the article's 200 and 25."""

from dataclasses import replace

import numpy as np

from ddpg.records.plot import curve_of
from ddpg.studies.figure import curves_panel, lines_panel, save_panels
from ddpg.studies.study import Answer, Bench, Size, Study
from ddpg.studies.trainings import SOLVED, Trained, Variant, returns_table, trained
from ddpg.training.folder import read_metrics

RATIOS = {"1/8": (8, 1), "1/4": (4, 1), "1/2": (2, 1), "1": (1, 1), "2": (1, 2), "4": (1, 4), "8": (1, 8)}
EACH = [
    Variant(f"{name} per step", {"collect.steps": steps, "collect.updates": updates}, "article")
    for name, (steps, updates) in RATIOS.items()
]
BLOCKS = [
    Variant("200 steps, 25 updates", {"collect.steps": 200, "collect.updates": 25}, "article"),
    Variant("200 steps, 200 updates", {"collect.steps": 200, "collect.updates": 200}, "article"),
]


def experiment(bench: Bench) -> Answer:
    each, blocks = trained(bench, EACH), trained(bench, BLOCKS)
    one, optimum = each[list(RATIOS).index("1")], each[0].optimum
    ratios = np.array([updates / steps for steps, updates in RATIOS.values()])
    last = [("last return", ratios, np.array([row.iqm for row in each]))]
    losses = [(row.variant.label, *_loss(row)) for row in (blocks[0], each[0], one, each[-1])]
    panels = [
        curves_panel("Updates per step", [row.curve for row in each], optimum=optimum),
        curves_panel("In blocks", [row.curve for row in blocks], replace(one.curve, label=one.variant.label), optimum),
        lines_panel("At the end", last, "updates per step", "greedy return", log=True, marks=True),
        lines_panel("Loss of the critic", losses, "environment steps", "loss"),
    ]
    save_panels(bench.folder / "frequency.png", panels, columns=2)
    return Answer(verdict(each, blocks), [returns_table([*each, *blocks], SOLVED)], ["frequency.png"])


def _loss(row: Trained) -> tuple[np.ndarray, np.ndarray]:
    curve = curve_of(read_metrics(row.folder), row.variant.label, "critic_loss")
    return curve.steps, curve.returns.mean(axis=0)


def verdict(each: list[Trained], blocks: list[Trained]) -> str:
    few, many = blocks
    best, eighth, most = max(each, key=lambda row: row.iqm), each[0], each[-1]
    one = next(row for row in each if row.variant.label == "1 per step")
    return (
        f"200 steps and then 25 updates end at {few.end}; one update per eight steps, which is as many, at "
        f"{eighth.end}. 200 steps and then 200 updates end at {many.end}, one per step at {one.end}. "
        f"So learning more often than 25 times in 200 steps {_compared(one, few)}, and learning in blocks "
        f"{_compared(many, one)} than at every step. "
        f"The best number is {best.variant.label} ({best.end}); {most.variant.label} ends at {most.end}."
    )


def _compared(one: Trained, other: Trained) -> str:
    """Better or worse only if the intervals are disjoint."""
    (low, high), (other_low, other_high) = one.interval, other.interval
    return "is better" if low > other_high else "is worse" if high < other_low else "is not shown to be better or worse"


STUDY = Study(
    name="frequency",
    question="How often should it learn?",
    original="可以看到 critic 网络的学习频率大一些可能会更好（目前是感知 200 次，学习 25 次）。",
    claim=(
        "The article perceives 200 steps and then learns 25 times, and suspects that learning more often is better."
    ),
    minutes=1,
    size=Size(steps=20_000, seeds=4),
    experiment=experiment,
    least=12_000,
)
