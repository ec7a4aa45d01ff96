"""How the preset `td3_plus` was chosen: parts added to TD3 on MuJoCo's robots, 150 000 steps, one seed each.

    python benchmarks/td3_plus.py [ROW ...] [--runs runs/td3_plus] [--jobs 2] [--collect] [--table]

Every row is the preset `td3` with the options that it has here. One seed says little of one robot; a row is judged over
the robots together, and what was chosen is measured anew with other seeds by `mujoco_learning.py`, two of which, seed 0
of HalfCheetah and of Hopper, were looked at before the choice as well. A run is evaluated every 25 000 steps by ten
greedy episodes; what counts is the mean of the evaluations from 100 000 on, since one alone can meet a bad moment.
Folders and cores are as those of `mujoco_learning.py`.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mujoco_learning import current, finished, planned, refuse, rounded, train

from ddpg import load_config, read_metrics
from ddpg.records.plot import curve_of

STEPS, SEED, EVERY, LATE = 150_000, 7, 25_000, 100_000  # the seed is none of those of mujoco_learning.py
ROBOTS = ("HalfCheetah-v5", "Walker2d-v5", "Ant-v5")
NETWORKS = {"actor.widths": "256,256", "critic.widths": "256,256", "replay.batch": "128", "collect.warmup": "5000"}
NORM = {"critic.block.norm": "layer"}
LAP = {
    "value.huber": "1",
    "replay.sampling": "prioritised",
    "replay.sampling.alpha": "0.4",
    "replay.sampling.beta": "0",
    "replay.sampling.anneal": "0",
    "replay.sampling.floor": "1",
}
BOTH = NETWORKS | NORM | LAP
SMOOTH = {"critic.activation": "elu"}
TRIPLE = BOTH | SMOOTH
TWICE = {"collect.updates": "2"}  # a step
HALVES = TWICE | {"replay.batch": "64"}  # as many transitions a step as one update of 128
CHOSEN = TRIPLE | HALVES
BLOCKS = {
    "actor.block": "residual",
    "actor.widths": "64",
    "actor.weight_decay": "0.01",
    "critic.block": "residual",
    "critic.widths": "128",
    "critic.weight_decay": "0.01",
}
SLOW = {"actor.lr": "3e-4", "critic.lr": "3e-4"}
ROWS: dict[str, dict[str, str]] = {
    "256-256, batch 128": NETWORKS,
    "layer norm": NETWORKS | NORM,
    "LAP": NETWORKS | LAP,
    "ELU": NETWORKS | SMOOTH,
    "layer norm, LAP": BOTH,
    "layer norm, ELU": NETWORKS | NORM | SMOOTH,
    "LAP, ELU": NETWORKS | LAP | SMOOTH,
    "layer norm, LAP, ELU": TRIPLE,
    "layer norm, LAP, ELU, two updates of 64": CHOSEN,
    "two updates of 64": NETWORKS | HALVES,
    "LAP, ELU, two updates of 64": NETWORKS | LAP | SMOOTH | HALVES,
    "layer norm, ELU, two updates of 64": NETWORKS | NORM | SMOOTH | HALVES,
    "layer norm, LAP, two updates of 64": BOTH | HALVES,
    "layer norm, LAP, ELU, one critic": TRIPLE | {"critics": "1"},
    "layer norm, LAP, ELU, one critic, two updates": TRIPLE | {"critics": "1"} | TWICE,
    "layer norm, n-step 3": NETWORKS | NORM | {"replay.n_step": "3"},
    "layer norm, two updates": NETWORKS | NORM | TWICE,
    "layer norm, LAP, two updates": BOTH | TWICE,
    "layer norm, LAP, delay 1": BOTH | {"policy_delay": "1"},
    "layer norm, LAP, rates 3e-4": BOTH | SLOW,
    "layer norm, LAP, rates 3e-4, two updates": BOTH | SLOW | TWICE,
    "layer norm, LAP, normalised observations": BOTH | {"normalise": "true"},
    "residual blocks of 64 and 128, decay, normalised observations": NETWORKS | BLOCKS | {"normalise": "true"},
}


class Trial(NamedTuple):
    row: str
    env: str

    def folder(self, runs: Path) -> Path:
        return runs / self.row.replace(",", "").replace(" ", "-") / self.env / f"seed-{SEED}"

    def command(self, runs: Path, every: int = EVERY) -> list[str]:
        options: dict[str, Any] = {"--preset": "td3", "--steps": STEPS, "--seed": SEED, "--run": self.folder(runs)}
        options |= {"--eval-every": every, "--checkpoint.share": "none"}
        options |= {f"--{path}": value for path, value in ROWS[self.row].items()}
        return ["ddpg", "train", self.env, *(str(word) for option in options.items() for word in option)]

    def options(self) -> dict[str, Any]:
        """All that the row trains with now."""
        return planned("td3", self.env, {"steps": STEPS, **ROWS[self.row]})


def measured(trial: Trial, runs: Path) -> dict[str, Any]:
    """The curve of a finished run."""
    folder = trial.folder(runs)
    config = load_config(folder)
    assert config.seed == SEED, folder
    curve = curve_of(read_metrics(folder), trial.row)
    return {
        "command": " ".join(trial.command(Path("RUNS"), config.eval.every)),
        "options": trial.options(),
        "steps": curve.steps.tolist(),
        "returns": [rounded(x) for x in curve.returns[0]],
        "last": rounded(curve.returns[0, curve.steps >= LATE].mean()),
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    head = ("added to TD3", *ROBOTS, "geometric mean beside the first row")
    lines = [head, ("---",) * len(head)]
    first = rows.get(next(iter(ROWS)), {})
    for name, of_row in rows.items():
        said = [f"{of_row[env]['last']:.0f}" if env in of_row else "" for env in ROBOTS]
        both = [of_row[env]["last"] / first[env]["last"] for env in ROBOTS if env in of_row and env in first]
        overall = f"{np.exp(np.mean(np.log(both))):.2f}" if len(both) == len(ROBOTS) and min(both) > 0 else ""
        lines.append((name, *said, overall))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("rows", nargs="*", default=list(ROWS), metavar="ROW", help="; ".join(ROWS))
    parser.add_argument("--runs", type=Path, default=Path("runs/td3_plus"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each on a core of its own (1)")
    parser.add_argument("--collect", action="store_true", help="train nothing")
    parser.add_argument("--table", action="store_true", help="print the result in Markdown")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    if not 1 <= args.jobs <= len(os.sched_getaffinity(0)):
        parser.error(f"--jobs {args.jobs}: each has a core of its own; use 1 to {len(os.sched_getaffinity(0))}")
    if unknown := [name for name in args.rows if name not in ROWS]:
        parser.error(f"unknown row {', '.join(unknown)}; available: {'; '.join(ROWS)}")
    trials = [Trial(row, env) for env in ROBOTS for row in args.rows]
    for folder, trial in [(trial.folder(args.runs), trial) for trial in trials]:
        if finished(folder):
            refuse(folder, load_config(folder), trial.options())
    if not args.collect:
        train([trial for trial in trials if not trial.folder(args.runs).exists()], args.runs, args.jobs)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "td3_plus.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else {}
    for trial in trials:
        if finished(trial.folder(args.runs)):
            rows.setdefault(trial.row, {})[trial.env] = measured(trial, args.runs)
    rows = {
        name: current(name, {env: Trial(name, env).options() for env in ROBOTS}, rows.get(name, {})) for name in ROWS
    }
    rows = {name: of_row for name, of_row in rows.items() if of_row}
    result = {"command": "python benchmarks/td3_plus.py", "rows": rows}
    file.write_text(json.dumps(result) + "\n")
    if args.table:
        print(table(rows))


if __name__ == "__main__":
    main()
