"""What a run leaves at its end, beside what it wrote along the way: networks, pictures, the summary."""

import json
import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddpg.config.config import Config
from ddpg.config.file import FORMAT
from ddpg.envs import catalogue
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.records.atomic import write_text
from ddpg.records.log import read_metrics
from ddpg.records.networks import safetensors
from ddpg.records.networks.hdf5 import save_models
from ddpg.records.networks.safetensors import SavedNetworks
from ddpg.records.plot import curve_of, learning_curve
from ddpg.records.statistics import summary
from ddpg.records.video import screenless
from ddpg.training.driver import Learned
from ddpg.training.film import film_run
from ddpg.types import Spec


def save_networks(folder: Path, config: Config, learned: Learned, spec: Spec) -> None:
    """The four networks of every seed, leaves [S, ...]."""
    for i, seed in enumerate(seeds(config)):
        own: Learned = jax.tree.map(lambda x, i=i: np.asarray(x)[i], learned)
        scale = config.reward_scale if own.return_scale is None else float(own.return_scale.scale)
        saved, place = SavedNetworks(own.online, own.target, own.stats), folder / "models" / f"seed-{seed}"
        safetensors.save_networks(place, saved, spec)
        save_models(place, saved, spec, config.agent.value, scale)


def pictures(
    folder: Path, config: Config, env: Environment | GymFactory, optimum: float | None, note: Callable[[str], None]
) -> None:
    """The curve, and a film of the median seed; what cannot be drawn, as when learning diverged, is said."""
    records = read_metrics(folder)
    title = f"{config.env} · {count(config.seeds, 'seed')}"
    last = [record["return"] for record in records[-config.seeds :]]
    middle = seeds(config)[int(np.argsort(last)[(len(last) - 1) // 2])]
    try:
        learning_curve([curve_of(records, config.preset)], folder / "learning_curve.png", title, optimum)
        if drawable(env):
            film_run(folder, folder / "policy.gif", env=env, seed=middle)
    except ValueError as error:
        note(str(error))


def conclude(folder: Path, config: Config, optimum: float | None, said: Mapping[str, Any]) -> dict[str, Any]:
    """Write summary.json: the returns of the last log point, and what is `said` of the run beside them."""
    records = read_metrics(folder)
    # Nothing is known of a run that ended before anything was logged.
    last = np.array([record["return"] for record in records[-config.seeds :]] or [np.nan] * config.seeds)
    whole = {
        "format": FORMAT,
        "env": config.env,
        "preset": config.preset,
        "seeds": list(seeds(config)),
        **summary(last),
        **said,
    }
    if optimum is not None:
        whole |= {"optimum": optimum, "gap_to_optimum": None if whole["iqm"] is None else optimum - whole["iqm"]}
    write_text(folder / "summary.json", json.dumps(whole, indent=2) + "\n")
    return whole


def drawable(env: Environment | GymFactory) -> bool:
    """Whether Gymnasium can draw it: its own environments that say so, and those of its ids that are native here."""
    if not isinstance(env, GymFactory):
        return isinstance(getattr(env, "env", env), type(catalogue.NATIVE.get(env.id)))
    try:
        with warnings.catch_warnings(action="ignore"), screenless(), closing(env.one(render_mode="rgb_array")) as one:
            return one.render_mode == "rgb_array"
    except Exception:  # of a maker of one's own that takes no render mode, or whatever else it raises
        return False


def reason(error: OSError) -> str:
    """The system's few words, where h5py has many."""
    return os.strerror(error.errno) if error.errno else str(error)


def seeds(config: Config) -> range:
    return range(config.seed, config.seed + config.seeds)


def count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
