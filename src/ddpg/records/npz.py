"""A greedy policy as one .npz of plain arrays, with the normaliser and the action's units inside (docs/export.md)."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ddpg.algorithm.nets import Actor
from ddpg.algorithm.normaliser import EPSILON, LIMIT, Stats
from ddpg.types import Spec

FORMAT, VERSION = "ddpg-policy", 1
LARGEST = 1e18  # of an observation as it is: whatever is beyond counts as this, so that no sum of products overflows


def arrays_of(actor: Actor, stats: Stats | None, spec: Spec) -> dict[str, np.ndarray]:
    """What the file holds, by name; everything that an exported policy computes is computed from these.

    Observations go through clip((obs - shift) / scale, -limit, limit), whether they are normalised, bytes, or neither.
    ValueError if any of it is no number of 32 bits.
    """
    shift, scale, limit = np.zeros(spec.obs_shape), np.ones(spec.obs_shape), LARGEST
    if stats is not None:
        shift, scale, limit = np.asarray(stats.mean), np.sqrt(np.asarray(stats.variance) + EPSILON), LIMIT
    elif spec.obs_dtype == "uint8":
        scale = np.full(spec.obs_shape, 255.0)
    low, high = within(spec)
    numbers: dict[str, Any] = {"shift": shift.ravel(), "scale": scale.ravel(), "limit": limit}
    for i, layer in enumerate(actor.layers):
        numbers |= {f"weight_{i}": layer.weight, f"bias_{i}": layer.bias}
    numbers |= {"action_low": low, "action_high": high}
    numbers = {name: np.asarray(value, np.float32) for name, value in numbers.items()}
    for name, value in numbers.items():
        if not np.isfinite(value).all():
            raise ValueError(
                f"the policy's {name} has values that are no finite numbers, so its training diverged; "
                f"export another seed, or train again"
            )
    about = {
        "format": np.array(FORMAT),
        "format_version": np.array(VERSION),
        "obs_shape": np.array(spec.obs_shape, np.int64),
        "obs_dtype": np.array(spec.obs_dtype),
        "layers": np.array(len(actor.layers)),
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


def save_npz(path: Path, actor: Actor, stats: Stats | None, spec: Spec) -> None:
    """Write it; nothing in it needs a pickle."""
    arrays = arrays_of(actor, stats, spec)
    with path.open("wb") as file:  # a path would have .npz added to it
        np.savez(file, allow_pickle=False, **arrays)
