"""How long Ctrl-C takes, for every preset in its own size, and how long the film at the end of a run.

    python benchmarks/latency.py [--out benchmarks/results/latency.json] [--presses 3] [NAME ...]

Ctrl-C is pressed once, some seconds after learning has begun; once while programs are compiled; and three times at
once. `answered` is the time until training has stopped and a line says so, `ended` until the process has: in between
checkpoint, networks, curve and a film of at most two seconds are written. Films are of the last policy of a short run:
the seconds they took, and those of the run without them.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from queue import Empty, Queue
from random import Random
from threading import Thread
from time import perf_counter, sleep
from typing import Any

import gymnasium
import numpy as np

HOST = "HalfCheetah-v5"  # which Python steps
COMPILED = ["ddpg", "mujoco", "sparse", "article", "hands_on_rl", "lillicrap", "td3", "td3_plus", "d4pg", "td7",
            "td7_plus", "simba", "fasttd3", "pixels", "lillicrap-pixels"]  # fmt: skip
STEPPED = ["ddpg", "mujoco", "td3_plus", "td7_plus", "simba", "fasttd3"]
RUNS = {f"{preset}, Pendulum-v1": ["--preset", preset, "--steps=1e7"] for preset in COMPILED}
RUNS |= {f"{preset}, {HOST}": [HOST, "--preset", preset, "--steps=1e5"] for preset in STEPPED}
SHORT = ["--steps=6000", "--collect.warmup=1000", "--eval-episodes=2"]
FILMS = {
    "Pendulum-v1": ["Pendulum-v1"],
    HOST: [HOST, "--preset=mujoco", *SHORT],
    "0.3 s per frame": ["latency:Slow-v0", *SHORT],
}
LONGEST = 900.0  # seconds for what should take a few


class Slow(gymnasium.Env):
    """A point to be moved to 0 in 200 steps, each drawn in 0.3 s."""

    observation_space = gymnasium.spaces.Box(-2, 2, (1,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, render_mode: str | None = None) -> None:
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.x = 0, self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.x, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t, self.x = self.t + 1, np.clip(self.x + 0.1 * action, -2, 2).astype(np.float32)
        return self.x, -float(self.x[0] ** 2), False, self.t == 200, {}

    def render(self) -> np.ndarray:
        sleep(0.3)
        frame = np.zeros((100, 100, 3), np.uint8)
        frame[50, int(50 + 20 * self.x[0])] = 255
        return frame


gymnasium.register("Slow-v0", "latency:Slow")


class Process:
    """`ddpg` in a process of its own, and its lines as they come."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, __file__, "--worker", *words]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.lines = Queue[tuple[float, str]]()
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.put((perf_counter(), line.rstrip()))

    def until(self, beginning: str) -> float:
        """When the line that begins so was printed."""
        latest, others = perf_counter() + LONGEST, list[str]()
        while perf_counter() < latest and not (self.process.poll() is not None and self.lines.empty()):
            try:
                at, line = self.lines.get(timeout=0.2)
            except Empty:
                continue
            if line.startswith(beginning):
                return at
            others.append(line)
        self.process.kill()
        raise RuntimeError(f"no line {beginning!r} in {others}")

    def press(self, times: int = 1) -> float:
        began = perf_counter()
        for _ in range(times):
            self.process.send_signal(signal.SIGINT)
            sleep(0.02)  # two at the same moment would be one
        return began

    def end(self) -> float:
        self.process.wait(LONGEST)
        return perf_counter()


def answers(words: list[str], presses: int, random: Random) -> dict[str, Any]:
    """Seconds after Ctrl-C."""
    answered, ended = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        for i in range(presses + 1):
            one = Process("train", *words, "--run", f"{folder}/{i}")
            one.until("learning" if i < presses else "compiling")
            if i < presses:
                sleep(random.uniform(0.2, 8.0))
            began = one.press()
            answered.append(one.until("stopped at step") - began)
            ended.append(one.end() - began)
        one = Process("train", *words, "--run", f"{folder}/third")
        one.until("learning")
        third = -one.press(3) + one.end()
    *learning, compiling = answered
    return {"answered": learning, "answered_compiling": compiling, "ended": ended, "third_ended": third}


def filmed(words: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        Process("train", *words, "--run", f"{folder}/run").end()
        facts = json.loads(Path(folder, "run", "film.json").read_text())
        whole = json.loads(Path(folder, "run", "summary.json").read_text())["wall_seconds"]
    return facts | {"run_seconds": whole - facts["seconds"]}


def worker(words: list[str]) -> None:
    """`ddpg`, with a line when learning begins, and a file about the film."""
    from PIL import Image

    from ddpg.__main__ import run
    from ddpg.records.display import Display
    from ddpg.training import finish

    begin, film = Display.begin_learning, finish.film_policy

    def begin_learning(self: Display, step: int) -> None:
        begin(self, step)
        print("learning", file=sys.stderr, flush=True)

    def film_policy(policy: Any, env: Any, config: Any, path: Path, *others: Any) -> None:
        began = perf_counter()
        film(policy, env, config, path, *others)
        seconds = perf_counter() - began
        with Image.open(path) as picture:
            frames, rate = getattr(picture, "n_frames", 1), 1000 / picture.info.get("duration", 1000)
        facts = {"seconds": seconds, "frames": frames, "frames_per_second": rate}
        path.with_name("film.json").write_text(json.dumps(facts))

    Display.begin_learning, finish.film_policy = begin_learning, film_policy
    sys.argv = ["ddpg", *words]
    run()


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else round(value, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", help="of the runs and films to measure anew (all)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/latency.json"))
    parser.add_argument("--presses", type=int, default=3)
    args = parser.parse_args()
    before = json.loads(args.out.read_text()) if args.names and args.out.exists() else {}
    ctrl_c, films = before.get("ctrl_c_seconds", {}), before.get("films", {})
    random = Random(0)
    for name, words in RUNS.items():
        if not args.names or name in args.names:
            ctrl_c[name] = rounded(answers(words, args.presses, random))
            print(name, ctrl_c[name], flush=True)
    for name, words in FILMS.items():
        if not args.names or name in args.names:
            films[name] = rounded(filmed(words))
            print(name, films[name], flush=True)
    result = {
        "command": f"python benchmarks/latency.py --presses {args.presses}",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "ctrl_c_seconds": ctrl_c,
        "films": films,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2:])
    else:
        main()
