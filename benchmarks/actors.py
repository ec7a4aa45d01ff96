"""Actors in a Ray cluster: how fast they collect, what is learned, what deaths change, what one learner can feed on.

    python benchmarks/actors.py PART [PART ...] [--out benchmarks/results/actors.json]

Each part adds its figures to the file. Needs the extra `ray`, and `cheetah` the extra `mujoco`.

  speed      steps per second in `sleepy`, whose steps take 5 ms, with 1, 2 and 4 actors, and without
  saturation the same with larger networks and up to 8 actors: what the learner takes is the limit then
  learning   Pendulum, three seeds, with 1 and 4 actors and without: the gap after the same number of steps
  cheetah    HalfCheetah, the same, with the preset `mujoco` and few steps
  deaths     200 000 steps with 4 actors, of which one is killed every few seconds, and the learner once, by SIGKILL;
             memory of all processes and of the object store meanwhile; and the same run that nobody disturbs
  nodes      two Ray nodes of two CPUs on this machine, 4 actors; one node is killed, and comes back later
  costs      what the learner's process spends on one block, by its size and by the number of actors
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

RESULTS = Path("benchmarks/results/actors.json")
FEWEST = 3  # actors of four
SMALL = ["--actor.widths", "64,64", "--critic.widths", "64,64"]


# Runs ---------------------------------------------------------------------------------------------------------------


def train(run: Path, env: str, actors: int, *options: object, seed: int = 0) -> dict[str, Any]:
    """One run by the command line, niced; its summary and its last log point."""
    command = [sys.executable, "-m", "ddpg", "train", env, "--run", run, "--seed", seed, "--quiet", *options]
    command += ["--actors", actors] if actors else []
    subprocess.run(["nice", "-n", "5", *map(str, command)], check=True, cwd=Path(__file__).parent, env=variables())
    return ended(run)


def variables() -> dict[str, str]:
    return {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "MPLBACKEND": "Agg"}


def ended(run: Path) -> dict[str, Any]:
    """What is kept of a run."""
    points = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((run / "summary.json").read_text())
    learning = [point for point in points if point["critic_loss"] is not None] or points
    numbers = {"steps_per_second": summary["steps_per_second"], "return": summary["iqm"]}
    numbers["curve"] = {str(point["step"]): point["return"] for point in points}
    for key in ("staleness", "waiting"):
        if key in learning[0]:
            numbers[key] = round(float(np.mean([point[key] for point in learning])), 3)
    if "replaced" in points[0]:
        numbers["replaced"] = int(sum(point["replaced"] for point in points))
    return numbers


def speed(runs: Path) -> dict[str, Any]:
    """The median of three runs of each number of actors, after one that is not counted."""
    options = ["--steps", 4_000, "--eval-episodes", 0, "--collect.warmup", 1_000, *SMALL]
    sizes, rates = (0, 1, 2, 4), dict[int, list[float]]()
    for i in range(4):
        for actors in sizes:
            found = train(runs / f"speed-{actors}-{i}", "sleepy:Sleepy-v0", actors, *options)
            rates.setdefault(actors, []).extend([found["steps_per_second"]] if i else [])
            print(actors, found["steps_per_second"], found.get("waiting"), flush=True)
    middle = {actors: median(each) for actors, each in rates.items()}
    return {
        "seconds_per_step": 0.005,
        "steps_per_second": middle,
        "times_one": {actors: middle[actors] / middle[1] for actors in sizes[1:]},
        "runs": rates,
    }


def saturation(runs: Path) -> dict[str, Any]:
    """The same environment with an update that takes so long that a few actors keep the learner busy.

    By docs/cluster.md speed is the smaller of what the actors collect, each as much as one alone, and what the learner
    takes: with its seconds per block, of the same run, which its share of waiting tells.
    """
    options = ["--steps", 4_000, "--eval-episodes", 0, "--collect.warmup", 1_000, "--replay.batch", 256]
    options += ["--actor.widths", "128,128", "--critic.widths", "128,128", "--collect.steps", 100]
    said = dict[int, dict[str, float]]()
    for actors in (1, 2, 4, 8):
        found = train(runs / f"saturation-{actors}", "sleepy:Sleepy-v0", actors, *options)
        rate, waiting = found["steps_per_second"], found["waiting"]
        learner = (1 - waiting) * 100 / rate
        alone = said[1]["steps_per_second"] if said else rate
        said[actors] = {"steps_per_second": rate, "waiting": waiting, "learner_seconds_per_block": learner}
        said[actors] |= {"predicted": min(actors * alone, 100 / learner), "staleness": found["staleness"]}
        print(actors, said[actors], flush=True)
    return {"actors": said}


def learning(runs: Path) -> dict[str, Any]:
    """Pendulum with the preset `ddpg`."""
    options = ["--steps", 10_000, "--eval-every", 1_000, "--eval-episodes", 50]
    return _compared(
        runs, "gym:Pendulum-v1", {"0": [], "1": [], "4": [], "4, blocks of 25": ["--collect.steps", 25]}, options
    )


def cheetah(runs: Path) -> dict[str, Any]:
    """HalfCheetah with the preset `mujoco`."""
    options = ["--preset", "mujoco", "--steps", 20_000, "--eval-every", 5_000, "--eval-episodes", 5]
    return _compared(runs, "HalfCheetah-v5", {"0": [], "4": []}, options)


def _compared(runs: Path, env: str, kinds: Mapping[str, Sequence[object]], options: Sequence[object]) -> dict[str, Any]:
    said = dict[str, Any]()
    for seed in range(3):
        for kind, own in kinds.items():
            folder = runs / f"{env.removeprefix('gym:')}-{kind}-{seed}".replace(", ", "-").replace(" ", "-")
            found = train(folder, env, int(kind[0]), *options, *own, seed=seed)
            print(kind, seed, found, flush=True)
            said.setdefault(kind, []).append(found)
    return {
        kind: {
            "returns": [round(each["return"], 1) for each in found],
            "mean": np.mean([each["return"] for each in found]),
        }
        | {"runs": found}
        for kind, found in said.items()
    }


# Deaths -------------------------------------------------------------------------------------------------------------


def inside(run: Path, options: Mapping[str, Any], probe: Path) -> None:
    """One process that trains in Pendulum, or goes on: with every log point what the object store holds is noted."""
    import ddpg

    def observe(point: Any) -> None:
        import ray

        total, free = ray.cluster_resources(), ray.available_resources()
        used = total["object_store_memory"] - free.get("object_store_memory", 0.0)
        with probe.open("a") as file:
            seen = {"step": point["step"], "store_bytes": used, "replaced": float(point["replaced"][0])}
            file.write(json.dumps(seen) + "\n")

    if (run / "config.json").exists():
        ddpg.resume(run, observers=[observe], quiet=True)
    else:
        ddpg.train("gym:Pendulum-v1", run=run, steps=200_000, seed=0, options=options, observers=[observe], quiet=True)


def process_table() -> dict[int, tuple[int, str, int]]:
    """Parent, command line and resident bytes of every process of this machine."""
    found = dict[int, tuple[int, str, int]]()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            found[int(folder.name)] = int(stat[1]), command.strip(), int(stat[21]) * 4096
    return found


def descendants(root: int) -> Iterator[tuple[int, str, int]]:
    """Of a process, with itself: pid, command line, resident bytes."""
    table = process_table()
    family = {root}
    while more := {pid for pid, (parent, *_) in table.items() if parent in family} - family:
        family |= more
    return ((pid, *table[pid][1:]) for pid in family if pid in table)


def actors_of(root: int) -> list[int]:
    return [pid for pid, command, _ in descendants(root) if command.startswith("ray::RemoteCollector")]


def start(run: Path, options: Mapping[str, Any], probe: Path) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__).resolve()), "--inside", str(run), json.dumps(options), str(probe)]
    return subprocess.Popen(["nice", "-n", "5", *command], env=variables())


def watched(
    process: subprocess.Popen,
    act: Callable[[float, int], str | None],
    memory: list[dict[str, Any]],
    seen: dict[int, str],
) -> list[str]:
    """Until it ends: `act(seconds, pid)` once a second, and the memory of the learner, its actors and Ray.

    All its processes are `seen`, with their command lines.
    """
    began, acts = time.monotonic(), list[str]()
    while process.poll() is None:
        time.sleep(1.0)
        now = time.monotonic() - began
        family = list(descendants(process.pid))
        seen |= {pid: command for pid, command, _ in family}
        sizes = {"learner": 0, "actor": 0, "ray": 0}
        for pid, command, resident in family:
            kind = "learner" if pid == process.pid else "actor" if command.startswith("ray::Remote") else "ray"
            sizes[kind] = max(sizes[kind], resident) if kind == "actor" else sizes[kind] + resident
        memory.append({"seconds": round(now, 1)} | {kind: round(size / 1e6, 1) for kind, size in sizes.items()})
        if (did := act(now, process.pid)) is not None:
            acts.append(did)
            print(f"{now:.0f} s: {did}", flush=True)
    return acts


class Killer:
    """Kills an actor every few seconds while FEWEST live, and the learner once, after so many log points."""

    def __init__(self, probe: Path, learner_at: int) -> None:
        self._probe, self._learner_at, self._due = probe, learner_at, 10.0
        self._rng = np.random.default_rng(0)

    def __call__(self, now: float, pid: int) -> str | None:
        if self._learner_at and points(self._probe) >= self._learner_at:
            os.kill(pid, signal.SIGKILL)
            self._learner_at, self._due = 0, 10.0
            return f"learner {pid} killed"
        actors = actors_of(pid)
        if now < self._due or len(actors) < FEWEST:
            return None
        self._due = now + self._rng.uniform(1.0, 3.0)
        os.kill(victim := int(self._rng.choice(actors)), signal.SIGKILL)
        return f"actor {victim} killed"


def points(probe: Path) -> int:
    """How many log points there were."""
    return len(probe.read_text().splitlines()) if probe.exists() else 0


def nothing(now: float, pid: int) -> None:
    """Nobody disturbs the run."""


def deaths(runs: Path) -> dict[str, Any]:
    options = {"actors.number": 4, "eval.every": 10_000, "eval.episodes": 20}
    options |= {"replay.capacity": 50_000, "collect.warmup": 1_000}
    said = dict[str, Any]()
    for name in ("undisturbed", "killed"):
        run, probe = runs / name, runs / f"{name}.jsonl"
        act = Killer(probe, learner_at=8) if name == "killed" else nothing
        memory, acts, began, seen = list[dict[str, Any]](), list[str](), time.monotonic(), dict[int, str]()
        while not (run / "summary.json").exists():
            acts += watched(start(run, options, probe), act, memory, seen)
        time.sleep(3.0)
        table = process_table()
        left = [seen[pid] for pid in seen if pid in table and table[pid][1].split()[:1] == seen[pid].split()[:1]]
        said[name] = ended(run) | {
            "seconds": round(time.monotonic() - began, 1),
            "actors_killed": sum(each.startswith("actor") for each in acts),
            "learners_killed": sum(each.startswith("learner") for each in acts),
            "processes_left": left,
            "object_store": [json.loads(line) for line in probe.read_text().splitlines()],
            "memory_mb": memory[:: max(1, len(memory) // 40)],
        }
        print(name, {key: said[name][key] for key in ("return", "actors_killed", "replaced", "processes_left")})
    return said


def nodes(runs: Path) -> dict[str, Any]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    second = cluster.add_node(num_cpus=2)
    run, probe, events = runs / "nodes", runs / "nodes.jsonl", list[str]()
    options = {"actors.number": 4, "actors.address": cluster.address, "collect.updates": 25, "collect.steps": 100}
    options |= {"eval.every": 5_000, "eval.episodes": 20, "replay.capacity": 50_000}
    state = {"second": second}

    def act(now: float, pid: int) -> str | None:
        done = points(probe)
        if done >= 8 and state["second"] is not None:
            cluster.remove_node(state["second"], allow_graceful=False)
            state["second"] = None
            return f"node killed after log point {done}"
        if done >= 20 and state["second"] is None and "back" not in state:
            state["back"] = cluster.add_node(num_cpus=2)
            return f"a node joined after log point {done}"
        return None

    memory = list[dict[str, Any]]()
    events = watched(start(run, options, probe), act, memory, {})
    cluster.shutdown()
    seen = [json.loads(line) for line in probe.read_text().splitlines()]
    return ended(run) | {"events": events, "object_store": seen}


# Costs --------------------------------------------------------------------------------------------------------------


def costs(runs: Path) -> dict[str, Any]:
    """Milliseconds of the learner's process per block: to wait, fetch, copy and dispatch; by bytes and by actors."""
    import ray

    from ddpg.training.ray_cluster import Cluster

    cluster = Cluster("local", 2, asked="the probe", named="address", store=2**28)

    class Source:
        def collect(self, policy: Any, size: int) -> np.ndarray:
            return np.zeros(size, np.uint8)

    kind: Any = ray.remote(Source).options(num_cpus=1)
    actors = [kind.remote() for _ in range(2)]
    said: dict[str, Any] = {"block": {}, "policy": {}, "actors": {}}

    def turns(policy: Any, size: int, waiting: int, count: int = 200) -> float:
        """The learner's side of `count` blocks while so many tasks are under way, without the time it waits."""
        tasks = {actors[i % 2].collect.remote(ray.put(policy), size): i % 2 for i in range(waiting)}
        time.sleep(1.0)
        spent = list[float]()
        for _ in range(count):
            ray.wait(list(tasks), num_returns=1)
            began = time.perf_counter()
            done, _ = ray.wait(list(tasks), num_returns=1)
            which = tasks.pop(done[0])
            np.array(ray.get(done[0]))
            tasks[actors[which].collect.remote(ray.put(policy), size)] = which
            spent.append(time.perf_counter() - began)
        while tasks:
            done, _ = ray.wait(list(tasks), num_returns=len(tasks))
            for each in done:
                tasks.pop(each)
        return 1e3 * median(spent)

    small = np.zeros(5_000, np.float32)
    for size in (5_000, 50_000, 500_000, 5_000_000):
        said["block"][size] = turns(small, size, 4)
    for size in (20_000, 600_000, 6_000_000):
        said["policy"][size] = turns(np.zeros(size // 4, np.float32), 5_000, 4)
    for waiting in (4, 32, 256, 1_000):
        said["actors"][waiting] = turns(small, 5_000, waiting)
    cluster.close()
    return {"milliseconds_per_block": said}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "speed": speed,
    "saturation": saturation,
    "learning": learning,
    "cheetah": cheetah,
    "deaths": deaths,
    "nodes": nodes,
    "costs": costs,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("part", choices=PARTS, nargs="+")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    for part in args.part:
        with tempfile.TemporaryDirectory() as runs:
            found = PARTS[part](Path(runs))
        done = json.loads(args.out.read_text()) if args.out.exists() else {}
        machine = f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}"
        done |= {part: {"command": f"python benchmarks/actors.py {part}", "machine": machine, **found}}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(done, indent=2, default=float) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(Path(sys.argv[2]), json.loads(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
