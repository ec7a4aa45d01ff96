"""Learning in the v4 versions of four robots, 300 000 steps per seed, beside the published results of nine methods.

    python benchmarks/robots.py [--preset td7_plus] [--seeds 3] [--robots Hopper-v4 ...] [--runs runs/robots] [--jobs 1]
    python benchmarks/robots.py --collect | --table

Published tables are of v4, where Ant and Walker2d differ from v5 (`mujoco_learning.py` has those). Each seed is a run
of its own, RUNS/PRESET/ENV/seed-S, on one core; one that was interrupted goes on. The result keeps the seeds that were
measured before with the same options, so that they can be trained over several days. `--collect` trains nothing.
Returns are greedy, of ten episodes, of the policy that the run keeps, at step 300 300 (theirs at 300 000). Every number
of seeds at which a preset was judged widens the interval (Bonferroni), as in `mujoco_learning.py`.
Needs the extras `mujoco` and `dev`.
"""

# No module here may be called mujoco: that of this name would hide the simulator from what lies beside it.

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mujoco_learning import compared, finished, learned_with, planned, ranged, rounded, train

from ddpg import load_config, read_metrics
from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.records.curve_table import METRIC, read_table
from ddpg.records.plot import INK, PALETTE, curve_of, number, style_axes
from ddpg.records.statistics import interval, iqm

PUBLISHED_AT = 300_000  # steps
STEPS, EVERY = 300_300, 10_010  # 3 300 iterations of 91 steps, of which 110 lie between evaluations
OPTIONS = {"steps": STEPS, "eval.every": EVERY}
ROBOTS = ("HalfCheetah-v4", "Hopper-v4", "Walker2d-v4", "Ant-v4")


# Mean returns of the policy that a method evaluates, with standard deviations over seeds where they are known, are in
# PUBLISHED, a table as `ddpg plot` reads it. TD7: its paper, as quoted in seungju-k1m/sac-td3-td7@c3d51f6. TD3:
# sfujim/TD3@34770cc. The others are computed from the logs of facebookresearch/MRQ@8a44a7d, dmksjfl/DR.Q@cc307a5,
# DAVIAN-Robotics/SimbaV2@86899c2 and Holiday-Robot/FlashSAC@87edc90.
PUBLISHED = Path(__file__).parent / "results/robots_published.csv"
REMARKS = {
    "TD3": "v1 of the robots, 10 seeds",
    "TD7": "the policy of its checkpoints, as ours",
    **dict.fromkeys(("MR.Q", "DR.Q", "CrossQ", "XQC", "SAC"), "10 seeds"),
    "SimbaV2": "10 seeds, 2 updates per step",
    "FlashSAC": "5 seeds, 50 episodes per evaluation",
}
DRAWN = ("TD3", "TD7", "FlashSAC")


def published() -> dict[str, dict[str, dict[int, float]]]:
    """Mean returns: method -> robot -> step -> return."""
    means = [point for point in read_table(PUBLISHED) if point.metric == METRIC]
    return {
        method: {env: {p.step: p.value for p in means if (p.agent, p.env) == (method, env)} for env in ROBOTS}
        for method in dict.fromkeys(point.agent for point in means)
    }


class Job(NamedTuple):
    preset: str
    env: str
    seed: int

    def folder(self, runs: Path) -> Path:
        return runs / self.preset / self.env / f"seed-{self.seed}"

    def command(self, runs: Path) -> list[str]:
        folder = str(self.folder(runs))
        if (Path(folder) / "config.json").exists():
            return ["ddpg", "resume", folder]
        given = [word for path, value in OPTIONS.items() for word in (f"--{path}", str(value))]
        return ["ddpg", "train", self.env, "--preset", self.preset, *given, "--seed", str(self.seed), "--run", folder]


def same_learning(config: Config, options: dict[str, Any]) -> bool:
    """Whether a run learned with these options; from which preset they were given does not matter."""
    return learned_with(config) | {"preset": ""} == options | {"preset": ""}


def collected(preset: str, env: str, runs: Path, before: dict[str, Any]) -> dict[str, Any] | None:
    """What the seeds say together: those measured before with the same options, and the finished runs."""
    options = planned(preset, env, OPTIONS)
    old, before = before, before if before.get("options") == options else {}
    seeds = dict[str, Any](before.get("seeds", {}))
    for file in sorted((runs / preset / env).glob("seed-*/summary.json")):
        config = load_config(file.parent)
        if not finished(file.parent):
            print(f"{file.parent}: not at its end", file=sys.stderr)
        elif not same_learning(config, options):
            print(f"{file.parent}: trained with other options than the preset has now", file=sys.stderr)
        else:
            curve, said = curve_of(read_metrics(file.parent), preset), json.loads(file.read_text())
            points = [[int(step), rounded(x)] for step, x in zip(curve.steps, curve.returns[0], strict=True)]
            seeds[str(config.seed)] = {"curve": points, "seconds": rounded(said["wall_seconds"])}
    if not seeds:
        return None
    if old and not before:
        print(f"{preset}, {env}: {len(old['seeds'])} seeds that had other options are dropped", file=sys.stderr)
    last = np.array([[seed["curve"][-1][1]] for seed in seeds.values()], float)
    low, high = (end[0] for end in interval(last))
    of_td7 = published()["TD7"][env][PUBLISHED_AT]
    looks = [*(n for n in before.get("judged_at", []) if n != len(seeds)), len(seeds)]
    return {
        "command": " ".join(Job(preset, env, 0).command(Path("RUNS"))),
        "options": options,
        "seeds": seeds,
        "last": {"iqm": rounded(iqm(last[:, 0])), "interval": [rounded(low), rounded(high)]},
        "judged_at": looks,
        "beside_td7": compared(last[:, 0], round(of_td7), len(looks)),
    }


def table(result: dict[str, Any]) -> str:
    """A row for each preset and published method."""
    rows = [("method", *ROBOTS, "remark"), ("---",) * (2 + len(ROBOTS))]
    for preset, of_preset in result["presets"].items():
        cells = []
        for env in ROBOTS:
            if (said := of_preset.get(env)) is None:
                cells.append("–")
                continue
            n, other = len(said["seeds"]), said["beside_td7"]
            cells.append(f"{ranged(other['mean'], other['t_interval'])}, {n} seed{'s' * (n > 1)}")
        rows.append((f"`{preset}`", *cells, "mean (t interval)"))
    for name, of_method in published().items():
        returns = (f"{of_method[env][PUBLISHED_AT]:.0f}" for env in ROBOTS)
        rows.append((name, *returns, REMARKS[name]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def figure(result: dict[str, Any], file: Path) -> None:
    """One panel per robot: each preset's mean over seeds and each seed, and published results at the end."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MultipleLocator

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    drawing = Figure(figsize=(9, 6.5), dpi=160, layout=layout, facecolor="white")
    lines = dict[str, Any]()
    others = published()
    for axes, env in zip(drawing.subplots(2, 2).flat, ROBOTS, strict=True):
        for i, (preset, of_preset) in enumerate(result["presets"].items()):
            if env not in of_preset:
                continue
            color = PALETTE[i % len(PALETTE)]
            curves = [np.array(seed["curve"], float) for seed in of_preset[env]["seeds"].values()]
            for curve in curves:
                axes.plot(curve[:, 0], curve[:, 1], color=color, linewidth=0.8, alpha=0.5)
            shortest = min(map(len, curves))
            mean = np.mean([curve[:shortest] for curve in curves], axis=0)
            (lines[preset],) = axes.plot(mean[:, 0], mean[:, 1], color=color, linewidth=2)
        drawn = sorted((others[name][env][PUBLISHED_AT], name) for name in DRAWN)
        for i, (value, name) in enumerate(drawn):
            known = [(step, others[name][env][step]) for step in others[name][env] if step <= PUBLISHED_AT]
            axes.plot(*zip(*known, strict=True), "o:", color=INK, markersize=4, clip_on=False, zorder=5)
            near = i > 0 and value - drawn[i - 1][0] < 0.04 * drawn[-1][0]  # its label would lie on the one below
            label = axes.annotate(
                f"{name} {number(value)}",
                (PUBLISHED_AT, value),
                (7, 7 if near else 0),
                textcoords="offset points",
                va="center",
            )
            label.set(color=INK, fontsize=8)
        axes.set_title(env, loc="left", color=INK, fontsize=12, fontweight="bold")
        axes.set_xlim(0, STEPS)
        style_axes(axes, "greedy return", size=10)
        axes.xaxis.set_major_locator(MultipleLocator(100_000))
    drawing.legend(
        list(lines.values()),
        [f"{name}: mean of its seeds (thin)" for name in lines],
        loc="outside upper center",
        ncols=len(lines),
        frameon=False,
    )
    FigureCanvasAgg(drawing).print_png(str(file), metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--preset", default="td7_plus", choices=PRESETS)
    parser.add_argument("--robots", nargs="*", default=ROBOTS, choices=ROBOTS)
    parser.add_argument("--seeds", type=int, default=3, help="of each robot, from 0 on (3)")
    parser.add_argument("--runs", type=Path, default=Path("runs/robots"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each on a core of its own (1)")
    parser.add_argument("--collect", action="store_true", help="train nothing")
    parser.add_argument("--table", action="store_true", help="print the result in Markdown, and train nothing")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    if not 1 <= args.jobs <= len(os.sched_getaffinity(0)):
        parser.error(f"--jobs {args.jobs}: each has a core of its own; use 1 to {len(os.sched_getaffinity(0))}")
    file = args.out / "robots.json"
    result = json.loads(file.read_text()) if file.exists() else {"presets": {}}
    if args.table:
        print(table(result))
        return
    if not args.collect:
        jobs = [Job(args.preset, env, seed) for seed in range(args.seeds) for env in args.robots]
        train([job for job in jobs if not finished(job.folder(args.runs))], args.runs, args.jobs)
    for env in ROBOTS:
        of_preset = result["presets"].setdefault(args.preset, {})
        if said := collected(args.preset, env, args.runs, of_preset.get(env, {})):
            of_preset[env] = said
    result = {"command": "python benchmarks/robots.py", "published_at": PUBLISHED_AT, "presets": result["presets"]}
    args.out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result) + "\n")
    figure(result, args.out / "robots.png")
    print(table(result))


if __name__ == "__main__":
    main()
