"""Every preset on the compiled Pendulum, ten seeds each: environment steps until the gap to the optimum is 15.

    python benchmarks/presets.py [PRESET ...] [--out benchmarks/results] [--table]

The gap is the best achievable mean return from 100 fixed starts minus the greedy one from the very same starts. A seed
has reached 15 at the first of its evaluations, one every 1 000 steps, at which its gap is at most 15. What it does
later does not count, and stands beside it as the gap at the end: interquartile mean and its 95 % bootstrap interval. A
preset that is in the result as it is now is passed over unless it is named.

Presets for MuJoCo or a hundred environments are not made for this one: the options in which a job differs are part of
its result, and what is compared is whether each learns, not which is the best.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mujoco_learning import learned_with, rounded

import ddpg
from ddpg import read_metrics
from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.config.small import SMALL
from ddpg.records.plot import INK, PALETTE, curve_of, style_axes
from ddpg.records.statistics import interval, iqm

SEEDS, GAP, FLOOR = 10, 15.0, 1.0
JOBS: dict[str, dict[str, Any]] = {  # preset, and more: options in which it differs
    "ddpg": {"steps": 20_000},
    "td3_plus": {**SMALL["td3_plus"]},
    "mujoco": {**SMALL["mujoco"]},
    "sparse": {"steps": 20_000},
    "article": {"steps": 50_000},  # what is optimal for gamma 0.9 is not within 15
    "article, gamma 0.99": {"steps": 50_000, "gamma": 0.99},
    "hands_on_rl": {"steps": 40_000},  # 200 episodes, as the book
    "hands_on_rl, replay 100 000": {"steps": 40_000, "replay.capacity": 100_000},  # of 10 000: all of the run
    "hands_on_rl, sigma 0.1": {"steps": 40_000, "exploration.sigma": 0.1},  # 0.2 N m; the book has 0.01
    "lillicrap": {**SMALL["lillicrap"]},  # tau 0.001 and lr 1e-4: 20 000 leave a gap of 20
    "td3": {**SMALL["td3"]},
    "d4pg": {**SMALL["d4pg"]},
    "simba": {**SMALL["simba"]},
    "pixels": {"steps": 20_000},  # sees pictures alone
    "fasttd3": {**SMALL["fasttd3"]},  # an update every eight steps: 12 500 of them
    "td7": {**SMALL["td7"]},
    "td7, assess_rate 0.1": {**SMALL["td7"], "collect.assess_rate": 0.1},
    "td7_plus": {**SMALL["td7_plus"]},
    "td7_plus, assess_rate 0.1": {**SMALL["td7_plus"], "collect.assess_rate": 0.1},
}

BESIDE = ("ddpg", "pixels")  # states and pictures, in a figure of their own


def preset_of(name: str) -> str:
    return name.partition(",")[0]


def trained(name: str) -> dict[str, Any]:
    """Every option of a job's run, as the preset has it now."""
    return learned_with(override(PRESETS[preset_of(name)], JOBS[name]))


def changed(then: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether a preset is another one now; an option that is new since then counts if it is not off."""
    off = learned_with(Config())
    return any(then.get(path, off.get(path)) != value for path, value in now.items()) or bool({*then} - {*now})


def measure(name: str) -> dict[str, Any]:
    without = {"checkpoint.share": "none"}  # nothing is kept of the run
    with tempfile.TemporaryDirectory() as folder:
        run = ddpg.train(
            "Pendulum-v1",
            preset=preset_of(name),
            seeds=SEEDS,
            run=f"{folder}/run",
            options=JOBS[name] | without,
        )
        if run.interrupted:
            raise SystemExit(f"{name}: stopped; nothing of it is kept")
        curve = curve_of(read_metrics(run.path), name)
    gaps = run.summary["optimum"] - curve.returns
    reached = [int(curve.steps[below[0]]) if len(below := np.flatnonzero(row <= GAP)) else None for row in gaps]
    low, high = (end[0] for end in interval(gaps[:, -1:]))
    return {
        "options": {path: value for path, value in JOBS[name].items() if path != "steps"},
        "trained": trained(name),
        "seeds": SEEDS,
        "steps": JOBS[name]["steps"],
        "reached": sum(step is not None for step in reached),
        "steps_to_gap": {"median": middle(reached), "worst": worst(reached), "all": reached},
        "last_gap": {"iqm": rounded(iqm(gaps[:, -1])), "interval": [rounded(low), rounded(high)]},
        "wall_seconds": round(run.summary["wall_seconds"]),
        "curve": {"steps": curve.steps.tolist(), "gaps": [[rounded(gap) for gap in row] for row in gaps]},
    }


def middle(reached: list[int | None]) -> int | None:
    """The median, None where too few seeds have reached it to say one."""
    median = np.median([np.inf if step is None else step for step in reached])
    return int(median) if np.isfinite(median) else None


def worst(reached: list[int | None]) -> int | None:
    return None if None in reached else max(step for step in reached if step is not None)


def figure(results: dict[str, Any], file: Path) -> None:
    """The gap over training, on a logarithmic scale: a preset's interquartile mean and its interval."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    drawing = Figure(figsize=(9, 5.5), dpi=160, layout=layout, facecolor="white")
    axes = drawing.add_subplot()
    for i, (name, said) in enumerate(results.items()):
        color, style = PALETTE[i % len(PALETTE)], "solid" if i < len(PALETTE) else "dashed"
        # Better than the optimum by rounding of a table, and nearer than a logarithm shows: drawn as 1.
        gaps = np.maximum(np.array(said["curve"]["gaps"], dtype=float), FLOOR)
        low, high = interval(gaps)
        axes.fill_between(said["curve"]["steps"], low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(said["curve"]["steps"], iqm(gaps), color=color, linewidth=2, linestyle=style, label=name)
    axes.axhline(GAP, color=INK, linewidth=1, linestyle=(0, (5, 4)), zorder=1)
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.annotate(
        f"{GAP:.0f}", (1, GAP), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center"
    )
    style_axes(axes, "gap to the optimum")
    axes.set_title(f"Pendulum-v1, {SEEDS} seeds, greedy on 100 fixed starts", loc="left", color=INK, fontsize=13)
    drawing.legend(loc="outside right upper", frameon=False, title="interquartile mean,\n95 % interval")
    FigureCanvasAgg(drawing).print_png(str(file), metadata={"Software": None})


def table(results: dict[str, Any]) -> str:
    head = (
        "preset",
        "steps",
        f"seeds that reach {GAP:.0f}",
        "median steps",
        "worst",
        "gap at the end (95 %)",
        "other than the preset",
    )
    rows = [head, ("---",) * len(head)]
    for name, said in results.items():
        to_gap, last = said["steps_to_gap"], said["last_gap"]
        counts = (f"{said['steps']}", f"{said['reached']} of {said['seeds']}", to_gap["median"], to_gap["worst"])
        low, high = last["interval"]
        options = ", ".join(f"`{path} {value}`" for path, value in said["options"].items())
        rows.append((name, *map(str, counts), f"{last['iqm']} ({low} to {high})", options))
    return "\n".join(f"| {' | '.join('–' if x == 'None' else x for x in row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="PRESET", help=", ".join(JOBS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--table", action="store_true", help="print the result in Markdown, and train nothing")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in JOBS]:
        parser.error(f"no job: {', '.join(unknown)}; available: {'; '.join(JOBS)}")
    if none := [name for name in PRESETS if name not in JOBS]:
        print(f"presets without a job here: {', '.join(none)}", file=sys.stderr)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "presets.json"
    written: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"presets": {}}
    results = written["presets"]
    old = [name for name in JOBS if name not in results or changed(results[name]["trained"], trained(name))]
    names = args.names or old
    if args.table and old:
        print(f"not measured as they are now: {', '.join(old)}", file=sys.stderr)
    for name in [] if args.table else names:
        results[name] = measure(name)
        results = {each: results[each] for each in JOBS if each in results}
        said = {"command": "python benchmarks/presets.py", "cores": len(os.sched_getaffinity(0)), "presets": results}
        path.write_text(json.dumps(said) + "\n")
        to_gap, last = results[name]["steps_to_gap"], results[name]["last_gap"]
        print(f"{name}: {results[name]['reached']} of {SEEDS}, median {to_gap['median']}, last {last}", flush=True)
    if results:
        figure(results, args.out / "presets.png")
        figure({name: results[name] for name in BESIDE if name in results}, args.out / "presets_pixels.png")
    if args.table:
        print(table(results))


if __name__ == "__main__":
    main()
