"""The HDF5 files rebuild the networks without ddpg; whatever else is found in their place is refused in one line."""

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
from ddpg.algorithm.nets import Network
from ddpg.algorithm.normaliser import Stats, normalised
from ddpg.envs.pendulum import Pendulum
from ddpg.records.export import load_models, save_models
from ddpg.training.policy import Policy
from ddpg.training.train import claim
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


def rebuilt(path: Path, obs: np.ndarray, action: np.ndarray | None = None) -> np.ndarray:
    """What docs/files.md says of the files, with h5py and NumPy alone.

    An actor answers in the environment's units [b, m]; a critic, of actions in [-1, 1]^m, with [K, b].
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
        seen = ("count", "mean", "variance") if "observations" in file else ()
        stats = {name: np.asarray(file[f"observations/{name}"]) for name in seen}
        layers = [[np.asarray(file[f"layer_{i}/{name}"]) for name in ("weight", "bias")] for i in range(count)]
    assert obs.shape[1:] == tuple(attrs["obs_shape"])
    if stats:
        obs = np.clip((obs - stats["mean"]) / np.sqrt(stats["variance"] + 1e-8), -10, 10)
    x: np.ndarray = obs.reshape(len(obs), -1)
    for i, (weight, bias) in enumerate(layers):
        if action is not None and i == attrs["action_layer"]:
            x = np.concatenate([x, np.broadcast_to(action, (*x.shape[:-1], action.shape[-1]))], axis=-1)
        x = x @ weight + np.expand_dims(bias, -2)
        x = activations[attrs["output_activation" if i == count - 1 else "activation"]](x)
    if action is not None:
        return x[..., 0]
    return attrs["action_low"] + (x + 1) * (attrs["action_high"] - attrs["action_low"]) / 2


def state_of(agent: DPG, spec: Spec) -> AgentState:
    """A state whose targets are not its online networks."""
    one, other = (agent.init(jax.random.key(seed), spec) for seed in (1, 2))
    return one._replace(target=other.target)


AGENTS = {
    "ddpg": DPG(),
    "late action": DPG(critic=Network(widths=(5, 4), action_layer=1), actor=Network(widths=(6,), final_init=3e-3)),
    "two critics": DPG(critics=2, actor=Network(widths=(8, 8, 8), activation="tanh")),
    "elu": DPG(actor=Network(activation="elu"), critic=Network(widths=(7,), activation="silu")),
    "gelu": DPG(actor=Network(activation="gelu"), critic=Network(activation="gelu")),
}


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("spec", [Pendulum().spec, ARM], ids=["pendulum", "arm"])
def test_all_four_networks_without_ddpg(name: str, spec: Spec, tmp_path: Path) -> None:
    agent = AGENTS[name]
    state = state_of(agent, spec)
    save_models(tmp_path, state, spec)
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
        values = nets.critic(jnp.asarray(obs), jnp.asarray(action))[..., 0]
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
    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    with h5py.File(tmp_path / "critic_target.hdf5") as file:
        attrs: dict[str, Any] = dict(file.attrs)
        assert attrs.keys() == DOCUMENTED
        assert all(f"`{name}`" in page for name in DOCUMENTED)
        assert (attrs["format"], attrs["format_version"], attrs["role"]) == ("ddpg-network", 1, "critic_target")
        assert attrs["layer_sizes"].tolist() == [6, 5, 4, 1]
        assert (attrs["activation"], attrs["output_activation"], attrs["action_layer"]) == ("relu", "identity", 1)
        assert attrs["obs_shape"].tolist() == [2, 3]
        assert attrs["action_low"].tolist() == list(ARM.action_low)
        assert np.asarray(file["layer_1/weight"]).shape == (1, 5 + 3, 4)


def test_loaded_networks_are_those_saved(tmp_path: Path, assert_identical: Callable[[Any, Any], None]) -> None:
    for name, agent in AGENTS.items():
        state = state_of(agent, ARM)
        save_models(tmp_path / name, state, ARM)
        nets, stats, spec = load_models(tmp_path / name, ARM)
        assert (stats, spec) == (None, ARM)
        assert_identical(nets, state.online)


STATS = Stats(
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
        values = critic(normalised(jnp.asarray(obs), STATS), jnp.asarray(action))[..., 0]
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
    "of a later version": attribute("format_version", 2),
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
