"""`ddpg export`: a trained policy as a file that runs without ddpg, compared with the policy before it is there."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from ddpg.algorithm.nets import GreedyPolicy
from ddpg.algorithm.normaliser import EPSILON, InputStats, RunningStats
from ddpg.mistake import Mistake
from ddpg.records.atomic import replace_atomically
from ddpg.records.networks import standalone_policy
from ddpg.records.networks.hdf5 import reread_hdf5, save_hdf5
from ddpg.records.networks.npz import save_npz
from ddpg.records.networks.onnx import check_onnx, load_onnx, save_onnx
from ddpg.records.networks.steps import OBS_LIMIT, arrays_of, check_finite, policy_steps
from ddpg.settings import own_settings
from ddpg.terminal import reason, thousands
from ddpg.training.folder import RunFolder
from ddpg.training.policy import load
from ddpg.types import Spec

TOLERANCE = 1e-5  # of the action's range; what is seen is a hundredth of it

NUDGE = np.float32(2**-20)  # a few of the last digits that 32 bits have

ADVICE = "so no file is left; choose another --format, and please report it"


Form = Callable[[np.ndarray], np.ndarray]  # observations [b, *obs] -> actions [b, m] in the environment's units


class Format(NamedTuple):
    """How a policy is written, and how what was written is run."""

    suffix: str
    save: Callable[[Path, dict[str, Any]], None]
    load: Callable[[Path], Form]


FORMATS = {
    "onnx": Format(".onnx", save_onnx, load_onnx),
    "hdf5": Format(".hdf5", save_hdf5, lambda path: standalone_policy.policy_of(reread_hdf5(path))),
    "numpy": Format(".npz", save_npz, standalone_policy.load),
}


class Exported(NamedTuple):
    """What was written, and over how many observations its actions differ from the trained policy's by how much."""

    path: Path
    format: str
    observations: int
    difference: float  # the largest, as a share of the action's range


@own_settings()
def export_run(
    run: str | Path, format: str, path: str | Path | None = None, seed: int | None = None, best: bool = False
) -> Exported:
    """Write the greedy policy of one seed, by default the first, as "onnx", "hdf5" or "numpy": `ddpg.export`.

    With `best` it is the policy of the best evaluation, not the last one. The file is RUN/policy.onnx, .hdf5 or
    .npz unless `path` says otherwise. It is there only if it answers as the policy does. Raises Mistake if
    it does not, or if anything is missing or cannot be written.
    """
    folder = RunFolder.at(run)
    if format not in FORMATS:
        raise Mistake(f"format {format!r}, expected one of {', '.join(FORMATS)}")
    form = FORMATS[format]
    path = Path(run) / folder.exported(form.suffix).name if path is None else Path(path)
    policy = load(run, seed, best)
    _check(folder, format, path)
    arrays = arrays_of(policy_steps(policy.greedy, policy.spec), policy.spec)
    check_finite(arrays)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.touch()  # says what is wrong with the place in plain words, as HDF5 does not
        form.save(partial, arrays)
        obs = observations(policy.spec, policy.greedy.stats)
        difference = compare(form.load(partial), policy.greedy, policy.spec, obs)
        replace_atomically(partial, path)
    except OSError as error:
        raise Mistake(f"{path} cannot be written ({reason(error)}); choose another file with -o") from None
    finally:
        with suppress(OSError):  # the same once more, if it could not be written
            partial.unlink(missing_ok=True)
    return Exported(path, format, len(obs), difference)


def _check(folder: RunFolder, format: str, path: Path) -> None:
    """Raise Mistake if a file of that format cannot be at `path`."""
    suffix = FORMATS[format].suffix
    if path.suffix != suffix:
        raise Mistake(f"file {path}: the format {format} ends in {suffix}; choose another file with -o")
    if not os.path.isdir(path.parent):  # os.path raises nothing, whatever the name
        raise Mistake(f"file {path}: {path.parent} is no folder; make it, or choose another file with -o")
    if os.path.isdir(path):
        raise Mistake(f"file {path} is a folder; choose another file with -o")
    if folder.models.resolve() in path.resolve().parents:
        raise Mistake(f"file {path} would be among the networks of the run; choose another file with -o")
    if format == "onnx":
        check_onnx()


@cache
def reference(spec: Spec) -> Callable[[GreedyPolicy, Any], Any]:
    """The policy in JAX, compiled: (policy, observations) -> actions in the environment's units.

    An observation that is not normalised counts as ±1e12 beyond that, as in every exported form.
    """

    @jax.jit
    def act(policy: GreedyPolicy, obs: Any) -> Any:
        if not isinstance(policy.stats, RunningStats) and spec.obs_dtype != "uint8":
            obs = jnp.clip(obs, -OBS_LIMIT, OBS_LIMIT)
        with jax.default_matmul_precision("highest"):  # an accelerator may round factors to fewer than 32 bits
            return spec.to_units(policy(obs))

    return act


def observations(spec: Spec, stats: InputStats) -> Shaped[np.ndarray, "b *obs"]:
    """1 064 of them: 1 000 random ones of several scales, and 64 of the largest and smallest numbers there are."""
    random = np.random.default_rng(0)
    if spec.obs_dtype == "uint8":
        usual = random.integers(0, 256, (1_000, *spec.obs_shape))
        shares = np.linspace(0, 1, 64).reshape(-1, *(1,) * len(spec.obs_shape))  # of bytes that are 255; the others 0
        return np.concatenate([usual, 255 * (random.random((64, *spec.obs_shape)) < shares)]).astype(np.uint8)
    mean, deviation = 0.0, 1.0
    if isinstance(stats, RunningStats):
        mean, deviation = stats.mean, np.sqrt(np.asarray(stats.variance) + EPSILON)
    usual = [
        np.asarray(mean) + scale * np.asarray(deviation) * random.standard_normal((250, *spec.obs_shape))
        for scale in (0.1, 1, 10, 100)
    ]
    info = np.finfo(np.float32)
    sizes = np.array([0, info.smallest_subnormal, info.tiny, 1, 1e3, 1e6, info.max, np.inf], np.float32)
    signs = random.choice(np.array([-1, 1], np.float32), (8, *spec.obs_shape))
    signs[0], signs[1] = 1, -1
    with np.errstate(invalid="ignore", over="ignore"):
        usual = np.concatenate(usual).astype(np.float32)
    return np.concatenate([usual, *(signs * size for size in sizes)])


def compare(form: Form, policy: GreedyPolicy, spec: Spec, obs: Shaped[np.ndarray, "b *obs"]) -> float:
    """The largest difference between the actions of `form` and of the policy in JAX, as a share of the action's range.

    Raises Mistake if rounding does not explain it: if it is more than 1e-5, and more than what the policy itself
    changes by when the last digits of its weights do. Or if an action is beyond its bounds.
    """
    act, random = reference(spec), np.random.default_rng(1)

    def nudged(leaf: Any) -> Any:
        return leaf * (1 + NUDGE * random.choice(np.array([-1, 1], np.float32), leaf.shape))

    actual, expected = np.float64(form(obs)), np.float64(act(policy, obs))
    (low, high), (low32, high32) = spec.bounds, spec.bounds32
    low, high = np.minimum(low, low32), np.maximum(high, high32)  # a dimension held at 0.1 cannot be within its bounds
    if actual.shape != expected.shape or not ((low <= actual) & (actual <= high)).all():
        raise Mistake(f"the written policy answers outside the bounds of actions, {ADVICE}")
    others = [GreedyPolicy(policy.stats, *jax.tree.map(nudged, policy[1:])) for _ in range(4)]
    changes = [np.abs(np.float64(act(other, obs)) - expected) for other in others]
    digits = 4 * np.finfo(np.float32).eps * np.maximum(np.abs(low), np.abs(high))  # of actions that are far from 0
    size = np.where(high > low, high - low, 1)  # a dimension may be held at one value
    difference = np.abs(actual - expected) / size
    if not (difference <= np.maximum(TOLERANCE, (np.max(changes, axis=0) + digits) / size)).all():
        raise Mistake(
            f"the written policy differs from the trained one by {difference.max():.1e} of the range, {ADVICE}"
        )
    return float(difference.max())


def export_command(args: Namespace) -> int:
    exported = export_run(args.RUN, args.format, args.o, args.seed, args.best)
    print(f"policy: {exported.path}", file=sys.stderr)
    print(
        f"parity over {thousands(exported.observations)} observations: largest difference {exported.difference:.1e} "
        f"of the action range",
        file=sys.stderr,
    )
    return 0
