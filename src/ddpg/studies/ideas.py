"""What each idea of DDPG is for: Pendulum without one of them at a time."""

from pathlib import Path

import numpy as np

from ddpg.studies.figure import Panel, curves_panel, lines_panel, save_panels
from ddpg.studies.study import Answer, Bench, Size, Study, Table, shown
from ddpg.studies.trainings import SOLVED, Trained, Variant, returns_table, trained
from ddpg.training.stored import replay

PLAIN = {"clip_values": None}  # DDPG has no bound on Q'; our preset does
REFERENCE = Variant("ddpg", PLAIN)
GROUPS = {
    "Target networks": [
        Variant("no slow targets (tau 1)", PLAIN | {"tau": 1.0}),
        Variant("tau 0.1", PLAIN | {"tau": 0.1}),
        Variant("tau 0.001", PLAIN | {"tau": 0.001}),
    ],
    "Replay memory": [
        Variant("memory of 1000 steps", PLAIN | {"replay.capacity": 1_000}),
        Variant("memory of 64 steps", PLAIN | {"replay.capacity": 64}),
        Variant("no memory: each step once", PLAIN | {"replay.capacity": 2, "replay.batch": 1}),
    ],
    "Exploration": [
        Variant("no noise", PLAIN | {"exploration.sigma": 0.0}),
        Variant(
            "no noise, no random steps",
            PLAIN | {"exploration.sigma": 0.0, "collect.warmup": 0, "collect.learning_starts": 1_000},
        ),
    ],
    "Networks": [
        Variant("linear actor", PLAIN | {"actor.widths": ()}),
        Variant("linear critic", PLAIN | {"critic.widths": ()}),
        Variant("linear actor and critic", PLAIN | {"actor.widths": (), "critic.widths": ()}),
    ],
}
LAGS = np.array([1, 2, 5, 10, 20, 50, 100, 200])


def experiment(bench: Bench) -> Answer:
    rows = trained(bench, [REFERENCE, *(variant for group in GROUPS.values() for variant in group)])
    reference, others = rows[0], iter(rows[1:])
    groups = {title: [next(others) for _ in group] for title, group in GROUPS.items()}
    low = min(float(row.curve.returns.min()) for row in rows)
    panels = [
        curves_panel(title, [row.curve for row in group], reference.curve, reference.optimum, (min(low, -1_800), 0))
        for title, group in groups.items()
    ]
    along, drawn = correlations(reference.folder)
    save_panels(bench.folder / "ideas.png", [*panels, correlation_panel(along, drawn)])
    correlated = Table(
        ("steps apart", "correlation of states"),
        [
            *((int(lag), shown(value, 2)) for lag, value in zip(LAGS, along, strict=True)),
            ("drawn at random", shown(drawn, 2)),
        ],
        name="correlation",
    )
    return Answer(verdict(reference, groups, along, drawn), [returns_table(rows, SOLVED), correlated], ["ideas.png"])


def correlations(run: Path) -> tuple[np.ndarray, float]:
    """Of states `LAGS` steps apart in time, and of pairs at random, as in a minibatch: means over components."""
    obs = replay(run)["obs"].astype(np.float64)
    scaled = (obs - obs.mean(axis=0)) / (obs.std(axis=0) + 1e-12)
    along = [float((scaled[:-lag] * scaled[lag:]).mean()) for lag in LAGS if lag < len(scaled)]
    one, other = np.random.default_rng(0).integers(len(scaled), size=(2, 100_000))
    return np.array(along), float((scaled[one] * scaled[other]).mean())


def correlation_panel(along: np.ndarray, drawn: float) -> Panel:
    lags = LAGS[: len(along)]
    lines = [("along the agent's time", lags, along), ("drawn from memory", lags, np.full(len(lags), drawn))]
    return lines_panel("Correlation of two states", lines, "steps apart", "correlation", log=True, marks=True)


def verdict(reference: Trained, groups: dict[str, list[Trained]], along: np.ndarray, drawn: float) -> str:
    """Which variants end above SOLVED, and which do not, by their own numbers."""
    every = [row for group in groups.values() for row in group]
    works = [row for row in every if row.iqm >= SOLVED]
    fails = [row for row in every if row not in works]
    level = shown(SOLVED, 0)
    parts = [f"With all its ideas DDPG ends at {reference.end}; the dashed line is the optimum."]
    parts += [f"These end below {level}: {_listed(fails)}."] if fails else []
    parts += [f"These end above it: {_listed(works)}."] if works else []
    parts.append(
        f"Neighbouring states have a correlation of {shown(along[0], 2)}, "
        f"states drawn from the memory one of {shown(drawn, 2)}."
    )
    if len(along) == len(LAGS):
        parts.append(
            f"Along time the correlation is least after {LAGS[along.argmin()]} steps ({shown(along.min(), 2)}) and "
            f"{shown(along[-1], 2)} after {LAGS[-1]}, an episode's length: those two states are at the same moment of "
            f"their episodes, which begin anywhere and end upright."
        )
    return " ".join(parts)


def _listed(rows: list[Trained]) -> str:
    return "; ".join(f"{row.variant.label} ({row.end})" for row in rows)


STUDY = Study(
    name="ideas",
    question="What is each idea of DDPG for?",
    original=(
        "以往的实践证明，如果只使用单个“Q 神经网络”的算法，学习过程很不稳定……"
        "如果这些数据序列直接用于训练，会导致神经网络的 overfit，不易收敛。"
    ),
    claim=(
        "The article says that a single network learns unstably, so there are slow target networks; that steps in "
        "their order are correlated and do not converge, so there is a memory to draw from; and that deep networks "
        "replace linear functions. Here each of them is taken away from the preset ddpg without its bound on Q′."
    ),
    minutes=3,
    size=Size(steps=20_000, seeds=4),
    experiment=experiment,
)
