"""What only a machine with an accelerator can tell: updates and frames per second, and a task from pixels.

    python benchmarks/gpu.py [--minutes 8] [--out benchmarks/results/gpu.json] [--small]

It writes what it has after every part, and begins no part for which the time is over. `one seed` and `N seeds` are
side by side on one device. Speeds are medians of chunks after the first, compilation apart, in environment steps and
updates per second of all seeds together. `--small` is the same in tiny sizes, for a test.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np

from ddpg.algorithm.convolution import by_compiler, by_slices
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.environment import resolve_as
from ddpg.training.backend import driver_for, evaluator_for

Options = dict[str, Any]
JOBS: dict[str, tuple[str, Options, int]] = {  # preset, options, seeds
    "drqv2, 84x84, batch 256": ("drqv2", {"replay.capacity": 20_000}, 1),
    "drqv2, 84x84, batch 256, 4 seeds": ("drqv2", {"replay.capacity": 20_000}, 4),
    "pixels": ("pixels", {}, 1),
    "pixels, 8 seeds": ("pixels", {"replay.capacity": 20_000}, 8),
    "ddpg": ("ddpg", {}, 1),
    "ddpg, 256 seeds": ("ddpg", {"replay.capacity": 20_000}, 256),
    "td3": ("td3", {"replay.capacity": 100_000}, 1),
    "td3, 64 seeds": ("td3", {"replay.capacity": 20_000}, 64),
    "fasttd3, 128 environments, batch 32 768": ("fasttd3", {"replay.capacity": 128 * 2_048}, 1),
}
SMALL = {"replay.capacity": 2_000, "replay.batch": 8, "collect.warmup": 0, "collect.learning_starts": 256}
TASK = (
    "drqv2",
    {
        "pixels.size": 84,
        "replay.capacity": 50_000,
        "steps": 50_000,
        "action_repeat": 1,
        "exploration.schedule.steps": 25_000,
        "smoothing.schedule.steps": 12_500,  # updates
    },
)
CHUNK = 2.0  # seconds of a chunk that is timed


def machine() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "host": platform.processor() or platform.machine(),
        "jax": jax.__version__,
    }


def begun(preset: str, options: Options, seeds: int) -> tuple[Any, Any, Any]:
    """Configuration, environment and driver, before the first step."""
    config = override(PRESETS[preset], {**options, "seeds": seeds})
    env = resolve_as(config, "Pendulum-v1")
    driver = driver_for(config, env)
    driver.start(jax.numpy.stack([jax.random.key(seed) for seed in range(seeds)]))
    return config, env, driver


def convolution() -> dict[str, float]:
    """The accelerator's own convolution beside slices and products there: largest differences of value and gradients.

    Relative to the largest number; products of less than 32 bits make them about 1e-3.
    """
    x, weight = (
        jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(((9, 42, 42, 16), (3, 3, 9, 32)))
    )

    def value_and_gradients(convolve: Any) -> list[np.ndarray]:
        value, pull = jax.vjp(lambda x, weight: convolve(x, weight, 2), x, weight)
        return [np.asarray(each) for each in (value, *pull(jax.numpy.cos(value)))]

    pairs = zip(
        *(value_and_gradients(jax.jit(each, static_argnums=2)) for each in (by_compiler, by_slices)), strict=True
    )
    names = ("value", "by the picture", "by the weights")
    return {name: float(abs(a - b).max() / abs(b).max()) for name, (a, b) in zip(names, pairs, strict=True)}


def speed(preset: str, options: Options, seeds: int) -> dict[str, Any]:
    """Of the compiled loop on the compiled Pendulum."""
    config, _, driver = begun(preset, options, seeds)
    warm = -(-config.learning_starts // config.steps_per_iteration)
    began = time.perf_counter()
    driver.compile(longest=warm, learning=False)(np.int32(0), warm)
    program = driver.compile(longest=1_000, learning=True)
    compiling, done, count = time.perf_counter() - began, warm, 1
    seconds = list[float]()
    while len(seconds) < 4:
        began = time.perf_counter()
        program(np.int32(done), count)
        took, done = time.perf_counter() - began, done + count
        if took < CHUNK / 4 and count < 1_000 and not seconds:
            count = min(1_000, int(count * min(10, CHUNK / max(took, 1e-3))) + 1)
        else:
            seconds.append(took / count)
    each = median(seconds[1:])
    return {
        "seeds": seeds,
        "steps_per_second": seeds * config.steps_per_iteration / each,
        "frames_per_second": seeds * config.steps_per_iteration * config.action_repeat / each,
        "updates_per_second": seeds * config.collect.updates / each,
        "seconds_to_compile": compiling,
    }


def task(options: Options, until: float) -> dict[str, Any]:
    """Pendulum from pixels by DrQ-v2's constants, as far as the time allows: returns of 100 greedy episodes."""
    config, env, driver = begun(TASK[0], {**TASK[1], **options}, 1)
    evaluator = evaluator_for(config, env, 100, 0)
    warm, done = -(-config.learning_starts // config.steps_per_iteration), 0
    chunk = max(1, 1_000 // config.steps_per_iteration)
    programs = {learning: driver.compile(longest=chunk, learning=learning) for learning in (False, True)}
    curve, began = list[dict[str, float]](), time.perf_counter()
    while done * config.steps_per_iteration < config.steps and time.monotonic() < until:
        learning = done >= warm
        count = min(chunk, warm - done) if not learning else chunk
        programs[learning](np.int32(done), count)
        done += count
        if learning and (done - warm) % (2 * chunk) == 0:
            returns = evaluator(*driver.read().evaluation_inputs).returns
            step, seconds = done * config.steps_per_iteration, time.perf_counter() - began
            curve.append({"step": step, "return": float(np.mean(returns)), "seconds": seconds})
            print(curve[-1], flush=True)
    return {"preset": TASK[0], "options": TASK[1] | options, "optimum": evaluator.optimum(), "curve": curve}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"))
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    until = time.monotonic() + 60 * args.minutes
    command = f"python benchmarks/gpu.py{' --small' if args.small else ''}"
    result: dict[str, Any] = {"command": command, **machine(), "speed": {}}
    result["convolution"] = convolution()
    print(result["convolution"], flush=True)
    for name, (preset, options, seeds) in JOBS.items():
        if time.monotonic() > until - 60 * args.minutes / 3:  # the task gets a third of the time
            break
        small = SMALL | ({"pixels.size": 16, "encoder.filters": (4,)} if "pixels" in preset or "drq" in preset else {})
        small |= {"encoder.strides": (2,), "encoder.kernels": (3,)} if preset == "drqv2" else {}
        chosen, seeds = (options | small, min(seeds, 2)) if args.small else (options, seeds)
        try:
            result["speed"][name] = speed(preset, chosen, seeds)
        except Exception as error:  # one that does not fit the device is no reason to lose the others
            result["speed"][name] = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
        print(name, result["speed"][name], flush=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    tiny = SMALL | {"pixels.size": 16, "encoder.filters": (4,), "encoder.strides": (2,), "encoder.kernels": (3,)}
    tiny |= {"actor.widths": (8,), "critic.widths": (8,), "steps": 3_000}
    result["task"] = task(tiny if args.small else {}, until)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
