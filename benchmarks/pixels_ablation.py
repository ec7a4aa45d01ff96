"""Pendulum from pictures without one part of the preset `pixels` at a time, three seeds each.

    python benchmarks/pixels_ablation.py [NAME ...] [--out benchmarks/results/pixels_ablation.json] [--table]

The gap is the best achievable mean return from 100 fixed starts minus the greedy one from the very same starts; `steps`
are those until a seed's gap is at most 25 for the first time. A result that is there is kept, unless its name is given.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import ddpg
from ddpg.records.plot import curve_of

SEEDS, GAP = 3, 25.0
RUNS: dict[str, dict[str, Any]] = {
    "the preset": {},
    "no random shifts": {"augment": "none"},
    "1-step returns": {"replay.n_step": 1},
    "5-step returns": {"replay.n_step": 5},
    "noise that does not fade": {"exploration.sigma": 0.1, "exploration.schedule": "constant"},
    "target encoder": {"tau_encoder": 0.01},
    "one picture": {"stack": 1},
    "stacks of two": {"stack": 2},
    "learning rates that do not fall": {"actor.schedule": "constant", "critic.schedule": "constant"},
    "no layer norm in the critic": {"critic.block.norm": None},
    "no pre-activation penalty": {"preactivation": 0.0},
    "convolutions": {"encoder": "conv", "encoder.filters": 32, "encoder.kernels": 3, "encoder.strides": "2,2,2"},
}


def measure(options: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        chosen = {"pixels": "drawn", "checkpoint.share": None} | options
        run = ddpg.train(preset="pixels", seeds=SEEDS, run=f"{folder}/run", options=chosen)
        if run.interrupted:
            raise SystemExit("stopped; nothing of it is kept")
        curve = curve_of(ddpg.read_metrics(run.path), "")
    gaps = run.summary["optimum"] - curve.returns
    reached = [int(curve.steps[below[0]]) if len(below := np.flatnonzero(row <= GAP)) else None for row in gaps]
    each = np.round(gaps, 1)
    return {
        "options": {path: str(value) for path, value in options.items()},
        "steps": reached,
        "last_gaps": each[:, -1].tolist(),
        "curve": {"steps": curve.steps.tolist(), "gaps": each.tolist()},
    }


def table(results: dict[str, Any]) -> str:
    lines = ["| Run | gap at the end, each seed | mean | steps until 25, each seed |", "|---|---:|---:|---:|"]
    for name in RUNS:
        if name in results:
            gaps, steps = results[name]["last_gaps"], results[name]["steps"]
            each = ", ".join(f"{gap:.1f}" for gap in gaps)
            reached = ", ".join("–" if step is None else f"{step:,}".replace(",", " ") for step in steps)
            lines.append(f"| {name} | {each} | {np.mean(gaps):.1f} | {reached} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", choices=[[], *RUNS])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pixels_ablation.json"))
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    for name, options in RUNS.items():
        if not args.table and (name in args.name if args.name else name not in results):
            results[name] = measure(options)
            print(name, json.dumps({k: v for k, v in results[name].items() if k != "curve"}), flush=True)
            args.out.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
