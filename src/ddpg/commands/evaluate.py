"""`ddpg eval`: greedy returns of every seed of a run."""

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddpg.config.reading import override
from ddpg.environment import EnvironmentLike, resolve_for
from ddpg.records.networks.safetensors import saved_best
from ddpg.records.statistics import iqm
from ddpg.records.video import check_film, check_screen
from ddpg.settings import own_settings
from ddpg.terminal import gap, one_decimal, stdout_for_json, thousands
from ddpg.training.backend import evaluator_for
from ddpg.training.devices import configure_jax
from ddpg.training.film import film_run, show_run
from ddpg.training.folder import RunFolder, absolute
from ddpg.training.policy import load_seed
from ddpg.training.reports import SUCCESS
from ddpg.types import AnyArray


@own_settings()
def evaluate_run(
    run: str | Path,
    episodes: int = 100,
    seed: int = 0,
    env: EnvironmentLike | None = None,
    env_args: Sequence[str] = (),
    best: bool = False,
    log: str | Sequence[str] | None = None,
) -> dict[str, Any]:
    """Greedy returns of every seed of a run: `ddpg.evaluate`.

    `env` is by default the run's own; a run of a function that makes environments needs that function, or an id.
    `env_args` are keyword arguments as key=value, after those of the run if `env` is the run's own id. With `best`
    each seed has the policy of its best evaluation, not its last, and `best_steps` says of which step. `log` are keys
    of `info`, by default the run's.
    `return_mean`, `return_std` and `return_iqm` are over all episodes of all seeds, `returns` the mean of each seed.
    With keys to log, `info` has each key's mean over the episodes that ended with it, None if none did; that of
    `is_success` is `success_rate` too.
    Raises Mistake if the folder is no run, or `env` cannot be made or has other spaces.
    """
    folder = RunFolder.at(run)
    config = folder.read_config()
    config = config if log is None else replace(config, log=override(config, {"log": log}).log)
    environment = resolve_for(config, env, env_args)
    with closing(evaluator_for(config, environment, episodes, seed)) as evaluator:
        configure_jax(1, 0.0)
        saved = [load_seed(folder, config, s, environment.spec, best)[0] for s in config.seed_range]
        played = [evaluator(*jax.tree.map(_one, (one.online, one.stats))) for one in saved]
        returns = np.concatenate([each.returns for each in played])
        optimum, warnings = evaluator.optimum(), list(evaluator.warnings().values())
    result: dict[str, Any] = {
        "env": (env or config.env) if env is None or isinstance(env, str) else environment.id,
        "episodes": int(returns.size),
        "seeds": list(config.seed_range),
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "return_iqm": float(iqm(returns.ravel())),
        "returns": returns.mean(axis=1).tolist(),
    }
    if best:
        result["best_steps"] = [saved_best(folder.networks(s))[1] for s in config.seed_range]
    if config.log:
        own = np.concatenate([np.stack(each.own) for each in played], axis=1)  # [k, S, e]
        means = [float(each[np.isfinite(each)].mean()) if np.isfinite(each).any() else None for each in own]
        result["info"] = dict(zip(config.log, means, strict=True))
        if SUCCESS in config.log:
            result["success_rate"] = result["info"][SUCCESS]
    if warnings:
        result["warnings"] = warnings
    if optimum is not None:
        result |= {"optimum": optimum, "gap_to_optimum": optimum - result["return_mean"]}
    return result


def _one(leaf: AnyArray) -> AnyArray:
    return leaf[None]


def print_note(line: str) -> None:
    print(line, file=sys.stderr)


def eval_command(args: Namespace) -> int:
    folder, video = absolute(args.RUN), args.video and absolute(args.video)  # wherever an environment changes to
    if args.video:
        check_film(args.video)  # before the minutes that many episodes may take
    if args.render:
        check_screen()
    with stdout_for_json() as print_json:
        result = evaluate_run(args.RUN, args.episodes, args.seed, args.env, args.env_args, args.best, args.log)
        if args.json:
            print_json(result)
        else:
            _report(result)
        if video:
            film_run(folder, video, args.seed, args.env, None, args.env_args, args.best, print_note)
            print(f"film: {args.video}", file=sys.stderr)
        if args.render:
            show_run(folder, args.seed, args.env, env_args=args.env_args, best=args.best)
    return 0


def _report(result: Mapping[str, Any]) -> None:
    mean = f"return {one_decimal(result['return_mean'])} ± {one_decimal(result['return_std'])}"
    mean += f" · IQM {one_decimal(result['return_iqm'])}{gap(result)}"
    for key, value in result.get("info", {}).items():
        mean += f" · {key} {'unknown' if value is None else format(value, '.4g')}"
    which = f" · best, of step {', '.join(map(thousands, result['best_steps']))}" if "best_steps" in result else ""
    print(f"{mean} · {result['episodes']} episodes on {result['env']}{which}", file=sys.stderr)
    for line in result.get("warnings", ()):
        print(f"warning: {line}", file=sys.stderr)
