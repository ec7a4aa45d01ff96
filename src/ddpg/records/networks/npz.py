"""A greedy policy as one .npz of plain arrays, with the normaliser and the action's units inside (docs/export.md)."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from ddpg.algorithm.layers import Block, Dense, Layers
from ddpg.algorithm.networks import Actor
from ddpg.algorithm.normaliser import EPSILON, LIMIT, RunningStats
from ddpg.algorithm.norms import BatchNorm, Norm
from ddpg.mistake import Mistake
from ddpg.types import Spec

FORMAT = "ddpg-policy"

# Of an observation as it is: whatever is beyond counts as this, so that no sum of products overflows, nor any square
# of them where layers are normalised.
LARGEST, LARGEST_SQUARED = 1e18, 1e12

NORM_EPSILON = np.float32(1e-5)  # added to the variances of layers, as in algorithm/layers.py


class Step(NamedTuple):
    """One thing that is done to the numbers x of a network on their way, and what it is done with.

    dense: x weight + bias; norm: (x - mean) / deviation gain + offset, with mean and deviation of x itself where there
    are none; activation; keep: x is remembered, for add: x plus that.
    """

    kind: Literal["dense", "norm", "activation", "keep", "add"]
    numbers: dict[str, Any]


def steps_of(layers: Layers) -> list[Step]:
    """All that an actor does to observations, but for the tanh at its end."""

    def normed(norm: Norm | None) -> list[Step]:
        if norm is None:
            return []
        numbers = {"gain": norm.scale, "offset": norm.shift}
        if isinstance(norm, BatchNorm):
            mean, variance = norm.running
            numbers |= {"mean": mean, "deviation": np.sqrt(np.asarray(variance) + NORM_EPSILON)}
        return [Step("norm", numbers)]

    def taken(layer: Dense | Block) -> list[Step]:
        if isinstance(layer, Block):
            return [Step("keep", {}), *taken(layer.up), *taken(layer.down), Step("add", {})]
        dense = Step("dense", {"weight": layer.weight, "bias": layer.bias})
        return [*normed(layer.before), dense, *normed(layer.after), *[Step("activation", {})] * (not layer.linear)]

    *steps, last = [step for layer in layers for step in taken(layer)]
    assert last.kind == "activation"  # which is the tanh
    return steps


def plain(layers: Layers) -> bool:
    """Whether layers are dense and nothing more, as the first version of the formats says them."""
    return all(isinstance(x, Dense) and x.before is x.after is None and not x.linear for x in layers)


def largest(actor: Actor) -> float:
    """Beyond what an observation that is not normalised counts as that."""
    return LARGEST if plain(actor.layers) else LARGEST_SQUARED


def arrays_of(actor: Actor, stats: RunningStats | None, spec: Spec) -> dict[str, np.ndarray]:
    """What the file holds, by name; everything that an exported policy computes is computed from these.

    Observations go through clip((obs - shift) / scale, -limit, limit), whether they are normalised, bytes, or neither.
    ValueError if any of it is no number of 32 bits.
    """
    shift, scale, limit = np.zeros(spec.obs_shape), np.ones(spec.obs_shape), largest(actor)
    if stats is not None:
        shift, scale, limit = np.asarray(stats.mean), np.sqrt(np.asarray(stats.variance) + EPSILON), LIMIT
    elif spec.obs_dtype == "uint8":
        scale = np.full(spec.obs_shape, 255.0)
    low, high = within(spec)
    numbers: dict[str, Any] = {"shift": shift.ravel(), "scale": scale.ravel(), "limit": limit}
    steps, words = steps_of(actor.layers), list[str]()
    for kind, own in steps:
        word = f"{kind}_{sum(step.startswith(kind) for step in words)}" if own else kind
        words.append(word)
        numbers |= {f"{name}_{word.rpartition('_')[2]}": value for name, value in own.items()}
    numbers |= {"action_low": low, "action_high": high}
    numbers = {name: np.asarray(value, np.float32) for name, value in numbers.items()}
    for name, value in numbers.items():
        if not np.isfinite(value).all():
            raise Mistake(
                f"the policy's {name} has values that are no finite numbers, so its training diverged; "
                f"export another seed, or train again"
            )
    simple = plain(actor.layers)
    about = {
        "format": np.array(FORMAT),
        "format_version": np.array(1 if simple else 2),
        "obs_shape": np.array(spec.obs_shape, np.int64),
        "obs_dtype": np.array(spec.obs_dtype),
        **({"layers": np.array(len(actor.layers))} if simple else {"steps": np.array(" ".join(words))}),
        "activation": np.array(actor.activation),
    }
    return about | numbers


def within(spec: Spec) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """The bounds of actions in 32 bits, each rounded towards the other, as 0.1 is to what is not above it."""
    low, high = np.array([spec.action_low, spec.action_high], np.float64)
    with np.errstate(over="ignore"):  # arrays_of refuses what is beyond 32 bits
        low32, high32 = low.astype(np.float32), high.astype(np.float32)
    low32 = np.where(low32 < low, np.nextafter(low32, np.float32(np.inf)), low32)
    high32 = np.where(high32 > high, np.nextafter(high32, np.float32(-np.inf)), high32)
    return low32, high32


def save_npz(path: Path, actor: Actor, stats: RunningStats | None, spec: Spec) -> None:
    """Write it; nothing in it needs a pickle."""
    arrays = arrays_of(actor, stats, spec)
    with path.open("wb") as file:  # a path would have .npz added to it
        np.savez(file, allow_pickle=False, **arrays)
