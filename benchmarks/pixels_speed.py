"""What pictures cost: an action in NumPy, drawing in twice the size, and a step with its update.

    MUJOCO_GL=egl taskset -c 1 python benchmarks/pixels_speed.py [--out benchmarks/results/pixels_speed.json]

Milliseconds, medians of rounds. An action is that of a policy of one observation, as where Python steps the
environment. Pictures are of Gymnasium's robots, drawn plainly, in their own size and in twice that and shrunk, by
turns. Steps are of the compiled Pendulum, with one update each.
"""

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import gymnasium
import jax
import numpy as np

from ddpg.algorithm.nets import GreedyPolicy
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.environment import resolve_as
from ddpg.envs import camera
from ddpg.envs.view import Drawn
from ddpg.training.backend import driver_for
from ddpg.training.devices import prepare_jax

ACTING, ROBOTS, SIZES, ROUNDS = ("pixels", "lillicrap-pixels", "drqv2"), ("HalfCheetah-v5", "Walker2d-v5"), (48, 84), 9


def milliseconds(do: Callable[[], Any], times: int) -> float:
    began = perf_counter()
    for _ in range(times):
        do()
    return 1e3 * (perf_counter() - began) / times


def acting(preset: str) -> float:
    config = override(PRESETS[preset], {"replay.capacity": 1_000})
    driver = driver_for(config, resolve_as(config, "Pendulum-v1"))
    driver.start(jax.numpy.stack([jax.random.key(0)]))
    learned = driver.read()
    parts = learned.stats, learned.online.encoder, learned.online.actor
    policy = jax.tree.map(lambda x: np.asarray(x)[0], GreedyPolicy(*parts))
    obs = np.zeros((1, *resolve_as(config, "Pendulum-v1").spec.obs_shape), np.uint8)
    return round(median(milliseconds(lambda: policy(obs), 20) for _ in range(ROUNDS)), 3)


def drawing(robot: str, size: int) -> dict[str, float]:
    cameras = dict[str, camera.Camera]()
    for name, times in (("own size", 1), ("twice", 2)):
        camera.ENLARGED = times
        env = gymnasium.make(robot, render_mode="rgb_array")
        env.reset(seed=0)
        cameras[name] = camera.Camera(env, Drawn(size=size))
        cameras[name]()
    rounds = [{name: milliseconds(one, 30) for name, one in cameras.items()} for _ in range(ROUNDS)]
    for one in cameras.values():
        one.close()
    return {name: round(median(each[name] for each in rounds), 2) for name in cameras}


def stepping(preset: str, steps: int) -> float:
    config = override(PRESETS[preset], {"collect.learning_starts": max(64, PRESETS[preset].replay.batch)})
    env = resolve_as(config, "Pendulum-v1")
    driver = driver_for(config, env)
    driver.start(jax.numpy.stack([jax.random.key(0)]))
    driver.compile(longest=500, learning=False)(np.int32(0), 500)
    program, done, rounds = driver.compile(longest=steps, learning=True), 500, list[float]()
    for _ in range(4):
        began = perf_counter()
        program(np.int32(done), steps)
        done += steps
        rounds.append(1e3 * (perf_counter() - began) / steps)
    return round(median(rounds[1:]), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pixels_speed.json"))
    args = parser.parse_args()
    prepare_jax(PRESETS["pixels"], resolve_as(PRESETS["pixels"], "Pendulum-v1").spec)
    result = {
        "command": "MUJOCO_GL=egl taskset -c 1 python benchmarks/pixels_speed.py",
        "machine": f"{platform.machine()}, Python {platform.python_version()}, JAX {jax.__version__}",
        "an action": {preset: acting(preset) for preset in ACTING},
        "a step": {"ddpg": stepping("ddpg", 2_000), "pixels": stepping("pixels", 100)},
        "a picture": {f"{robot}, {size} x {size}": drawing(robot, size) for robot in ROBOTS for size in SIZES},
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
