"""The policy of the best evaluation of every seed, kept beside the last one."""

from typing import NamedTuple

import jax
import numpy as np

from ddpg.config.config import Config
from ddpg.records.display import Display
from ddpg.records.networks.safetensors import SavedNetworks, save_best, saved_best
from ddpg.terminal import reason
from ddpg.training.driver import Learned
from ddpg.training.folder import RunFolder
from ddpg.types import Spec


class Best(NamedTuple):
    """The best evaluation so far of each seed [S]: its mean return, and its step."""

    returns: np.ndarray  # -inf before the first
    steps: np.ndarray


def no_best(seeds: int) -> Best:
    return Best(np.full(seeds, -np.inf), np.zeros(seeds, np.int64))


def saved_networks(learned: Learned, i: int) -> SavedNetworks:
    """The networks of one seed, of leaves [S, ...]."""
    own: Learned = jax.tree.map(lambda x: np.asarray(x)[i], learned)
    return SavedNetworks(own.online, own.target, own.stats)


class BestPolicies:
    """Writes the policies of evaluations that are better than all before, one file per seed."""

    def __init__(self, folder: RunFolder, config: Config, spec: Spec, display: Display) -> None:
        self._folder, self._config, self._spec, self._display = folder, config, spec, display
        # A run that goes on from a checkpoint finds files of later steps: they stay until a better evaluation, unless
        # the run is to be shorter now.
        saved = [saved_best(folder.networks(seed)) for seed in config.seed_range]
        self._written = np.array([value if step <= config.steps else -np.inf for value, step in saved])

    def __call__(self, best: Best, step: int, returns: np.ndarray, learned: Learned) -> Best:
        """`best`, and an evaluation of `learned` at `step` with mean `returns` [S]; NaN is never the best."""
        better = returns > best.returns
        for i in np.flatnonzero(better & (returns > self._written)):
            place = self._folder.networks(self._config.seed_range[i])
            try:
                save_best(place, saved_networks(learned, int(i)), self._spec, float(returns[i]), step)
            except OSError as error:
                lost = f"the best policy, of step {step:,}, could not be written ({reason(error)})"
                self._display.warn(f"{lost}; the one before stays")
            else:
                self._written[i] = returns[i]
        return Best(np.where(better, returns, best.returns), np.where(better, step, best.steps))
