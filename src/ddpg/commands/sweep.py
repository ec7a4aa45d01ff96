"""`ddpg sweep`: a search for settings, with a table, a figure and a preset at its end."""

import shlex
import sys
from argparse import Namespace
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from ddpg.config.file import is_file, read_preset
from ddpg.mistake import Mistake
from ddpg.settings import own_settings
from ddpg.sweeps.built_in import built_in
from ddpg.sweeps.population import Population, TrialPlan
from ddpg.sweeps.results import FIGURE, PRESET, TABLE, draw, write_results
from ddpg.sweeps.search import Trained, best_of, check_optuna, ended, search
from ddpg.sweeps.space import Space, read_space
from ddpg.sweeps.sweep import Sweep
from ddpg.sweeps.workers import Here, OnRay, Workers
from ddpg.terminal import one_decimal, plain, reason
from ddpg.training.folder import absolute
from ddpg.training.signals import interruptible

FRESH = 1000  # the first of ten seeds that no trial has had


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended: its folder, its trials, and the best of them, None if every one has diverged."""

    path: Path
    trials: list[Trained]
    best: Trained | None
    signal: int = 0  # that ended it early; the same command goes on

    @property
    def preset(self) -> Path:
        """The file of the best settings, for `ddpg train ENV --preset`."""
        return self.path / PRESET


@own_settings()
def sweep(
    env: str,
    space: str | Path | Space | None = None,
    trials: int = 50,
    *,
    preset: str | Path = "ddpg",
    steps: int | None = None,
    seed: int = 0,
    seeds: int = 3,
    objective: Literal["last", "best"] = "last",
    pruning: Literal["median", "none"] = "median",
    jobs: int = 1,
    population: int = 1,
    ray_address: str | None = None,
    folder: str | Path | None = None,
    quiet: bool = False,
) -> SweepResult:
    """Search for settings of `preset` in `env`, or go on with a search, up to so many `trials`: `ddpg.sweep`.

    `space` is a TOML file, the name of a built-in space, or by default that of the preset. Each trial trains the seeds
    `seed` to `seed` + `seeds` - 1, and `seed` decides which settings are tried. With `jobs` above 1,
    or an address, so many are trained at once, by processes in a Ray cluster: that at the address, or a new one on this
    machine. A `population` is of so many trials that are trained as one compiled program. `folder` is by default
    sweeps/ENV-PRESET. Raises Mistake if an option does not exist, or the folder holds another sweep.
    """
    check_optuna()
    asked = Sweep(
        env,
        str(absolute(preset)) if is_file(preset) else str(preset),
        _space(space, read_preset(preset).preset),
        steps,
        seed,
        seeds,
        objective,
        pruning,
        _at_once(jobs, population, ray_address),
    )
    asked.check()
    place = absolute(folder or default_folder(env, preset))
    if population > 1:
        TrialPlan.of(asked.task(0, {}, {}, place))  # what cannot be one leaves no folder that is marked as one

    def note(done: list[Trained]) -> None:
        write_results(place, done, asked.space)
        if not quiet:
            print(_line(done, trials), file=sys.stderr, flush=True)

    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock", timeout=0), interruptible():
            with closing(_workers(jobs, population, ray_address)) as workers:
                study, signal = search(asked, place, trials, note, workers)
            done = ended(study)
            if done:
                draw(place / FIGURE, study, done, asked.space, objective)
    except Timeout:
        raise Mistake(f"another process is searching in {place}; wait for its end, or stop it") from None
    except OSError as error:
        raise Mistake(f"{place} cannot be written ({reason(error)}); choose another -o") from None
    return SweepResult(place, done, best_of(done), signal)


def _workers(jobs: int, population: int, ray_address: str | None) -> Workers:
    if jobs > 1 or ray_address is not None:
        return OnRay(jobs, ray_address)
    return Population(population) if population > 1 else Here()


def _at_once(jobs: int, population: int, ray_address: str | None) -> int:
    """How many trials; raises Mistake if that cannot be."""
    for name, number in (("jobs", jobs), ("population", population)):
        if number < 1:
            raise Mistake(f"{name} {number}: expected at least 1")
    if population > 1 and (jobs > 1 or ray_address is not None):
        option = f"jobs {jobs}" if jobs > 1 else f"ray_address {ray_address}"
        raise Mistake(f"population {population} and {option}: a population is trained in one process; use one of them")
    return max(jobs, population)


def sweep_command(args: Namespace) -> int:
    result = sweep(
        args.ENV,
        args.space,
        args.trials,
        preset=args.preset,
        steps=args.steps,
        seed=args.seed,
        seeds=args.seeds,
        objective=args.objective,
        pruning=args.pruning,
        jobs=args.jobs,
        population=args.population,
        ray_address=args.ray_address,
        folder=args.o,
        quiet=args.quiet,
    )
    here = absolute(".")
    place = result.path.relative_to(here) if result.path.is_relative_to(here) else result.path
    if result.signal:
        print(f"to go on: {_command(args)}", file=sys.stderr)
        return 128 + result.signal
    if result.best is None:
        print(f"no trial has an evaluation that counts: {place / TABLE}", file=sys.stderr)
        return 0
    value, seeds = one_decimal(result.best.value), f"--seed {FRESH} --seeds 10"
    print(
        f"best: trial {result.best.index} · return {value} ({args.objective}) · {_settings(result.best)}",
        file=sys.stderr,
    )
    print(f"table, figure, preset: {place / TABLE}, {FIGURE}, {PRESET}", file=sys.stderr)
    print("the best of many is lucky, too; its return with fresh seeds:", file=sys.stderr)
    print(f"  ddpg train {args.ENV} --preset {shlex.quote(str(place / PRESET))} {seeds}", file=sys.stderr)
    return 0


def default_folder(env: str, preset: str | Path) -> Path:
    stem = Path(preset).stem if is_file(preset) else str(preset)
    return Path("sweeps") / f"{env.replace(':', '-').replace('/', '-')}-{stem}"


def _space(space: str | Path | Space | None, preset: str) -> Space:
    if isinstance(space, Space):
        return space
    if space is None:
        return built_in(preset)
    return read_space(Path(space)) if str(space).endswith(".toml") else built_in(str(space))


def _line(done: list[Trained], trials: int) -> str:
    """The trial that has just ended."""
    trial, best = done[-1], best_of(done)
    how = "diverged" if trial.outcome.failure else f"return {one_decimal(trial.value)}"
    pruned = f", pruned at step {trial.outcome.steps}" if trial.outcome.pruned else ""
    leader = "" if best is None else f" · best {one_decimal(best.value)} (trial {best.index})"
    return f"{len(done)}/{trials} {how}{pruned} · {trial.seconds:.0f} s · {_settings(trial)}{leader}"


def _settings(trial: Trained) -> str:
    return ", ".join(
        f"{path} {value:.2g}" if isinstance(value, float) else f"{path} {plain(value)}"
        for path, value in trial.options.items()
    )


def _command(args: Namespace) -> str:
    """As it was typed."""
    usual = {"space": None, "trials": 50, "preset": "ddpg", "steps": None, "seed": 0, "seeds": 3}
    usual |= {"objective": "last", "pruning": "median", "jobs": 1, "population": 1, "ray_address": None}
    chosen = {name: getattr(args, name) for name, value in usual.items() if getattr(args, name) != value}
    words = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return shlex.join(["ddpg", "sweep", args.ENV, *words, *([] if args.o is None else ["-o", str(args.o)])])
