"""The end of a run: networks, pictures, the summary."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ddpg.config.config import Config
from ddpg.config.file import RUN_FORMAT
from ddpg.environment import AnyEnvironment
from ddpg.mistake import Mistake
from ddpg.records.atomic import write_text
from ddpg.records.log import Record, read_records
from ddpg.records.networks import safetensors
from ddpg.records.networks.hdf5 import save_models
from ddpg.records.plot import curve_of, learning_curve
from ddpg.records.statistics import iqm, summary
from ddpg.terminal import count
from ddpg.training.best import Best, saved_networks
from ddpg.training.driver import Learned
from ddpg.training.film import Undrawable, film_policy, in_gymnasium
from ddpg.training.folder import RunFolder
from ddpg.training.policy import load_policy
from ddpg.types import Spec


def save_networks(folder: RunFolder, config: Config, learned: Learned, spec: Spec) -> None:
    """The four networks of every seed, leaves [S, ...]."""
    chosen = config.reward_scale
    scales = zip(learned.reward_scales(chosen), learned.reward_scales_of_targets(chosen), strict=True)
    for i, (seed, (scale, of_target)) in enumerate(zip(config.seed_range, scales, strict=True)):
        saved, place = saved_networks(learned, i), folder.networks(seed)
        safetensors.save_networks(place, saved, spec)
        save_models(place, saved, spec, config.agent.value, float(scale), float(of_target))


def film_seconds(run_seconds: float, hurried: bool) -> float:
    """How long the film of a run may take: a tenth of the run, and no more than ten seconds, or two."""
    return min(2.0 if hurried else 10.0, run_seconds / 10)


def median_seed(config: Config, records: Sequence[Record]) -> int:
    """The seed whose last return is the median, the lower of two; the first if nothing was logged."""
    last = [record["return"] for record in records[-config.seeds :]] or [0.0]
    return config.seed_range[int(np.argsort(last)[(len(last) - 1) // 2])]


def draw_pictures(
    folder: RunFolder,
    config: Config,
    env: AnyEnvironment | None,
    optimum: float | None,
    seconds: float,
    note: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """The learning curve, and a film of the median seed in so many seconds if `env` is given.

    Without an evaluation there is no curve. A warning if one cannot be drawn, as the film of a diverged policy.
    """
    records = read_records(folder.metrics)
    title = f"{config.env} · {count(config.seeds, 'seed')}"
    median = median_seed(config, records)
    try:
        if records and config.eval.episodes:
            learning_curve([curve_of(records, config.preset)], folder.curve, title, optimum)
        if env is not None and in_gymnasium(env):
            if seconds > 1:
                note(f"drawing {folder.film.name}, in {seconds:.1f} s at most")
            with suppress(Undrawable):
                film_policy(load_policy(folder, config, median), env, config, folder.film, 0, seconds, note)
    except Mistake as error:
        warn(str(error))


def write_summary(
    folder: RunFolder, config: Config, optimum: float | None, best: Best, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Write summary.json: the returns of the last log point, the optimum, the best evaluations, and `fields`."""
    records = read_records(folder.metrics)
    # A run that ended before anything was logged has no return.
    last = np.array([record["return"] for record in records[-config.seeds :]] or [np.nan] * config.seeds)
    whole = {
        "format": RUN_FORMAT,
        "env": config.env,
        "preset": config.preset,
        "seeds": list(config.seed_range),
        **summary(last),
        **fields,
    }
    if np.isfinite(best.returns).any():
        middle, *returns = (float(x) if np.isfinite(x) else None for x in (iqm(best.returns), *best.returns))
        whole["best"] = {"iqm": middle, "returns": returns, "steps": best.steps.tolist()}
    if optimum is not None:
        whole |= {"optimum": optimum, "gap_to_optimum": None if whole["iqm"] is None else optimum - whole["iqm"]}
    write_text(folder.summary, json.dumps(whole, indent=2) + "\n")
    return whole
