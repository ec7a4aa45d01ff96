"""What is compared: the curves of run folders and of tables, each of one algorithm in one environment."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ddpg.config.config import Config
from ddpg.config.file import SIMULATORS, read_versions
from ddpg.config.reading import brief
from ddpg.environment import split_id
from ddpg.mistake import Mistake
from ddpg.records.curve_table import curves_of, environments, read_table
from ddpg.records.log import read_records
from ddpg.records.plot import Curve, curve_of
from ddpg.training.folder import RunFolder
from ddpg.training.label import label_of

PACKAGES = ("gymnasium", *SIMULATORS.values())


@dataclass(frozen=True)
class Source:
    """Seeds of one algorithm in one environment, from one place; a table says nothing about how it was made."""

    label: str
    env: str
    place: str
    curve: Curve  # returns [seeds, points]
    seeds: tuple[int, ...] = ()
    config: Config | None = None
    simulators: Mapping[str, str] = field(default_factory=dict)  # the versions of what the environment is of


Labelled = tuple[str | None, Path]


def labelled(words: Iterable[str | Path]) -> list[Labelled]:
    """Places with the label that is typed before them, as in td3=runs/Pendulum-v1-td3-1."""
    sources = list[Labelled]()
    for word in words:
        label, equals, path = str(word).partition("=")
        named = bool(equals and label) and "/" not in label and not Path(word).exists()
        sources.append((label, Path(path)) if named else (None, Path(word)))
    return sources


def read_sources(places: Sequence[Labelled], envs: Sequence[str] = (), metric: str | None = None) -> list[Source]:
    """All curves, of `envs` or by default of the runs' environments, or of all that tables have without runs.

    Raises Mistake if a place cannot be read, has no return, or lacks one of `envs` that is asked for.
    """
    tables = [(label, path) for label, path in places if path.suffix.lower() == ".csv"]
    if metric is not None and not tables:
        raise Mistake(f"--metric {metric} chooses from a table; name one that ends in .csv")
    of_runs = {i: _of_run(label, path) for i, (label, path) in enumerate(places) if (label, path) not in tables}
    known = list(dict.fromkeys(source.env for source in of_runs.values()))
    sources = list[Source]()
    for i, (label, path) in enumerate(places):
        if i in of_runs:
            sources += [of_runs[i]] if not envs or of_runs[i].env in envs else []
        else:
            sources += _of_table(label, path, envs, known, metric)
    there = {source.env for source in sources}
    if absent := [env for env in envs if env not in there]:
        raise Mistake(f"--env {absent[0]}: no run is of that environment; expected some of {', '.join(known)}")
    for source in sources:
        if not np.isfinite(source.curve.returns).any():
            raise Mistake(f"{source.place} has no return; expected a run that was evaluated (eval.episodes above 0)")
    return sources


def _of_run(label: str | None, path: Path) -> Source:
    folder = RunFolder.at(path)
    config = folder.read_config()
    records = read_records(folder.metrics)
    seeds = tuple(sorted({int(record["seed"]) for record in records}))
    whole = Counter(step for step, _ in {(record["step"], record["seed"]) for record in records})
    records = [record for record in records if whole[record["step"]] == len(seeds)]  # a kill may have cut the last
    if not records:
        raise Mistake(f"{folder} has no return yet; expected a run that was evaluated")
    label, (_, env) = label or label_of(config), split_id(config.env)
    versions = {name: text for name, text in read_versions(folder.config).items() if name in PACKAGES}
    return Source(label, env, str(folder), curve_of(records, label), seeds, config, versions)


def _of_table(
    label: str | None, path: Path, envs: Sequence[str], known: Sequence[str], metric: str | None
) -> Iterable[Source]:
    points = read_table(path)
    there = environments(points)
    wanted = [env for env in there if env in (envs or known or there)]
    if not wanted:
        others = f", but {', '.join(there[:5])}"
        raise Mistake(f"{path} has no {(envs or known)[0]}{others}; choose with --env what all have")
    for env in wanted:
        curves = curves_of(path, points, env, metric)
        if label is not None and len(curves) > 1:
            several = ", ".join(curve.label for curve in curves[:5])
            raise Mistake(f"{label}={path}: the table has {len(curves)} algorithms ({several}); leave the label out")
        for curve in curves:
            if not f"{curve.label}{env}".isprintable():  # they must not control the terminal
                raise Mistake(f"{path}: {brief(curve.label)} in {brief(env)}: expected printable names")
            if curve.deviation is not None:
                raise Mistake(
                    f"{path}: {curve.label} in {env} has means over seeds alone, and a comparison needs the seeds; "
                    "draw it with ddpg plot"
                )
            yield Source(label or curve.label, env, str(path), curve)


def by_label(sources: Sequence[Source]) -> Mapping[str, Mapping[str, list[Source]]]:
    """Sources by algorithm and environment, both in the order they were named."""
    groups = dict[str, dict[str, list[Source]]]()
    for source in sources:
        groups.setdefault(source.label, {}).setdefault(source.env, []).append(source)
    return groups
