"""`ddpg plot`: the learning curves of several runs in one figure."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path

import numpy as np

from ddpg.environment import split_id
from ddpg.mistake import Mistake
from ddpg.records.curve_table import curves_of, environments, read_table, write_table
from ddpg.records.log import optimum_of, read_records
from ddpg.records.plot import Curve, curve_of, learning_curve
from ddpg.terminal import reason
from ddpg.training.folder import RunFolder
from ddpg.training.label import environment_of, label_of


def plot_runs(runs: Sequence[str | Path], file: Path, env: str | None = None, metric: str | None = None) -> None:
    """Runs of one preset with the same options become one curve, their seeds side by side, on the steps all have.

    Among the runs may be tables of other projects, files that end in .csv (`records/curve_table.py`): their curves of
    the same environment, or of `env`, are drawn beside. The file is a PNG, or such a table. Raises Mistake if a
    folder is no run, or two are of different environments or hold the same seed twice, or nothing can be written.
    """
    if file.suffix.lower() not in (".png", ".csv"):
        raise Mistake(f"{file}: expected a name that ends in .png or .csv; choose another -o")
    tables = [Path(run) for run in runs if Path(run).suffix.lower() == ".csv"]
    folders = [RunFolder.at(run) for run in runs if Path(run) not in tables]
    if not tables and (chosen := env or metric) is not None:
        raise Mistake(f"--{'env' if env else 'metric'} {chosen} chooses from a table; name one that ends in .csv")
    name, curves, optimum = _of_runs(folders)
    for path in tables:
        points = read_table(path)
        known = environments(points)
        there = env or name or (known[0] if len(known) == 1 else None)
        if there is None:
            raise Mistake(f"{path} has {len(known)} environments; choose one with --env, such as {known[0]}")
        name = name or there
        for curve in curves_of(path, points, there, metric):
            curves.append(replace(curve, label=_other_than(curves, curve.label)))
    assert name is not None, "there is a run or a table"
    try:
        if file.suffix.lower() == ".csv":
            write_table(file, name, curves)
        else:
            learning_curve(curves, file, name, optimum)
    except OSError as error:
        raise Mistake(f"{file} cannot be written ({reason(error)}); choose another -o") from None


def _of_runs(folders: Sequence[RunFolder]) -> tuple[str | None, list[Curve], float | None]:
    """The environment of runs, their curves, and the optimum, as far as they are known."""
    configs = {folder: folder.read_config() for folder in folders}
    ids = {environment_of(config) for config in configs.values()}
    named = {split_id(id)[1] for id in ids}
    if len(named) > 1:
        raise Mistake(f"runs of different environments ({', '.join(sorted(named))}); plot one at a time")
    curves: dict[str, Curve] = {}
    drawn: set[tuple[str, int]] = set()
    optima = list[float | None]()
    for folder, config in configs.items():
        label = label_of(config) if len(ids) == 1 else f"{label_of(config)}, {environment_of(config)}"
        seeds = {(label, seed) for seed in config.seed_range}
        if twice := drawn & seeds:
            raise Mistake(f"{folder} holds seed {min(twice)[1]} of {label} a second time; plot it once")
        drawn |= seeds
        records = read_records(folder.metrics)
        optima.append(optimum_of(records))
        curve = curve_of(records, label)
        curves[label] = _with_seeds_of(curves[label], curve) if label in curves else curve
    optimum = None if None in optima or not optima else optima[0]  # if somebody changed the environment it is unknown
    return (named.pop() if named else None), list(curves.values()), optimum


def _other_than(curves: Sequence[Curve], label: str) -> str:
    """The label, numbered if it is there already."""
    there = {curve.label for curve in curves}
    names = chain([label], (f"{label} ({i})" for i in count(2)))
    return next(name for name in names if name not in there)


def plot_command(args: Namespace) -> int:
    plot_runs(args.RUN, args.o, args.env, args.metric)
    print(f"curves: {args.o}", file=sys.stderr)
    return 0


def _with_seeds_of(one: Curve, other: Curve) -> Curve:
    steps = np.intersect1d(one.steps, other.steps)
    rows = [curve.returns[:, np.isin(curve.steps, steps)] for curve in (one, other)]
    return Curve(one.label, steps, np.concatenate(rows))
