"""Refuses what cannot be compared: other environments, other evaluations, a seed twice."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

from ddpg.comparison.sources import PACKAGES, Source, by_label
from ddpg.config.config import Config
from ddpg.config.reading import values
from ddpg.environment import was_stepped
from ddpg.mistake import Mistake
from ddpg.terminal import plain

# What a return depends on beside the policy, as the configuration says it: its name -> its value.
MEASURED: dict[str, Callable[[Config], Any]] = {
    "env-args": lambda config: tuple(sorted(config.env_args)),
    "env-seeds": lambda config: config.env_seeds,
    "action_repeat": lambda config: config.action_repeat,
    "eval.episodes": lambda config: config.eval.episodes,
    "eval.seed": lambda config: config.eval.seed,
    "eval.shared": lambda config: config.eval.shared,
}
# Options in which the seeds of one algorithm may differ.
FREE = ("env", "seed", "seeds", "devices", "steps", "preset", "log", "eval.", "checkpoint.")
VERSION = re.compile(r"-v\d+$")


def check_comparable(sources: Sequence[Source]) -> list[str]:
    """Lines about what cannot be checked. Mistake, in one line, for the first thing that forbids a comparison."""
    groups = by_label(sources)
    _check_environments({label: list(of_label) for label, of_label in groups.items()})
    for of_label in groups.values():
        for group in of_label.values():
            _check_seeds(group)
    notes = list[str]()
    for env in dict.fromkeys(source.env for source in sources):
        own = [source for source in sources if source.env == env]
        _check_evaluation(env, own)
        for package in PACKAGES:
            versions = sorted({source.simulators[package] for source in own if package in source.simulators})
            if len(versions) > 1:
                notes.append(f"runs in {env} were made with different versions of {package}: {', '.join(versions)}")
    tables = list(dict.fromkeys(source.place for source in sources if source.config is None))
    if tables and len(groups) > 1:
        notes.append(f"{', '.join(tables)}: a table does not say how it evaluated, so that was not compared")
    return notes


def _check_environments(envs: Mapping[str, Sequence[str]]) -> None:
    """Every algorithm was run in every environment."""
    for (one, here), (other, there) in combinations(envs.items(), 2):
        for missing in [env for env in here if env not in there]:
            stem = VERSION.sub("", missing)
            versions = [env for env in there if VERSION.sub("", env) == stem]
            if versions:
                raise Mistake(
                    f"{one} was run in {missing}, {other} in {versions[0]}: versions of an environment have other "
                    f"rewards or dynamics; compare runs of one version"
                )
        if lacking := [(other, env) for env in here if env not in there] + [
            (one, env) for env in there if env not in here
        ]:
            (label, env), both = lacking[0], [env for env in here if env in there]
            fix = f"leave it out with --env {' '.join(both[:5])}" if both else "name runs of the same environments"
            raise Mistake(f"{label} was not run in {env}; expected every algorithm in every environment; {fix}")


def _check_seeds(group: Sequence[Source]) -> None:
    """The seeds of one algorithm in one environment are different seeds of the same thing."""
    for one, other in combinations(group, 2):
        if one.config is None or other.config is None:
            raise Mistake(
                f"{one.label} in {one.env} is in {one.place} and in {other.place}; expected one table, or runs; "
                f"set them apart with a label, such as other={other.place}"
            )
        fix = f"set it apart with a label, such as other={other.place}"
        if twice := set(one.seeds) & set(other.seeds):
            raise Mistake(f"{other.place} holds seed {min(twice)} of {one.label} in {one.env} a second time; {fix}")
        mine, theirs = values(one.config), values(other.config)
        paths = [path for path in {**mine, **theirs} if not path.startswith(FREE)]
        if differing := [path for path in paths if mine.get(path) != theirs.get(path)]:
            raise Mistake(
                f"{one.place} and {other.place} are both {one.label}, but differ in {', '.join(differing[:3])}; {fix}"
            )


def _check_evaluation(env: str, sources: Sequence[Source]) -> None:
    """All returns in an environment were measured in the same way."""
    runs = [(source, source.config) for source in sources if source.config is not None]
    for (one, mine), (other, theirs) in pairwise(runs):
        both = f"{one.place} and {other.place} cannot be compared in {env}"
        for option, measured in MEASURED.items():
            a, b = measured(mine), measured(theirs)
            if a != b:
                raise Mistake(f"{both}: {option} {plain(a)} and {plain(b)}; train both with the same --{option}")
        if was_stepped(mine) != was_stepped(theirs):
            raise Mistake(f"{both}: compiled and Gymnasium's draw other starts; train both with gym:{env}")
