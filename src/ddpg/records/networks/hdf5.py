"""The four networks of a seed as HDF5 files that h5py and NumPy alone can rebuild (docs/files.md)."""

from collections.abc import Iterator
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ddpg.algorithm.agent import Nets
from ddpg.algorithm.encoders import FlatEmbedding
from ddpg.algorithm.layers import ACTIVATIONS, Block, Dense, Layers
from ddpg.algorithm.networks import Actor, Critic
from ddpg.algorithm.normaliser import RunningStats
from ddpg.algorithm.norms import BatchNorm, LayerNorm, Norm, Running
from ddpg.algorithm.values import Categorical, Scalar
from ddpg.mistake import Mistake
from ddpg.records.atomic import settle
from ddpg.records.networks.hdf5_reading import array, attributes, dataset, has
from ddpg.records.networks.npz import plain
from ddpg.records.untrusted import check_hdf5
from ddpg.types import Spec

FORMAT, VERSIONS = "ddpg-network", (1, 2)  # 1 says dense layers without norms, and values of one number

KINDS = ("dense", "linear", "residual")  # of layers

LAYERS, PARAMETERS = 64, 2**28  # more than any network here; a file that claims more is not read

LARGEST = 4 * PARAMETERS + 2**24  # bytes of a file

DIMENSIONS = 32  # axes of an observation

ATTRIBUTES = ("format", "format_version", "role", "layer_sizes", "activation", "action_layer")

ATTRIBUTES += ("obs_shape", "obs_dtype", "action_low", "action_high")

DTYPES = {
    "bool",
    "float16",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


def save_models(
    folder: Path,
    online: Nets,
    target: Nets,
    spec: Spec,
    stats: RunningStats | None = None,
    value: Scalar | Categorical | None = None,
    reward_scale: float = 1.0,
) -> None:
    """Write actor, actor_target, critic and critic_target .hdf5 of one seed into FOLDER.

    Each holds the statistics too by which observations are normalised before any layer, if they are. Where values are
    categorical, critics say of which returns, and what rewards were multiplied with for these.
    """
    folder.mkdir(parents=True, exist_ok=True)
    earned = {"support": value.support, "reward_scale": reward_scale} if isinstance(value, Categorical) else {}
    earned = {f"value/{name}": np.asarray(x, np.float32) for name, x in earned.items()}
    for suffix, nets in (("", online), ("_target", target)):
        for role, net, of_role in ((f"actor{suffix}", nets.actor, {}), (f"critic{suffix}", nets.critic, earned)):
            partial = folder / f"{role}.partial"
            _write(partial, role, net, spec, stats, of_role)
            settle(partial, folder / f"{role}.hdf5")


def save_actor(path: Path, actor: Actor, stats: RunningStats | None, spec: Spec) -> None:
    """Write the file of an actor alone, whatever its name."""
    _write(path, "actor", actor, spec, stats, {})


def load_actor(path: Path) -> tuple[Actor, RunningStats | None, Spec]:
    """The actor in a file, as `load_models` reads it."""
    return _read(path, "actor")


def load_models(folder: Path, spec: Spec | None = None) -> tuple[Nets, RunningStats | None, Spec]:
    """The online networks in FOLDER, the statistics of their observations, and the spec they were written for.

    ValueError, in one line, if a file is missing, foreign or damaged, or made for another `spec` than the one given.
    """
    actor, stats, actor_spec = _read(folder / "actor.hdf5", "actor")
    critic, _, critic_spec = _read(folder / "critic.hdf5", "critic")
    for found in (actor_spec, critic_spec):
        expected = spec or actor_spec
        if found != expected:
            raise Mistake(
                f"{folder} was trained for {_spaces(found)}, not for {_spaces(expected)}; "
                f"choose an environment of the same spaces"
            )
    return Nets(FlatEmbedding(), actor, critic), stats, actor_spec


def _spaces(spec: Spec) -> str:
    low, high = (" ".join(f"{x:g}" for x in bound) for bound in (spec.action_low, spec.action_high))
    return f"observations of shape {spec.obs_shape} {spec.obs_dtype} and actions from [{low}] to [{high}]"


def _write(
    path: Path, role: str, net: Actor | Critic, spec: Spec, stats: RunningStats | None, value: dict[str, np.ndarray]
) -> None:
    sizes = [_ends(net.layers[0])[0], *(_ends(layer)[1] for layer in net.layers)]
    assert isinstance(net, Actor) or sizes[-1] == value.get("value/support", np.zeros(1)).size
    kinds = ["residual" if isinstance(x, Block) else "linear" if x.linear else "dense" for x in net.layers]
    arrays = {name: leaf for i, layer in enumerate(net.layers) for name, leaf in _named(layer, f"layer_{i}")}
    version = 1 if plain(net.layers) and not value else 2
    with h5py.File(path, "w") as file:
        file.attrs.update(
            {
                "format": FORMAT,
                "format_version": version,
                "role": role,
                "layer_sizes": np.array(sizes),
                "activation": net.activation,
                "output_activation": "tanh" if isinstance(net, Actor) else "identity",
                "action_layer": 0 if isinstance(net, Actor) else net.action_layer,
                "obs_shape": np.array(spec.obs_shape),
                "obs_dtype": spec.obs_dtype,
                "action_low": np.array(spec.action_low),
                "action_high": np.array(spec.action_high),
            }
        )
        if version > 1:
            file.attrs["layers"] = " ".join(kinds)
        if stats is not None:
            arrays |= {f"observations/{name}": leaf for name, leaf in stats._asdict().items()}
        for name, leaf in (arrays | value).items():
            file[name] = np.asarray(leaf)


def _ends(layer: Dense | Block) -> tuple[int, int]:
    """How many numbers it takes, and how many it makes."""
    first, last = (layer.up, layer.down) if isinstance(layer, Block) else (layer, layer)
    return first.weight.shape[-2], last.weight.shape[-1]


def _named(layer: Dense | Block | Norm | None, at: str) -> Iterator[tuple[str, Any]]:
    """Every array of a layer, by the name that it has in the file."""
    if isinstance(layer, Block):
        assert (layer.up.linear, layer.down.linear) == (False, True)  # as this kind of layer is read again
        yield from _named(layer.up, f"{at}/up")
        yield from _named(layer.down, f"{at}/down")
    elif isinstance(layer, Dense):
        yield from ((f"{at}/weight", layer.weight), (f"{at}/bias", layer.bias))
        yield from _named(layer.before, f"{at}/before")
        yield from _named(layer.after, f"{at}/after")
    elif layer is not None:
        yield from ((f"{at}/scale", layer.scale), (f"{at}/shift", layer.shift))
        if isinstance(layer, BatchNorm):
            yield from ((f"{at}/{name}", leaf) for name, leaf in layer.running._asdict().items())


def _read(path: Path, role: str) -> tuple[Any, RunningStats | None, Spec]:
    try:
        check_hdf5(path, LARGEST)
        with h5py.File(path) as file:
            attrs = attributes(file, ATTRIBUTES, ("layers",))
            found = [attrs.get(name) for name in ("format", "format_version", "role")]
            if found not in ([FORMAT, version, role] for version in VERSIONS):
                raise Mistake(f"it says {found}, expected {[FORMAT, VERSIONS[-1], role]}")
            net, spec = _network(file, attrs, role == "critic")
            return net, _stats(file, spec) if has(file, "observations") else None, spec
    except FileNotFoundError:
        raise Mistake(f"{path} does not exist: the run has saved no networks yet") from None
    except Exception as error:  # h5py lets through whatever HDF5, or the decoder of a damaged byte, raises
        said = " ".join(str(error).split())[:200]
        raise Mistake(f"{path} cannot be read as a network of ddpg: {said}; restore it or train again") from None


def _network(file: h5py.File, attrs: dict[str, Any], critic: bool) -> tuple[Any, Spec]:
    """The network and its spec, every number of them checked: whoever damaged a file, nothing is computed from it."""
    spec = Spec(
        obs_shape=tuple(int(n) for n in attrs["obs_shape"]),
        action_low=tuple(float(x) for x in attrs["action_low"]),
        action_high=tuple(float(x) for x in attrs["action_high"]),
        obs_dtype=str(attrs["obs_dtype"]),
    )
    if len(spec.obs_shape) > DIMENSIONS or any(n < 1 for n in spec.obs_shape) or spec.obs_dtype not in DTYPES:
        raise Mistake(f"observations of shape {spec.obs_shape} and type {spec.obs_dtype!r}, expected numbers")
    bounds = np.array([spec.action_low, spec.action_high])  # ValueError if there are not as many of both
    if not (np.isfinite(bounds).all() and (bounds[0] < bounds[1]).all() and spec.action_dim):
        raise Mistake(f"action bounds {bounds.tolist()}, expected finite ones, the lower below the higher")
    sizes, action_layer = [int(n) for n in attrs["layer_sizes"]], int(attrs["action_layer"])
    activation, count, first_version = str(attrs["activation"]), len(sizes) - 1, bool(attrs["format_version"] == 1)
    if activation not in ACTIVATIONS or not 1 <= count <= LAYERS or not 0 <= action_layer < count or min(sizes) < 1:
        raise Mistake(f"{count} layers of {activation!r}, action at layer {action_layer}, which no network here has")
    kinds = ["dense"] * count if first_version else str(attrs.get("layers", "")).split()
    if len(kinds) != count or not {*kinds} <= {*KINDS} or kinds[-1] != "dense":
        raise Mistake(f"layers {' '.join(kinds[:4])!r}, expected {count} of {', '.join(KINDS)}, dense the last")
    if sizes[0] != spec.obs_size + (spec.action_dim if critic and action_layer == 0 else 0):
        raise Mistake(f"{sizes[0]} inputs do not fit {_spaces(spec)}")
    categorical = critic and not first_version and has(file, "value")
    if not (sizes[-1] > 1 if categorical else sizes[-1] == (1 if critic else spec.action_dim)):
        expected = "several" if categorical else 1 if critic else spec.action_dim
        raise Mistake(f"{sizes[-1]} outputs, expected {expected}")
    first = "layer_0/up/bias" if kinds[0] == "residual" else "layer_0/bias"
    members = dataset(file, first).shape[:-1]  # (K,) critics, or () for the one actor
    if len(members) != critic or 0 in members:
        raise Mistake(f"members of shape {members}, expected {'one number' if critic else 'none'}")
    shapes: dict[str, tuple[int, ...]] = {}
    for depth, (kind, (inputs, outputs)) in enumerate(zip(kinds, pairwise(sizes), strict=True)):
        inputs += spec.action_dim if critic and depth == action_layer > 0 else 0
        shapes |= _shapes(file, f"layer_{depth}", kind, inputs, outputs, first_version)
    if prod(members) * sum(map(prod, shapes.values())) > PARAMETERS:
        raise Mistake(f"more than {PARAMETERS} parameters")  # in all: datasets may lie on the same bytes
    arrays = {name: array(file, name, (*members, *shape)) for name, shape in shapes.items()}
    if categorical:
        _check_value(file, sizes[-1])
    layers: Layers = tuple(_layer(arrays, f"layer_{depth}", kind) for depth, kind in enumerate(kinds))
    return Critic(layers, activation, action_layer) if critic else Actor(layers, activation), spec


def _shapes(
    file: h5py.File, at: str, kind: str, inputs: int, outputs: int, first_version: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What arrays a layer has, and of which shape those of one member must be."""
    if kind == "residual":
        if inputs != outputs:
            raise Mistake(f"{at} adds {outputs} numbers to {inputs}")
        *_, inner = dataset(file, f"{at}/up/bias").shape or (0,)
        yield from _shapes(file, f"{at}/up", "dense", inputs, inner, first_version)
        yield from _shapes(file, f"{at}/down", "linear", inner, outputs, first_version)
        return
    yield from ((f"{at}/weight", (inputs, outputs)), (f"{at}/bias", (outputs,)))
    for name, size in () if first_version else (("before", inputs), ("after", outputs)):
        if has(file, f"{at}/{name}"):
            running = ("mean", "variance") if has(file, f"{at}/{name}/mean") else ()
            yield from ((f"{at}/{name}/{part}", (size,)) for part in ("scale", "shift", *running))


def _layer(arrays: dict[str, Any], at: str, kind: str) -> Dense | Block:
    if kind == "residual":
        return Block(_dense(arrays, f"{at}/up"), _dense(arrays, f"{at}/down", linear=True))
    return _dense(arrays, at, kind == "linear")


def _dense(arrays: dict[str, Any], at: str, linear: bool = False) -> Dense:
    before, after = (_norm(arrays, f"{at}/{name}") for name in ("before", "after"))
    return Dense(arrays[f"{at}/weight"], arrays[f"{at}/bias"], before, after, linear)


def _norm(arrays: dict[str, Any], at: str) -> Norm | None:
    if f"{at}/scale" not in arrays:
        return None
    scale, shift = arrays[f"{at}/scale"], arrays[f"{at}/shift"]
    if f"{at}/mean" not in arrays:
        return LayerNorm(scale, shift)
    if (arrays[f"{at}/variance"] < 0).any():
        raise Mistake(f"{at} has a variance below 0")
    return BatchNorm(scale, shift, Running(arrays[f"{at}/mean"], arrays[f"{at}/variance"]))


def _check_value(file: h5py.File, atoms: int) -> None:
    """That a categorical value says of which returns it is: for readers only, since a run's configuration does too."""
    support, scale = np.asarray(array(file, "value/support", (atoms,))), float(array(file, "value/reward_scale", ()))
    if not ((np.diff(support) >= 0).all() and np.isfinite([*support[[0, -1]], scale]).all() and scale >= 0):
        raise Mistake(f"a value whose returns are in no order, or whose rewards were multiplied with {scale:g}")


def _stats(file: h5py.File, spec: Spec) -> RunningStats:
    shapes = {"count": (), "mean": spec.obs_shape, "variance": spec.obs_shape}
    stats = RunningStats(**{name: array(file, f"observations/{name}", shape) for name, shape in shapes.items()})
    if not (stats.variance >= 0).all():
        raise Mistake("a variance of observations below 0")
    return stats
