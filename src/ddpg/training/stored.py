"""The replay of a run as plain arrays."""

from contextlib import suppress
from operator import itemgetter
from pathlib import Path

import jax
import numpy as np

from ddpg.experience.ring import any_rows, rows_in_order
from ddpg.experience.transitions import Transitions, from_rows
from ddpg.mistake import Mistake
from ddpg.records import tree_file
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.frames import KEY, with_frames
from ddpg.settings import own_settings
from ddpg.training.backend import learner_for
from ddpg.training.folder import RunFolder
from ddpg.training.memory import available_bytes
from ddpg.training.policy import load_seed

COPIES = 4  # of all observations, as arrays: obs, next_obs, and both once more on the way


@own_settings()
def replay(run: str | Path, seed: int | None = None) -> dict[str, np.ndarray]:
    """The transitions in the newest checkpoint of a run, of one seed, by default its first: `ddpg.replay`.

    `obs` [t, *obs], `action` [t, m] in the environment's units, `reward`, `next_obs`, `terminated`, `truncated`; the
    oldest first, environment by environment. `np.savez(FILE, **ddpg.replay(run))` is what `--demonstrations` takes.
    Raises Mistake if there is no such seed, no checkpoint that can be read, or not enough memory.
    """
    folder = RunFolder.at(run)
    config = folder.read_config()
    seed = config.seed if seed is None else seed
    if seed not in config.seed_range:
        raise Mistake(f"seed {seed}: {folder} holds seeds {config.seed_range[0]} to {config.seed_range[-1]}")
    spec = load_seed(folder, config, seed)[1]
    learner = learner_for(config, spec)
    obs = jax.ShapeDtypeStruct((config.seeds, config.collect.envs, *spec.obs_shape), spec.obs_dtype)
    like = any_rows(jax.eval_shape(jax.vmap(learner.empty_ring), obs))
    for path in list_checkpoints(folder.checkpoints):
        with suppress(tree_file.Damaged):
            ring = tree_file.read(path, like, ".driver.learner.ring")
            ring = with_frames(ring, like, path, tree_file.read_header(path))
            break
    else:
        raise Mistake(f"{folder} has no checkpoint whose replay can be read")
    own = jax.tree.map(itemgetter(seed - config.seed), ring)
    steps = own.columns.shape[0] * own.columns.shape[1]
    needed, available = COPIES * steps * spec.obs_size * np.dtype(spec.obs_dtype).itemsize, available_bytes()
    if needed > available:
        raise Mistake(
            f"the {steps} steps of {folder} would take {1e-9 * needed:.1f} GB as arrays, with every stack of pictures "
            f"twice, and this machine has {1e-9 * available:.1f}; its pictures are in {folder.checkpoints / KEY}, once"
        )
    transitions: Transitions = from_rows(rows_in_order(own, spec), spec)
    return transitions._asdict()
