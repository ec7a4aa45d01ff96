"""`ddpg eval`: greedy returns of every seed of a run."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddpg.config.file import load_config
from ddpg.environment import Known, environment_of
from ddpg.records.statistics import iqm
from ddpg.training.backend import evaluator_for
from ddpg.training.devices import configure_jax
from ddpg.training.policy import load_seed
from ddpg.types import AnyArray


def evaluate_run(
    run: str | Path, episodes: int = 100, seed: int = 0, env: Known | None = None, env_args: Sequence[str] = ()
) -> dict[str, Any]:
    """Greedy returns of every seed of a run: what `ddpg eval` prints, and `ddpg.evaluate` answers.

    `env` is by default the run's own; a run of a function that makes environments needs that function, or an id.
    `env_args` are keyword arguments as key=value, beside those of the run where `env` is the run's own id.
    `return_mean`, `return_std` and `return_iqm` are over all episodes of all seeds, `returns` the mean of each seed.
    ValueError, in one line, if the folder is no run, or `env` is none or has other spaces.
    """
    run = Path(run)
    config = load_config(run)
    environment = environment_of(config, env, env_args)
    seeds = range(config.seed, config.seed + config.seeds)
    evaluator = evaluator_for(config, environment, episodes, seed)
    configure_jax(1, 0.0)
    saved = [load_seed(run, config, s, environment.spec)[0] for s in seeds]
    with ExitStack() as stack:
        stack.callback(evaluator.close)
        returns = np.concatenate([evaluator(*jax.tree.map(_one, (one.online, one.stats))).returns for one in saved])
        optimum = evaluator.optimum()
    said: dict[str, Any] = {
        "env": (env or config.env) if env is None or isinstance(env, str) else environment.id,
        "episodes": int(returns.size),
        "seeds": list(seeds),
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "return_iqm": float(iqm(returns.ravel())),
        "returns": returns.mean(axis=1).tolist(),
    }
    if optimum is not None:
        said |= {"optimum": optimum, "gap_to_optimum": optimum - said["return_mean"]}
    return said


def _one(leaf: AnyArray) -> AnyArray:
    return leaf[None]
