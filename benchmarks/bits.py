"""Are the networks of two versions of ddpg the same, bit for bit? Every preset, both drivers, two seeds.

    python benchmarks/bits.py train DIR       in each version's checkout, on one machine
    python benchmarks/bits.py compare DIR DIR

`train` trains every preset for a few hundred updates, on the compiled Pendulum and on Gymnasium's, and writes the
networks of the last checkpoint. `compare` prints one row per preset and driver. Only the largest sizes are reduced.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

SMALL: dict[str, dict[str, Any]] = {
    "simba": {"actor.widths": (64,), "critic.widths": (64, 64)},
    "fasttd3": {"actor.widths": (64, 32), "critic.widths": (64, 32), "collect.envs": 8},
    "drqv2": {"pixels.size": 16, "encoder.filters": (8, 8, 8, 8), "actor.widths": (32,), "critic.widths": (32,)},
    "lillicrap-pixels": {"pixels.size": 16},
}
COMMON = {"eval.every": 300, "eval.episodes": 2, "collect.warmup": 600, "collect.learning_starts": 600}
COMMON |= {"replay.capacity": 4096, "replay.batch": 64}
STEPS = {"fasttd3": 2400}  # updates: twice as many steps as the others make, divided by 8 environments


def train(folder: Path) -> None:
    import jax

    import ddpg

    for preset in ddpg.PRESETS:
        goals = ddpg.PRESETS[preset].replay.relabels
        for env in ("jax:PointGoal-v0",) if goals else ("Pendulum-v1", "gym:Pendulum-v1"):
            run = folder / f"{preset}-{env[:3]}"
            if (arrays_file := run.with_suffix(".npz")).exists():  # of an earlier call
                continue
            options = COMMON | SMALL.get(preset, {})
            ddpg.train(env, preset=preset, steps=STEPS.get(preset, 900), seed=3, seeds=2, run=run, options=options)
            (checkpoint,) = sorted(run.glob("checkpoints/*.safetensors"))[-1:]
            found = load_file(checkpoint).items()
            agents = {name.rpartition(".agent.")[2]: x for name, x in found if ".agent." in name}
            networks = {name: x for name, x in agents.items() if name.startswith(("online", "target"))}
            arrays: dict[str, Any] = networks | {"preset": np.array(preset)}
            np.savez(arrays_file, **arrays)
            jax.clear_caches()  # else the process runs out of memory maps, after some thirty trainings


def compare(one: Path, other: Path) -> int:
    rows, unequal = ["| preset | driver | arrays | equal | largest difference |", "|---|---|---|---|---|"], 0
    for path in sorted(one.glob("*.npz")):
        with np.load(path) as a, np.load(other / path.name) as b:
            names, there = set(a.files) - {"preset"}, set(b.files) - {"preset"}
            assert names == there, sorted(names ^ there)
            equal = sum(a[name].tobytes() == b[name].tobytes() for name in names)
            largest = max(float(np.abs(a[name] - b[name]).max(initial=0)) for name in names)
            driver = "host" if path.stem.endswith("-gym") else "scan"
            rows.append(f"| {b['preset']} | {driver} | {len(names)} | {equal} | {largest:.3g} |")
            unequal += equal < len(names)
    print("\n".join(rows))
    return unequal


if __name__ == "__main__":
    command, *folders = sys.argv[1:]
    if command == "train":
        train(Path(folders[0]))
    else:
        sys.exit(compare(*map(Path, folders)) > 0)
