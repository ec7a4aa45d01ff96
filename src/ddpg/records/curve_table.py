"""Curves as the table that research repositories publish: exp_name, env_name, seed, metric, env_step, value."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddpg.mistake import Mistake
from ddpg.records.atomic import replace_atomically
from ddpg.records.plot import Curve, curve_of
from ddpg.records.untrusted import check_plain
from ddpg.terminal import one_line, reason

COLUMNS = ("exp_name", "env_name", "seed", "metric", "env_step", "value")
METRIC = "avg_return"  # the name that most of them use
MEAN, DEVIATION = "mean", "std"  # the seed of means over seeds, and the metric of their standard deviations
LARGEST = 2**28  # bytes
MOST = 1e300  # of a value


class Point(NamedTuple):
    """One row, of an agent in an environment."""

    agent: str
    env: str
    seed: str
    metric: str
    step: int
    value: float


def read_table(path: Path) -> list[Point]:
    """All rows. Mistake, in one line with path and line number, if a column is missing or a number is none."""
    try:
        check_plain(path, LARGEST)
        text = path.read_text(encoding="utf-8-sig")
    except Mistake as error:
        raise Mistake(f"{path}: {error}") from None
    except FileNotFoundError:
        raise Mistake(f"{path}: no such file; expected a table with the columns {', '.join(COLUMNS)}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is no UTF-8"
        raise Mistake(f"{path}: cannot be read ({why})") from None
    rows = csv.DictReader(StringIO(text))
    try:
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise Mistake(f"{path}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}")
        points = [_point(path, rows.line_num, row) for row in rows]
    except csv.Error as error:
        raise Mistake(f"{path}, line {rows.line_num}: {one_line(error)}; expected a table of commas") from None
    if not points:
        raise Mistake(f"{path}: it has no rows; expected at least one")
    return points


def _point(path: Path, line: int, row: dict[str, str | None]) -> Point:
    agent, env, seed, metric, step, value = (row[name] or "" for name in COLUMNS)
    try:
        step_number, number = float(step), float(value) if value else math.nan
    except ValueError:
        step_number = number = math.inf
    if not (0 <= step_number < 2**53 and step_number.is_integer()) or abs(number) > MOST:
        raise Mistake(
            f"{path}, line {line}: env_step {step!r}, value {value!r}; expected a whole number and a finite one"
        )
    return Point(agent, env, seed, metric, int(step_number), number)


def environments(points: Iterable[Point]) -> list[str]:
    """Those of a table, in its order."""
    return list(dict.fromkeys(point.env for point in points))


def curves_of(path: Path, points: Sequence[Point], env: str, metric: str | None) -> list[Curve]:
    """One curve for each agent of an environment. Raises Mistake if the table does not have it, or says too little.

    Without a `metric` it is METRIC, or the only one there is. Rows of a seed named MEAN are means over seeds.
    """
    own = [point for point in points if point.env == env]
    if not own:
        raise Mistake(f"{path} has no {env}, but {_some(environments(points))}; choose with --env")
    metrics = list(dict.fromkeys(point.metric for point in own))
    chosen = metric or (metrics[0] if len(metrics) == 1 else METRIC)
    if chosen not in metrics:
        raise Mistake(f"{path} has no metric {chosen} of {env}, but {_some(metrics)}; choose with --metric")
    agents = dict.fromkeys(point.agent for point in own if point.metric == chosen)
    return [_curve(agent, [point for point in own if point.agent == agent], chosen) for agent in agents]


def _curve(agent: str, points: Sequence[Point], metric: str) -> Curve:
    chosen = [point for point in points if point.metric == metric]
    seeds = {name: i for i, name in enumerate(sorted({point.seed for point in chosen}))}
    curve = curve_of([{"seed": seeds[p.seed], "step": p.step, "return": p.value} for p in chosen], agent)
    if list(seeds) != [MEAN]:
        return curve
    of_returns = [p for p in points if metric == METRIC and (p.seed, p.metric) == (MEAN, DEVIATION)]
    known = {point.step: point.value for point in of_returns}
    return replace(curve, deviation=np.array([known.get(step, math.nan) for step in curve.steps.tolist()]))


def write_table(path: Path, env: str, curves: Sequence[Curve]) -> None:
    """Curves of one environment, as `curves_of` reads them; seeds are counted from 0, and unknown returns left out."""
    if not any(np.isfinite(curve.returns).any() for curve in curves):
        raise Mistake(f"{path}: nothing to write; expected a finite return in at least one of {len(curves)} curves")
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for curve in curves:
        rows = [(str(seed), METRIC, returns) for seed, returns in enumerate(curve.returns)]
        if curve.deviation is not None:
            rows = [(MEAN, METRIC, curve.returns[0]), (MEAN, DEVIATION, curve.deviation)]
        for seed, metric, values in rows:
            for step, value in zip(curve.steps.tolist(), values.tolist(), strict=True):
                if math.isfinite(value):
                    table.writerow((curve.label, env, seed, metric, step, value))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    replace_atomically(partial, path)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
