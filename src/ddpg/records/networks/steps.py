"""A network as named arrays: the one description that every file format writes and the standalone reader runs."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ddpg.algorithm.nets import GreedyPolicy, Nets
from ddpg.algorithm.normaliser import InputStats, RunningStats
from ddpg.algorithm.steps import Step
from ddpg.algorithm.values import AnyValue
from ddpg.mistake import Mistake
from ddpg.types import Spec

NETWORK_FORMAT, VERSION = "ddpg-network", 2

OBS_LIMIT = 1e12  # an observation beyond it counts as this, so that neither sums of products nor their squares overflow

LIMIT = Step("clip", {"low": -OBS_LIMIT, "high": OBS_LIMIT})


def policy_steps(policy: GreedyPolicy, spec: Spec) -> list[Step]:
    """From observations to actions, in the environment's units."""
    (low, high), (middle, half) = spec.bounds32, spec.middle_and_half
    units = [Step("affine", {"gain": half, "offset": middle}), Step("clip", {"low": low, "high": high})]
    return [*_inputs(policy.stats, spec), *policy.encoder.steps(), *policy.actor.steps(), *units]


def critic_steps(nets: Nets, stats: InputStats, spec: Spec, value: AnyValue, reward_scale: float) -> list[Step]:
    """From observations, and actions in [-1, 1]^m, to Q(s, a) [K, b, 1] of rewards that are not scaled."""
    with np.errstate(divide="ignore"):
        unscale = Step("affine", {"gain": 1 / np.float64(reward_scale), "offset": 0.0})
    steps = [
        *_inputs(stats, spec),
        *nets.encoder.steps(),
        *nets.critic.steps(nets.encoder.pair_steps()),
        *value.steps(),
    ]
    return steps if reward_scale == 1 else [*steps, unscale]


def _inputs(stats: InputStats, spec: Spec) -> list[Step]:
    """What happens to an observation before the encoder."""
    limit = [] if isinstance(stats, RunningStats) or spec.obs_dtype == "uint8" else [LIMIT]
    return limit if stats is None else [*limit, *stats.steps()]


def arrays_of(steps: Sequence[Step], spec: Spec) -> dict[str, Any]:
    """What a file holds, by name: arrays such as dense_0/weight, and the text `steps`, their order."""
    counts, words, arrays = Counter[str](), list[str](), dict[str, np.ndarray]()
    for kind, own in steps:
        words.append(f"{kind}_{counts[kind]}" if own else kind)
        counts[kind] += 1
        with np.errstate(over="ignore"):
            arrays |= {f"{words[-1]}/{name}": np.asarray(array, np.float32) for name, array in own.items()}
    return {
        "format": NETWORK_FORMAT,
        "format_version": VERSION,
        "steps": " ".join(words),
        "obs_shape": np.array(spec.obs_shape, np.int64),
        "obs_dtype": spec.obs_dtype,
        "leaves": json.dumps(_leaves(spec)),
        "action_low": spec.bounds[0],
        "action_high": spec.bounds[1],
        **arrays,
    }


def _leaves(spec: Spec) -> list[dict[str, Any]]:
    """The parts of a nested observation, in order; none if it is an array as it is."""
    leaves = zip(spec.leaves if spec.nested else (), pairwise([0, *spec.ends]), strict=False)
    return [
        {
            "path": leaf.path,
            "slice": ends,
            "shape": leaf.shape,
            "counts": leaf.counts,
            "starts": leaf.starts,
            "bytes": bool(leaf.high),
        }
        for leaf, ends in leaves
    ]


def check_finite(arrays: Mapping[str, Any]) -> None:
    """Raise Mistake if a network has parameters that are NaN or infinite."""
    for name, array in arrays.items():
        if "/" in name and not np.isfinite(array).all():
            raise Mistake(
                f"the policy's {name} has NaN or infinite values, so its training diverged; "
                f"export another seed, or train again"
            )
