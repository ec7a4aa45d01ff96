"""A trained policy on its own: observations in, greedy actions in the environment's units out."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Shaped

from ddpg.algorithm.nets import GreedyPolicy, Nets
from ddpg.algorithm.normaliser import InputStats
from ddpg.config.config import Config
from ddpg.envs.observations import as_array, flatten, numbers
from ddpg.mistake import Mistake
from ddpg.records.networks.safetensors import SavedNetworks, load_networks
from ddpg.settings import own_settings
from ddpg.training.folder import RunFolder
from ddpg.types import Spec


class Policy:
    """mu(s) of one seed, in NumPy. `policy(obs)` takes one observation or a batch; actions are within the bounds.

    Observations of Dict and Tuple spaces are taken as they come, one at a time, or as flat vectors.
    """

    def __init__(self, nets: Nets, stats: InputStats, spec: Spec, seed: int | None = None) -> None:
        self.nets, self.spec, self.seed = nets, spec, seed
        self.greedy = jax.tree.map(np.asarray, GreedyPolicy(stats, nets.encoder, nets.actor))

    def __repr__(self) -> str:
        pairs = dict.fromkeys(zip(self.spec.action_low, self.spec.action_high, strict=True))
        bounds = ", ".join(f"[{low:g}, {high:g}]" for low, high in pairs)
        shapes = f"obs {list(self.spec.obs_shape)} -> action [{self.spec.action_dim}] in {bounds}"
        return f"Policy({shapes}{'' if self.seed is None else f', seed {self.seed}'})"

    def unit(self, obs: Shaped[np.ndarray, "b *obs"]) -> Float[np.ndarray, "b m"]:
        """mu(s) in [-1, 1]^m."""
        return self.greedy(obs)

    def __call__(self, obs: Any) -> np.ndarray:
        """[*obs] -> [m], or [b, *obs] -> [b, m], in float32. Raises Mistake if it is of another shape or kind."""
        spec, shape = self.spec, self.spec.obs_shape
        if spec.nested and not (isinstance(obs, np.ndarray) and obs.shape[-1:] == shape):
            array = flatten(spec, obs)
        else:
            whole = spec.root if spec.nested else spec.parts[0]
            array = numbers(whole, as_array(whole, obs, batches=True)).astype(spec.obs_dtype)
        with np.errstate(all="ignore"):  # whatever the caller's program raises on
            units = spec.to_units(self.unit(array.reshape(-1, *shape)))
            action = np.clip(units.astype(np.float32), *spec.bounds32)
        return action[0] if array.shape == shape else action

    def predict(self, obs: Any, *_: Any, **__: Any) -> tuple[np.ndarray, None]:
        """(action, None), as tools made for Stable-Baselines3 expect; state and episode starts are ignored."""
        return self(obs), None


@own_settings()
def load(run: str | Path, seed: int | None = None, best: bool = False) -> Policy:
    """The greedy policy of one seed of a run folder, by default its first: `ddpg.load`.

    It is the last one, or with `best` that of the seed's best evaluation. Raises Mistake if the folder is no
    run, or has no such seed, or its files cannot be read.
    """
    folder = RunFolder.at(run)
    return load_policy(folder, folder.read_config(), seed, best)


def load_policy(folder: RunFolder, config: Config, seed: int | None = None, best: bool = False) -> Policy:
    seeds = config.seed_range
    if seed is not None and seed not in seeds:
        raise Mistake(f"seed {seed}: {folder} holds seeds {seeds[0]} to {seeds[-1]}; choose one of them")
    seed = seeds[0] if seed is None else seed
    saved, spec = load_seed(folder, config, seed, best=best)
    return Policy(saved.online, saved.stats, spec, seed)


def load_seed(
    folder: RunFolder, config: Config, seed: int, expected: Spec | None = None, best: bool = False
) -> tuple[SavedNetworks, Spec]:
    """The saved networks of one seed and their spec. Raises Mistake if it is another than `expected`."""
    return load_networks(folder.networks(seed), config.agent, config.normalise, expected, best)
