"""What ddpg reads networks back from: whole and of the right shapes, or refused in one line."""

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.networks import NetworkConfig, Plain, Residual
from ddpg.algorithm.normaliser import RunningStats, byte_scale
from ddpg.algorithm.values import Categorical
from ddpg.mistake import Mistake
from ddpg.records import tree_file
from ddpg.records.networks.safetensors import NAME, SavedNetworks, load_networks, save_networks
from ddpg.types import Leaf, Spec
from tests.networks import random_nets

ARM = Spec(obs_shape=(2, 3), action_low=(-1.0, 0.1, -5.0), action_high=(3.0, 0.5, 0.1))
SMALL = NetworkConfig(widths=(6, 6))
AGENT = DPG(actor=SMALL, critic=replace(SMALL, action_layer=1), critics=2)
AGENTS = {
    "plain": AGENT,
    "batch norm": replace(AGENT, actor=replace(SMALL, block=Plain("batch"))),
    "residual and categorical": replace(AGENT, actor=replace(SMALL, block=Residual(2)), value=Categorical(atoms=5)),
}
STATS = RunningStats(jnp.float32(1000), jnp.ones(ARM.obs_shape), jnp.full(ARM.obs_shape, 2.0))


def networks(agent: DPG = AGENT, spec: Spec = ARM, stats: RunningStats | None = STATS) -> SavedNetworks:
    return SavedNetworks(random_nets(agent, spec, 1), random_nets(agent, spec, 2), stats)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_networks(tmp_path / "seed-0", networks(), ARM)
    return tmp_path / "seed-0"


def refused(folder: Path, agent: DPG = AGENT, normalise: bool = True, spec: Spec | None = None) -> str:
    with pytest.raises(Mistake) as error:
        load_networks(folder, agent, normalise, spec)
    said = str(error.value)
    assert said.isprintable()
    assert len(said) < 1_000
    return said


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("stats", [None, STATS], ids=["as it is", "normalised"])
def test_loaded_networks_are_those_saved(
    name: str, stats: RunningStats | None, tmp_path: Path, assert_identical: Callable[[Any, Any], None]
) -> None:
    saved = networks(AGENTS[name], stats=stats)
    save_networks(tmp_path, saved, ARM)
    for expected in (None, ARM):
        found, spec = load_networks(tmp_path, AGENTS[name], stats is not None, expected)
        assert_identical(found, saved)
        assert spec == ARM


def test_networks_of_another_environment_are_refused(folder: Path) -> None:
    for other in (
        replace(ARM, action_high=(3.0, 0.5, 2.0)),
        replace(ARM, obs_dtype="uint8"),
        Spec((1,), (-1.0,), (1.0,)),
    ):
        said = refused(folder, spec=other)
        assert f"{folder} was trained for observations of shape (2, 3) float32 and actions from [-1 0.1 -5] to" in said
        assert said.endswith("; choose an environment of the same spaces")


def test_the_parts_of_observations_belong_to_the_networks(
    tmp_path: Path, assert_identical: Callable[[Any, Any], None]
) -> None:
    parts = (Leaf(("a", 1), (2,)), Leaf(("b",), (), (3,), (0,)), Leaf((7,), (1,), high=(255.0,)))
    spec = replace(ARM, obs_shape=(6,), leaves=parts)
    saved = networks(spec=spec, stats=None)._replace(stats=byte_scale(spec))
    save_networks(tmp_path, saved, spec)
    found, again = load_networks(tmp_path, AGENT, False, spec)
    assert again == spec
    assert_identical(found, saved)
    with pytest.raises(ValueError, match=r"shape \(6,\) float32 \(\['a'\]\[1\]\['b'\]\[7\]\) and actions") as error:
        load_networks(tmp_path, AGENT, False, replace(spec, leaves=parts[::-1]))
    assert "\n" not in str(error.value)


def test_networks_of_another_configuration_are_refused(folder: Path) -> None:
    for agent in (replace(AGENT, critics=3), replace(AGENT, actor=NetworkConfig(widths=(6, 7))), AGENTS["batch norm"]):
        assert f"{NAME} cannot be used: " in refused(folder, agent)
    assert "it has '.stats" in refused(folder, normalise=False)


def test_before_any_were_saved(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path / NAME} does not exist: the run has saved no networks yet"


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)


def replaced(by: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda path: (path.rename(path.with_name("before")), by(path))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "flipped": (flipped, "its bytes are not those that were written"),
    "cut": (lambda path: os.truncate(path, path.stat().st_size - 1), "it is cut off or damaged"),
    "empty": (lambda path: os.truncate(path, 0), "it is cut off, or no safetensors file"),
    "pickled": (lambda path: path.write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR."), "no safetensors file"),
    "a link": (replaced(lambda path: path.symlink_to("before")), "cannot be used"),
    "a link to nothing": (replaced(lambda path: path.symlink_to("nothing")), "cannot be used"),
    "a folder": (replaced(Path.mkdir), "cannot be used"),
    "a checkpoint": (lambda path: tree_file.write(path, {"a": np.zeros(3)}, {"step": 1}), "its spec is invalid"),
    "another tree": (
        lambda path: tree_file.write(path, {"a": np.zeros(3)}, {"spec": asdict(ARM)}),
        "it lacks '.online.",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line(damage: str, folder: Path) -> None:
    harm, reason = DAMAGES[damage]
    harm(folder / NAME)
    said = refused(folder)
    assert NAME in said
    assert reason in said


SPECS: dict[str, dict[str, Any]] = {
    "bounds of two lengths": {"action_low": [-1.0, -1.0]},
    "bounds upside down": {"action_low": [4.0, 0.1, -5.0]},
    "bounds of text": {"action_high": ["a", "b", "c"]},
    "endless bounds": {"action_high": [10**400, 1, 1]},
    "no bounds": {"action_low": [], "action_high": []},
    "observations of no type": {"obs_dtype": "banana\x1b[31m"},
    "observations of objects": {"obs_dtype": "object"},
    "observations of nothing": {"obs_shape": [0]},
    "too many observations": {"obs_shape": [2**62, 2**62]},
    "too many dimensions": {"obs_shape": [1] * 40},
    "a negative shape": {"obs_shape": [-2, -3]},
    "a shape that is none": {"obs_shape": 6},
    "long text": {"obs_dtype": "f4" * 100_000},
    "parts of another size": {"leaves": [asdict(Leaf(("a",), (5,)))]},
    "parts without values": {"leaves": [asdict(Leaf(("a",), (2,), (6, 0), (0, 0)))]},
    "parts with too few values": {"leaves": [asdict(Leaf(("a",), (2,), (6,), (0,)))]},
    "parts of no bytes": {"leaves": [asdict(Leaf(("a",), (6,), high=(1e9,)))]},
    "parts of text": {"leaves": ["a"]},
}


@pytest.mark.parametrize("change", SPECS)
def test_a_spec_that_no_environment_has_is_refused(change: str, folder: Path) -> None:
    tree_file.write(folder / NAME, networks(), {"spec": asdict(ARM) | SPECS[change]})
    assert f"{folder / NAME} cannot be used: its spec is invalid" in refused(folder)


@pytest.mark.parametrize("widths", [(2**31 - 1, 2**31 - 1), (2**31 - 1,) * 6, (2**15, 2**15)])
def test_no_memory_is_taken_for_networks_that_only_a_configuration_claims(
    widths: tuple[int, ...], folder: Path
) -> None:
    assert "more than 268435456 numbers" in refused(folder, replace(AGENT, actor=NetworkConfig(widths=widths)))
