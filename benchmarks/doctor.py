"""The command that `ddpg doctor` prints, against the default preset and Stable-Baselines3's TD3, in eight kinds.

    python benchmarks/doctor.py [NAME ...] [--sb3 PYTHON] [--only printed,default,sb3] [--seeds 3] [--table]

Every run has its own process, the same number of steps, and twenty evaluations of ten episodes that choose its best
policy; then the last and the best play the same 100 episodes greedily, 20 where they are slow. The environments are
those of kinds.py, and Gymnasium's Pendulum. PYTHON is an interpreter with stable-baselines3; without it nothing is
trained for that column. A result is kept until its command changes, or its name is given.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
FIRST = 1_000  # seed of the first of the final episodes: none of them was an evaluation


class Job(NamedTuple):
    kind: str
    id: str
    steps: int
    episodes: int = 100


JOBS = {
    "drone": Job("a crash ends the episode", "kinds:Drone-v0", 20_000),
    "tank": Job("one-sided bounds", "kinds:Tank-v0", 20_000),
    "spring": Job("sparse reward", "kinds:Spring-v0", 20_000),
    "rod": Job("slow steps, 2 ms", "kinds:Rod-v0", 20_000, 20),
    "microgrid": Job("observations in a Dict", "kinds:Microgrid-v0", 20_000),
    "thermostat": Job("four actions", "kinds:Thermostat-v0", 20_000),
    "ship": Job("episodes of 1 000 steps", "kinds:Ship-v0", 30_000, 20),
    "pendulum": Job("dense negative rewards", "gym:Pendulum-v1", 20_000),
}
METHODS = {"printed": "printed command", "default": "preset `ddpg`", "sb3": "TD3 of SB3"}


def answer_of(words: list[str]) -> dict[str, Any]:
    """The JSON object that a command prints last on stdout."""
    done = subprocess.run(words, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "MPLBACKEND": "Agg"}


def ddpg(*words: str) -> list[str]:
    return [sys.executable, "-m", "ddpg", *words]


def examined(job: Job) -> dict[str, Any]:
    said = answer_of(ddpg("doctor", job.id, "--json"))
    words = shlex.split(said["command"])[1:]
    if "--steps" in words:
        del words[words.index("--steps") :][:2]
    return {"printed": said["command"], "seconds": said["seconds"]["total"], "words": words}


def trained(job: Job, words: list[str], seed: int) -> dict[str, Any]:
    """Train with a command of ddpg, and play with its last policy and its best."""
    with tempfile.TemporaryDirectory() as folder:
        run, began = f"{folder}/run", time.perf_counter()
        train = [*words, "--steps", str(job.steps), "--seed", str(seed), "--run", run, "--quiet"]
        subprocess.run(ddpg(*train), check=True, capture_output=True, env=environment())
        seconds = time.perf_counter() - began
        play = ddpg("eval", run, "--env", job.id, "--episodes", str(job.episodes), "--seed", str(FIRST), "--json")
        last, best = (answer_of([*play, *which])["return_mean"] for which in ([], ["--best"]))
        summary = json.loads(Path(run, "summary.json").read_text())
    steps = summary["best"]["steps"][0]
    return {
        "last": last,
        "best": best,
        "best_step": steps,
        "seconds": seconds,
        "warnings": summary.get("warnings", []),
    }


def measure(job: Job, method: str, words: list[str], seed: int, sb3: str) -> dict[str, Any]:
    if method != "sb3":
        return trained(job, words, seed)
    id = job.id.removeprefix("gym:")
    counts = ("--steps", str(job.steps), "--seed", str(seed), "--episodes", str(job.episodes))
    return answer_of([sb3, str(HERE / "sb3_td3.py"), id, *counts])


def rows(results: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    yield ("kind", "environment", "steps", "policy", *METHODS.values())
    for name, result in results.items():
        job = JOBS[name]
        for which in ("last", "best"):
            cells = [cell([run[which] for run in result.get(method, {}).values()]) for method in METHODS]
            first = which == "last"
            yield (
                job.kind if first else "",
                job.id.split(":")[1] if first else "",
                f"{job.steps:,}".replace(",", " ") if first else "",
                which,
                *cells,
            )


def cell(values: list[float]) -> str:
    """The mean, and every seed."""
    if not values:
        return "–"
    digits = 2 if max(map(abs, values)) < 2 else 1 if max(map(abs, values)) < 100 else 0
    each = ", ".join(f"{value:.{digits}f}" for value in values)
    return f"**{np.mean(values):.{digits}f}** ({each})".replace("-", "−")


def table(results: dict[str, Any]) -> str:
    head, *body = rows(results)
    lines = [head, ("---",) * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def options_of(command: str) -> str:
    return " ".join(command.split()[3:])


def page(results: dict[str, Any]) -> str:
    commands = "\n".join(
        f"| {JOBS[name].id} | `{options_of(result['examined']['printed'])}` | {result['examined']['seconds']:.0f} s | "
        f"{np.mean([run['seconds'] for run in result['printed'].values()]):.0f} s |"
        for name, result in results.items()
        if "printed" in result
    )
    return f"""# The command that doctor prints

`python benchmarks/doctor.py`: greedy returns, the mean and each seed.
Every run has the same number of steps, and twenty evaluations of ten episodes that choose its best
policy.
Then the last and the best play the same 100 episodes greedily, 20 where they are slow.

{table(results)}

Other processes ran beside these, so they took longer than `ddpg doctor` expected.

| environment | options of the printed command | expected | took |
| --- | --- | --- | --- |
{commands}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *JOBS])
    parser.add_argument("--sb3", help="an interpreter with stable-baselines3")
    parser.add_argument("--only", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--table", action="store_true", help="write the page again, and train nothing")
    args = parser.parse_args()
    file = args.out / "doctor.json"
    written: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for name, job in JOBS.items() if not args.table else ():
        if args.names and name not in args.names:
            continue
        result = written.setdefault(name, {})
        if "printed" in args.only:
            now = examined(job)
            if now["words"] != result.get("examined", {}).get("words"):
                result["printed"] = {}
                result["examined"] = now
        for method in args.only.split(","):
            words = result["examined"]["words"] if method == "printed" else ["train", job.id]
            for seed in range(args.seeds):
                if (method == "sb3" and not args.sb3) or str(seed) in result.setdefault(method, {}):
                    continue
                result[method][str(seed)] = measured = measure(job, method, words, seed, args.sb3)
                print(name, method, seed, json.dumps(measured), flush=True)
                file.write_text(json.dumps(written, indent=1) + "\n")
    written = {name: written[name] for name in JOBS if name in written}
    file.write_text(json.dumps(written, indent=1) + "\n")
    (args.out / "doctor.md").write_text(page(written))


if __name__ == "__main__":
    main()
