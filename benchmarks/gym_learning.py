"""Learning in Gymnasium's environments: several seeds each, greedy, as JSON and learning curves.

    python benchmarks/gym_learning.py [NAME ...] [--out benchmarks/results] [--runs DIR]

Every job is one `ddpg train` with the options named in its result. `--runs` keeps the run folders in DIR, and takes a
finished one that is there instead of training again. Needs the extra `mujoco`, and gymnasium[box2d] for its names.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import ddpg
from ddpg import load_config, read_metrics
from ddpg.records.plot import curve_of, learning_curve
from ddpg.records.statistics import interval, iqm

JOBS: dict[str, tuple[str, str, int, int, dict[str, str]]] = {  # name -> environment, preset, steps, seeds, options
    "pendulum": ("gym:Pendulum-v1", "ddpg", 20_000, 10, {"eval.every": "5000", "eval.episodes": "100"}),
    "inverted-pendulum": ("InvertedPendulum-v5", "ddpg", 30_000, 3, {}),
    "mountain-car": ("MountainCarContinuous-v0", "sparse", 60_000, 5, {}),
    "half-cheetah": ("HalfCheetah-v5", "mujoco", 100_000, 3, {"collect.steps": "50"}),
    "lunar-lander": (
        "LunarLanderContinuous-v3",
        "td3",
        200_000,
        3,
        {"collect.warmup": "10000", "exploration": "pink", "exploration.sigma": "0.3"},  # as ddpg doctor advises
    ),
}


def measure(name: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    env, preset, steps, seeds, options = JOBS[name]
    if not (folder / "summary.json").exists():
        ddpg.train(env, preset=preset, steps=steps, seeds=seeds, run=folder, options=options)
    config, summary = load_config(folder), json.loads((folder / "summary.json").read_text())
    assert (config.env, config.preset, config.steps, config.seeds) == (env, preset, steps, seeds), folder
    curve = curve_of(read_metrics(folder), f"{env} · {preset}")
    low, high = interval(curve.returns)
    points = {
        str(int(step)): {
            "iqm": float(iqm(curve.returns[:, i])),
            "interval": [float(low[i]), float(high[i])],
            "all": [round(float(each), 2) for each in curve.returns[:, i]],
        }
        for i, step in enumerate(curve.steps)
        if np.isfinite(curve.returns[:, i]).all()
    }
    said = {"env": env, "preset": preset, "options": options, "seeds": seeds, "episodes": config.eval.episodes}
    said |= {key: summary[key] for key in ("optimum", "steps_per_second", "wall_seconds") if key in summary}
    return curve, said | {"return": points}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--runs", type=Path)
    args = parser.parse_args()
    file = args.out / "gym.json"
    result = json.loads(file.read_text()) if file.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.names or JOBS:
            curve, said = measure(name, (args.runs or Path(temporary)) / name)
            result[name] = {"command": f"python benchmarks/gym_learning.py {name}"} | said
            file.write_text(json.dumps(result, indent=2) + "\n")
            learning_curve([curve], args.out / f"gym_{name}.png", curve.label, said.get("optimum"))
            last = list(said["return"].values())[-1]
            print(f"{name}: {last['iqm']:.1f} {np.round(last['interval'], 1)}, all {last['all']}", flush=True)


if __name__ == "__main__":
    main()
