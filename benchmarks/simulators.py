"""Many environments: a reset for every step against a pool of resets, and three ways of stepping those of a CPU.

    python benchmarks/simulators.py resets [--envs 128 1024] [--out benchmarks/results/simulators.json]
    python benchmarks/simulators.py pools [--envs 1 8 32]

`resets`: steps per second of all copies, with one update of 64-64 networks on a minibatch of 256 per step of all of
them (`loop`), and without (`collect`). `settling` is Pendulum with a reset that simulates 100 steps first, as robots
are set down on the ground; others are measured if their package is there. The pool has as many starts as there are
copies. Both alternate in one process; figures are medians over rounds.

`pools`: steps per second of all environments, HalfCheetah-v5 with random actions, collecting alone, by the collector of
a run with 64-64 networks: one after the other in this process, in a worker process each, and by EnvPool, in turns.

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
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.nets import GreedyPolicy
from ddpg.algorithm.networks import NetworkConfig
from ddpg.config.config import CollectionConfig, Config
from ddpg.environment import resolve
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.pendulum import Pendulum, PendulumState
from ddpg.envs.protocol import Environment
from ddpg.envs.python_vector import PythonVector
from ddpg.experience.replay import Replay
from ddpg.mistake import Mistake
from ddpg.training.backend import behaviour_for, driver_for
from ddpg.training.python_collector import PythonCollector
from ddpg.training.randomness import ActionRandomness
from ddpg.types import Key

ROUNDS, SECONDS, STEPS = 5, 1.0, 50
SMALL = DPG(actor=NetworkConfig(widths=(64, 64)), critic=NetworkConfig(widths=(64, 64)))
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
    driver = driver_for(Config(agent=SMALL, replay=Replay(100 * envs, 256), collect=collect), env)
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


def collector_of(id: str, envs: int, vector: Literal["sync", "async"]) -> PythonCollector:
    """That of a run whose actions are random."""
    env = resolve(id)
    assert isinstance(env, GymFactory)
    config = Config(agent=SMALL, collect=CollectionConfig(STEPS, 1, envs, random_actions=1.0))
    return PythonCollector(behaviour_for(config, env.spec), PythonVector(env, [0], envs, vector))


def rate(collector: PythonCollector) -> float:
    """Steps per second of all its environments, over about a second."""
    behaviour, done = collector.behaviour, 0
    nets = jax.tree.map(np.asarray, SMALL.init(jax.random.key(0), behaviour.spec).online)
    policy, shape = GreedyPolicy(None, nets.encoder, nets.actor), (STEPS, behaviour.envs, behaviour.spec.action_dim)
    uniform = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    randomness = ActionRandomness(np.zeros_like(uniform), uniform, np.ones(shape[:2], bool))
    began = perf_counter()
    while perf_counter() - began < SECONDS:
        collector.collect([policy], np.int32(0), [randomness])
        done += STEPS * behaviour.envs
    return done / (perf_counter() - began)


def pools(counts: list[int], name: str = "HalfCheetah-v5") -> dict[str, Any]:
    figures = dict[str, Any]()
    for envs in counts:
        ways = {
            "in_process": collector_of(f"gym:{name}", envs, "sync"),
            "worker_processes": collector_of(f"gym:{name}", envs, "async"),
            "envpool": collector_of(f"envpool:{name}", envs, "sync"),
        }
        rounds = [{way: rate(collector) for way, collector in ways.items()} for _ in range(ROUNDS + 1)][1:]
        for collector in ways.values():
            collector.close()
        figures[f"{name} x {envs}"] = {way: round(median(each[way] for each in rounds)) for way in ways}
        print(envs, figures[f"{name} x {envs}"], flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=["resets", "pools"])
    parser.add_argument("--envs", type=int, nargs="+")
    parser.add_argument("--simulators", nargs="+", default=SIMULATORS, metavar="ID")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/simulators.json"))
    args = parser.parse_args()
    if args.job == "resets":
        figures = resets(args.envs or [128, 1024], args.simulators)
    else:
        figures = pools(args.envs or [1, 8, 32])
    whole = json.loads(args.out.read_text()) if args.out.exists() else {}
    machine = f"{platform.machine()}, CPython {platform.python_version()}, {jax.devices()[0].device_kind}"
    old = whole.get(args.job, {})  # of simulators that are not here
    whole[args.job] = old | {"command": f"python benchmarks/simulators.py {args.job}", "machine": machine} | figures
    args.out.write_text(json.dumps(whole, indent=2) + "\n")


if __name__ == "__main__":
    main()
