"""The HDF5 files rebuild the networks without ddpg; whatever else is found in their place is refused in one line."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ddpg
from ddpg.algorithm.agent import DPG, AgentState
from ddpg.algorithm.networks import Network, Plain, Residual
from ddpg.algorithm.normaliser import RunningStats, normalise
from ddpg.algorithm.values import Categorical
from ddpg.envs.pendulum import Pendulum
from ddpg.records.networks.hdf5 import load_actor, load_models, save_actor, save_models
from ddpg.training.folder import claim
from ddpg.training.policy import Policy
from ddpg.types import Spec

ARM = Spec(obs_shape=(2, 3), action_low=(-1.0, 0.0, -5.0), action_high=(3.0, 0.5, 2.0))
DOCUMENTED = {
    "format",
    "format_version",
    "role",
    "layer_sizes",
    "activation",
    "output_activation",
    "action_layer",
    "obs_shape",
    "obs_dtype",
    "action_low",
    "action_high",
}


PAGE = (Path(__file__).parents[3] / "docs" / "files.md").read_text(encoding="utf-8")


def tree(group: Any) -> dict[str, Any]:
    return {name: tree(item) if isinstance(item, h5py.Group) else item[()] for name, item in group.items()}


def normed(x: np.ndarray, norm: dict[str, np.ndarray] | None) -> np.ndarray:
    if norm is None:
        return x
    norm = {name: array[..., None, :] for name, array in norm.items()}  # one for all of a batch
    x = x - norm["mean"] if "mean" in norm else x - x.mean(-1, keepdims=True)
    variance = norm["variance"] if "variance" in norm else (x**2).mean(-1, keepdims=True)
    return norm["scale"] * x / np.sqrt(variance + 1e-5) + norm["shift"]


def dense(x: np.ndarray, layer: dict[str, Any]) -> np.ndarray:
    x = normed(x, layer.get("before")) @ layer["weight"] + layer["bias"][..., None, :]
    return normed(x, layer.get("after"))


def rebuilt(path: Path, obs: np.ndarray, action: np.ndarray | None = None) -> np.ndarray:
    """What docs/files.md says of the files, with h5py and NumPy alone.

    An actor answers in the environment's units [b, m]; a critic, of actions in [-1, 1]^m, with [K, b] in rewards.
    """
    activations: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "relu": lambda x: np.maximum(x, 0),
        "tanh": np.tanh,
        "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        "silu": lambda x: x / (1 + np.exp(-x)),
        "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        "identity": lambda x: x,
    }
    with h5py.File(path) as file:
        attrs: dict[str, Any] = dict(file.attrs)
        count = len(attrs["layer_sizes"]) - 1
        found = tree(file)
    stats, value = found.get("observations"), found.get("value")
    kinds = attrs["layers"].split() if "layers" in attrs else ["dense"] * count
    assert obs.shape[1:] == tuple(attrs["obs_shape"])
    if stats:
        obs = np.clip((obs - stats["mean"]) / np.sqrt(stats["variance"] + 1e-8), -10, 10)
    x: np.ndarray = obs.reshape(len(obs), -1)
    for i, kind in enumerate(kinds):
        layer, f = found[f"layer_{i}"], activations[attrs["output_activation" if i == count - 1 else "activation"]]
        if action is not None and i == attrs["action_layer"]:
            x = np.concatenate([x, np.broadcast_to(action, (*x.shape[:-1], action.shape[-1]))], axis=-1)
        if kind == "residual":
            x = x + dense(f(dense(x, layer["up"])), layer["down"])
        else:
            x = dense(x, layer) if kind == "linear" else f(dense(x, layer))
    if value is not None:
        chances = np.exp(x - x.max(-1, keepdims=True))
        return chances @ value["support"] / chances.sum(-1) / value["reward_scale"]
    if action is not None:
        return x[..., 0]
    return attrs["action_low"] + (x + 1) * (attrs["action_high"] - attrs["action_low"]) / 2


def state_of(agent: DPG, spec: Spec) -> AgentState:
    """A state whose targets are not its online networks."""
    one, other = (agent.init(jax.random.key(seed), spec) for seed in (1, 2))
    random = np.random.default_rng(0)
    one, other = (
        jax.tree.map(lambda x: x + 0.1 * random.standard_normal(x.shape, np.float32), nets)
        for nets in (one.online, other.target)
    )
    return agent.init(jax.random.key(1), spec)._replace(online=one, target=other)


AGENTS = {
    "ddpg": DPG(),
    "late action": DPG(critic=Network(widths=(5, 4), action_layer=1), actor=Network(widths=(6,), final_init=3e-3)),
    "two critics": DPG(critics=2, actor=Network(widths=(8, 8, 8), activation="tanh")),
    "elu": DPG(actor=Network(activation="elu"), critic=Network(widths=(7,), activation="silu")),
    "gelu": DPG(actor=Network(activation="gelu"), critic=Network(activation="gelu")),
}
LAYERNORM, BATCHNORM = Network(widths=(6, 5), block=Plain("layer")), Network(widths=(6, 5), block=Plain("batch"))
RESIDUAL = Network(widths=(6, 6), block=Residual(2))
NORMED = {
    "layer norm": DPG(LAYERNORM, LAYERNORM),
    "batch norm": DPG(BATCHNORM, replace(BATCHNORM, action_layer=1), critics=2),
    "residual": DPG(RESIDUAL, RESIDUAL, critics=2),
    "categorical": DPG(value=Categorical(atoms=11, low=-20.0, high=5.0)),
    "residual and categorical": DPG(RESIDUAL, RESIDUAL, critics=2, value=Categorical(atoms=5)),
}
AGENTS |= NORMED


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("spec", [Pendulum().spec, ARM], ids=["pendulum", "arm"])
def test_all_four_networks_without_ddpg(name: str, spec: Spec, tmp_path: Path) -> None:
    agent = AGENTS[name]
    state = state_of(agent, spec)
    save_models(tmp_path, state, spec, None, agent.value, reward_scale=0.25)
    assert {path.name for path in tmp_path.iterdir()} == {
        "actor.hdf5",
        "actor_target.hdf5",
        "critic.hdf5",
        "critic_target.hdf5",
    }
    random = np.random.default_rng(0)
    obs = random.normal(size=(16, *spec.obs_shape)).astype(np.float32)
    action = random.uniform(-1, 1, (16, spec.action_dim)).astype(np.float32)
    low, high = np.array(spec.action_low), np.array(spec.action_high)
    for suffix, nets in (("", state.online), ("_target", state.target)):
        expected = low + (np.asarray(nets.actor(jnp.asarray(obs))) + 1) * (high - low) / 2
        np.testing.assert_allclose(rebuilt(tmp_path / f"actor{suffix}.hdf5", obs), expected, atol=1e-5)
        values = agent.value.mean(nets.critic(jnp.asarray(obs), jnp.asarray(action)))
        values = values / 0.25 if isinstance(agent.value, Categorical) else values
        assert values.shape == (agent.critics, 16)
        np.testing.assert_allclose(rebuilt(tmp_path / f"critic{suffix}.hdf5", obs, action), values, atol=1e-5)


def test_the_files_are_the_policy_that_ddpg_loads(tmp_path: Path) -> None:
    run = claim(tmp_path / "run", ddpg.Config())
    spec = Pendulum().spec
    save_models(run / "models" / "seed-0", state_of(DPG(), spec), spec)
    obs = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32)
    np.testing.assert_allclose(rebuilt(run / "models/seed-0/actor.hdf5", obs), ddpg.load(run)(obs), atol=1e-6)


def test_attributes_are_those_documented(tmp_path: Path) -> None:
    save_models(tmp_path, state_of(AGENTS["late action"], ARM), ARM)
    with h5py.File(tmp_path / "critic_target.hdf5") as file:
        attrs: dict[str, Any] = dict(file.attrs)
        assert attrs.keys() == DOCUMENTED
        assert all(f"`{name}`" in PAGE for name in DOCUMENTED)
        assert (attrs["format"], attrs["format_version"], attrs["role"]) == ("ddpg-network", 1, "critic_target")
        assert attrs["layer_sizes"].tolist() == [6, 5, 4, 1]
        assert (attrs["activation"], attrs["output_activation"], attrs["action_layer"]) == ("relu", "identity", 1)
        assert attrs["obs_shape"].tolist() == [2, 3]
        assert attrs["action_low"].tolist() == list(ARM.action_low)
        assert np.asarray(file["layer_1/weight"]).shape == (1, 5 + 3, 4)


def test_other_layers_and_values_are_of_version_2_and_documented(tmp_path: Path) -> None:
    assert "| `layers` |" in PAGE
    versions = {}
    for name, agent in AGENTS.items():
        save_models(tmp_path / name, state_of(agent, ARM), ARM, STATS, agent.value)
        for path in (tmp_path / name).iterdir():
            names: list[str] = []
            with h5py.File(path) as file:
                attrs: dict[str, Any] = dict(file.attrs)
                file.visit(
                    lambda found, names=names, file=file: names.append(found) if "shape" in dir(file[found]) else None
                )
            versions[name, path.stem.removesuffix("_target")] = attrs["format_version"]
            assert attrs.keys() == (DOCUMENTED if attrs["format_version"] == 1 else DOCUMENTED | {"layers"})
            for found in names:
                assert f"`{re.sub(r'^layer_[0-9]+(/up|/down)?', 'layer_i', found)}`" in PAGE
    assert {key for key, version in versions.items() if version == 1} == {
        (name, role) for name in AGENTS for role in ("actor", "critic") if name not in NORMED
    } | {("categorical", "actor")}


def test_plain_networks_are_written_as_by_earlier_versions(tmp_path: Path) -> None:
    for path in sorted((Path(__file__).parents[2] / "fixtures").glob("format-*/models/*/actor.hdf5")):
        save_actor(tmp_path / "actor.hdf5", *load_actor(path))
        with h5py.File(path) as old, h5py.File(tmp_path / "actor.hdf5") as new:
            assert (list(old), str(tree(old))) == (list(new), str(tree(new)))
            assert str(dict(old.attrs)) == str(dict(new.attrs))


def test_loaded_networks_are_those_saved(tmp_path: Path, assert_identical: Callable[[Any, Any], None]) -> None:
    for name, agent in AGENTS.items():
        state = state_of(agent, ARM)
        save_models(tmp_path / name, state, ARM, None, agent.value)
        nets, stats, spec = load_models(tmp_path / name, ARM)
        assert (stats, spec) == (None, ARM)
        assert_identical(nets, state.online)


STATS = RunningStats(
    jnp.float32(1000), jnp.linspace(-2, 3, 6).reshape(ARM.obs_shape), jnp.array([[0.0, 1e-4, 1.0], [2.0, 3.0, 9.0]])
)


def test_statistics_are_in_every_file_and_applied_before_the_networks(
    tmp_path: Path, assert_identical: Callable[[Any, Any], None]
) -> None:
    state = state_of(AGENTS["two critics"], ARM)
    save_models(tmp_path, state, ARM, STATS)
    nets, stats, _ = load_models(tmp_path, ARM)
    assert_identical((nets, stats), (state.online, STATS))
    random = np.random.default_rng(0)
    obs = random.normal(scale=5, size=(16, *ARM.obs_shape)).astype(np.float32)
    action = random.uniform(-1, 1, (16, ARM.action_dim)).astype(np.float32)
    expected = Policy(nets, stats, ARM)(obs)
    assert np.abs(expected - Policy(nets, None, ARM)(obs)).max() > 0.1
    np.testing.assert_allclose(rebuilt(tmp_path / "actor.hdf5", obs), expected, atol=1e-5)
    for suffix, critic in (("", state.online.critic), ("_target", state.target.critic)):
        values = critic(normalise(jnp.asarray(obs), STATS), jnp.asarray(action))[..., 0]
        np.testing.assert_allclose(rebuilt(tmp_path / f"critic{suffix}.hdf5", obs, action), values, atol=1e-5)


STATISTICS: dict[str, Callable[[Path], object]] = {
    "no mean": lambda path: dataset("observations/mean", None)(path),
    "a mean of another shape": lambda path: dataset("observations/mean", np.zeros(6, np.float32))(path),
    "a mean of whole numbers": lambda path: dataset("observations/mean", np.zeros(ARM.obs_shape, int))(path),
    "a variance below 0": lambda path: dataset("observations/variance", np.full(ARM.obs_shape, -1.0))(path),
    "a variance of no number": lambda path: dataset("observations/variance", np.full(ARM.obs_shape, np.nan))(path),
    "a count of text": lambda path: dataset("observations/count", "text")(path),
    "no group": lambda path: dataset("observations", 3.0)(path),
}


@pytest.mark.parametrize("damage", STATISTICS)
def test_damaged_statistics_are_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    save_models(tmp_path, state_of(DPG(), ARM), ARM, STATS)
    STATISTICS[damage](tmp_path / "actor.hdf5")
    with pytest.raises(ValueError, match=r"actor\.hdf5 cannot be read") as error:
        load_models(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def cut(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])


def attribute(name: str, value: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file.attrs[name] = value

    return change


def dataset(name: str, value: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[name]
            if value is not None:
                file[name] = value

    return change


def without(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]


def huge(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["layer_0/weight"]
        file.create_dataset("layer_0/weight", shape=(2**40,), dtype="f4", chunks=(2**10,))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no HDF5"),
    "cut in half": lambda path: cut(path, 0.5),
    "cut at the end": lambda path: cut(path, 0.95),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "pickled": lambda path: path.write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR."),
    "foreign": without,
    "of a later version": attribute("format_version", 3),
    "of version 2 without its layers": attribute("format_version", 2),
    "of a target": attribute("role", "actor_target"),
    "unknown activation": attribute("activation", "eval"),
    "no layers": attribute("layer_sizes", [3]),
    "layers that are no list": attribute("layer_sizes", 3),
    "too many layers": attribute("layer_sizes", [3] * 1_000),
    "other inputs": attribute("layer_sizes", [4, 64, 64, 1]),
    "other outputs": attribute("layer_sizes", [3, 64, 64, 2]),
    "negative widths": attribute("layer_sizes", [3, -64, 64, 1]),
    "other observations": attribute("obs_shape", [5]),
    "observations of no type": attribute("obs_dtype", "banana"),
    "bounds of two lengths": attribute("action_low", [-1.0, -1.0]),
    "bounds upside down": attribute("action_low", [3.0]),
    "bounds of no number": attribute("action_high", [np.nan]),
    "no weights": dataset("layer_1/weight", None),
    "weights of another shape": dataset("layer_1/weight", np.zeros((64, 63), np.float32)),
    "weights of one number": dataset("layer_1/weight", 3.0),
    "weights of text": dataset("layer_1/weight", "text"),
    "weights of nothing": dataset("layer_1/weight", h5py.Empty("f4")),
    "a bias of one number": dataset("layer_0/bias", np.float32(1.0)),
    "terabytes": huge,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_actor_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    run = claim(tmp_path / "run", ddpg.Config())
    spec = Pendulum().spec
    save_models(run / "models" / "seed-0", state_of(DPG(), spec), spec)
    path = run / "models" / "seed-0" / "actor.hdf5"
    DAMAGES[damage](path)
    with pytest.raises(ValueError, match=r"actor\.hdf5") as error:
        ddpg.load(run)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 600


CRITIC_DAMAGES = {
    "critics of two numbers": dataset("layer_1/bias", np.zeros((2, 64), np.float32)),
    "no critics": dataset("layer_0/bias", np.zeros((0, 64), np.float32)),
    "an actor's bias": dataset("layer_0/bias", np.zeros(64, np.float32)),
    "action nowhere": attribute("action_layer", 7),
    "action before everything": attribute("action_layer", -1),
    "action elsewhere": attribute("action_layer", 1),
    "two values": attribute("layer_sizes", [4, 64, 64, 2]),
}


@pytest.mark.parametrize("damage", CRITIC_DAMAGES)
def test_a_damaged_critic_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    spec = Pendulum().spec
    save_models(tmp_path, state_of(DPG(), spec), spec)
    CRITIC_DAMAGES[damage](tmp_path / "critic.hdf5")
    with pytest.raises(ValueError, match=r"critic\.hdf5") as error:
        load_models(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def edited(path: Path, change: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def linked(file: h5py.File, name: str, to: str, other: str | None = None) -> None:
    file[name] = h5py.SoftLink(to) if other is None else h5py.ExternalLink(other, to)


def shrinking(file: h5py.File) -> None:
    """A batch norm with a variance below 0."""
    for name, number in (("scale", 1), ("shift", 0), ("mean", 0), ("variance", -1)):
        file[f"layer_0/after/{name}"] = np.full((2, 6), number, np.float32)


NORM_DAMAGES: dict[str, Callable[[Path], Any]] = {
    "other layers": attribute("layers", "linear residual dense"),
    "unknown layers": attribute("layers", "linear residual eval dense"),
    "a last layer without its activation": attribute("layers", "linear residual residual linear"),
    "layers in numbers": attribute("layers", [1, 2, 3, 4]),
    "too many words": attribute("layers", "dense " * 10_000),
    "layers of another kind": attribute("layers", "linear dense residual dense"),
    "a width that nothing is added to": attribute("layer_sizes", [9, 6, 7, 6, 5]),
    "one value": attribute("layer_sizes", [9, 6, 6, 6, 1]),
    "of the first version": attribute("format_version", 1),
    "no scale": dataset("layer_1/up/before/scale", None),
    "a scale for one": dataset("layer_1/up/before/scale", np.ones(6, np.float32)),
    "no layer inside": dataset("layer_2/down", None),
    "a layer inside of one number": dataset("layer_2/up", 3.0),
    "nothing inside": dataset("layer_2/up/bias", np.zeros((2, 0), np.float32)),
    "a bias of one number inside": dataset("layer_2/up/bias", np.float32(1.0)),
    "more inside than can be": lambda path: (
        dataset("layer_2/up/bias", None)(path),
        edited(path, lambda file: file.create_dataset("layer_2/up/bias", (2, 2**40), "f4", chunks=(2, 2**10))),
    ),
    "a variance below 0": lambda path: edited(path, shrinking),
    "a norm behind a link": lambda path: edited(
        path, lambda file: file.move("layer_1/up/before", "before") or linked(file, "layer_1/up/before", "/before")
    ),
    "a layer in another file": lambda path: edited(
        path, lambda file: file.move("layer_1", "other") or linked(file, "layer_1", "/other", "actor.hdf5")
    ),
    "no support": dataset("value/support", None),
    "a support of another size": dataset("value/support", np.linspace(-1, 1, 4, dtype=np.float32)),
    "a support upside down": dataset("value/support", np.linspace(1, -1, 5, dtype=np.float32)),
    "a support of no number": dataset("value/support", np.full(5, np.nan, np.float32)),
    "endless returns": dataset("value/support", np.array([-np.inf, -1, 0, 1, 2])),
    "no scale of rewards": dataset("value/reward_scale", None),
    "rewards turned round": dataset("value/reward_scale", np.float32(-1)),
    "rewards of no number": dataset("value/reward_scale", np.float32(np.nan)),
    "no value": dataset("value", None),
}


@pytest.mark.parametrize("damage", NORM_DAMAGES)
def test_damaged_layers_and_values_are_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    agent = NORMED["residual and categorical"]
    save_models(tmp_path, state_of(agent, ARM), ARM, None, agent.value)
    load_models(tmp_path)
    NORM_DAMAGES[damage](tmp_path / "critic.hdf5")
    with pytest.raises(ValueError, match=r"critic\.hdf5 cannot be read") as error:
        load_models(tmp_path)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 600


def test_networks_of_another_environment_are_refused(tmp_path: Path) -> None:
    spec = Pendulum().spec
    save_models(tmp_path, state_of(DPG(), spec), spec)
    for other in (ARM, replace(spec, action_high=(3.0,)), replace(spec, obs_dtype="uint8")):
        with pytest.raises(ValueError, match=r"was trained for observations of shape \(3,\) float32 .* \[2\]"):
            load_models(tmp_path, other)
    save_models(tmp_path / "other", state_of(DPG(), ARM), ARM)
    (tmp_path / "other" / "critic.hdf5").replace(tmp_path / "critic.hdf5")
    with pytest.raises(ValueError, match="was trained for"):
        load_models(tmp_path)
