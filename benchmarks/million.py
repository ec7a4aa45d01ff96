"""Does a long run stay as fast and as small as it began? Speed and memory every 50 000 of a million steps.

    python benchmarks/million.py [--steps 1000000] [--out benchmarks/results/million.json] [--table]

Preset `ddpg`, one seed, on the compiled Pendulum and on Gymnasium's, each in a process of its own, with evaluations,
checkpoints, the log and TensorBoard as every run has them. `rate` is that of acting and learning since the last log
point, `resident` the resident set at the log point.
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

import ddpg
from ddpg.records.observer import LogPoint

POINTS = 20
ENVIRONMENTS = ("Pendulum-v1", "gym:Pendulum-v1")


def resident_mb() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def worker(env: str, steps: int) -> None:
    """Print the points of one run as JSON."""
    points = list[dict[str, float]]()

    def record(point: LogPoint) -> None:
        points.append({"step": point["step"], "rate": point["steps_per_second"], "resident": resident_mb()})

    with tempfile.TemporaryDirectory() as folder:
        options = {"eval.every": steps // POINTS, "eval.episodes": 10, "replay.capacity": steps}
        run = ddpg.train(env, steps=steps, run=Path(folder) / "run", options=options, observers=[record], quiet=True)
        print(json.dumps({"points": points, "return": run.summary["mean"]}))


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/million.json"))
    parser.add_argument("--table", action="store_true", help="print the table of an earlier call")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.steps)
        return
    if not args.table:
        result: dict[str, object] = {"steps": args.steps, "cores": os.cpu_count(), "machine": platform.machine()}
        for env in ENVIRONMENTS:
            words = [sys.executable, __file__, "--worker", env, "--steps", str(args.steps)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            result[env] = json.loads(done.stdout.splitlines()[-1])
        args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(table(json.loads(args.out.read_text())))


def table(result: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Fifths of each run: the first has the warm-up and the allocations."""
    rows = ["| environment | steps/s, by fifths of the run | MB at their ends |", "| --- | --- | --- |"]
    for env in ENVIRONMENTS:
        points, fifth = result[env]["points"], POINTS // 5
        parts = [points[i : i + fifth] for i in range(0, len(points), fifth)]
        rates = " · ".join(f"{median(point['rate'] for point in part):,.0f}" for part in parts)
        sizes = " · ".join(f"{part[-1]['resident']:,.0f}" for part in parts)
        rows.append(f"| {env} | {rates} | {sizes} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
