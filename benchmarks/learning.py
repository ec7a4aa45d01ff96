"""Ten seeds of each setting on Pendulum-v1, greedy on 100 fixed starts: gaps to the optimum, as JSON and PNG.

    python benchmarks/learning.py [NAME ...] [--out benchmarks/results] [--seeds 10]

Every gap is against the best achievable return from the very same starts. Intervals are 95 % bootstrap intervals of
the interquartile mean over seeds.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import ddpg
from ddpg import read_metrics
from ddpg.records.plot import Curve, curve_of, learning_curve
from ddpg.records.statistics import interval, iqm

SETTINGS: dict[str, tuple[str, dict[str, str]]] = {  # name -> preset, options
    "ddpg": ("ddpg", {}),
    "ddpg, OU noise": ("ddpg", {"exploration": "ou"}),
    "article": ("article", {}),
    "article, no decay": ("article", {"exploration.schedule": "constant"}),
    "article, 200 steps then 25 updates": ("article", {"collect.steps": "200", "collect.updates": "25"}),
    "lillicrap": ("lillicrap", {}),
}
FIGURES = {"ddpg": ["ddpg", "ddpg, OU noise"], "article": [name for name in SETTINGS if name.startswith("article")]}


def measure(name: str, seeds: int, steps: int) -> tuple[Curve, dict[str, Any]]:
    preset, options = SETTINGS[name]
    with tempfile.TemporaryDirectory() as folder:
        run = ddpg.train(preset=preset, steps=steps, seeds=seeds, run=f"{folder}/run", options=options)
        curve = curve_of(read_metrics(run.path), name)
    optimum = run.summary["optimum"]
    gaps = optimum - curve.returns
    low, high = interval(gaps)
    points = {
        str(step): {
            "iqm": float(iqm(gaps[:, i])),
            "interval": [float(low[i]), float(high[i])],
            "worst": float(gaps[:, i].max()),
            "all": [round(float(gap), 2) for gap in gaps[:, i]],
        }
        for i, step in enumerate(curve.steps)
        if step % 5_000 == 0
    }
    return curve, {
        "preset": preset,
        "options": options,
        "seeds": seeds,
        "steps": steps,
        "optimum": optimum,
        "gap": points,
        "wall_seconds": run.summary["wall_seconds"],
        "steps_per_second": run.summary["steps_per_second"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SETTINGS), metavar="NAME", help=", ".join(SETTINGS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20_000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "pendulum.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results["command"] = "python benchmarks/learning.py"
    curves: dict[str, Curve] = {}
    for name in args.names:
        curves[name], results[name] = measure(name, args.seeds, args.steps)
        last = results[name]["gap"][str(args.steps)]
        print(f"{name}: gap {last['iqm']:.1f} {np.round(last['interval'], 1)}, worst {last['worst']:.1f}", flush=True)
        path.write_text(json.dumps(results, indent=1) + "\n")
    for figure, names in FIGURES.items():
        drawn = [curves[name] for name in names if name in curves]
        if drawn:
            title = f"Pendulum-v1, {args.seeds} seeds, greedy on 100 fixed starts"
            learning_curve(drawn, args.out / f"pendulum_{figure}.png", title, results[names[0]]["optimum"])


if __name__ == "__main__":
    main()
