"""The four networks of a seed as HDF5 files that h5py and NumPy alone can rebuild (docs/files.md)."""

from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np

from ddpg.algorithm.agent import AgentState, Nets
from ddpg.algorithm.nets import ACTIVATIONS, Actor, Critic, Dense
from ddpg.algorithm.normaliser import Stats
from ddpg.records.given import check_hdf5
from ddpg.records.settle import settle
from ddpg.types import Spec

FORMAT, VERSION = "ddpg-network", 1
LAYERS, PARAMETERS = 64, 2**28  # more than any network here; a file that claims more is not read
LARGEST = 4 * PARAMETERS + 2**24  # bytes of a file
LONGEST, DIMENSIONS = 2**12, 32  # bytes of an attribute, and axes of an observation
ATTRIBUTES = ("format", "format_version", "role", "layer_sizes", "activation", "action_layer")
ATTRIBUTES += ("obs_shape", "obs_dtype", "action_low", "action_high")
PLAIN = h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID | h5py.h5t.TypeStringID
FLOATS = (h5py.h5t.IEEE_F32LE, h5py.h5t.IEEE_F32BE, h5py.h5t.IEEE_F64LE, h5py.h5t.IEEE_F64BE)
DTYPES = {
    "bool",
    "float16",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


def save_models(folder: Path, state: AgentState, spec: Spec, stats: Stats | None = None) -> None:
    """Write actor, actor_target, critic and critic_target .hdf5 of one seed into FOLDER.

    Each holds the statistics too by which observations are normalised before any layer, if they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, nets in (("", state.online), ("_target", state.target)):
        for role, net in ((f"actor{suffix}", nets.actor), (f"critic{suffix}", nets.critic)):
            partial = folder / f"{role}.partial"
            _write(partial, role, net, spec, stats)
            settle(partial, folder / f"{role}.hdf5")


def save_actor(path: Path, actor: Actor, stats: Stats | None, spec: Spec) -> None:
    """Write the file of an actor alone, whatever its name."""
    _write(path, "actor", actor, spec, stats)


def load_actor(path: Path) -> tuple[Actor, Stats | None, Spec]:
    """The actor in a file, as `load_models` reads it."""
    return _read(path, "actor")


def load_models(folder: Path, spec: Spec | None = None) -> tuple[Nets, Stats | None, Spec]:
    """The online networks in FOLDER, the statistics of their observations, and the spec they were written for.

    ValueError, in one line, if a file is missing, foreign or damaged, or made for another `spec` than the one given.
    """
    actor, stats, actor_spec = _read(folder / "actor.hdf5", "actor")
    critic, _, critic_spec = _read(folder / "critic.hdf5", "critic")
    for found in (actor_spec, critic_spec):
        expected = spec or actor_spec
        if found != expected:
            raise ValueError(
                f"{folder} was trained for {_spaces(found)}, not for {_spaces(expected)}; "
                f"choose an environment of the same spaces"
            )
    return Nets(actor, critic), stats, actor_spec


def _spaces(spec: Spec) -> str:
    low, high = (" ".join(f"{x:g}" for x in bound) for bound in (spec.action_low, spec.action_high))
    return f"observations of shape {spec.obs_shape} {spec.obs_dtype} and actions from [{low}] to [{high}]"


def _write(path: Path, role: str, net: Actor | Critic, spec: Spec, stats: Stats | None) -> None:
    kernels = [np.asarray(layer.weight) for layer in net.layers]
    with h5py.File(path, "w") as file:
        file.attrs.update(
            {
                "format": FORMAT,
                "format_version": VERSION,
                "role": role,
                "layer_sizes": np.array([kernels[0].shape[-2], *(k.shape[-1] for k in kernels)]),
                "activation": net.activation,
                "output_activation": "tanh" if isinstance(net, Actor) else "identity",
                "action_layer": 0 if isinstance(net, Actor) else net.action_layer,
                "obs_shape": np.array(spec.obs_shape),
                "obs_dtype": spec.obs_dtype,
                "action_low": np.array(spec.action_low),
                "action_high": np.array(spec.action_high),
            }
        )
        for i, (layer, kernel) in enumerate(zip(net.layers, kernels, strict=True)):
            file[f"layer_{i}/weight"] = kernel
            file[f"layer_{i}/bias"] = np.asarray(layer.bias)
        if stats is not None:
            for name, value in stats._asdict().items():
                file[f"observations/{name}"] = np.asarray(value)


def _read(path: Path, role: str) -> tuple[Any, Stats | None, Spec]:
    try:
        check_hdf5(path, LARGEST)
        with h5py.File(path) as file:
            attrs = _attributes(file)
            found = [attrs.get(name) for name in ("format", "format_version", "role")]
            if found != [FORMAT, VERSION, role]:
                raise ValueError(f"it says {found}, expected {[FORMAT, VERSION, role]}")
            net, spec = _network(file, attrs, role == "critic")
            return net, _stats(file, spec) if file.id.links.exists(b"observations") else None, spec
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: the run has saved no networks yet") from None
    except Exception as error:  # h5py lets through whatever HDF5, or the decoder of a damaged byte, raises
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read as a network of ddpg: {said}; restore it or train again") from None


def _attributes(file: h5py.File) -> dict[str, Any]:
    """Those documented, each looked at before it is read: numbers or text, and short."""
    attrs: dict[str, Any] = {}
    for name in ATTRIBUTES:
        found = h5py.h5a.open(file.id, name.encode())
        if not isinstance(found.get_type(), PLAIN) or found.get_storage_size() > LONGEST:
            raise ValueError(f"its {name} is no short list of numbers and no word")
        attrs[name] = file.attrs[name]
    return attrs


def _network(file: h5py.File, attrs: dict[str, Any], critic: bool) -> tuple[Any, Spec]:
    """The network and its spec, every number of them checked: whoever damaged a file, nothing is computed from it."""
    spec = Spec(
        obs_shape=tuple(int(n) for n in attrs["obs_shape"]),
        action_low=tuple(float(x) for x in attrs["action_low"]),
        action_high=tuple(float(x) for x in attrs["action_high"]),
        obs_dtype=str(attrs["obs_dtype"]),
    )
    if len(spec.obs_shape) > DIMENSIONS or any(n < 1 for n in spec.obs_shape) or spec.obs_dtype not in DTYPES:
        raise ValueError(f"observations of shape {spec.obs_shape} and type {spec.obs_dtype!r}, expected numbers")
    bounds = np.array([spec.action_low, spec.action_high])  # ValueError if there are not as many of both
    if not (np.isfinite(bounds).all() and (bounds[0] < bounds[1]).all() and spec.action_dim):
        raise ValueError(f"action bounds {bounds.tolist()}, expected finite ones, the lower below the higher")
    sizes, action_layer = [int(n) for n in attrs["layer_sizes"]], int(attrs["action_layer"])
    activation, count = str(attrs["activation"]), len(sizes) - 1
    if activation not in ACTIVATIONS or not 1 <= count <= LAYERS or not 0 <= action_layer < count:
        raise ValueError(f"{count} layers of {activation!r}, action at layer {action_layer}, which no network here has")
    if sizes[0] != spec.obs_size + (spec.action_dim if critic and action_layer == 0 else 0):
        raise ValueError(f"{sizes[0]} inputs do not fit {_spaces(spec)}")
    if sizes[-1] != (1 if critic else spec.action_dim):
        raise ValueError(f"{sizes[-1]} outputs, expected {1 if critic else spec.action_dim}")
    members = _dataset(file, "layer_0/bias").shape[:-1]  # (K,) critics, or () for the one actor
    if len(members) != critic or 0 in members:
        raise ValueError(f"members of shape {members}, expected {'one number' if critic else 'none'}")
    if prod(members) * sum((i + spec.action_dim + 1) * o for i, o in pairwise(sizes)) > PARAMETERS:
        raise ValueError(f"more than {PARAMETERS} parameters")  # in all: datasets may lie on the same bytes
    layers = []
    for depth, (inputs, outputs) in enumerate(pairwise(sizes)):
        inputs += spec.action_dim if critic and depth == action_layer > 0 else 0
        weight = _array(file, f"layer_{depth}/weight", (*members, inputs, outputs))
        layers.append(Dense(weight, _array(file, f"layer_{depth}/bias", (*members, outputs))))
    if critic:
        return Critic(tuple(layers), activation, action_layer), spec
    return Actor(tuple(layers), activation), spec


def _stats(file: h5py.File, spec: Spec) -> Stats:
    shapes = {"count": (), "mean": spec.obs_shape, "variance": spec.obs_shape}
    stats = Stats(**{name: _array(file, f"observations/{name}", shape) for name, shape in shapes.items()})
    if not (stats.variance >= 0).all():
        raise ValueError("a variance of observations below 0")
    return stats


def _array(file: h5py.File, name: str, shape: tuple[int, ...]) -> Any:
    dataset = _dataset(file, name)
    if dataset.shape != shape:
        raise ValueError(f"{name} has shape {dataset.shape}, expected {shape}")
    return jnp.asarray(dataset[()], jnp.float32)


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset that is all there, in this file: one that is no more than its bytes cannot claim memory or lead away.

    What `save_models` writes is neither linked, chunked, filtered, virtual nor stored elsewhere, and nor is what is
    read here: HDF5 would open other files, load plugins, or make terabytes of a fill value.
    """
    for part in (name.rpartition("/")[0], name):  # in the order in which they would be followed
        if not file.id.links.exists(part.encode()) or file.id.links.get_info(part.encode()).type != h5py.h5g.LINK_HARD:
            raise ValueError(f"it has no {part}, or only a link")
    found = h5py.h5d.open(file.id, name.encode())
    made, kind, start = found.get_create_plist(), found.get_type(), found.get_offset()
    if made.get_layout() != h5py.h5d.CONTIGUOUS or made.get_external_count() or start is None:
        raise ValueError(f"{name} is not stored in one piece; write it without chunks, filters and links")
    if not any(kind.equal(known) for known in FLOATS):
        raise ValueError(f"{name} is no array of floating-point numbers")
    dataset = h5py.Dataset(found)
    if start + prod(dataset.shape) * kind.get_size() > file.id.get_filesize():
        raise ValueError(f"{name} claims more than the file holds")
    return dataset
