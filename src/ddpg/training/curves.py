"""The learning curves of several runs in one figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ddpg.envs import catalogue
from ddpg.records.log import read_metrics
from ddpg.records.plot import Curve, curve_of, learning_curve
from ddpg.training.config import Config, load, override, values
from ddpg.training.evaluate import Evaluator
from ddpg.training.presets import PRESETS


def plot_runs(runs: Sequence[Path], file: Path) -> None:
    """Runs of one preset with the same options become one curve, their seeds side by side, on the steps all have.

    ValueError, in one line, if a folder is no run, or two are of different environments or say the same seed twice,
    or the file is no PNG.
    """
    if file.suffix.lower() != ".png":
        raise ValueError(f"{file}: expected a name that ends in .png; choose another -o")
    configs = {run: load(run) for run in dict.fromkeys(runs)}
    environments = {config.env for config in configs.values()}
    if len(environments) > 1:
        raise ValueError(f"runs of different environments ({', '.join(sorted(environments))}); plot one at a time")
    curves: dict[str, Curve] = {}
    seen: set[tuple[str, int]] = set()
    for run, config in configs.items():
        label = _label(config)
        said = {(label, seed) for seed in range(config.seed, config.seed + config.seeds)}
        if seen & said:
            seed = min(seed for _, seed in seen & said)
            raise ValueError(f"{run} holds seed {seed} of {label} a second time; plot it once")
        seen |= said
        curve = curve_of(read_metrics(run), label)
        curves[label] = _beside(curves[label], curve) if label in curves else curve
    config = next(iter(configs.values()))
    optimum = None  # of an environment of the user's own, or changed by arguments, nothing is known
    if config.env in catalogue.NATIVE and not any(c.env_args or c.action_repeat > 1 for c in configs.values()):
        env, chosen = catalogue.NATIVE[config.env], config.eval
        optimum = Evaluator(env, config.agent, config.gamma, chosen.episodes, chosen.seed).optimum()
    try:
        learning_curve(list(curves.values()), file, config.env, optimum)
    except OSError as error:
        raise ValueError(f"{file} cannot be written ({error.strerror or error}); choose another -o") from None


def _label(config: Config) -> str:
    """The preset, and the options in which the run differs from it."""
    if config.preset not in PRESETS:
        return config.preset
    own, preset = values(config), PRESETS[config.preset]
    # A part of another kind has fields of its own; they are compared with that kind's defaults.
    parts = [path for path in own if any(other.startswith(f"{path}.") for other in (*own, *values(preset)))]
    kinds = {path: own[path] for path in parts if values(preset).get(path) not in (None, own[path])}
    usual = values(override(preset, kinds))
    differing = kinds | {path: value for path, value in own.items() if usual.get(path) != value}
    of_length = ("env", "steps", "seed", "seeds")
    said = [f"{path} {value}" for path, value in differing.items() if path not in of_length and path[:5] != "eval."]
    return ", ".join([config.preset, *said])


def _beside(one: Curve, other: Curve) -> Curve:
    steps = np.intersect1d(one.steps, other.steps)
    rows = [curve.returns[:, np.isin(curve.steps, steps)] for curve in (one, other)]
    return Curve(one.label, steps, np.concatenate(rows))
