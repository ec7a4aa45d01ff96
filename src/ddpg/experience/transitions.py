"""Transitions as plain arrays, to and from the rows of the replay."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ddpg.mistake import Mistake
from ddpg.pictures import picture_parts, taken_apart
from ddpg.ranges import FLOAT32_MAX
from ddpg.types import AnyArray, Row, Spec


class Transitions(NamedTuple):
    """One row per step, episodes one after the other: what the agent saw, did and got.

    Actions are in the environment's units. `terminated`: no reward can follow; `truncated`: a time limit.
    """

    obs: Shaped[AnyArray, "t *obs"]
    action: Float[AnyArray, "t m"]
    reward: Float[AnyArray, " t"]
    next_obs: Shaped[AnyArray, "t *obs"]
    terminated: Bool[AnyArray, " t"]
    truncated: Bool[AnyArray, " t"]


def check_transitions(transitions: Transitions, spec: Spec) -> Transitions:
    """With the dtypes of the environment. Raises Mistake if shapes, numbers or actions are not those of its spaces."""
    steps = len(transitions.reward) if transitions.reward.ndim == 1 else 0
    if not steps:
        raise Mistake(f"demonstrations: reward of shape {transitions.reward.shape}, expected one number for each step")
    obs, flag = (steps, *spec.obs_shape), (steps,)
    shapes = Transitions(obs, (steps, spec.action_dim), flag, obs, flag, flag)
    for name, array, shape in zip(Transitions._fields, transitions, shapes, strict=True):
        if array.shape != shape:
            raise Mistake(f"demonstrations: {name} of shape {array.shape}, expected {shape}")
        if array.dtype.kind not in "fiub" or not (np.abs(array.astype(float)) <= FLOAT32_MAX).all():
            raise Mistake(f"demonstrations: {name} of dtype {array.dtype}, expected finite numbers of 32 bits")
        if name in ("terminated", "truncated") and not np.isin(array, (0, 1)).all():
            raise Mistake(f"demonstrations: {name} of dtype {array.dtype}, expected true or false, 1 or 0")
        if name in ("obs", "next_obs"):
            _check_bytes(name, array, spec)
    low, high = spec.bounds
    slack = 1e-5 * (high - low)
    outside = ((transitions.action < low - slack) | (transitions.action > high + slack)).any(axis=1)
    if outside.any():
        step = int(np.argmax(outside))
        raise Mistake(
            f"demonstrations: action {transitions.action[step].tolist()} at step {step}, "
            f"expected between {low.tolist()} and "
            f"{high.tolist()}, the environment's own units"
        )
    dtypes = (spec.obs_dtype, "float32", "float32", spec.obs_dtype, "bool", "bool")
    return Transitions(*(array.astype(dtype) for array, dtype in zip(transitions, dtypes, strict=True)))


def _check_bytes(name: str, obs: np.ndarray, spec: Spec) -> None:
    """Raise Mistake if what the replay stores as bytes is none; pictures beside numbers are floats here."""
    if spec.obs_dtype == "uint8":
        wrong = obs.dtype.kind == "f" or obs.min() < 0 or obs.max() > 255
    else:
        pictures, _ = taken_apart(obs.reshape(len(obs), -1), picture_parts(spec))
        wrong = ((pictures < 0) | (pictures > 255) | (pictures != np.floor(pictures))).any()
    if wrong:
        where = "" if spec.obs_dtype == "uint8" else " of its pictures"
        raise Mistake(f"demonstrations: {name} of dtype {obs.dtype}, expected bytes{where} from 0 to 255")


def to_block(transitions: Transitions, spec: Spec, steps: int, envs: int) -> Row:
    """Rows [K, N, ...], K a multiple of `steps`: whole episodes in N columns, filled up with boundary rows.

    An episode that neither terminates nor is truncated, as if it was cut off, counts as truncated.
    """
    obs, action, reward, following, terminated, truncated = transitions
    joins = (following[:-1] == obs[1:]).all(axis=tuple(range(1, obs.ndim)))
    ends = terminated | truncated | np.append(~joins, True)
    middle, half = spec.middle_and_half
    half = np.where(half > 0, half, 1)  # a dimension may be held at one value
    unit = np.clip((action - middle) / half, -1, 1).astype(np.float32)
    columns: list[list[np.ndarray]] = [[] for _ in range(envs)]  # indices of transitions, -1 - i after transition i
    for episode in np.split(np.arange(len(obs)), np.flatnonzero(ends[:-1]) + 1):
        min(columns, key=lambda parts: sum(map(len, parts))).append(np.append(episode, -1 - episode[-1]))
    lengths = [sum(map(len, parts)) for parts in columns]
    rows = -(-max(lengths) // steps) * steps
    padded = [np.concatenate([*parts, np.full(rows - n, -1)]) for parts, n in zip(columns, lengths, strict=True)]
    index = np.stack(padded, axis=1)
    boundary = index < 0
    step = np.where(boundary, -1 - index, index)
    mask = boundary.reshape(*boundary.shape, *(1,) * len(spec.obs_shape))
    return Row(
        np.where(mask, following[step], obs[step]),
        np.where(boundary[..., None], 0, unit[step]).astype(np.float32),
        np.where(boundary, 0, reward[step]).astype(np.float32),
        terminated[step] & ~boundary,
        (ends & ~terminated)[step] & ~boundary,
        boundary,
    )


def from_rows(rows: Row, spec: Spec) -> Transitions:
    """The transitions in rows [T, N, ...], oldest first, column by column; the newest step of each has no end yet."""
    valid = ~rows.boundary[:-1].T  # [N, T - 1]
    unit = rows.action[:-1].swapaxes(0, 1)[valid]
    return Transitions(
        rows.obs[:-1].swapaxes(0, 1)[valid],
        spec.to_units(unit.astype(np.float64)).astype(np.float32),
        rows.reward[:-1].T[valid],
        rows.obs[1:].swapaxes(0, 1)[valid],
        rows.terminated[:-1].T[valid],
        rows.truncated[:-1].T[valid],
    )
