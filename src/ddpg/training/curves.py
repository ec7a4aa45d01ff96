"""The learning curves of several runs in one figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ddpg.envs import catalogue
from ddpg.records.log import read_metrics
from ddpg.records.plot import Curve, curve_of, learning_curve
from ddpg.training.config import load
from ddpg.training.evaluate import Evaluator


def plot_runs(runs: Sequence[Path], file: Path) -> None:
    """Runs of one preset in one environment become one curve, their seeds side by side, on the steps all have.

    ValueError, in one line, if a folder is no run, or two are of different environments, or the file is no PNG.
    """
    if file.suffix.lower() != ".png":
        raise ValueError(f"{file}: expected a name that ends in .png; choose another -o")
    configs = {run: load(run) for run in runs}
    environments = {config.env for config in configs.values()}
    if len(environments) > 1:
        raise ValueError(f"runs of different environments ({', '.join(sorted(environments))}); plot one at a time")
    curves: dict[str, Curve] = {}
    for run, config in configs.items():
        curve = curve_of(read_metrics(run), config.preset)
        curves[config.preset] = _beside(curves[config.preset], curve) if config.preset in curves else curve
    config = next(iter(configs.values()))
    optimum = Evaluator(
        catalogue.make(config.env), config.agent, config.gamma, config.eval.episodes, config.eval.seed
    ).optimum()
    try:
        learning_curve(list(curves.values()), file, config.env, optimum)
    except OSError as error:
        raise ValueError(f"{file} cannot be written ({error.strerror or error}); choose another -o") from None


def _beside(one: Curve, other: Curve) -> Curve:
    steps = np.intersect1d(one.steps, other.steps)
    rows = [curve.returns[:, np.isin(curve.steps, steps)] for curve in (one, other)]
    return Curve(one.label, steps, np.concatenate(rows))
