"""Kill -9, again and again: every run is resumed until it is done, and must end as one that nobody disturbed.

    python benchmarks/crashes.py [--kills 96] [--out benchmarks/results/crashes.json]

Six jobs, each with an undisturbed reference and with runs of the same configuration that are killed; the moments come
from a generator with a fixed seed. Only the main process is killed, by SIGKILL. Kinds of kill:

  training     so long after the second chunk began, drawn uniformly
  save         at the instant a `checkpoints/*.partial` is seen, the first to third of that process
  evaluation   as soon as the process says that it evaluates, and up to 30 ms later
  start        anywhere from the start of the process to its first chunk
  end          after the last checkpoint: while networks, pictures and the summary are written

What a process was doing when it was killed is known, not guessed: it runs `ddpg` with four methods wrapped that write
into a shared page of memory where it is (`inside`). After each kill the folder is looked at, and when the run is done
all of it is compared with the reference: the arrays of every checkpoint, what they say, the networks' files, the
metrics, TensorBoard's scalars as it reads them itself, and the curve. Only times may differ, and with them the number
of the film's frames.
"""

import argparse
import json
import mmap
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SMALL = ["--actor.widths", "16", "--critic.widths", "16,16", "--replay.batch", "16", "--collect.warmup", "500"]
OFTEN = ["--checkpoint.every", "1000", "--checkpoint.share", "none", "--eval.every", "1000"]
COMPILED, HOSTED = ["--steps", "20000", "--eval.episodes", "1000"], ["--steps", "10000", "--eval.episodes", "20"]
PICTURES = ["--pixels", "--pixels.size", "16", "--encoder.filters", "8", "--steps", "8000", "--eval.episodes", "20"]
JOBS: dict[str, tuple[list[str], float]] = {  # command, and the seconds in which it is killed while training
    "compiled, 1 seed": (["Pendulum-v1", *COMPILED], 1.5),
    "compiled, 3 seeds": (["Pendulum-v1", "--seeds", "3", *COMPILED], 2.5),
    "Gymnasium, 2 environments": (["gym:Pendulum-v1", "--collect.envs", "2", *HOSTED], 2.5),
    "Gymnasium, 2 worker processes": (
        ["gym:Pendulum-v1", "--collect.envs", "2", "--collect.vector", "async", *HOSTED],
        3.5,
    ),
    "pictures, compiled": (["Pendulum-v1", *PICTURES], 3.0),
    "pictures, Gymnasium": (["gym:Pendulum-v1", *PICTURES], 4.0),
}
KINDS = {"training": 6, "save": 4, "evaluation": 4, "start": 1, "end": 1}  # of 16 kills
STARTING, TRAINING, EVALUATING, SAVED = range(4)
PHASES = ["starting", "training", "evaluating", "ending"]
TIMED = {"learning_seconds", "wall_seconds", "steps_per_second"}


class Page:
    """Sixteen bytes that two processes see, and that outlive either: where training is, and up to which step."""

    def __init__(self, path: Path) -> None:
        path.touch()
        os.truncate(path, 16)
        with path.open("rb+") as file:
            self._numbers = np.frombuffer(mmap.mmap(file.fileno(), 16), np.int64)

    def put(self, phase: int, step: int) -> None:
        self._numbers[:] = phase, step

    def get(self) -> tuple[int, int]:
        return int(self._numbers[0]), int(self._numbers[1])


def inside(page: Page, argv: Sequence[str]) -> int:
    """`ddpg`, saying where it is. The step is that at the end of the chunk under way: no more can be lost."""
    from ddpg.cli import main
    from ddpg.training.session import Session

    def wrap(name: str, before: Callable[..., tuple[int, int]], after: int | None = None) -> None:
        real = getattr(Session, name)

        def wrapped(self: Any, *args: Any) -> Any:
            page.put(*before(self, *args))
            answer = real(self, *args)
            if after is not None:
                page.put(after, page.get()[1])
            return answer

        setattr(Session, name, wrapped)

    def begun(self: Any, chunk: Any) -> tuple[int, int]:
        return TRAINING, chunk.end * self.config.steps_per_iteration

    wrap("_advance", begun)
    wrap("_observe", lambda self, *_: (EVALUATING, self.step), TRAINING)
    wrap("draw", lambda self, *_: (SAVED, self.step))
    return main(argv)


class Launch:
    """One process in the folder RUN of `place`: `ddpg train` there, or `ddpg resume`."""

    def __init__(self, place: Path, command: Sequence[str], resumed: bool) -> None:
        self.run, self.said = place / "run", place / "said"
        self.page = Page(place / "page")
        self.page.put(STARTING, 0)
        argv = ["resume", str(self.run)] if resumed else ["train", *command, *SMALL, *OFTEN, "--run", str(self.run)]
        with self.said.open("w") as said:
            full = [sys.executable, __file__, "--inside", str(place / "page"), *argv]
            self.process = subprocess.Popen(full, stdout=said, stderr=said)
        self.began, self.children = time.monotonic(), list[int]()

    def wait_for(self, ready: Callable[[], bool]) -> bool:
        """Whether that came before the end of the process."""
        while not ready():
            if self.process.poll() is not None:
                return False
            time.sleep(2e-4)
        return True

    def after(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        return self.wait_for(lambda: time.monotonic() >= until)

    def evaluating(self) -> bool:
        return self.page.get()[0] == EVALUATING

    def partial(self) -> bool:
        try:
            return any(entry.name.endswith(".partial") for entry in os.scandir(self.run / "checkpoints"))
        except FileNotFoundError:
            return False

    def reach(self, kind: str, seconds: float, started: float, rng: np.random.Generator) -> bool:
        """Wait for the moment of a kill; False if the process ended before it came."""
        if kind == "start":
            return self.after(rng.uniform(0, started))
        if kind == "training":
            delay = rng.uniform(0, seconds)
            if not self.wait_for(lambda: self.page.get()[0] > STARTING):
                return False
            first = self.page.get()  # after which a new run waits for its programs
            return self.wait_for(lambda: self.page.get() != first) and self.after(delay)
        if kind == "evaluation":
            delay = rng.uniform(0, 0.03)
            for _ in range(int(rng.integers(0, 4))):
                if not (self.wait_for(self.evaluating) and self.wait_for(lambda: not self.evaluating())):
                    return False
            return self.wait_for(self.evaluating) and self.after(delay)
        if kind == "save":
            for _ in range(int(rng.integers(0, 3))):
                if not (self.wait_for(self.partial) and self.wait_for(lambda: not self.partial())):
                    return False
            self.children = descendants(self.process.pid)  # now, since it takes as long as a save
            return self.wait_for(self.partial)
        return self.wait_for(lambda: self.page.get()[0] == SAVED) and self.after(rng.uniform(0, 0.6))

    def kill(self) -> dict[str, Any]:
        """What was there, and what was left."""
        children = self.children or descendants(self.process.pid)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        at = time.monotonic()
        phase, step = self.page.get()
        while (left := [pid for pid in children if alive(pid)]) and time.monotonic() < at + 10:
            time.sleep(0.02)
        checkpoints = whole(self.run)
        return {
            "phase": PHASES[phase],
            "step": step,
            "checkpoint": checkpoints[-1] if checkpoints else None,
            "checkpoints": len(checkpoints),
            "partial": len(list((self.run / "checkpoints").glob("*.partial"))),
            "children": len(children),
            "children_left": len(left),
            "seconds_until_children_ended": round(time.monotonic() - at, 2) if children else None,
        }


class Stat(NamedTuple):
    """Of a process, by the system."""

    state: str
    parent: int


def stat_of(pid: int) -> Stat | None:
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Stat(state, int(parent))


def alive(pid: int) -> bool:
    found = stat_of(pid)
    return found is not None and found.state not in "ZX"


def descendants(pid: int) -> list[int]:
    every = {int(name): stat_of(int(name)) for name in os.listdir("/proc") if name.isdecimal()}
    found = [pid]
    for each in found:
        found += [other for other, stat in every.items() if stat is not None and stat.parent == each]
    return found[1:]


def whole(run: Path) -> list[int]:
    """The steps of the checkpoints that have their name."""
    return sorted(int(path.stem.split("-")[1]) for path in (run / "checkpoints").glob("step-*.safetensors"))


def contents(run: Path) -> dict[str, Any]:
    """All that a run left, without its times, as what can be compared."""
    found: dict[str, Any] = {"checkpoints": {}}
    for path in sorted((run / "checkpoints").glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            arrays = {name: (file.get_slice(name).get_dtype(), file.get_tensor(name).tobytes()) for name in file.keys()}  # noqa: SIM118
            said = json.loads(json.loads((file.metadata() or {})["ddpg"])["header"])
        found["checkpoints"][path.name] = arrays, {key: said[key] for key in said if key not in TIMED}
    found["networks"] = {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.glob("models/*/*"))}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found["metrics"] = [{key: row[key] for key in row if key not in TIMED} for row in rows]
    found["tensorboard"] = {}
    for folder in sorted((run / "tensorboard").iterdir()):
        board = EventAccumulator(str(folder), {"scalars": 0, "histograms": 0}).Reload()
        scalars = {tag: [(e.step, e.value) for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
        found["tensorboard"][folder.name] = {tag: scalars[tag] for tag in scalars if tag.split("/")[1] not in TIMED}
        steps = [step for step, _ in scalars["train/steps_per_second"]]
        found["tensorboard"][folder.name]["log points"] = steps  # no gap, none twice
        assert steps == sorted(set(steps)), steps
    summary = json.loads((run / "summary.json").read_text())
    found["summary"] = {key: summary[key] for key in summary if key not in TIMED}
    curve = run / "learning_curve.png"
    found["pictures"] = curve.read_bytes() if curve.exists() else None
    found["files"] = sorted(p.name for p in run.rglob("*") if p.is_file() and "tensorboard" not in p.parts)
    return found


def job(command: list[str], seconds: float, kills: int, seed: int, tell: Callable[[str], None]) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    kinds = [str(kind) for kind in rng.permutation([kind for kind, n in KINDS.items() for _ in range(n)])]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "reference"
        place.mkdir()
        started = 0.0
        for _ in range(2):  # once to compile, and once to see how long a start takes without
            shutil.rmtree(place / "run", ignore_errors=True)
            reference = Launch(place, command, resumed=False)
            reference.wait_for(lambda launch=reference: launch.page.get()[0] > STARTING)
            started = time.monotonic() - reference.began
            assert reference.process.wait() == 0, reference.said.read_text()
        expected = contents(place / "run")
        done, ends = list[dict[str, Any]](), list[dict[str, Any]]()
        place = Path(folder) / "killed"
        place.mkdir()
        resumed, of_this, tracebacks = False, 0, 0
        while len(done) < kills or resumed:
            launch = Launch(place, command, resumed)
            kind = kinds[len(done) % len(kinds)]
            killed = len(done) < kills and launch.reach(kind, seconds, started, rng)
            after = launch.kill() if killed else {}
            if not killed:
                assert launch.process.wait() == 0, launch.said.read_text()
            said = launch.said.read_text()
            tracebacks += "Traceback" in said
            went_on = re.search(r"resumed at step ([\d,]+)", said)
            if went_on and done:
                done[-1]["resumed_at"] = int(went_on[1].replace(",", ""))
            if killed:
                of_this += 1
                lost = after["step"] - (after["checkpoint"] or 0) if after["phase"] != "starting" else None
                done.append({"kind": kind, **after, "steps_lost": lost, "resumed_at": None})
                tell(f"{len(done)}/{kills} {done[-1]}")
                resumed = after["checkpoint"] is not None
                if not resumed:  # killed before there was one: the run begins again
                    shutil.rmtree(launch.run, ignore_errors=True)
            if not killed or (launch.run / "summary.json").exists():  # the last thing that a run writes
                found = contents(launch.run)
                same = {part: found[part] == expected[part] for part in expected}
                ends.append({"kills": of_this, "identical": all(same.values()), **same})
                tell(f"done {ends[-1]}")
                shutil.rmtree(launch.run)
                resumed, of_this = False, 0
    lost = [each["steps_lost"] for each in done if each["steps_lost"] is not None and each["checkpoint"] is not None]
    return {
        "command": " ".join(["ddpg train", *command, *SMALL, *OFTEN]),
        "kills": len(done),
        "by_kind": dict(Counter(each["kind"] for each in done)),
        "by_phase": dict(Counter(each["phase"] for each in done)),
        "with_a_partial_left": sum(each["partial"] for each in done),
        "most_partials_left": max(each["partial"] for each in done),
        "before_the_first_checkpoint": sum(each["checkpoint"] is None for each in done),
        "went_on_from_the_last_checkpoint": all(each["resumed_at"] in (None, each["checkpoint"]) for each in done),
        "most_steps_lost": max(lost),
        "tracebacks": tracebacks,
        "most_children_left": max(each["children_left"] for each in done),
        "longest_until_children_ended": max((each["seconds_until_children_ended"] or 0) for each in done),
        "identical": all(each["identical"] for each in ends),
        "runs": ends,
        "each_kill": done,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/crashes.json"))
    parser.add_argument("--kills", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="*", choices=JOBS, default=list(JOBS))
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("XDG_CACHE_HOME", cache)  # compiled programs, for all processes here
        jobs = {}
        for i, name in enumerate(args.jobs):
            kills = args.kills // len(args.jobs) + (i < args.kills % len(args.jobs))
            print(name, flush=True)
            jobs[name] = job(*JOBS[name], kills, args.seed + i, lambda line: print(line, flush=True))
    result = {
        "command": f"python benchmarks/crashes.py --kills {args.kills} --seed {args.seed}",
        "machine": f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}",
        "minutes": round((time.monotonic() - began) / 60, 1),
        "kills": sum(each["kills"] for each in jobs.values()),
        "by_kind": dict(sum((Counter(each["by_kind"]) for each in jobs.values()), Counter())),
        "by_phase": dict(sum((Counter(each["by_phase"]) for each in jobs.values()), Counter())),
        "identical": all(each["identical"] for each in jobs.values()),
        "most_steps_lost": max(each["most_steps_lost"] for each in jobs.values()),
        "jobs": jobs,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "jobs"}, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        sys.exit(inside(Page(Path(sys.argv[2])), sys.argv[3:]))
    main()
