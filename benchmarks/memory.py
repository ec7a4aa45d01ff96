"""Replays of pictures: the memory of a run that fills one, and the time and size of its checkpoints.

    python benchmarks/memory.py [--share 1.0] [--out benchmarks/results/memory.json]

Pendulum draws itself and acts at random until the replay is full, and a checkpoint is written ten times on the way.
`resident` is the most memory that the process had, of which `without` is that of the same run with a replay of 1 000;
`resumed_bytes` and `resumed_seconds` are those of `ddpg resume` for ten more steps. `share` makes replays smaller.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPLAYS = {"84 x 84 x 3": (100_000, ["--pixels.size=84", "--pixels.colour=true"]), "48 x 48": (1_000_000, [])}
PROGRAM = """
import resource, sys
from ddpg.cli import main
status = main(sys.argv[1:])
print("resident", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
sys.exit(status)
"""


def run(folder: Path, steps: int, capacity: int, options: list[str]) -> tuple[int, str]:
    """A run, as `called`."""
    words = ["train", "--pixels", f"--steps={steps}", f"--replay.capacity={capacity}", f"--collect.warmup={steps - 10}"]
    words += ["--eval.episodes=0", f"--eval.every={steps // 10}", f"--checkpoint.every={steps // 10}"]
    words += ["--checkpoint.share=none", f"--run={folder}", *options]
    return called(words)


def called(words: list[str]) -> tuple[int, str]:
    """The most memory that the process had, in bytes, and its lines."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    return int(done.stdout.split("resident ")[1]), done.stderr


def measure(capacity: int, options: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        without, _ = run(Path(name) / "small", 1_000, 1_000, options)
        resident, lines = run(Path(name) / "run", capacity, capacity, options)
        written = re.findall(r"checkpoint of step ([\d,]+): ([\d,.]+) MB in ([\d.]+) s", lines)
        disk = sum(path.stat().st_size for path in (Path(name) / "run" / "checkpoints").rglob("*"))
        began = time.perf_counter()
        resumed, _ = called(["resume", str(Path(name) / "run"), f"--steps={capacity + 10}"])
        return {
            "steps": capacity,
            "resident_bytes": resident,
            "without_bytes": without,
            "replay_bytes": resident - without,
            "checkpoints": [
                {"step": int(step.replace(",", "")), "megabytes": float(size.replace(",", "")), "seconds": float(took)}
                for step, size, took in written
            ],
            "disk_bytes": disk,
            "resumed_bytes": resumed,
            "resumed_seconds": round(time.perf_counter() - began, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/memory.json"))
    args = parser.parse_args()
    result: dict[str, Any] = {"command": "python benchmarks/memory.py"}
    for name, (capacity, options) in REPLAYS.items():
        result[name] = measure(int(args.share * capacity), options)
        print(name, json.dumps(result[name]), flush=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
