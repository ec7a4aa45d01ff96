"""Everything that can befall a run, provoked for real: the command, its exit status, and the lines that the user saw.

    python benchmarks/faults.py [PART OF A NAME ...] [--out benchmarks/results/faults.json]

Needs root on Linux, to mount disks of a few megabytes. The clock that jumps is that of Python. Lines that every run
prints are left out. Where a run goes on after its fault, `end` says whether it ended as one that nothing had befallen:
last checkpoint, networks, metrics and TensorBoard, times apart.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from crashes import alive, contents, descendants

SMALL = ["--actor.widths", "16", "--critic.widths", "16,16", "--replay.batch", "16", "--collect.warmup", "500"]
SMALL += ["--checkpoint.every", "1000", "--eval.every", "1000", "--eval.episodes", "20"]
COMPILED, HOSTED = ["Pendulum-v1", "--steps", "6000"], ["gym:Pendulum-v1", "--steps", "8000"]
USUAL = re.compile(
    r"step +\d+/|checkpoint of step [\d,]+: |compiling$|replay: |\S+ on \S+ · |networks saved in |return .* steps/s|"
    r"run folder: |to evaluate it|to see all charts: |to train on: |one seed may be luck: "
)
CLOCK = '''"""The clock of Python, set wrong by the hours in a file."""

import time

real = time.time
time.time = lambda: real() + 3600 * float(open("clock").read() or 0)
'''
ENVIRONMENTS = '''"""Environments that misbehave when a file of that name is there."""

import os
import time

import gymnasium
import numpy as np


class Usual(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.v = self.np_random.uniform(-1, 1, 2)
        return np.array([self.x, self.v], np.float32), {}

    def step(self, action):
        if os.path.exists("raises"):
            raise RuntimeError("the simulator lost its licence")
        while os.path.exists("hangs"):
            time.sleep(0.1)
        time.sleep(1e-4)
        self.v += 0.1 * float(action[0])
        self.x += 0.1 * self.v
        return np.array([self.x, self.v], np.float32), -self.x**2, False, False, {}


class Unrepeatable(Usual):
    def step(self, action):
        self.v += 0.01 * (time.time_ns() % 1000) / 1000
        return super().step(action)


gymnasium.register("Usual-v0", entry_point=Usual, max_episode_steps=300)
gymnasium.register("Unrepeatable-v0", entry_point=Unrepeatable, max_episode_steps=300)


def make():
    return gymnasium.make("Usual-v0")
'''
FAULTS: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {}


def fault(name: str) -> Callable[[Callable[[], Iterator[dict[str, Any]]]], None]:
    def note(provoke: Callable[[], Iterator[dict[str, Any]]]) -> None:
        FAULTS[name] = provoke

    return note


def ddpg(
    *argv: str,
    at: str | None = None,
    do: Callable[[subprocess.Popen[str]], object] | None = None,
    program: Sequence[str] = ("-m", "ddpg"),
    under: Sequence[str] = (),
    then: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Run a command; when a line that matches `at` appears, `do` something to it. What was seen of it.

    And `then` something else, when a checkpoint could not be written.
    """
    argv = tuple(argv)
    process = subprocess.Popen(
        [*under, sys.executable, *program, *argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines = list[str]()
    for line in process.stderr:
        lines.append(line.rstrip("\n"))
        if at is not None and do is not None and re.search(at, line):
            do(process)
            at = None
        if then is not None and "could not be written" in line:
            then()
            then = None
    status = process.wait()
    shown = [each for each in argv if each not in SMALL] if argv[:1] == ("train",) else list(argv)
    saw = [line for line in lines if not USUAL.match(line)]
    return {
        "command": " ".join([*under, "ddpg", *shown]) if "ddpg" in program else "python " + " ".join(program),
        "status": status,
        "saw": saw,
        "traceback": any("Traceback" in line for line in lines),
    }


def kill(number: int) -> Callable[[subprocess.Popen[str]], None]:
    return lambda process: process.send_signal(number)


def train(run: str = "run", *options: str, which: Sequence[str] = COMPILED, **rest: Any) -> dict[str, Any]:
    return ddpg("train", *which, *SMALL, *options, "--run", run, **rest)


@cache
def reference(which: tuple[str, ...] = tuple(COMPILED)) -> dict[str, Any]:
    """What a run is that nothing befalls."""
    with tempfile.TemporaryDirectory() as folder:
        seen = train(f"{folder}/run", which=which)
        assert seen["status"] == 0, seen
        return contents(Path(folder) / "run")


def half(which: Sequence[str] = COMPILED, until: str = "checkpoint of step 3,000") -> None:
    """RUN, killed after some checkpoints."""
    train(which=which, at=until, do=kill(signal.SIGKILL))


def to_the_end(*argv: str, which: Sequence[str] = COMPILED, run: str = "run", **rest: Any) -> dict[str, Any]:
    """`ddpg resume`, and whether all ended well."""
    return compared(ddpg("resume", run, *argv, **rest), Path(run), which)


def compared(seen: dict[str, Any], run: Path, which: Sequence[str]) -> dict[str, Any]:
    if seen["status"] == 0:
        expected, found = reference(tuple(which)), contents(run)
        parts = ("checkpoints", "networks", "metrics", "tensorboard")
        odd = [part for part in parts if not alike(part, found[part], expected[part])]
        seen["end"] = f"differs: {', '.join(odd)}" if odd else "identical"
    return seen


def alike(part: str, found: Any, expected: Any) -> bool:
    """Of checkpoints the last: which others are there depends on those that could not be written."""
    return max(found.items()) == max(expected.items()) if part == "checkpoints" else found == expected


def newest() -> Path:
    return max(Path("run/checkpoints").glob("step-*"))


@contextmanager
def disk(size: str) -> Iterator[Path]:
    """A small disk at `disk`."""
    place = Path("disk")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, leave: int = 0) -> None:
    """Until nothing but `leave` bytes is free."""
    with (place / "ballast").open("wb", buffering=0) as file:
        free = os.statvfs(place)
        size = free.f_bavail * free.f_bsize - leave
        file.write(bytes(max(size, 0)))


def ballast(leave: int = 0) -> Callable[[object], None]:
    return lambda _: fill(Path("disk"), leave)


@fault("disk full during a save, and free again while training goes on")
def _() -> Iterator[dict[str, Any]]:
    with disk("3m") as place:
        ballast = place / "ballast"
        # A few pages stay, so that only what is large fails.
        seen = train(
            "disk/run",
            which=HOSTED,
            at="checkpoint of step 2,000",
            do=lambda _: fill(place, 32_768),
            then=ballast.unlink,
        )
        yield compared(seen, Path("disk/run"), HOSTED)


@fault("disk full from the third checkpoint to the end, networks and pictures too")
def _() -> Iterator[dict[str, Any]]:
    with disk("3m") as place:
        yield train("disk/run", at="checkpoint of step 3,000", do=ballast(0))
        (place / "ballast").unlink()
        yield to_the_end(run="disk/run")


@fault("disk full at the very last save")
def _() -> Iterator[dict[str, Any]]:
    with disk("3m") as place:
        yield train("disk/run", at="checkpoint of step 5,000", do=ballast(49_152))
        (place / "ballast").unlink()
        yield to_the_end(run="disk/run")


@fault("disk full before the run begins")
def _() -> Iterator[dict[str, Any]]:
    with disk("64k") as place:
        fill(place)
        yield train("disk/run")


@fault("disk full when a run is resumed")
def _() -> Iterator[dict[str, Any]]:
    with disk("3m") as place:
        train("disk/run", at="checkpoint of step 3,000", do=kill(signal.SIGKILL))
        fill(place)
        yield ddpg("resume", "disk/run")
        (place / "ballast").unlink()
        yield to_the_end(run="disk/run")


@fault("nothing can be written into the folder any more")
def _() -> Iterator[dict[str, Any]]:
    def lock(process: subprocess.Popen[str]) -> None:  # immutable, since root passes over permissions
        for path in (Path("run"), Path("run/checkpoints"), Path("run/models/seed-0")):
            subprocess.run(["chattr", "+i", path], check=True)

    try:
        yield train(at="checkpoint of step 3,000", do=lock)
    finally:
        subprocess.run(["chattr", "-R", "-i", "run"], check=True)
    yield to_the_end()


@fault("resume in a read-only folder")
def _() -> Iterator[dict[str, Any]]:
    with disk("3m") as place:
        train("disk/run", at="checkpoint of step 3,000", do=kill(signal.SIGKILL))
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        yield ddpg("resume", "disk/run")
        yield train("disk/other")


@fault("a flipped bit in the newest checkpoint's header")
def _() -> Iterator[dict[str, Any]]:
    half()
    flip(newest(), 200)
    yield to_the_end()


@fault("a flipped bit in the newest checkpoint's numbers")
def _() -> Iterator[dict[str, Any]]:
    half()
    flip(newest(), newest().stat().st_size - 1_000)
    yield to_the_end()


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@fault("the newest checkpoint cut off")
def _() -> Iterator[dict[str, Any]]:
    half()
    os.truncate(newest(), newest().stat().st_size // 2)
    yield to_the_end()


@fault("the newest checkpoint empty")
def _() -> Iterator[dict[str, Any]]:
    half()
    os.truncate(newest(), 0)
    yield to_the_end()


@fault("the newest checkpoint deleted")
def _() -> Iterator[dict[str, Any]]:
    half()
    newest().unlink()
    yield to_the_end()


@fault("all checkpoints damaged")
def _() -> Iterator[dict[str, Any]]:
    half()
    for path in Path("run/checkpoints").glob("step-*"):
        os.truncate(path, 5_000)
    yield ddpg("resume", "run")
    yield ddpg("eval", "run", "--episodes", "2")


@fault("killed before the first checkpoint")
def _() -> Iterator[dict[str, Any]]:
    half(until="compiling")
    yield ddpg("resume", "run")
    yield train()


@fault("a checkpoint of another run copied in")
def _() -> Iterator[dict[str, Any]]:
    half()
    train("other", "--gamma", "0.9")
    shutil.copy("other/checkpoints/step-000000006000.safetensors", "run/checkpoints/")
    yield to_the_end()


@fault("a checkpoint of the same run with another seed copied in")
def _() -> Iterator[dict[str, Any]]:
    half()
    train("other", "--seed", "1")
    shutil.copy("other/checkpoints/step-000000006000.safetensors", "run/checkpoints/step-000000004000.safetensors")
    yield to_the_end()


@fault("config.json changed by hand")
def _() -> Iterator[dict[str, Any]]:
    half()
    path = Path("run/config.json")
    path.write_text(path.read_text().replace('"gamma": 0.99', '"gamma": 0.9'))
    yield ddpg("resume", "run")


@fault("config.json deleted, or cut off")
def _() -> Iterator[dict[str, Any]]:
    half()
    os.truncate("run/config.json", 300)
    yield ddpg("resume", "run")
    Path("run/config.json").unlink()
    yield ddpg("resume", "run")


@fault("metrics.jsonl cut off in a line, and deleted")
def _() -> Iterator[dict[str, Any]]:
    half()
    path = Path("run/metrics.jsonl")
    shutil.copytree("run", "again")
    os.truncate(path, path.stat().st_size - 20)
    yield to_the_end()
    shutil.rmtree("run")
    shutil.move("again", "run")
    path.unlink()
    yield to_the_end()


@fault("a second process on the folder")
def _() -> Iterator[dict[str, Any]]:
    seen, long = list[dict[str, Any]](), ["gym:Pendulum-v1", "--steps", "1000000"]

    def second(process: subprocess.Popen[str]) -> None:
        seen.append(ddpg("resume", "run"))
        seen.append(train(which=long))
        process.send_signal(signal.SIGTERM)

    first = train(which=long, at="checkpoint of step 1,000", do=second)
    yield from seen
    yield first


@fault("train once more where the run is not at its end")
def _() -> Iterator[dict[str, Any]]:
    half()
    yield train()


@fault("disk full when a run is made longer")
def _() -> Iterator[dict[str, Any]]:
    with disk("3m") as place:
        train("disk/run")
        fill(place)
        yield ddpg("resume", "disk/run", "--steps", "7000")
        (place / "ballast").unlink()
        yield ddpg("resume", "disk/run", "--steps", "7000")


@fault("killed in the middle of the writing of a checkpoint, again and again")
def _() -> Iterator[dict[str, Any]]:
    half()
    for name in (".tmpAbCdEf", "step-000000004000.partial"):  # as safetensors and ddpg leave them
        Path("run/checkpoints", name).write_bytes(bytes(100_000))
    yield to_the_end()
    yield {
        "command": "ls -A run/checkpoints",
        "status": 0,
        "saw": sorted(path.name for path in Path("run/checkpoints").iterdir()),
        "traceback": False,
    }


@fault("a run at its end")
def _() -> Iterator[dict[str, Any]]:
    train()
    yield train()
    yield train("run", "--gamma", "0.9")
    yield ddpg("resume", "run")
    yield ddpg("resume", "run", "--steps", "6000")
    yield ddpg("resume", "run", "--steps", "4000")
    yield ddpg("resume", "run", "--steps", "many")
    yield train("run", which=["Pendulum-v1", "--steps", "7000"])
    yield ddpg("resume", "run", "--steps", "7000")


def stopped(number: int) -> Iterator[dict[str, Any]]:
    yield train(which=HOSTED, at="checkpoint of step 3,000", do=kill(number))
    yield to_the_end(which=HOSTED)


@fault("SIGTERM")
def _() -> Iterator[dict[str, Any]]:
    yield from stopped(signal.SIGTERM)


@fault("SIGINT, which Ctrl-C sends")
def _() -> Iterator[dict[str, Any]]:
    yield from stopped(signal.SIGINT)


@fault("SIGHUP, when a terminal is closed")
def _() -> Iterator[dict[str, Any]]:
    yield from stopped(signal.SIGHUP)


@fault("SIGHUP under nohup")
def _() -> Iterator[dict[str, Any]]:
    yield train(which=HOSTED, at="checkpoint of step 3,000", do=kill(signal.SIGHUP), under=["nohup"])


ASYNC = [*HOSTED, "--collect.envs", "2", "--collect.vector", "async"]


def stopped_together(number: int) -> Iterator[dict[str, Any]]:
    yield train(which=ASYNC, at="checkpoint of step 3,000", do=lambda process: os.killpg(process.pid, number))
    yield to_the_end(which=ASYNC)


@fault("SIGTERM to worker processes too, as `timeout` and systemd send it")
def _() -> Iterator[dict[str, Any]]:
    yield from stopped_together(signal.SIGTERM)


@fault("SIGINT to worker processes too, as a terminal sends it")
def _() -> Iterator[dict[str, Any]]:
    yield from stopped_together(signal.SIGINT)


@fault("SIGHUP to worker processes too, as a terminal that is closed sends it")
def _() -> Iterator[dict[str, Any]]:
    yield from stopped_together(signal.SIGHUP)


@fault("killed while an environment in a worker process hangs")
def _() -> Iterator[dict[str, Any]]:
    which = ["environments:Usual-v0", "--steps", "5000", "--collect.vector", "async"]
    left = list[int]()

    def hang(process: subprocess.Popen[str]) -> None:
        Path("hangs").touch()
        time.sleep(1)
        left.extend(descendants(process.pid))
        process.kill()

    seen = train(which=which, at="checkpoint of step 2,000", do=hang)
    until = time.monotonic() + 10
    while any(map(alive, left)) and time.monotonic() < until:
        time.sleep(0.1)
    yield seen | {"processes": len(left), "processes_left_after_10_s": sum(map(alive, left))}
    Path("hangs").unlink()
    yield to_the_end("--env", "environments:Usual-v0", which=which)


@fault("a worker process killed")
def _() -> Iterator[dict[str, Any]]:
    def one(process: subprocess.Popen[str]) -> None:
        os.kill(max(descendants(process.pid)), signal.SIGKILL)

    yield train(which=ASYNC, at="checkpoint of step 3,000", do=one)
    yield to_the_end(which=ASYNC)


def hanging(*options: str) -> Iterator[dict[str, Any]]:
    def press(process: subprocess.Popen[str]) -> None:
        Path("hangs").touch()
        for _ in range(3):
            time.sleep(1)
            os.killpg(process.pid, signal.SIGINT)

    which = ["environments:Usual-v0", "--steps", "5000", *options]
    yield train(which=which, at="checkpoint of step 2,000", do=press)
    Path("hangs").unlink()
    yield to_the_end("--env", "environments:Usual-v0", which=which)


@fault("an environment hangs, and Ctrl-C is pressed three times")
def _() -> Iterator[dict[str, Any]]:
    yield from hanging()


@fault("an environment in a worker process hangs, and Ctrl-C is pressed three times")
def _() -> Iterator[dict[str, Any]]:
    yield from hanging("--collect.vector", "async")


@fault("a clock that jumps two hours back and three forth")
def _() -> Iterator[dict[str, Any]]:
    Path("sitecustomize.py").write_text(CLOCK)
    which = [*HOSTED, "--checkpoint.share", "1e-4"]
    Path("clock").write_text("3")

    def back(process: subprocess.Popen[str]) -> None:
        Path("clock").write_text("-2")

    train(which=which, at="checkpoint of step 3,000", do=back)
    same = {part: contents(Path("run"))[part] == reference(tuple(which))[part] for part in ("networks", "tensorboard")}
    yield {
        "command": "ddpg train, and in the middle the clock goes from +3 h to -2 h",
        "status": 0,
        "saw": [],
        "traceback": False,
        "end": "identical" if all(same.values()) else "differs",
    }
    shutil.rmtree("run")
    Path("clock").write_text("3")
    train(which=which, at="checkpoint of step 3,000", do=kill(signal.SIGTERM))
    Path("clock").write_text("-2")
    yield to_the_end(which=which)


def own(name: str, trouble: str | None) -> Iterator[dict[str, Any]]:
    which = [f"environments:{name}-v0", "--steps", "5000"]
    train(which=which, at="checkpoint of step 2,000", do=kill(signal.SIGTERM))
    if trouble is not None:
        Path(trouble).touch()
        yield ddpg("resume", "run", "--env", which[0])
        Path(trouble).unlink()
    yield to_the_end("--env", which[0], which=which)


@fault("an environment that is not deterministic")
def _() -> Iterator[dict[str, Any]]:
    yield from own("Unrepeatable", None)


@fault("an environment that raises while its episode is played again")
def _() -> Iterator[dict[str, Any]]:
    yield from own("Usual", "raises")


@fault("a run of an id that imports a module")
def _() -> Iterator[dict[str, Any]]:
    which = ["environments:Usual-v0", "--steps", "5000"]
    train(which=which, at="checkpoint of step 2,000", do=kill(signal.SIGKILL))
    yield ddpg("resume", "run")
    yield ddpg("resume", "run", "--env", "environments:Unrepeatable-v0")
    yield to_the_end("--env", "environments:Usual-v0", which=which)


@fault("a run of a function")
def _() -> Iterator[dict[str, Any]]:
    options = dict(zip([each.removeprefix("--") for each in SMALL[::2]], SMALL[1::2], strict=True))
    source = f"import ddpg, environments\noptions = {options}\n"
    Path("of_function.py").write_text(source + 'ddpg.train(environments.make, steps=5000, run="run", options=options)')
    ddpg(program=["of_function.py"], at="checkpoint of step 2,000", do=kill(signal.SIGKILL))
    yield ddpg("resume", "run")
    Path("again.py").write_text('import ddpg, environments\nddpg.resume("run", env=environments.make)')
    yield ddpg(program=["again.py"])


@fault("a link where a checkpoint should be")
def _() -> Iterator[dict[str, Any]]:
    half()
    shutil.move(newest(), "elsewhere")
    os.symlink("../../elsewhere", "run/checkpoints/step-000000003000.safetensors")
    yield to_the_end()


@fault("a pipe and a folder where a checkpoint should be")
def _() -> Iterator[dict[str, Any]]:
    half()
    os.mkfifo("run/checkpoints/step-000000004000.safetensors")
    os.mkdir("run/checkpoints/step-000000005000.safetensors")
    yield to_the_end()


@fault("no run folder")
def _() -> Iterator[dict[str, Any]]:
    yield ddpg("resume", "nowhere")
    Path("empty").mkdir()
    yield ddpg("resume", "empty")
    yield ddpg("resume")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", help="faults whose names contain one of these")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/faults.json"))
    args = parser.parse_args()
    out = args.out.absolute()
    result = json.loads(out.read_text()) if args.names and out.exists() else {}
    home = os.getcwd()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup would have children ignore
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("XDG_CACHE_HOME", cache)
        for name, provoke in FAULTS.items():
            if args.names and not any(part in name for part in args.names):
                continue
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                Path("environments.py").write_text(ENVIRONMENTS)
                os.environ["PYTHONPATH"] = f"{folder}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")
                result[name] = [
                    each | {"saw": [line.replace(f"{folder}/", "") for line in each["saw"]]} for each in provoke()
                ]
                os.chdir(home)
            print(f"\n{name}")
            for each in result[name]:
                print(f"  $ {each['command']}  [{each['status']}]", *(f"    {line}" for line in each["saw"]), sep="\n")
                print("   ", each.get("end", ""), "TRACEBACK" if each["traceback"] else "", flush=True)
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps({name: result[name] for name in FAULTS if name in result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
