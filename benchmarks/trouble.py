"""Runs in trouble, and their cures: where Q and the actions end, and which warnings came.

    python benchmarks/trouble.py [NAME ...] [--out benchmarks/results/trouble.json] [--table]

Five seeds each on the compiled Pendulum, but for MountainCarContinuous, three: the mean over seeds at the last log
point. `q_bias` is Q minus the discounted return that followed, `saturation` the share of the actions' components beyond
0.99 of their bound, `stuck` the share of dimensions that are at one bound in every state. A result that is there is
kept, unless its name is given. docs/saturation.md has the table.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

OU = {"exploration": "ou"}
LONG = {"steps": 60_000}
SHORT = {"steps": 10_000}
CAR = {"env": "MountainCarContinuous-v0", "preset": "sparse", "seeds": 3, "steps": 30_000}
RUNS: dict[str, dict[str, Any]] = {
    # Q above what rewards allow: noise that keeps its direction.
    "gaussian, as it is": {},
    "gaussian, 60 000 steps": LONG,
    "gaussian of OU's spread": {"exploration.sigma": 0.365},
    "ou": OU,
    "ou, 60 000 steps": OU | LONG,
    "ou, fading": OU | {"exploration.schedule": "linear"},
    "ou, fading, 60 000 steps": OU | LONG | {"exploration.schedule": "linear", "exploration.schedule.steps": 20_000},
    "ou, two critics": OU | {"critics": 2},
    "ou, two critics, 60 000 steps": OU | LONG | {"critics": 2},
    "ou, tau 0.005, 60 000 steps": OU | LONG | {"tau": 0.005},
    "ou, critic.l2 1e-2": OU | {"critic.l2": 1e-2},
    "ou, layer norm": OU | {"critic.block.norm": "layer"},
    "ou, relu critic": OU | {"critic.activation": "relu"},
    # Actions at their bounds.
    "actor.lr 0.1": SHORT | {"actor.lr": 0.1},
    "actor.lr 0.1, layer norm": SHORT | {"actor.lr": 0.1, "actor.block.norm": "layer"},
    "actor.lr 0.1, l2": SHORT | {"actor.lr": 0.1, "actor.l2": 1e-2},
    "actor.lr 1e-3": SHORT | {"actor.lr": 1e-3},
    "weights of std 1": SHORT | {"actor.init": "normal", "actor.init.std": 1.0},
    "weights of std 1, last layer 3e-3": SHORT
    | {"actor.init": "normal", "actor.init.std": 1.0, "actor.final_init": 3e-3},
    "weights of std 1, layer norm": SHORT
    | {"actor.init": "normal", "actor.init.std": 1.0, "actor.block.norm": "layer"},
    "no slow target": SHORT | {"tau": 1.0, "critic.lr": 1e-2},
    "no slow target, tau 0.01": SHORT | {"tau": 0.01, "critic.lr": 1e-2},
    "no slow target, two critics": SHORT | {"tau": 1.0, "critic.lr": 1e-2, "critics": 2},
    "no slow target, target noise": SHORT | {"tau": 1.0, "critic.lr": 1e-2, "smoothing.sigma": 0.2},
    "rewards times 100": SHORT | {"reward_scale": 100.0},
    "rewards times 1000": SHORT | {"reward_scale": 1000.0},
    "car, no l2": CAR | {"actor.l2": 0.0},
    "car, l2 1e-2": CAR,
    "car, no l2, last layer 3e-3": CAR | {"actor.l2": 0.0, "actor.final_init": 3e-3},
    # Other warnings.
    "critic.lr 0.3": SHORT | {"critic.lr": 0.3},
    "critic.lr 0.02, tau 0.5": SHORT | {"critic.lr": 0.02, "tau": 0.5},
    "gamma 0.999, tau 1, elu": SHORT | {"gamma": 0.999, "tau": 1.0, "critic.lr": 1e-2, "critic.activation": "elu"},
    "narrow support": SHORT | {"value": "categorical", "value.low": -20.0, "value.high": 20.0},
}
KEYS = ("return", "q", "q_bias", "saturation", "stuck")


def measure(options: dict[str, Any]) -> dict[str, Any]:
    import ddpg

    chosen = {"env": "Pendulum-v1", "preset": "ddpg", "seeds": 5} | options
    env, preset = chosen.pop("env"), chosen.pop("preset")
    with tempfile.TemporaryDirectory() as folder:
        run = ddpg.train(env, preset=preset, run=Path(folder) / "run", options=chosen, quiet=True)
        last = ddpg.read_metrics(run.path)[-run.config.seeds :]
        texts = json.loads((run.path / "summary.json").read_text()).get("warnings", [])
    ends = {key: round(float(np.mean([record[key] for record in last])), 2) for key in KEYS}
    best = run.summary["best"]["iqm"]
    return ends | {"best": round(best, 1), "warnings": texts, "options": {k: str(v) for k, v in options.items()}}


def table(results: dict[str, Any]) -> str:
    lines = ["| Run | return | best | Q | Q − return | saturated | stuck |", "|---|---:|---:|---:|---:|---:|---:|"]
    for name in RUNS:
        if name in results:
            r = results[name]
            numbers = f"{r['return']:.0f} | {r['best']:.0f} | {r['q']:.3g} | {r['q_bias']:+.3g} | {r['saturation']:.2f}"
            lines.append(f"| {name} | {numbers} | {r['stuck']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", choices=[[], *RUNS])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/trouble.json"))
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    for name, options in RUNS.items():
        if not args.table and (name in args.name if args.name else name not in results):
            results[name] = measure(options)
            print(name, json.dumps(results[name]), flush=True)
            args.out.write_text(json.dumps(results, indent=1) + "\n")
    if args.table:
        print(table(results))


if __name__ == "__main__":
    main()
