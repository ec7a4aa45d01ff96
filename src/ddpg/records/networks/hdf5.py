"""The four networks of a seed as HDF5 files, for h5py and NumPy alone (docs/files.md). ddpg never loads them."""

from io import BytesIO
from pathlib import Path
from typing import Any

import h5py

from ddpg.algorithm.nets import GreedyPolicy
from ddpg.algorithm.values import AnyValue
from ddpg.records.atomic import replace_atomically
from ddpg.records.networks.safetensors import SavedNetworks
from ddpg.records.networks.steps import arrays_of, critic_steps, policy_steps
from ddpg.types import Spec


def save_models(
    folder: Path,
    saved: SavedNetworks,
    spec: Spec,
    value: AnyValue,
    reward_scale: float = 1.0,
    target_reward_scale: float | None = None,
) -> None:
    """Write actor, actor_target, critic and critic_target .hdf5 of one seed into FOLDER.

    Critics undo `reward_scale`, what rewards were multiplied by in training; the target critic its own, if it differs.
    """
    of_target = reward_scale if target_reward_scale is None else target_reward_scale
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, nets, scale in (("", saved.online, reward_scale), ("_target", saved.target, of_target)):
        policy = GreedyPolicy(saved.stats, nets.encoder, nets.actor)
        programs = {"actor": policy_steps(policy, spec)}
        programs["critic"] = critic_steps(nets, saved.stats, spec, value, scale)
        for role, steps in programs.items():
            partial = folder / f"{role}{suffix}.partial"
            save_hdf5(partial, arrays_of(steps, spec))
            replace_atomically(partial, folder / f"{role}{suffix}.hdf5")


def save_hdf5(path: Path, arrays: dict[str, Any]) -> None:
    """Arrays of steps as datasets in groups, everything else as attributes."""
    whole = BytesIO()  # on a full disk h5py raises a RuntimeError, Python an OSError
    with h5py.File(whole, "w") as file:
        for name, value in arrays.items():
            (file if "/" in name else file.attrs)[name] = value
    path.write_bytes(whole.getvalue())


def reread_hdf5(path: Path) -> dict[str, Any]:
    """What `save_hdf5` has just written; nobody else's files, since HDF5 is not safe to read from strangers."""
    with h5py.File(path) as file:
        arrays = {f"{step}/{name}": array[()] for step, group in file.items() for name, array in group.items()}
        return dict(file.attrs) | arrays
