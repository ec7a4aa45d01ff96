"""What a sweep leaves: a table, a figure, and the best settings as a preset."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpg.records.atomic import write_text
from ddpg.records.plot import FAINT, INK, PALETTE, style_axes
from ddpg.studies.figure import REFERENCE, Panel, save_panels
from ddpg.studies.study import Table
from ddpg.sweeps.search import Trained, best_of
from ddpg.sweeps.space import Range, Space
from ddpg.sweeps.sweep import trial_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna import Study

TABLE, FIGURE, PRESET = "trials.csv", "sweep.png", "preset.json"


def write_results(folder: Path, trials: list[Trained], space: Space) -> None:
    """The table of all trials so far, and the preset of the best of them, which is its run's own configuration."""
    write_text(folder / TABLE, table(trials, space).csv())
    if (best := best_of(trials)) is not None:
        config = trial_folder(folder, best.index) / "config.json"
        write_text(folder / PRESET, config.read_text(encoding="utf-8"))


def table(trials: list[Trained], space: Space) -> Table:
    """One row per trial: how it ended, its value, both returns, its steps and seconds, and its options."""
    columns = "trial", "state", "value", "last", "best", "steps", "seconds", *space.varied
    rows = [
        [
            trial.index,
            state(trial),
            trial.value,
            trial.outcome.last,
            trial.outcome.best,
            trial.outcome.steps,
            round(trial.seconds, 2),
            *(trial.options.get(path, "") for path in space.varied),
        ]
        for trial in trials
    ]
    return Table(columns, rows, "trials")


def state(trial: Trained) -> str:
    """How a trial ended: whole, pruned or diverged."""
    return "diverged" if trial.outcome.failure else "pruned" if trial.outcome.pruned else "whole"


def importances(study: "Study", trials: list[Trained]) -> dict[str, float]:
    """The share of each option in how much the values of whole trials differ (PED-ANOVA: Watanabe et al. 2023).

    Nothing if there are too few trials to tell.
    """
    import optuna

    whole = [trial for trial in trials if state(trial) == "whole"]
    if len(whole) < 4 or len({trial.value for trial in whole}) < 2:
        return {}
    return optuna.importance.get_param_importances(study, evaluator=optuna.importance.PedAnovaImportanceEvaluator())


def draw(file: Path, study: "Study", trials: list[Trained], space: Space, objective: str) -> None:
    """The history of the search, the importance of the options, and the return over the two most important ones."""
    shares = importances(study, trials)
    panels = [Panel("History", lambda axes: _history(axes, trials, objective))]
    if shares:
        panels.append(Panel("Importance", lambda axes: _importance(axes, shares)))
    for path in list(shares)[:2]:
        panels.append(Panel(path, lambda axes, path=path: _over(axes, trials, path, space)))
    save_panels(file, panels, columns=2)


def _history(axes: "Axes", trials: list[Trained], objective: str) -> None:
    _points(axes, [trial.index for trial in trials], trials)
    whole = [trial for trial in trials if state(trial) == "whole"]
    if whole:
        best = np.maximum.accumulate([trial.value for trial in whole])
        axes.step([trial.index for trial in whole], best, where="post", color=PALETTE[0], linewidth=2)
    style_axes(axes, f"return ({objective})", size=10)
    axes.set_xlabel("trial", color=INK, fontsize=10)
    _legend(axes)


def _importance(axes: "Axes", shares: dict[str, float]) -> None:
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=PALETTE[0], height=0.6)
    style_axes(axes, "", size=10)
    axes.grid(visible=False)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("share of the differences in return", color=INK, fontsize=10)


def _over(axes: "Axes", trials: list[Trained], path: str, space: Space) -> None:
    """The return over one option."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    domain, known = space.varied[path], [trial for trial in trials if path in trial.options]
    style_axes(axes, "return", size=10)
    if isinstance(domain, Range):
        x: list[Any] = [trial.options[path] for trial in known]
        if domain.log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlim(domain.low, domain.high)
    else:
        x = [domain.ends.index(trial.options[path]) for trial in known]
        axes.set_xticks(range(len(domain.ends)), [str(end) for end in domain.ends])
    _points(axes, x, known)
    axes.set_xlabel(path, color=INK, fontsize=10)


def _points(axes: "Axes", x: list[Any], trials: list[Trained]) -> None:
    """Whole trials as dots, pruned ones as rings; diverged ones as crosses below the others."""
    finite = [trial.value for trial in trials if np.isfinite(trial.value)]
    floor = min(finite, default=0.0)
    for name, marks in MARKS.items():
        chosen = [i for i, trial in enumerate(trials) if state(trial) == name]
        y = [trials[i].value if np.isfinite(trials[i].value) else floor for i in chosen]
        if not chosen:
            continue
        axes.scatter([x[i] for i in chosen], y, label=name, s=26, linewidths=1.2, zorder=3, clip_on=False, **marks)


MARKS: dict[str, dict[str, Any]] = {
    "whole": {"color": PALETTE[0]},
    "pruned": {"facecolors": "none", "edgecolors": REFERENCE},
    "diverged": {"color": PALETTE[1], "marker": "x"},
}


def _legend(axes: "Axes") -> None:
    axes.legend(loc="best", frameon=False, fontsize=9, labelcolor=FAINT)
