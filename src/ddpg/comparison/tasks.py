"""Returns side by side: on the steps that all seeds have, and on one scale over environments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ddpg.comparison.sources import Source, by_label
from ddpg.mistake import Mistake
from ddpg.terminal import count, thousands

Range = tuple[float, float]

MOST = 1e300  # of a return


@dataclass(frozen=True)
class Task:
    """One environment: `steps` [points] ascending that every seed has, and returns [seeds, points] of each algorithm.

    The last step is the one that is compared.
    """

    env: str
    steps: Int[np.ndarray, " points"]
    returns: Mapping[str, Float[np.ndarray, "_ points"]]

    @property
    def step(self) -> int:
        return int(self.steps[-1])

    @property
    def range(self) -> Range:
        """The lowest and the highest return of any seed at any step."""
        return min(float(x.min()) for x in self.returns.values()), max(float(x.max()) for x in self.returns.values())

    def scaled(self, range: Range) -> "Task":
        """With 0 for the lower and 1 for the higher of two returns."""
        low, high = range
        scaled = {label: (x - low) / ((high - low) or 1.0) for label, x in self.returns.items()}
        return Task(self.env, self.steps, scaled)

    def until(self, steps: Sequence[int]) -> "Task":
        chosen = np.isin(self.steps, steps)
        return Task(self.env, self.steps[chosen], {label: x[:, chosen] for label, x in self.returns.items()})


def align(sources: Sequence[Source], step: int | None = None) -> tuple[list[Task], list[str]]:
    """The tasks in the order they were named, and lines about what was cut or filled.

    Compared are the last steps that all seeds in an environment have, or `step`. A seed of a run without a return
    where it was evaluated has diverged, or its return is infinite: it counts as the lowest return of the comparison,
    since to leave it out would be in favour of its algorithm.
    """
    tasks, notes = list[Task](), list[str]()
    for env in dict.fromkeys(source.env for source in sources):
        own = [source for source in sources if source.env == env]
        common = _common_steps(env, own)
        if step is not None:
            if step not in common:
                near = thousands(min(common.tolist(), key=lambda known: abs(known - step)))
                raise Mistake(f"--step {step}: not every seed in {env} was evaluated then; the nearest is {near}")
            common = common[common <= step]
        elif longer := [source for source in own if _known_steps(source)[-1] > common[-1]]:
            names = ", ".join(dict.fromkeys(source.label for source in longer))
            notes.append(f"{env}: compared at step {thousands(common[-1])}, the last that all have; {names} went on")
        task, failed = _filled(env, common, own)
        tasks.append(task)
        for label, seeds in failed.items():
            lowest = f"{task.range[0]:.4g}"
            notes.append(f"{env}: {count(seeds, 'seed')} of {label} without a return: counted as the lowest, {lowest}")
    return tasks, notes


def _known_steps(source: Source) -> np.ndarray:
    """Those at which a run was evaluated, or for which a table has all seeds."""
    known = np.isfinite(source.curve.returns)
    steps = source.curve.steps[known.all(axis=0)] if source.config is None else source.curve.steps
    if not len(steps):
        raise Mistake(f"{source.place}: no step has a value of every seed of {source.label} in {source.env}")
    return steps


def _common_steps(env: str, sources: Sequence[Source]) -> np.ndarray:
    common = _known_steps(sources[0])
    for source in sources[1:]:
        both = np.intersect1d(common, _known_steps(source))
        if not len(both):
            raise Mistake(
                f"{sources[0].place} and {source.place} were never evaluated at the same step of {env}; "
                f"train with the same --eval-every"
            )
        common = both
    return common


def _filled(env: str, steps: np.ndarray, sources: Sequence[Source]) -> tuple[Task, dict[str, int]]:
    """The task, and how many seeds of each algorithm have no return at its last step."""
    groups = {label: of_label[env] for label, of_label in by_label(sources).items()}
    returns = {
        label: np.concatenate([s.curve.returns[:, np.isin(s.curve.steps, steps)] for s in group]).astype(float)
        for label, group in groups.items()
    }
    lowest = min(float(x[np.isfinite(x)].min(initial=np.inf)) for x in returns.values())
    if not np.isfinite(lowest):
        raise Mistake(f"no seed in {env} has a return up to step {thousands(steps[-1])}; compare at a later --step")
    failed = {label: int((~np.isfinite(x[:, -1])).sum()) for label, x in returns.items()}
    filled = {label: np.where(np.isfinite(x), x, lowest) for label, x in returns.items()}
    return Task(env, steps, filled), {label: seeds for label, seeds in failed.items() if seeds}


def scaled(tasks: Sequence[Task], reference: Mapping[str, Range] | None) -> tuple[list[Task], dict[str, Range]]:
    """Tasks on one scale, and the returns that are 0 and 1 on it: the reference's, or the ranges of this comparison.

    Raises Mistake if a reference lacks an environment, or has one that is not compared.
    """
    envs = [task.env for task in tasks]
    if reference is None:
        ranges = {task.env: task.range for task in tasks}
    else:
        if unknown := [env for env in reference if env not in envs]:
            raise Mistake(f"--reference {unknown[0]}: no run is of that environment; expected {', '.join(envs)}")
        if missing := [env for env in envs if env not in reference]:
            raise Mistake(f"--reference has no {missing[0]}; add {missing[0]}=LOW:HIGH, returns that are 0 and 1")
        for env, (low, high) in reference.items():
            if not -MOST < low < high < MOST:
                raise Mistake(f"--reference {env}={low:g}:{high:g}: expected a lower and a higher return")
        ranges = {env: reference[env] for env in envs}
    return [task.scaled(ranges[task.env]) for task in tasks], ranges
