"""The four HDF5 files of a seed: what is in them, by which names; NumPy alone rebuilds the networks."""

import re
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.nets import Nets
from ddpg.algorithm.networks import NetworkConfig, Plain, Residual
from ddpg.algorithm.normaliser import RunningStats
from ddpg.algorithm.values import Categorical
from ddpg.records.networks.hdf5 import reread_hdf5, save_hdf5, save_models
from ddpg.records.networks.safetensors import SavedNetworks
from ddpg.records.networks.standalone_policy import network_of, policy_of
from ddpg.training.policy import Policy
from ddpg.types import Spec
from tests.networks import random_nets

PAGE = (Path(__file__).parents[3] / "docs" / "files.md").read_text(encoding="utf-8")
ARM = Spec(obs_shape=(2, 3), action_low=(-1.0, 0.0, -5.0), action_high=(3.0, 0.5, 2.0))
STATS = RunningStats(
    jnp.float32(1000), jnp.linspace(-2, 3, 6).reshape(ARM.obs_shape), jnp.array([[0.0, 1e-4, 1.0], [2.0, 3.0, 9.0]])
)
NETWORKS = ["actor", "actor_target", "critic", "critic_target"]
SMALL = NetworkConfig(widths=(5, 4))


def saved(agent: DPG, folder: Path, stats: RunningStats | None = None, scale: float = 1.0) -> SavedNetworks:
    networks = SavedNetworks(random_nets(agent, ARM, 1), random_nets(agent, ARM, 2), stats)
    save_models(folder, networks, ARM, agent.value, scale)
    return networks


def test_all_four_networks(tmp_path: Path) -> None:
    agent = DPG(actor=SMALL, critic=SMALL, critics=2, value=Categorical(atoms=5))
    networks = saved(agent, tmp_path, STATS, 0.25)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.hdf5" for name in NETWORKS]
    random = np.random.default_rng(0)
    obs = random.normal(size=(16, *ARM.obs_shape)).astype(np.float32)
    action = random.uniform(-1, 1, (16, ARM.action_dim)).astype(np.float32)
    answers = list[Any]()
    for suffix, nets in (("", networks.online), ("_target", networks.target)):
        actor, critic = (reread_hdf5(tmp_path / f"{name}{suffix}.hdf5") for name in ("actor", "critic"))
        np.testing.assert_allclose(policy_of(actor)(obs), Policy(nets, STATS, ARM)(obs), atol=1e-5)
        normalised = np.clip((obs - STATS.mean) / np.sqrt(STATS.variance + 1e-8), -10, 10)
        q = agent.value.mean(jax.jit(Nets.q)(nets, normalised, action)) / 0.25
        np.testing.assert_allclose(network_of(critic)(obs, action)[..., 0], q, atol=1e-5)
        answers += [policy_of(actor)(obs), q]
    assert not any(np.allclose(one, other) for one, other in zip(answers[:2], answers[2:], strict=True))


def test_a_relu_actor_by_hand(tmp_path: Path) -> None:
    nets: Nets = saved(DPG(actor=SMALL), tmp_path).online
    obs = np.random.default_rng(1).normal(size=(64, *ARM.obs_shape)).astype(np.float32)
    with h5py.File(tmp_path / "actor.hdf5") as file:
        arrays: dict[str, Any] = {
            name: file[name] for i in range(3) for name in (f"dense_{i}/weight", f"dense_{i}/bias")
        }
        x = obs.reshape(64, 6)
        for i in range(3):
            x = x @ arrays[f"dense_{i}/weight"][:] + arrays[f"dense_{i}/bias"][:]
            x = np.tanh(x) if i == 2 else np.maximum(x, 0)
        low, high = np.asarray(file.attrs["action_low"]), np.asarray(file.attrs["action_high"])
    np.testing.assert_allclose(low + (x + 1) * (high - low) / 2, Policy(nets, None, ARM)(obs), atol=1e-5)


def test_everything_in_a_file_is_documented(tmp_path: Path) -> None:
    for block in (Plain(), Plain("layer"), Plain("batch"), Residual(2)):
        actor = NetworkConfig(widths=(5, 5), block=block, activation="gelu")
        for stats, value in ((None, Categorical(atoms=3)), (STATS, DPG().value)):
            saved(DPG(actor=actor, critic=SMALL, value=value), tmp_path, stats, 2.0)
            for name in ("actor", "critic"):
                with h5py.File(tmp_path / f"{name}.hdf5") as file:
                    attrs: dict[str, Any] = dict(file.attrs)
                    groups = {step: set(group) for step, group in file.items() if isinstance(group, h5py.Group)}
                    assert len(groups) == len(file)
                assert (attrs["format"], attrs["format_version"]) == ("ddpg-network", 2)
                assert all(f"`{each}`" in PAGE for each in attrs)
                words = attrs["steps"].split()
                assert groups.keys() == {word for word in words if "_" in word}
                for word in words:
                    (row,) = re.findall(rf"^\|.*`{word.partition('_')[0]}`.*\|.*\|.*\|$", PAGE, re.M)
                    assert all(f"`{each}`" in row for each in groups.get(word, ()))


def test_networks_that_diverged_are_written_too(tmp_path: Path) -> None:
    agent = DPG(actor=SMALL, critic=SMALL)
    nets = jax.tree.map(lambda leaf: leaf * np.float32(np.nan), random_nets(agent, ARM))
    save_models(tmp_path, SavedNetworks(nets, nets, None), ARM, agent.value, 0.0)
    assert np.isnan(reread_hdf5(tmp_path / "actor.hdf5")["dense_0/weight"]).all()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_a_full_disk_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="No space left"):
        save_hdf5(Path("/dev/full"), {"format": "ddpg-network"})
