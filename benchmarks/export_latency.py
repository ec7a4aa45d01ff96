"""Exported policies beside the policy in JAX: how far their actions differ, and how long one observation takes.

    python benchmarks/export_latency.py [--out benchmarks/results/export.json] [--rounds 100]

`pendulum`: 3 numbers in, 64-64, 1 action. `cheetah`: 17 in, 256-256, 6 actions, normalised. Weights are random: neither
figure depends on what was learned. `difference` is what `ddpg export` prints, the largest over its 1 064 observations
as a share of the action's range. Every form is called on one observation and on 256, on one thread. The forms take
turns in rounds of tens of calls. `us_1` and `us_256` are medians over rounds of a round's mean; `to_jax_1` and
`to_jax_256` of its ratio to the same round of JAX, which what else a shared machine does changes less.

`jax`: the compiled policy, from an observation in NumPy to an action in NumPy. `load`: what `ddpg.load` gives, in
NumPy. `onnx`: onnxruntime. `numpy` and `hdf5`: the reader in docs/export.md, the file read before.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

# Each of them would otherwise take all cores for products that one does sooner; read when they are imported.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NPROC": "1"}

import jax
import jax.numpy as jnp
import numpy as np

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.nets import GreedyPolicy
from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.normaliser import RunningStats
from ddpg.commands.export import FORMATS, compare, observations, reference
from ddpg.records.networks.steps import arrays_of, policy_steps
from ddpg.training.policy import Policy
from ddpg.types import Spec

CALLS = {1: 50, 256: 5}  # of each form a round, by observations a call
JOBS: dict[str, tuple[Spec, tuple[int, ...], bool]] = {
    "pendulum": (Spec((3,), (-2.0,), (2.0,)), (64, 64), False),
    "cheetah": (Spec((17,), (-1.0,) * 6, (1.0,) * 6), (256, 256), True),
}

Form = Callable[[np.ndarray], Any]


def measure(spec: Spec, widths: tuple[int, ...], normalise: bool, rounds: int) -> dict[str, Any]:
    nets = DPG(actor=NetworkConfig(widths=widths)).init(jax.random.key(0), spec).online
    random = np.random.default_rng(0)
    mean, variance = random.normal(size=spec.obs_shape), random.uniform(0.1, 9, spec.obs_shape)
    stats = None
    if normalise:
        stats = RunningStats(jnp.float32(1e5), jnp.asarray(mean, jnp.float32), jnp.asarray(variance, jnp.float32))
    greedy, policy = GreedyPolicy(stats, nets.encoder, nets.actor), Policy(nets, stats, spec)
    compiled, place = reference(spec), jax.device_put(greedy)
    forms: dict[str, Form] = {"jax": lambda obs: np.asarray(compiled(place, obs)), "load": policy}
    with TemporaryDirectory() as folder:
        for name, (suffix, save, load) in FORMATS.items():
            path = Path(folder) / f"policy{suffix}"
            save(path, arrays_of(policy_steps(greedy, spec), spec))
            forms[name] = load(path)
    obs = observations(spec, stats)
    # ddpg.load overflows where exported forms clip, so it is compared on observations far from there.
    usual = obs[np.abs(obs).max(axis=-1) < 1e9]
    said: dict[str, Any] = {
        name: {"difference": compare(form, greedy, spec, usual if name == "load" else obs)}
        for name, form in forms.items()
    }
    for batch, calls in CALLS.items():
        obs = random.normal(size=(batch, *spec.obs_shape)).astype(np.float32)
        times = timed(forms, obs, calls, rounds)
        for name, of_form in times.items():
            ratios = [a / b for a, b in zip(of_form, times["jax"], strict=True)]
            said[name] |= {f"us_{batch}": round(1e6 * median(of_form), 2), f"to_jax_{batch}": round(median(ratios), 3)}
    return said


def timed(forms: dict[str, Form], obs: np.ndarray, calls: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a call of every form, a number for each round."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for i in range(rounds + 1):
        for name, form in forms.items():
            form(obs)  # its data in the cache, as the calls after it find it
            began = perf_counter()
            for _ in range(calls):
                form(obs)
            times[name] += [(perf_counter() - began) / calls] if i else []  # the first round warms up
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/export.json"))
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    result = {
        "command": f"python benchmarks/export_latency.py --rounds {args.rounds}",
        "machine": f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}",
        "versions": {name: version(name) for name in ("jax", "numpy", "onnx", "onnxruntime")},
        **{name: measure(*job, args.rounds) for name, job in JOBS.items()},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    for job in JOBS:
        for name, said in result[job].items():
            print(f"{job:9} {name:6}", " ".join(f"{key} {value:<9.3g}" for key, value in said.items()))


if __name__ == "__main__":
    main()
