"""How much environments that Python steps cost: beside the compiled loop, and beside the updates alone.

    python benchmarks/host_speed.py [--out benchmarks/results/host_speed.json] [--repeats 5]

`pendulum`: Gymnasium's Pendulum-v1 in turns of 100 steps and 100 updates against the compiled Pendulum with one update
a step; 64-64, minibatches of 32, one seed, one environment; chunks are as long as in a run. `cheetah`: HalfCheetah-v5
with 256-256 and minibatches of 256, against the same updates without the environment, and those against the floor: the
operations of their matrix products at the rate that all cores reach on 1024 x 1024 float32 products in the same
process. Both sides alternate in one process; figures are medians over its rounds, and over the repeats, each a process
of its own. `cores` is what the machine had to give before each of them: the work that two processes of plain Python do
in the time of one alone, 2 where each has a core, nearer 1 where they share one.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from speed import operations, product_rate

TURN, ROUNDS = 100, 6
JOBS = {  # environment, widths, batch, steps a round
    "pendulum": ("Pendulum-v1", (64, 64), 32, 5_000),
    "cheetah": ("HalfCheetah-v5", (256, 256), 256, 500),
}


def worker(job: str) -> dict[str, float]:
    from ddpg.training.devices import configure_jax

    id, widths, batch, steps = JOBS[job]
    configure_jax(1, 2.0 * batch * widths[0] * widths[1])
    import jax
    import jax.numpy as jnp

    from ddpg.algorithm.agent import DPG
    from ddpg.algorithm.networks import NetworkConfig
    from ddpg.config.config import CollectionConfig, Config
    from ddpg.envs.gymnasium_factory import by_id
    from ddpg.envs.pendulum import Pendulum
    from ddpg.experience.replay import Replay
    from ddpg.training.backend import driver_for
    from ddpg.training.schedule import MAX_CHUNK

    gym = by_id(id)
    agent = DPG(actor=NetworkConfig(widths=widths), critic=NetworkConfig(widths=widths))

    def config(turn: int) -> Config:
        collect = CollectionConfig(steps=turn, updates=turn, warmup=1_000)
        return Config(agent=agent, replay=Replay(100_000, batch), collect=collect)

    keys = jnp.stack([jax.random.key(0)])

    def turning(driver: Any, turn: int) -> Callable[[int], Any]:
        driver.start(keys)
        driver.compile(longest=1_000 // turn, learning=False)(np.int32(0), 1_000 // turn)
        chunk = min(steps, MAX_CHUNK) // turn
        go = driver.compile(longest=chunk, learning=True)

        def once(i: int) -> None:
            for first in range((1_000 + i * steps) // turn, (1_000 + (i + 1) * steps) // turn, chunk):
                jax.block_until_ready(go(np.int32(first), chunk))

        return once

    hosted = driver_for(config(TURN), gym)
    sides = {"host": turning(hosted, TURN)}
    if job == "pendulum":
        sides["compiled"] = turning(driver_for(config(1), Pendulum()), 1)
    else:
        sides["updates"] = turning(Alone(hosted), TURN)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(ROUNDS + 1):
        for name, once in sides.items():
            began = perf_counter()
            once(i)
            times[name] += [(perf_counter() - began) / steps] if i else []  # the first round warms up
    said = {f"{name}_us": 1e6 * median(each) for name, each in times.items()}
    if job == "pendulum":
        return said | {"host_to_compiled_speed": said["compiled_us"] / said["host_us"]}
    floor = 1e6 * operations(gym.spec.obs_size, gym.spec.action_dim, widths, batch) / product_rate()
    return said | {
        "floor_us": floor,
        "updates_to_floor": said["updates_us"] / floor,
        "host_to_updates": said["host_us"] / said["updates_us"],
    }


class Alone:
    """The updates of a host driver without its environments: the same block is stored at every turn."""

    def __init__(self, host: Any) -> None:
        self.host = host

    def start(self, keys: Any) -> None:
        """The host has begun."""

    def compile(self, *, longest: int, learning: bool) -> Callable[[np.int32, int], None]:
        import jax
        import jax.numpy as jnp

        host = self.host
        if not learning:
            return lambda t0, n: None
        ((draw, _, learn),) = host.compile(longest=longest, learning=True).args[0]
        self.state = jax.tree.map(jnp.copy, host._states[0])

        def go(t0: np.int32, n: int) -> None:
            draws = draw(self.state.key, t0)
            for i in range(n):
                self.state, _ = learn(self.state, host._numbers, host._blocks[0], draws.updates, None, t0, np.int32(i))
            jax.block_until_ready(self.state)

        return go


def cores() -> float:
    """Work of two processes at once over that of one, in the same time."""
    with get_context("spawn").Pool(2) as pool:
        one, two = (median(max(pool.map(_busy, [1_000_000] * n)) for _ in range(7)) for n in (1, 2))
    return 2 * one / two


def _busy(n: int) -> float:
    began = perf_counter()
    sum(i * i for i in range(n))
    return perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/host_speed.json"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--worker", choices=JOBS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(worker(args.worker)))
        return
    runs: dict[str, list[dict[str, float]]] = {job: [] for job in JOBS}
    for _ in range(args.repeats):
        for job, of_job in runs.items():
            command = [sys.executable, __file__, "--worker", job]
            there = cores()
            said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            of_job.append({"cores": there} | said)
            print(job, {key: round(value, 2) for key, value in of_job[-1].items()}, flush=True)
    result = {
        "command": f"python benchmarks/host_speed.py --repeats {args.repeats}",
        "machine": f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}",
        **{job: {key: median(run[key] for run in of_job) for key in of_job[0]} for job, of_job in runs.items()},
        "runs": runs,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({job: result[job] for job in JOBS}, indent=2))


if __name__ == "__main__":
    main()
