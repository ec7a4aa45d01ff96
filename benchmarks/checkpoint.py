"""What a checkpoint of a million stored transitions costs: time, bytes, and what training loses by it.

    python benchmarks/checkpoint.py [--out benchmarks/results/checkpoint.json] [--rounds 9]

Observations and actions have HalfCheetah-v5's sizes (17 and 6), the replay is full, networks are 256-256, minibatches
256, one update a step. A round is a stretch of training without a checkpoint and one right after a checkpoint was
asked for; what the second takes longer is what it costs training, copying included. `interval_seconds` is the time to
the next one by default, when copying and writing have taken 1 %. Where orbax-checkpoint is installed the same state is
saved by it too. One bit in the middle of each is flipped: what the reader then says.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.networks import NetworkConfig
from ddpg.config.config import Config
from ddpg.experience.replay import Replay
from ddpg.records.checkpoint import Checkpoints, Saved, list_checkpoints
from ddpg.records.tree_file import read
from ddpg.training.backend import loop_for
from ddpg.training.scan import Scan
from ddpg.types import Keys, Spec

CAPACITY, CHUNK, CHUNKS = 1_000_000, 500, 4  # a stretch is CHUNKS x CHUNK updates


@dataclass(frozen=True)
class Still:
    """An environment of HalfCheetah's sizes that costs nothing."""

    id = "still"
    spec = Spec((17,), (-1.0,) * 6, (1.0,) * 6)
    max_episode_steps = 1_000

    def reset(self, key: Any) -> tuple[Any, Any]:
        return jnp.int32(0), jax.random.normal(key, (17,))

    def step(self, state: Any, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        obs = jnp.sin(jnp.arange(17.0) * state + jnp.sum(action))
        return state + 1, obs, jnp.sum(obs), jnp.bool_(False), state >= 999


def fill(scan: Scan, keys: Keys) -> None:
    """Start where the replay is full, of nothing in particular."""
    scan.start(keys)
    rows = jax.eval_shape(scan.loop.init, keys[0]).learner.ring.columns.shape
    columns = np.random.default_rng(0).normal(size=(1, *rows)).astype(np.float32)
    columns[..., -3:] = 0  # no ends
    snapshot = scan.snapshot()
    ring = snapshot.learner.ring._replace(
        obs=np.zeros((1, *rows[:2], 0), np.float32), columns=columns, size=np.full(1, rows[0], np.int32)
    )
    scan.resume(snapshot._replace(learner=snapshot.learner._replace(ring=ring)), keys)


def measure(rounds: int, folder: Path) -> dict[str, Any]:
    network = NetworkConfig(widths=(256, 256))
    agent = DPG(actor=network, critic=network)
    scan = Scan(loop_for(Config(agent=agent, replay=Replay(CAPACITY, 256)), Still()))
    keys = jnp.stack([jax.random.key(0)])
    fill(scan, keys)
    turn, told, t = scan.compile(longest=CHUNK, learning=True), list[Saved](), 2_000
    copies, plain, saving = list[float](), list[float](), list[float]()
    snapshot = scan.snapshot()

    def stretch() -> float:
        nonlocal t
        began = perf_counter()
        for _ in range(CHUNKS):
            turn(np.int32(t), CHUNK)
            t += CHUNK
        return perf_counter() - began

    def tell(step: int, said: Saved | OSError) -> None:
        assert isinstance(said, Saved), said
        told.append(said)

    stretch()
    for i in range(rounds):
        plain.append(stretch())
        with Checkpoints(folder / "checkpoints", 2, tell) as checkpoints:
            began = perf_counter()
            snapshot = scan.snapshot()
            copies.append(perf_counter() - began)
            checkpoints.save(i, snapshot, {"step": i}, lambda: None)
            stretch()
            saving.append(perf_counter() - began)
    path = list_checkpoints(folder / "checkpoints")[0]
    began = perf_counter()
    scan.resume(read(path, scan.snapshot_shapes(keys)), keys)
    restored = perf_counter() - began
    np.testing.assert_array_equal(scan.snapshot().learner.ring.columns, snapshot.learner.ring.columns)
    lost = median(b - a for a, b in zip(plain, saving, strict=True))
    return {
        "bytes": told[0].size,
        "copy_seconds": median(copies),
        "write_seconds": median(said.seconds for said in told),
        "restore_seconds": restored,
        "training_seconds_lost": lost,
        "stretch_seconds": median(plain),
        "interval_seconds": 100 * (median(copies) + median(said.seconds for said in told)),
        "flipped_byte": flipped(path, lambda: read(path, scan.snapshot_shapes(keys))),
        "orbax": orbax(jax.tree.map(np.asarray, scan.snapshot()), folder / "orbax"),
    }


def flipped(path: Path, read: Any) -> str:
    """What is said once a bit in the middle of the file is another."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    try:
        read()
    except Exception as error:
        return f"refused: {' '.join(str(error).split())[-60:]}"
    return "restored, with another number"


def orbax(tree: Any, folder: Path) -> dict[str, Any] | None:
    try:
        ocp: Any = import_module("orbax.checkpoint")  # which is no dependency
    except ImportError:
        return None
    tree = dict(enumerate(leaf for leaf in jax.tree.leaves(tree) if leaf.size))
    tree = {str(name): leaf for name, leaf in tree.items()}
    checkpointer, times = ocp.StandardCheckpointer(), list[float]()
    for i in range(3):
        began = perf_counter()
        checkpointer.save(folder / str(i), tree)
        checkpointer.wait_until_finished()
        times.append(perf_counter() - began)
    files = [path for path in (folder / "0").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    largest = max(files, key=lambda path: path.stat().st_size)
    return {
        "bytes": size,
        "write_seconds": median(times),
        "flipped_byte": flipped(largest, lambda: checkpointer.restore(folder / "0", tree)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/checkpoint.json"))
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=".")).resolve()  # on the disk that runs are on
    try:
        said = measure(args.rounds, folder)
    finally:
        shutil.rmtree(folder)
    machine = f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}"
    said = {"command": f"python benchmarks/checkpoint.py --rounds {args.rounds}", "machine": machine, **said}
    args.out.write_text(json.dumps(said, indent=2) + "\n")
    print(json.dumps(said, indent=2))


if __name__ == "__main__":
    main()
