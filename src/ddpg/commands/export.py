"""`ddpg export`: a trained policy as a file that runs without ddpg, compared with the policy before it is there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from ddpg.algorithm.encoders import flatten_observation
from ddpg.algorithm.networks import Actor
from ddpg.algorithm.normaliser import EPSILON, RunningStats, normalise
from ddpg.config.file import load_config
from ddpg.mistake import Mistake
from ddpg.records.atomic import settle
from ddpg.records.networks import standalone_policy as npz_reader
from ddpg.records.networks.hdf5 import load_actor, load_models, save_actor
from ddpg.records.networks.npz import arrays_of, largest, save_npz
from ddpg.records.networks.onnx import check_onnx, load_onnx, save_onnx
from ddpg.training.policy import model_folder
from ddpg.types import Spec

TOLERANCE = 1e-5  # of the action's range; what is seen is a hundredth of it

NUDGE = np.float32(2**-20)  # a few of the last digits that 32 bits have

ADVICE = "so no file is left; choose another --format, and please report it"


Form = Callable[[np.ndarray], np.ndarray]  # observations [b, *obs] -> actions [b, m] in the environment's units


class Format(NamedTuple):
    """How a policy is written, and how what was written is run."""

    suffix: str
    save: Callable[[Path, Actor, RunningStats | None, Spec], None]
    load: Callable[[Path], Form]


FORMATS = {
    "onnx": Format(".onnx", save_onnx, load_onnx),
    "hdf5": Format(".hdf5", save_actor, lambda path: npz_reader.policy_of(arrays_of(*load_actor(path)))),
    "numpy": Format(".npz", save_npz, npz_reader.load),
}


class Exported(NamedTuple):
    """What was written, and over how many observations its actions differ from the trained policy's by how much."""

    path: Path
    format: str
    observations: int
    difference: float  # the largest, as a share of the action's range


def export_run(run: str | Path, format: str, path: str | Path | None = None, seed: int | None = None) -> Exported:
    """Write the greedy policy of one seed, by default the first, as "onnx", "hdf5" or "numpy": `ddpg.export`.

    The file is RUN/policy.onnx, .hdf5 or .npz unless `path` says otherwise. It is there only if it answers as the
    policy does. ValueError, in one line, if it does not, or if anything is missing or cannot be written.
    """
    run = Path(run)
    if format not in FORMATS:
        raise Mistake(f"format {format!r}, expected one of {', '.join(FORMATS)}")
    form = FORMATS[format]
    path = run / f"policy{form.suffix}" if path is None else Path(path)
    nets, stats, spec = load_models(model_folder(run, load_config(run), seed))
    _check(run, format, path)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.touch()  # says what is wrong with the place in plain words, as HDF5 does not
        form.save(partial, nets.actor, stats, spec)
        seen = observations(spec, stats)
        difference = compare(form.load(partial), nets.actor, stats, spec, seen)
        settle(partial, path)
    except OSError as error:
        said = error.strerror or " ".join(str(error).split())[:200]
        raise Mistake(f"{path} cannot be written ({said}); choose another file with -o") from None
    finally:
        if path.parent.is_dir():
            partial.unlink(missing_ok=True)
    return Exported(path, format, len(seen), difference)


def _check(run: Path, format: str, path: Path) -> None:
    """ValueError if a file of that format cannot be at `path`."""
    suffix = FORMATS[format].suffix
    if path.suffix != suffix:
        raise Mistake(f"file {path}: the format {format} ends in {suffix}; choose another file with -o")
    if not path.parent.is_dir():
        raise Mistake(f"file {path}: {path.parent} is no folder; make it, or choose another file with -o")
    if path.is_dir():
        raise Mistake(f"file {path} is a folder; choose another file with -o")
    if (run / "models").resolve() in path.resolve().parents:
        raise Mistake(f"file {path} would be among the networks of the run; choose another file with -o")
    if format == "onnx":
        check_onnx()


def reference(stats: RunningStats | None, spec: Spec) -> Callable[[Actor, Any], Any]:
    """The policy in JAX, compiled: (actor, observations) -> actions in the environment's units.

    An observation that is not normalised counts as ±1e18, or ±1e12, beyond that, as in every exported form.
    """
    low, high = (jnp.asarray(bound, jnp.float32) for bound in (spec.action_low, spec.action_high))

    @jax.jit
    def policy(actor: Actor, obs: Any) -> Any:
        if stats is None and spec.obs_dtype != "uint8":
            obs = jnp.clip(obs, -largest(actor), largest(actor))
        with jax.default_matmul_precision("highest"):  # an accelerator may round factors to fewer than 32 bits
            unit = actor(flatten_observation(normalise(obs, stats)))
        return low / 2 + high / 2 + unit * (high / 2 - low / 2)  # halves: the range may be too large for 32 bits

    return policy


def observations(spec: Spec, stats: RunningStats | None) -> Shaped[np.ndarray, "b *obs"]:
    """1 064 of them: 1 000 random ones of several scales, and 64 of the largest and smallest numbers there are."""
    random = np.random.default_rng(0)
    if spec.obs_dtype == "uint8":
        usual = random.integers(0, 256, (1_000, *spec.obs_shape))
        shares = np.linspace(0, 1, 64).reshape(-1, *(1,) * len(spec.obs_shape))  # of bytes that are 255; the others 0
        return np.concatenate([usual, 255 * (random.random((64, *spec.obs_shape)) < shares)]).astype(np.uint8)
    mean, deviation = (0.0, 1.0) if stats is None else (stats.mean, np.sqrt(np.asarray(stats.variance) + EPSILON))
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


def compare(
    form: Form, actor: Actor, stats: RunningStats | None, spec: Spec, seen: Shaped[np.ndarray, "b *obs"]
) -> float:
    """The largest difference between what `form` and the policy in JAX answer, as a share of the action's range.

    ValueError, in one line, if rounding does not explain it: if it is more than 1e-5, and more than what the policy
    itself changes by when the last digits of its weights do. Or if an action is beyond its bounds.
    """
    policy, random = reference(stats, spec), np.random.default_rng(1)

    def nudged(leaf: Any) -> Any:
        return leaf * (1 + NUDGE * random.choice(np.array([-1, 1], np.float32), leaf.shape))

    found, expected = np.float64(form(seen)), np.float64(policy(actor, seen))
    low, high = np.array([spec.action_low, spec.action_high], np.float64)
    if found.shape != expected.shape or not ((low <= found) & (found <= high)).all():
        raise Mistake(f"what was written answers beyond the bounds of actions, {ADVICE}")
    changes = [np.abs(np.float64(policy(jax.tree.map(nudged, actor), seen)) - expected) for _ in range(4)]
    digits = 4 * np.finfo(np.float32).eps * np.maximum(np.abs(low), np.abs(high))  # of actions that are far from 0
    difference = np.abs(found - expected) / (high - low)
    if not (difference <= np.maximum(TOLERANCE, (np.max(changes, axis=0) + digits) / (high - low))).all():
        raise Mistake(
            f"what was written differs from the policy by {difference.max():.1e} of the action's range, {ADVICE}"
        )
    return float(difference.max())
