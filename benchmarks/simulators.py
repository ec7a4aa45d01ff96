"""Many environments on one device: a reset for every step against a pool of resets.

    python benchmarks/simulators.py resets [--envs 128 1024] [--out benchmarks/results/simulators.json]

`resets`: steps per second of all copies, with one update of 64-64 networks on a minibatch of 256 per step of all of
them (`loop`), and without (`collect`). `settling` is Pendulum with a reset that simulates 100 steps first, as robots
are set down on the ground; others are measured if their package is there. The pool has as many starts as there are
copies. Both alternate in one process; figures are medians over rounds.

What was measured of other simulators stays in the file.
"""

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.networks import Network
from ddpg.config.config import CollectionConfig, Config
from ddpg.environment import resolve
from ddpg.envs.pendulum import Pendulum, PendulumState
from ddpg.envs.protocol import Environment
from ddpg.experience.replay import Replay
from ddpg.mistake import Mistake
from ddpg.training.backend import driver_for
from ddpg.types import Key

ROUNDS, SECONDS = 5, 1.0
SIMULATORS = ("Pendulum-v1", "settling", "gymnax:Pendulum-v1", "playground:CartpoleBalance")


@dataclass(frozen=True)
class Settling:
    """Pendulum after 100 steps without torque."""

    id = "settling"
    spec = Pendulum.spec
    max_episode_steps = Pendulum.max_episode_steps
    steps: int = 100

    def reset(self, key: Key) -> tuple[PendulumState, Array]:
        state, _ = Pendulum().reset(key)
        state = jax.lax.fori_loop(0, self.steps, lambda _, state: Pendulum().step(state, jnp.zeros(1))[0], state)
        return (state := state._replace(t=jnp.int32(0))), Pendulum().observe(state)

    def step(self, state: PendulumState, action: Array) -> Any:
        return Pendulum().step(state, action)


def environment(name: str) -> Environment | None:
    """None if its package is missing."""
    try:
        env = Settling() if name == "settling" else resolve(name)
    except Mistake as error:
        print(f"{name}: left out, {error}")
        return None
    assert isinstance(env, Environment)
    return env


def program(env: Environment, envs: int, pool: int, learning: bool) -> Callable[[], float]:
    """A function that turns the loop for about a second, and answers steps per second."""
    collect = CollectionConfig(1, 1, envs, warmup=0, learning_starts=10 * envs, reset_pool=pool)
    agent = DPG(actor=Network(widths=(64, 64)), critic=Network(widths=(64, 64)))
    driver = driver_for(Config(agent=agent, replay=Replay(100 * envs, 256), collect=collect), env)
    driver.start(jnp.stack([jax.random.key(0)]))
    turn, done = driver.compile(longest=100, learning=learning), [np.int32(0)]

    def turned(iterations: int) -> float:
        began = perf_counter()
        for _ in range(iterations // 100):
            turn(done[0], 100)
            done[0] = np.int32(done[0] + 100)
        return perf_counter() - began

    turned(100)
    iterations = 100 * max(1, round(SECONDS / turned(100)))
    return lambda: iterations * envs / turned(iterations)


def resets(copies: list[int], simulators: list[str]) -> dict[str, Any]:
    figures = dict[str, Any]()
    for name in simulators:
        if (env := environment(name)) is None:
            continue
        for envs in copies:
            row = dict[str, float]()
            for what, learning in (("collect", False), ("loop", True)):
                sides = {"every_step": program(env, envs, 0, learning), "pool": program(env, envs, envs, learning)}
                rounds = [{side: turn() for side, turn in sides.items()} for _ in range(ROUNDS)]
                rates = {side: median(each[side] for each in rounds) for side in sides}
                row |= {f"{what}_{side}": round(rate) for side, rate in rates.items()}
                row[f"{what}_ratio"] = round(rates["pool"] / rates["every_step"], 2)
            figures[f"{name} x {envs}"] = row
            print(name, envs, row, flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=["resets"])
    parser.add_argument("--envs", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--simulators", nargs="+", default=SIMULATORS, metavar="ID")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/simulators.json"))
    args = parser.parse_args()
    figures = resets(args.envs, args.simulators)
    whole = json.loads(args.out.read_text()) if args.out.exists() else {}
    machine = f"{platform.machine()}, CPython {platform.python_version()}, {jax.devices()[0].device_kind}"
    old = whole.get(args.job, {})  # of simulators that are not here
    whole[args.job] = old | {"command": f"python benchmarks/simulators.py {args.job}", "machine": machine} | figures
    args.out.write_text(json.dumps(whole, indent=2) + "\n")


if __name__ == "__main__":
    main()
