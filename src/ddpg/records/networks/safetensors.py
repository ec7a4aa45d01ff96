"""The networks of a seed in one safetensors file: what ddpg itself reads back.

models/seed-S/networks.safetensors has the last ones, best.safetensors those of the best evaluation, and
step-….safetensors what acted and judged at a moment of training.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
from pydantic import TypeAdapter, ValidationError

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.nets import Nets
from ddpg.algorithm.normaliser import InputStats, byte_scale, init_stats
from ddpg.mistake import Mistake
from ddpg.records import tree_file
from ddpg.types import Spec

NAME, BEST = "networks.safetensors", "best.safetensors"

MOMENT = re.compile(r"step-(\d{12})\.safetensors")

EMPTY: Mapping[str, float] = {}

DTYPES = set(tree_file.DTYPES.values())  # of observations

PARAMETERS, DIMENSIONS = 2**28, 32  # more than any network and any observation here; files that claim more are refused


class SavedNetworks(NamedTuple):
    """What is saved of one seed; `stats` normalise observations, if the run does, or scale their bytes."""

    online: Nets
    target: Nets
    stats: InputStats


class SavedMoment(NamedTuple):
    """What is saved of one seed at a moment of training: no targets, from which nothing acts."""

    online: Nets
    stats: InputStats


def save_networks(folder: Path, saved: SavedNetworks, spec: Spec) -> None:
    _save(folder / NAME, saved, spec)


def save_best(folder: Path, saved: SavedNetworks, spec: Spec, evaluated: float, step: int) -> None:
    """As those of the best evaluation, whose mean return and step it had."""
    _save(folder / BEST, saved, spec, {"return": evaluated, "step": step})


def save_moment(folder: Path, saved: SavedNetworks, spec: Spec, step: int) -> None:
    """As those after so many steps."""
    _save(folder / f"step-{step:012d}.safetensors", SavedMoment(saved.online, saved.stats), spec)


def saved_moments(folder: Path) -> dict[int, Path]:
    """The files of moments in FOLDER by their steps, in order."""
    paths = sorted(folder.glob("step-*")) if folder.is_dir() else []
    return {int(match[1]): path for path in paths if (match := MOMENT.fullmatch(path.name))}


def _save(path: Path, saved: SavedNetworks | SavedMoment, spec: Spec, about: Mapping[str, float] = EMPTY) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tree_file.write(path, saved, {"spec": asdict(spec), **about})


def saved_best(folder: Path) -> tuple[float, int]:
    """Return and step of the best evaluation of the seed in FOLDER; -inf and 0 if none is saved that can be read."""
    try:
        header = tree_file.read_header(folder / BEST)
    except tree_file.Damaged:
        return -math.inf, 0
    value, step = header.get("return"), header.get("step")
    if isinstance(value, int | float) and abs(value) < 1e300 and isinstance(step, int):  # NaN is not, either
        return float(value), step
    return -math.inf, 0


def load_networks(
    folder: Path, agent: DPG, normalise: bool, expected: Spec | None = None, best: bool = False
) -> tuple[SavedNetworks, Spec]:
    """The networks in FOLDER, in NumPy, and the spec of the environment that they were trained in.

    With `best` those of the best evaluation, else the last ones. Their shapes must be those of `agent`. Raises Mistake
    if the file is missing or damaged, or has another spec than `expected`, if that is given.
    """
    path = folder / (BEST if best else NAME)
    if not os.path.lexists(path):
        lack = "has not been evaluated" if best else "has saved no networks"
        raise Mistake(f"{path} does not exist: the run {lack} yet")
    spec = _spec(path, tree_file.read_header(path))
    if expected not in (spec, None):
        raise Mistake(
            f"{folder} was trained for {_spaces(spec)}, not for {_spaces(expected)}; "
            f"choose an environment of the same spaces"
        )
    return tree_file.read(path, _shapes(path, agent, normalise, spec)), spec


def load_moment(path: Path, agent: DPG, normalise: bool) -> tuple[SavedMoment, Spec]:
    """The same of a file of `saved_moments`."""
    spec = _spec(path, tree_file.read_header(path))
    like = _shapes(path, agent, normalise, spec)
    return tree_file.read(path, SavedMoment(like.online, like.stats)), spec


def _shapes(path: Path, agent: DPG, normalise: bool, spec: Spec) -> SavedNetworks:
    """What the file must hold. Its configuration and spec may be a stranger's: nothing is allocated for them."""
    too_many = f"{path} cannot be used: its networks would have more than {PARAMETERS} numbers"
    hidden = [network.block.hidden_sizes(network.widths) for network in (agent.actor, agent.critic)]
    if max((math.prod(pair) for sizes in hidden for pair in pairwise([1, *sizes])), default=0) > PARAMETERS:
        raise Mistake(too_many)  # before JAX counts them, in 64 bits
    state, stats = jax.eval_shape(lambda: (agent.init(jax.random.key(0), spec), init_stats(spec.obs_shape)))
    like = SavedNetworks(state.online, state.target, stats if normalise else byte_scale(spec))
    if sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(like)) > PARAMETERS:
        raise Mistake(too_many)
    return like


def _spec(path: Path, header: Mapping[str, Any]) -> Spec:
    """The spec in a file that anyone may have made."""
    try:
        spec = TypeAdapter(Spec).validate_python(header.get("spec"))
    except ValidationError:
        raise Mistake(f"{path} cannot be used: its spec is invalid") from None
    pairs = list(zip(spec.action_low, spec.action_high, strict=False))
    bounds = len(pairs) == len(spec.action_low) == len(spec.action_high) > 0
    bounds = bounds and all(-math.inf < low <= high < math.inf for low, high in pairs)
    shape = len(spec.obs_shape) <= DIMENSIONS and min(spec.obs_shape, default=1) > 0 and spec.obs_size <= PARAMETERS
    if not (bounds and shape and spec.obs_dtype in DTYPES and _parts_fit(spec)):
        raise Mistake(f"{path} cannot be used: its spec is invalid ({_spaces(spec)})")
    return spec


def _parts_fit(spec: Spec) -> bool:
    """Whether its parts, if it has any, make up its observation."""
    if any(min((*leaf.shape, *leaf.counts), default=1) < 1 or len(leaf.shape) > DIMENSIONS for leaf in spec.leaves):
        return False
    for leaf in spec.leaves:
        components = math.prod(leaf.shape)
        one_hot = len(leaf.counts) == len(leaf.starts) and len(leaf.counts) in (0, components)
        bytes = len(leaf.high) in (0, 1, components) and all(0 <= high <= 255 for high in leaf.high)
        if not (one_hot and bytes):
            return False
    return not spec.leaves or sum(leaf.size for leaf in spec.leaves) == spec.obs_size


def _spaces(spec: Spec) -> str:
    low, high = (" ".join(f"{x:g}" for x in bound)[:200] for bound in (spec.action_low, spec.action_high))
    shape, dtype = str(spec.obs_shape)[:100], ascii(spec.obs_dtype)[1:-1][:20]
    parts = ascii("".join(leaf.place for leaf in spec.leaves))[1:-1][:100]
    return f"observations of shape {shape} {dtype}{parts and f' ({parts})'} and actions from [{low}] to [{high}]"
