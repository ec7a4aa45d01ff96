"""Learning in four of MuJoCo's robots: 300 000 steps, three seeds a preset or more, beside the curves of the TD3 paper.

    python benchmarks/mujoco_learning.py [PRESET ...] [--seeds 3] [--runs runs/mujoco] [--jobs 2] [--collect] [--table]

What is missing of a robot's seeds is trained by one `ddpg train --seeds`, each as if it were alone, on a core of its
own. The run is in DIR/PRESET/ENV/seed-S under `--runs` DIR, named after its first seed, with its output in
DIR/PRESET/ENV/seed-S.log. Finished ones are taken as they are, whichever seeds they hold; a run with other settings
than the preset has now is refused. With `--collect` nothing is trained, and what is missing is said.
`--table` prints what the result holds in Markdown. Needs the extras `mujoco` and `dev`.

Three seeds say little, and the comparison says no more than they do: beside the interquartile mean with its bootstrap
interval, which three seeds make too narrow, stands the one-sample t interval of their mean. A reference above its upper
end is `below`, one under its lower end `above` (2.5 % each, were the seeds normal), else the comparison is `undecided`.
To add seeds until the verdict pleases would make it worthless, so every number of seeds at which a preset was judged
stands in the result, and the interval is of 95 % for one look, 97.5 % for two and so on (Bonferroni's correction for as
many). The reference's own spread is not counted, and its environments were of earlier versions.
"""

# No module here may be called mujoco: that of this name would hide the simulator from what lies beside it.

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import stats

from ddpg import load_config, read_metrics
from ddpg.config.config import Config
from ddpg.config.presets import PRESETS, host_defaults
from ddpg.config.reading import override, values
from ddpg.records.plot import INK, PALETTE, curve_of, number, style_axes
from ddpg.records.statistics import interval, iqm

STEPS, SEEDS = 300_000, 3
REFERENCE = {"HalfCheetah-v5": 7697, "Hopper-v5": 2410, "Walker2d-v5": 3335, "Ant-v5": 1953}
SOURCE = "mean over seeds at 300000 steps, computed from sfujim/TD3@34770cc learning_curves"
CHOSEN = ("ddpg", "td3", "td3_plus")
FREE = ("seed", "seeds", "devices", "eval.every", "eval.episodes", "checkpoint.share")  # change nothing that is learned


class Planned(Protocol):
    def folder(self, runs: Path) -> Path: ...

    def command(self, runs: Path) -> list[str]: ...


class Job(NamedTuple):
    preset: str
    env: str
    seed: int = 0
    seeds: int = SEEDS

    def folder(self, runs: Path) -> Path:
        return runs / self.preset / self.env / f"seed-{self.seed}"

    def command(self, runs: Path) -> list[str]:
        options = {"--preset": self.preset, "--steps": STEPS, "--seed": self.seed, "--seeds": self.seeds}
        options["--run"] = self.folder(runs)
        options["--checkpoint.share"] = "none"
        return ["ddpg", "train", self.env, *(str(word) for option in options.items() for word in option)]


def finished(folder: Path) -> bool:
    """Whether a run is there that came to its end."""
    path = folder / "summary.json"
    said = json.loads(path.read_text()) if path.exists() else {"interrupted": True}
    return not said["interrupted"] and "failure" not in said


def train(jobs: Sequence[Planned], runs: Path, at_once: int) -> None:
    """Every job, `at_once` of them side by side, each on a core of its own."""
    waiting, free = list(jobs), sorted(os.sched_getaffinity(0))[:at_once]
    running = dict[subprocess.Popen, tuple[Planned, int]]()
    try:
        while waiting or running:
            while waiting and free:
                job, core = waiting.pop(0), free.pop()
                running[start(job, runs, core)] = job, core
                print(f"{time.strftime('%H:%M:%S')} {job.folder(runs)} on core {core}", flush=True)
            time.sleep(1)
            for process in [process for process in running if process.poll() is not None]:
                job, core = running.pop(process)
                free.append(core)
                how = f"ended with status {process.returncode}, see its log" if process.returncode else "ended"
                print(f"{time.strftime('%H:%M:%S')} {job.folder(runs)} {how}", flush=True)
    finally:  # Ctrl-C reaches them too, and they end in good order
        for process in running:
            process.wait()


def start(job: Planned, runs: Path, core: int) -> subprocess.Popen:
    folder = job.folder(runs)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.log").open("w") as log:
        command = [sys.executable, "-m", *job.command(runs)]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=partial(alone_on, core))


def alone_on(core: int) -> None:
    os.sched_setaffinity(0, {core})
    os.nice(15)


def learned_with(config: Config) -> dict[str, Any]:
    """The options that change what is learned, as JSON has them."""
    return {path: value for path, value in json.loads(json.dumps(values(config))).items() if path not in FREE}


def planned(preset: str, env: str, given: dict[str, Any]) -> dict[str, Any]:
    """The same of what `ddpg train ENV --preset PRESET` would train with these options."""
    base = PRESETS[preset]
    return learned_with(override(base, {"env": env, **host_defaults(override(base, given), given)}))


def refuse(folder: Path, config: Config, expected: dict[str, Any]) -> None:
    """SystemExit if a run has other options than expected."""
    if other := {path: value for path, value in learned_with(config).items() if expected.get(path) != value}:
        raise SystemExit(f"{folder}: has {other}, which is not what is measured here now; move it away")


def current(name: str, now: dict[str, dict[str, Any]], of_envs: dict[str, Any]) -> dict[str, Any]:
    """The results by robot that were trained with the options of now; it says of which that is not so."""
    if old := [env for env, said in of_envs.items() if said.get("options") != now.get(env)]:
        print(f"{name}: what was measured with other options than now is dropped: {', '.join(old)}", file=sys.stderr)
    return {env: of_envs[env] for env in now if env in of_envs and env not in old}


def held(preset: str, env: str, runs: Path) -> list[tuple[Path, Config]]:
    """The finished runs of a preset on a robot, by their first seed."""
    folders = [file.parent for file in (runs / preset / env).glob("seed-*/summary.json")]
    of_runs = [(folder, load_config(folder)) for folder in folders if finished(folder)]
    for folder, config in of_runs:
        refuse(folder, config, planned(preset, env, {"steps": STEPS}))
    return sorted(of_runs, key=lambda run: run[1].seed)


def lacking(preset: str, env: str, seeds: int, runs: Path) -> list[Job]:
    """What is to be trained of the first `seeds`: one job for each row of them that no finished run holds."""
    there = {seed for _, config in held(preset, env, runs) for seed in config.seed_range}
    missing = [seed for seed in range(seeds) if seed not in there]
    firsts = [seed for seed in missing if seed - 1 not in missing]
    return [Job(preset, env, s, next(n for n in range(1, seeds + 1) if s + n not in missing)) for s in firsts]


def collected(preset: str, env: str, runs: Path, before: dict[str, Any]) -> dict[str, Any] | None:
    """What the finished seeds say together; None if there is none. `before` is what fewer said, if they did."""
    of_runs = held(preset, env, runs)
    if not of_runs:
        return None
    curves = [curve_of(read_metrics(folder), preset) for folder, _ in of_runs]
    steps, returns = curves[0].steps, np.concatenate([curve.returns for curve in curves])
    assert all((curve.steps == steps).all() for curve in curves), f"{preset} {env}: seeds evaluated at different steps"
    low, high = (end[0] for end in interval(returns[:, -1:]))
    options = planned(preset, env, {"steps": STEPS})
    earlier = before["judged_at"] if before.get("options") == options else []
    judged = [*(n for n in earlier if n != len(returns)), len(returns)]
    return {
        "commands": [
            " ".join(Job(preset, env, config.seed, config.seeds).command(Path("RUNS"))) for _, config in of_runs
        ],
        "options": options,
        "judged_at": judged,
        "seeds": [seed for _, config in of_runs for seed in config.seed_range],
        "steps": steps.tolist(),
        "returns": [[rounded(x) for x in row] for row in returns],
        "last": {"iqm": rounded(iqm(returns[:, -1])), "interval": [rounded(low), rounded(high)]},
        "comparison": compared(returns[:, -1], REFERENCE[env], len(judged)),
    }


def compared(last: np.ndarray, reference: float, looks: int) -> dict[str, Any]:
    """The seeds' mean, its t interval at so many looks, and where the reference lies."""
    n, mean = len(last), float(last.mean())
    if n < 2 or not np.isfinite(mean):
        return {"mean": rounded(mean), "t_interval": [None, None], "reference": reference, "verdict": "not known"}
    half = float(stats.t.ppf(1 - 0.025 / looks, n - 1) * last.std(ddof=1) / np.sqrt(n))
    verdict = "below" if reference > mean + half else "above" if reference < mean - half else "undecided"
    ends = [rounded(mean - half), rounded(mean + half)]
    return {"mean": rounded(mean), "t_interval": ends, "reference": reference, "verdict": verdict}


def rounded(x: Any) -> float | None:
    return round(float(x), 1) if np.isfinite(x) else None


def figure(result: dict[str, Any], file: Path) -> None:
    """A panel an environment: each preset's mean over seeds, their range as a band, and the reference."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MultipleLocator

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    drawing = Figure(figsize=(9, 6.5), dpi=160, layout=layout, facecolor="white")
    lines, counts = dict[str, Any](), dict[str, set[int]]()
    for axes, (env, reference) in zip(drawing.subplots(2, 2).flat, REFERENCE.items(), strict=True):
        for i, (preset, of_preset) in enumerate(result["presets"].items()):
            if env not in of_preset:
                continue
            color, said = PALETTE[i % len(PALETTE)], of_preset[env]
            returns = np.array(said["returns"], dtype=float)  # null becomes NaN
            axes.fill_between(said["steps"], returns.min(0), returns.max(0), color=color, alpha=0.18, linewidth=0)
            (lines[preset],) = axes.plot(said["steps"], returns.mean(0), color=color, linewidth=2)
            counts.setdefault(preset, set()).add(len(returns))
        axes.plot([STEPS], [reference], "o", color=INK, markersize=6, clip_on=False, zorder=5)
        label = axes.annotate(
            f"TD3 paper\n{number(reference)}", (STEPS, reference), (8, 0), textcoords="offset points", va="center"
        )
        label.set(color=INK, fontsize=9)
        axes.set_title(env, loc="left", color=INK, fontsize=12, fontweight="bold")
        axes.set_xlim(0, STEPS)
        style_axes(axes, "greedy return", size=10)
        axes.xaxis.set_major_locator(MultipleLocator(100_000))
    names = [name for name in result["presets"] if name in lines]
    drawing.legend(
        [lines[name] for name in names],
        [f"{name}, {' or '.join(map(str, sorted(counts[name])))} seeds" for name in names],
        loc="outside upper center",
        ncols=len(names),
        frameon=False,
        title="mean of the seeds, band from the lowest to the highest",
    )
    FigureCanvasAgg(drawing).print_png(str(file), metadata={"Software": None})


def table(result: dict[str, Any]) -> str:
    head = (
        "environment",
        "preset",
        "seeds",
        "IQM (95 % bootstrap)",
        "mean (t interval)",
        "TD3 paper",
        "verdict",
    )
    rows = [head, ("---",) * len(head)]
    for env, reference in REFERENCE.items():
        for preset, of_preset in result["presets"].items():
            if env not in of_preset:
                continue
            said = of_preset[env]
            last, other = said["last"], said["comparison"]
            iqm_of, mean = ranged(last["iqm"], last["interval"]), ranged(other["mean"], other["t_interval"])
            *earlier, n = said["judged_at"]
            seeds = f"{n}, after {', '.join(map(str, earlier))}" if earlier else str(n)
            rows.append((env, preset, seeds, iqm_of, mean, str(reference), other["verdict"]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def ranged(middle: float | None, ends: list[float | None]) -> str:
    said = "?" if middle is None else f"{middle:.0f}"
    return said if None in ends else f"{said} ({ends[0]:.0f} to {ends[1]:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("presets", nargs="*", default=CHOSEN, metavar="PRESET", help=f"({' '.join(CHOSEN)})")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"seeds of each robot, from 0 on ({SEEDS})")
    parser.add_argument("--runs", type=Path, default=Path("runs/mujoco"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each on a core of its own (1)")
    parser.add_argument("--collect", action="store_true", help="train nothing, and say what is missing")
    parser.add_argument("--table", action="store_true", help="print the result in Markdown")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    if not 1 <= args.jobs <= len(os.sched_getaffinity(0)):
        parser.error(f"--jobs {args.jobs}: each has a core of its own; use 1 to {len(os.sched_getaffinity(0))}")
    if args.seeds < 1:
        parser.error(f"--seeds {args.seeds}: give at least 1")
    if unknown := [name for name in args.presets if name not in PRESETS]:
        parser.error(f"unknown preset {', '.join(unknown)}; available: {', '.join(PRESETS)}")
    robots = [(preset, env) for preset in args.presets for env in REFERENCE]
    if not args.collect:
        jobs = [job for robot in robots for job in lacking(*robot, args.seeds, args.runs)]
        train([job for job in jobs if not job.folder(args.runs).exists()], args.runs, args.jobs)
    for job in [job for robot in robots for job in lacking(*robot, args.seeds, args.runs)]:
        folder, seeds = job.folder(args.runs), f"{job.seeds} from seed {job.seed} on"
        begun = "not at its end; remove it, unless it is under way, to have it trained"
        print(f"{folder}: {seeds}, {begun if folder.exists() else 'missing'}", file=sys.stderr)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "mujoco.json"
    result = json.loads(file.read_text()) if file.exists() else {"presets": {}}
    presets = {name: of_preset for name, of_preset in result["presets"].items() if name in PRESETS}
    for preset, env in robots:
        if said := collected(preset, env, args.runs, presets.get(preset, {}).get(env, {})):
            presets.setdefault(preset, {})[env] = said
    for name, of_preset in presets.items():
        presets[name] = current(name, {env: planned(name, env, {"steps": STEPS}) for env in REFERENCE}, of_preset)
    result = {"command": "python benchmarks/mujoco_learning.py", "reference": SOURCE, "presets": presets}
    file.write_text(json.dumps(result) + "\n")
    figure(result, args.out / "mujoco.png")
    if args.table:
        print(table(result))


if __name__ == "__main__":
    main()
