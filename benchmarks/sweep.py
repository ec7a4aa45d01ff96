"""What a sweep finds from a bad preset on Pendulum, what it costs, and that a kill changes nothing.

    python benchmarks/sweep.py [--trials 25] [--steps 5000] [--seeds 3] [--out benchmarks/results/sweep.json]

The preset is `ddpg` with five numbers that are wrong by a factor of ten or so; the space is the built-in one.

1. The sweep, killed (kill -9) after ten trials and gone on with; and the same, undisturbed. Are their tables equal?
2. The first trials again, with numbers as constants in the programs, as each training had them before: seconds per
   trial, of the clock and of the processor. Every sweep begins with an empty cache of programs.
3. Environment steps per second of a compiled training (benchmarks/speed.py) with inputs and with constants, in turn.
4. Ten fresh seeds of the preset that was found, and of the bad one.
5. Sixteen trials of one seed and 10 000 steps: one after the other, two at once in processes of Ray, and as a
   population of two and of eight. Seconds, with a cache that has the programs; are the tables of two at once equal?
   `--side-by-side` does this part alone.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from statistics import median
from typing import Any

ENV, FRESH = "Pendulum-v1", 1000
BAD = {"actor.lr": 1e-5, "critic.lr": 2e-4, "tau": 0.5, "gamma": 0.6, "exploration.sigma": 0.02}
# Before any module has taken `split` by its name.
CONSTANTS = """
import sys
import numpy as np
import ddpg.hyperparameters as hyperparameters
hyperparameters.split = lambda part: (part, np.zeros(0, np.float32))
"""


def bad_preset(path: Path) -> None:
    from ddpg.config.file import write_config
    from ddpg.config.presets import PRESETS
    from ddpg.config.reading import override

    write_config(replace(override(PRESETS["ddpg"], BAD), steps=20_000), path)


def command(args: argparse.Namespace, folder: Path, preset: Path, trials: int) -> list[str]:
    words = f"sweep {ENV} --trials {trials} --steps {args.steps} --seeds {args.seeds} --quiet".split()
    return [*words, "--preset", str(preset), "-o", str(folder)]


def begin(words: list[str], constants: bool = False) -> subprocess.Popen[bytes]:
    """`ddpg` in a process of its own, with a cache of programs of its own."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": tempfile.mkdtemp(prefix="cache-")}
    code = f"{CONSTANTS if constants else 'import sys'}\nfrom ddpg.cli import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment)


def timed(words: list[str], constants: bool = False) -> dict[str, float]:
    """Seconds of a whole command, of the clock and of the processor."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    assert begin(words, constants).wait() == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - began, "processor_seconds": processor}


def rows(folder: Path) -> list[dict[str, str]]:
    """The table of a sweep."""
    path = folder / "trials.csv"
    return list(csv.DictReader(path.open())) if path.exists() else []


def untimed(folder: Path) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows(folder)]


def killed(words: list[str], folder: Path, after: int) -> None:
    """The command, killed in the middle of the trial that follows so many."""
    process = begin(words)
    while len(rows(folder)) < after:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    time.sleep(median(float(row["seconds"]) for row in rows(folder)) / 2)
    process.kill()
    process.wait()


def fresh(preset: Path, steps: int, folder: Path) -> dict[str, Any]:
    """The last returns of ten seeds that no trial has had."""
    words = f"train {ENV} --preset {preset} --steps {steps} --seed {FRESH} --seeds 10 --run {folder} --quiet".split()
    assert begin(words).wait() == 0
    summary = json.loads((folder / "summary.json").read_text())
    names = ("iqm", "ci_low", "ci_high", "returns", "optimum", "gap_to_optimum")
    return {name: summary[name] for name in names}


def speed(repeats: int) -> dict[str, list[float]]:
    """Steps per second of one seed, with inputs and with constants, one after the other."""
    rates: dict[str, list[float]] = {"inputs": [], "constants": []}
    here = str(Path(__file__).parent)
    code = f"import json, sys\nsys.path.insert(0, {here!r})\nfrom speed import worker\nprint(json.dumps(worker(1)))"
    for _ in range(repeats):
        for name, of_name in rates.items():
            source = f"{CONSTANTS if name == 'constants' else ''}\n{code}"
            said = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True).stdout
            of_name.append(json.loads(said)["steps_per_second"])
            print(name, round(of_name[-1]), flush=True)
    return rates


WAYS = {"one by one": "", "jobs 2": "--jobs 2", "population 2": "--population 2", "population 8": "--population 8"}


def side_by_side(root: Path, trials: int = 16, steps: int = 10_000, repeats: int = 3) -> dict[str, Any]:
    """Seconds of each way, in turn; the first round fills the cache and does not count."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(root / "cache")}
    seconds, tables = dict[str, list[float]](), dict[str, Any]()
    for i in range(repeats + 1):
        for name, options in WAYS.items():
            folder = root / f"{name}-{i}"
            words = f"sweep {ENV} --trials {trials} --steps {steps} --seeds 1 --quiet {options} -o".split()
            began = time.perf_counter()
            subprocess.run([sys.executable, "-m", "ddpg", *words, str(folder)], env=os.environ | cache, check=True)
            if i:
                seconds.setdefault(name, []).append(time.perf_counter() - began)
            tables[name] = untimed(folder)
            print(name, seconds.get(name), flush=True)
    equal = tables["jobs 2"] == tables["population 2"]
    return {"trials": trials, "steps": steps, "seconds": seconds, "two_at_once_equal": equal}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/sweep.json"))
    parser.add_argument("--figure", type=Path, default=Path("docs/images/sweep.png"))
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--compared", type=int, default=5, help="trials with constants")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--side-by-side", action="store_true", help="do the fifth part alone")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="sweep-"))
    if args.side_by_side:
        result = json.loads(args.out.read_text()) | {"side_by_side": side_by_side(root)}
        args.out.write_text(json.dumps(result, indent=2) + "\n")
        return
    bad = root / "bad.json"
    bad_preset(bad)

    disturbed, whole, constant = root / "killed", root / "whole", root / "constants"
    kill_at = min(10, args.trials - 1)
    killed(command(args, disturbed, bad, args.trials), disturbed, kill_at)
    print("killed after", len(rows(disturbed)), "trials", flush=True)
    timed(command(args, disturbed, bad, args.trials))
    shared = timed(command(args, whole, bad, args.trials))
    equal = untimed(disturbed) == untimed(whole)
    print("equal after the kill:", equal, flush=True)

    first = timed(command(args, root / "first", bad, args.compared))
    constants = timed(command(args, constant, bad, args.compared), constants=True)
    per_trial = {
        name: [float(row["seconds"]) for row in rows(folder)]
        for name, folder in (("inputs", root / "first"), ("constants", constant))
    }
    print("seconds per trial:", per_trial, flush=True)

    found = whole / "preset.json"
    best = max((row for row in rows(whole) if row["state"] == "whole"), key=lambda row: float(row["value"]))
    result = {
        "command": f"python benchmarks/sweep.py --trials {args.trials} --steps {args.steps} --seeds {args.seeds}",
        "bad": BAD,
        "best": best,
        "states": {
            state: sum(row["state"] == state for row in rows(whole)) for state in ("whole", "pruned", "diverged")
        },
        "equal_after_kill": equal,
        "killed_after": kill_at,
        "whole_sweep": shared,
        "compared_trials": args.compared,
        "with_inputs": first,
        "with_constants": constants,
        "seconds_per_trial": per_trial,
        "same_values": [a["value"] == b["value"] for a, b in zip(rows(root / "first"), rows(constant), strict=True)],
        "fresh_seeds": {"found": fresh(found, args.steps, root / "fresh"), "bad": fresh(bad, args.steps, root / "bad")},
        "steps_per_second": speed(args.repeats),
        "side_by_side": side_by_side(root),
        "trials": rows(whole),
    }
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    copyfile(whole / "sweep.png", args.figure)
    print(json.dumps({name: value for name, value in result.items() if name != "trials"}, indent=2))


if __name__ == "__main__":
    main()
