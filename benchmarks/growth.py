"""How the time of a step with its update, and the memory of the process, grow with what a user may enlarge.

    python benchmarks/growth.py [--only capacity batch ...] [--out benchmarks/results] [--table]

Compiled Pendulum, preset `ddpg` (64-64, minibatches of 64), one seed and one environment, one update per environment
step but for `envs`, where an iteration of any number of environments has one; one size is changed at a time. `obs` is
the number of observations of an environment that holds still. The replay is full, so minibatches come from all of it.
Each point is a process of its own: the median of five chunks, and the largest resident set. The exponent is that of the
power law between the two largest sizes: 0 where what is enlarged does not matter, 1 where it is proportional.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from math import log
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.envs.pendulum import Pendulum
from ddpg.training.backend import loop_for
from ddpg.training.devices import prepare_jax
from ddpg.training.scan import Scan
from ddpg.types import Key, Spec

SIZES: dict[str, tuple[int, ...]] = {
    "capacity": (10_000, 100_000, 1_000_000, 10_000_000),
    "batch": (16, 64, 256, 1_024),
    "width": (32, 64, 128, 256, 512),
    "obs": (3, 30, 300, 3_000),
    "envs": (1, 8, 64, 512),
    "seeds": (1, 2, 4, 8, 16),
}
EXPECTED = {
    "capacity": "memory only: 32 bytes a step",
    "batch": "products: 1 when they are large",
    "width": "products: 2 when they are large",
    "obs": "the first layers and the gather: 1",
    "envs": "one update whatever their number: acting alone grows",
    "seeds": "1, divided by the cores",
}


@dataclass(frozen=True)
class Still:
    """So many observations that never change, and no reward."""

    obs: int
    id: str = "still"
    max_episode_steps: int = 200

    @property
    def spec(self) -> Spec:
        return Spec(obs_shape=(self.obs,), action_low=(-1.0,), action_high=(1.0,))

    def reset(self, key: Key) -> tuple[Array, Array]:
        return jnp.int32(0), jnp.ones(self.obs)

    def step(self, state: Array, action: Array) -> tuple[Array, Array, Array, Array, Array]:
        return state + 1, jnp.ones(self.obs), jnp.float32(0), jnp.bool_(False), state + 1 >= self.max_episode_steps


def worker(what: str, size: int) -> dict[str, float]:
    options: dict[str, Any] = {"capacity": {"replay.capacity": size}, "batch": {"replay.batch": size}}.get(what, {})
    if what == "width":
        options = {"actor.widths": f"{size},{size}", "critic.widths": f"{size},{size}"}
    if what in ("envs", "seeds"):
        options = {"collect.envs" if what == "envs" else "seeds": size}
    config: Config = override(PRESETS["ddpg"], {"collect.learning_starts": 10_000, **options})
    env = Still(size) if what == "obs" else Pendulum()
    prepare_jax(config, env.spec)
    scan = Scan(loop_for(config, env))
    scan.start(jax.random.split(jax.random.key(0), config.seeds))
    scan._states = [full(state) for state in scan._states]
    program, times, chunk = scan.compile(longest=2_000, learning=True), list[float](), 2_000
    program(np.int32(0), 100)
    began = perf_counter()
    program(np.int32(100), 100)
    chunk = max(20, min(chunk, int(100 * 0.5 / (perf_counter() - began))))
    for i in range(6):
        began = perf_counter()
        program(np.int32(200 + i * chunk), chunk)
        times.append((perf_counter() - began) / chunk)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"microseconds": round(1e6 * median(times[1:]), 2), "megabytes": round(peak, 1)}


@partial(jax.jit, donate_argnums=0)
def full(state: Any) -> Any:
    """Its replay has all rows, written, so that draws read all of its memory; -1 is no flag."""
    ring = state.learner.ring
    columns, size = jnp.full_like(ring.columns, -1.0), jnp.full_like(ring.size, ring.columns.shape[-3])
    return state._replace(learner=state.learner._replace(ring=ring._replace(columns=columns, size=size)))


def exponent(sizes: list[int], values: list[float]) -> float:
    return log(values[-1] / values[-2]) / log(sizes[-1] / sizes[-2])


def table(result: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [("size", "values", "µs an iteration", "exponent", "MB", "expected")]
    rows.append(("---",) * len(rows[0]))
    for what, points in result["sizes"].items():
        sizes, times = [point["size"] for point in points], [point["microseconds"] for point in points]
        cells = [f"{x:,}" for x in sizes], [f"{x:,.0f}" for x in times], [f"{p['megabytes']:,.0f}" for p in points]
        values, microseconds, megabytes = (" · ".join(each) for each in cells)
        rows.append((what, values, microseconds, f"{exponent(sizes, times):.2f}", megabytes, EXPECTED[what]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def figure(result: dict[str, Any], file: Path) -> None:
    """A panel a size: time on the left axis, memory on the right one, all logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from ddpg.records.plot import INK, PALETTE

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    drawing = Figure(figsize=(11, 6), dpi=160, layout=layout, facecolor="white")
    for i, (axes, (what, points)) in enumerate(zip(drawing.subplots(2, 3).flat, result["sizes"].items(), strict=True)):
        sizes = [point["size"] for point in points]
        other = axes.twinx()
        (time,) = axes.loglog(sizes, [p["microseconds"] for p in points], "o-", color=PALETTE[0])
        (memory,) = other.loglog(sizes, [p["megabytes"] for p in points], "s--", color=PALETTE[1])
        axes.set_title(what, loc="left", color=INK, fontweight="bold")
        axes.set_ylim(20, 2_000)  # the same in all, so that slopes can be compared
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_ylabel("µs an iteration" if i % 3 == 0 else "", color=PALETTE[0])
        other.set_ylabel("MB" if i % 3 == 2 else "", color=PALETTE[1])
        other.set_ylim(100, 10_000)
        other.minorticks_off()
        if not i:
            drawing.legend([time, memory], ["time", "memory"], loc="outside upper center", ncols=2, frameon=False)
    FigureCanvasAgg(drawing).print_png(str(file), metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(SIZES), choices=SIZES)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--table", action="store_true", help="print the result in Markdown, and measure nothing")
    parser.add_argument("--worker", nargs=2)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(worker(args.worker[0], int(args.worker[1]))))
        return
    file = args.out / "growth.json"
    result: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"sizes": {}}
    for what in [] if args.table else args.only:
        points = list[dict[str, Any]]()
        for size in SIZES[what]:
            command = [sys.executable, __file__, "--worker", what, str(size)]
            said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            points.append({"size": size, **said})
            print(what, points[-1], flush=True)
        result["sizes"][what] = points
    if not args.table:
        machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
        sizes = {what: result["sizes"][what] for what in SIZES if what in result["sizes"]}
        result = {"command": "python benchmarks/growth.py", "machine": machine, "sizes": sizes}
        file.write_text(json.dumps(result, indent=1) + "\n")
        if len(sizes) == len(SIZES):
            figure(result, args.out / "growth.png")
    print(table(result))


if __name__ == "__main__":
    main()
