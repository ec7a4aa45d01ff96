"""The four networks of a seed as HDF5 files that h5py and NumPy alone can rebuild (docs/files.md)."""

from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np

from ddpg.algorithm.agent import AgentState, Nets
from ddpg.algorithm.nets import ACTIVATIONS, Actor, Critic, Dense
from ddpg.types import Spec

FORMAT, VERSION = "ddpg-network", 1
LAYERS, PARAMETERS = 64, 2**28  # more than any network here; a file that claims more is not read


def save_models(folder: Path, state: AgentState, spec: Spec) -> None:
    """Write actor, actor_target, critic and critic_target .hdf5 of one seed into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, nets in (("", state.online), ("_target", state.target)):
        _write(folder / f"actor{suffix}.hdf5", nets.actor, spec, "tanh", 0)
        _write(folder / f"critic{suffix}.hdf5", nets.critic, spec, "identity", nets.critic.action_layer)


def load_models(folder: Path, spec: Spec | None = None) -> tuple[Nets, Spec]:
    """The online networks in FOLDER, and the spec they were written for.

    ValueError, in one line, if a file is missing, foreign or damaged, or made for another `spec` than the one given.
    """
    actor, actor_spec = _read(folder / "actor.hdf5", critic=False)
    critic, critic_spec = _read(folder / "critic.hdf5", critic=True)
    for found in (actor_spec, critic_spec):
        if found != (spec or actor_spec):
            raise ValueError(f"{folder} was trained for {found}, expected {spec or actor_spec}; choose a matching --env")
    return Nets(actor, critic), actor_spec


def _write(path: Path, net: Actor | Critic, spec: Spec, output: str, action_layer: int) -> None:
    kernels = [np.asarray(layer.weight) for layer in net.layers]
    partial = path.with_suffix(".partial")
    with h5py.File(partial, "w") as file:
        file.attrs.update(
            {
                "format": FORMAT,
                "format_version": VERSION,
                "role": path.stem,
                "layer_sizes": np.array([kernels[0].shape[-2], *(k.shape[-1] for k in kernels)]),
                "activation": net.activation,
                "output_activation": output,
                "action_layer": action_layer,
                "obs_shape": np.array(spec.obs_shape),
                "obs_dtype": spec.obs_dtype,
                "action_low": np.array(spec.action_low),
                "action_high": np.array(spec.action_high),
            }
        )
        for i, (layer, kernel) in enumerate(zip(net.layers, kernels, strict=True)):
            file[f"layer_{i}/weight"] = kernel
            file[f"layer_{i}/bias"] = np.asarray(layer.bias)
    partial.replace(path)  # a reader, or a crash, never meets half a file


def _read(path: Path, critic: bool) -> tuple[Any, Spec]:
    try:
        with h5py.File(path) as file:
            attrs = dict(file.attrs)
            if attrs.get("format") != FORMAT or attrs.get("format_version") != VERSION:
                raise ValueError(f"{path}: format {attrs.get('format')!r}, expected {FORMAT!r} version {VERSION}")
            spec = Spec(
                obs_shape=tuple(int(n) for n in attrs["obs_shape"]),
                action_low=tuple(float(x) for x in attrs["action_low"]),
                action_high=tuple(float(x) for x in attrs["action_high"]),
                obs_dtype=str(attrs["obs_dtype"]),
            )
            activation, count = str(attrs["activation"]), len(attrs["layer_sizes"]) - 1
            if activation not in ACTIVATIONS or not 1 <= count <= LAYERS:
                raise ValueError(f"{path}: {count} layers of {activation!r}, which no network here has")
            layers = tuple(Dense(*(_array(file, f"layer_{i}/{name}") for name in ("weight", "bias"))) for i in range(count))
            action_layer = int(attrs["action_layer"])
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: the run has saved no networks yet") from None
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read as a network: {str(error).splitlines()[0]}") from None
    net = Critic(layers, activation, action_layer) if critic else Actor(layers, activation)
    _check_shapes(path, layers, spec, critic, action_layer)
    return net, spec


def _array(file: h5py.File, name: str) -> Any:
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.size is None or dataset.size > PARAMETERS:
        raise KeyError(f"{name} is no array of a sensible size")
    return jnp.asarray(dataset[()], jnp.float32)


def _check_shapes(path: Path, layers: tuple[Dense, ...], spec: Spec, critic: bool, action_layer: int) -> None:
    rank, width = (3, spec.obs_size) if critic else (2, spec.obs_size)
    for depth, layer in enumerate(layers):
        width += spec.action_dim if critic and depth == action_layer else 0
        shape = (*layer.weight.shape[: rank - 2], width, layer.bias.shape[-1])
        if layer.weight.ndim != rank or layer.weight.shape != shape or layer.bias.ndim != rank - 1:
            raise ValueError(f"{path}: layer_{depth}/weight has shape {layer.weight.shape}, expected {shape}")
        width = layer.bias.shape[-1]
    if not critic and width != spec.action_dim:
        raise ValueError(f"{path}: {width} outputs, expected {spec.action_dim}, one an action dimension")
