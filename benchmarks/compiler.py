"""What the compiler's options, our ELU and our products are worth on a processor: time per update beside that without.

    taskset -c 1 python benchmarks/compiler.py [--rounds 7] [--out benchmarks/results/compiler.json] [--table]

The learner alone, as in `parts.py`, on one core. All variants of a preset alternate in one process, and a ratio is the
median over the rounds. `both` are the options of `ddpg.training.devices.ON_CPU`; with both of them, `jax.nn.elu` is
in place of ours, and `plain products` are those that XLA makes of x W and of critics that share their input.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import jax
from parts import updating

from ddpg.algorithm import layers
from ddpg.algorithm.networks import Critic
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.training import devices

NAMES = {"ddpg": 2_000, "mujoco": 100, "td3_plus": 200, "td7_plus": 50}  # presets, and updates a round
OPTIONS = dict(devices.ON_CPU)
OWN = Critic._over_members
VARIANTS: dict[str, dict[str, int | bool]] = {
    "none": {},
    **{name.removeprefix("xla_cpu_"): {name: value} for name, value in OPTIONS.items()},
    "both": OPTIONS,
    "both, jax.nn.elu": OPTIONS,
    "both, plain products": OPTIONS,
}


def shared(critic: Critic, member: Callable[..., Any], *inputs: Any) -> Any:
    """`Critic._over_members` of members that share their inputs."""
    return OWN(critic, lambda layers: member(layers, *inputs))


def without(name: str) -> list[AbstractContextManager[Any]]:
    """What a variant has in place of ours."""
    if "elu" in name:
        return [patch.dict(layers.ACTIVATIONS, elu=jax.nn.elu)]
    if "products" in name:
        return [patch.object(layers, "product", lambda x, w: x.dot(w)), patch.object(Critic, "_over_members", shared)]
    return []


def measure(preset: str, updates: int, rounds: int) -> dict[str, Any]:
    """Microseconds of an update by variant, and ratios to that without options."""
    sides = {}
    for name, options in VARIANTS.items():
        with ExitStack() as patches:
            for each in [patch.object(devices, "ON_CPU", options), *without(name)]:
                patches.enter_context(each)
            sides[name] = updating(override(PRESETS[preset], {"replay.capacity": 100_000}), False, updates)
    times = {name: list[float]() for name in sides}
    for _ in range(rounds):
        for name, once in sides.items():
            times[name].append(once())
    plain = times["none"]
    return {
        name: {
            "microseconds": round(1e6 * median(each), 1),
            "ratio": round(median(a / b for a, b in zip(each, plain, strict=True)), 3),
        }
        for name, each in times.items()
    }


def table(result: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [("preset", "µs without options", *(f"`{name}`" for name in list(VARIANTS)[1:]))]
    rows.append(("---",) * len(rows[0]))
    for preset, said in result["presets"].items():
        plain, *others = said.values()
        rows.append((f"`{preset}`", f"{plain['microseconds']:.0f}", *(f"{each['ratio']:.2f}" for each in others)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/compiler.json"))
    parser.add_argument("--table", action="store_true", help="print the result in Markdown, and measure nothing")
    args = parser.parse_args()
    if args.table:
        print(table(json.loads(args.out.read_text())))
        return
    os.environ["NPROC"] = "1"
    devices.configure_jax(1, 0.0)
    result = {
        "command": f"taskset -c 1 python benchmarks/compiler.py --rounds {args.rounds}",
        "machine": f"{platform.machine()}, Python {platform.python_version()}, JAX {jax.__version__}",
        "presets": {name: measure(name, updates, args.rounds) for name, updates in NAMES.items()},
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
