"""Another checkout of this project beside this one: speed, and how long a run takes from start to end, in pairs.

    git worktree add ../before COMMIT && python -m venv ../venv && ../venv/bin/pip install ../before 'gymnasium[mujoco]'
    python benchmarks/before.py ../before ../venv/bin/python [--pairs 5] [--out FILE]

Each side runs its own `speed.py` and `host_speed.py`, which print microseconds or steps per second, and `ddpg train
--quiet` with an empty and with a full cache of compiled programs. Sides alternate, each measurement is a process of its
own, and a ratio is of the two of a pair: time before divided by time now.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

HERE = Path(__file__).resolve().parents[1]
WORKERS: dict[str, tuple[list[str], str, bool]] = {  # script and its arguments, what it prints, whether that is a speed
    "64-64, one seed": (["speed.py", "--worker", "1"], "steps_per_second", True),
    "64-64, eight seeds": (["speed.py", "--worker", "8"], "steps_per_second", True),
    "Gymnasium's Pendulum": (["host_speed.py", "--worker", "pendulum"], "host_us", False),
    "HalfCheetah-v5": (["host_speed.py", "--worker", "cheetah"], "host_us", False),
    "256-256, updates alone": (["host_speed.py", "--worker", "cheetah"], "updates_us", False),
}
STARTS = ("20 000 steps, empty cache", "20 000 steps, full cache")


def environment(checkout: Path, cache: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout / "src"), "XDG_CACHE_HOME": cache, "MPLBACKEND": "Agg"}


def measured(python: str, checkout: Path, cache: str) -> dict[str, float]:
    """Of every script once: microseconds a step of all seeds, and seconds of two runs."""
    said, seen = dict[str, float](), dict[tuple[str, ...], dict[str, float]]()
    for name, (arguments, key, speed) in WORKERS.items():
        if tuple(arguments) not in seen:
            script, *rest = arguments
            command = [python, str(checkout / "benchmarks" / script), *rest]
            out = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=environment(checkout, cache)
            )
            seen[tuple(arguments)] = json.loads(out.stdout.splitlines()[-1])
        value = seen[tuple(arguments)][key]
        said[name] = 1e6 / value if speed else value
    with tempfile.TemporaryDirectory() as elsewhere:
        for name in STARTS:
            began = perf_counter()
            command = [python, "-m", "ddpg", "train", "--quiet"]
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, cwd=elsewhere, env=environment(checkout, elsewhere)
            )
            said[name] = perf_counter() - began
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("python")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/before.json"))
    args = parser.parse_args()
    sides = {"before": args.before.resolve(), "now": HERE}
    pythons = {"before": os.path.abspath(args.python), "now": sys.executable}
    pairs = list[dict[str, dict[str, float]]]()
    commits = {
        side: subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=checkout, text=True).strip()
        for side, checkout in sides.items()
    }
    with tempfile.TemporaryDirectory() as caches:
        for i in range(args.pairs):
            order = list(sides)[:: -1 if i % 2 else 1]
            pairs.append({side: measured(pythons[side], sides[side], f"{caches}/{side}") for side in order})
            print(pairs[-1], flush=True)
    what: dict[str, Any] = {}
    for name in pairs[0]["now"]:
        ratios = [pair["before"][name] / pair["now"][name] for pair in pairs]
        times = {side: median(pair[side][name] for pair in pairs) for side in sides}
        what[name] = times | {"ratio": median(ratios), "ratios": ratios}
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    command = f"python benchmarks/before.py BEFORE PYTHON --pairs {args.pairs}"
    result = {"command": command, "machine": machine, **commits}
    args.out.write_text(json.dumps(result | {"what": what}, indent=1) + "\n")
    print("| what | before | now | times faster, median | all |\n| --- | --- | --- | --- | --- |")
    for name, of in what.items():
        every = " · ".join(f"{ratio:.2f}" for ratio in of["ratios"])
        print(f"| {name} | {of['before']:.3g} | {of['now']:.3g} | {of['ratio']:.2f} | {every} |")


if __name__ == "__main__":
    main()
