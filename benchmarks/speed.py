"""Environment steps per second of the scan driver, for one seed and for eight, beside the floor of the arithmetic.

    python benchmarks/speed.py [--out benchmarks/results/speed.json] [--repeats 5]

64-64 networks, minibatches of 32, one update per environment step on Pendulum-v1. Each measurement is a process of
its own, since the number of devices and threads is fixed when JAX starts; one and eight seeds alternate, and medians
and ratios are over the repeats. The floor is the operations of one update's matrix products divided by the rate that
the same process reaches, just before, on 1024 x 1024 float32 products (one core, or all of them at once).
"""

import argparse
import json
import platform
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

WIDTHS, BATCH, CHUNK, CHUNKS = (64, 64), 32, 5_000, 4


def operations(obs: int, action: int, widths: tuple[int, ...] = WIDTHS, batch: int = BATCH) -> float:
    """Floating-point operations of the matrix products of one DDPG update."""

    def products(inputs: int, outputs: int) -> list[int]:
        sizes = [inputs, *widths, outputs]
        return [i * o for i, o in pairwise(sizes)]

    actor, critic = products(obs, action), products(obs + action, 1)
    forward = 2 * sum(actor) + 3 * sum(critic)  # target actor, actor; target critic, critic, critic at mu(s)
    weights = sum(actor) + sum(critic)  # gradients of the kernels
    inputs = sum(actor[1:]) + sum(critic[1:]) + sum(critic)  # gradients of layers' inputs; of the action in the last
    return 2.0 * batch * (forward + weights + inputs)


def product_rate() -> float:
    """Operations a second of 1024 x 1024 float32 products on every device at once.

    The fastest of several: a floor must not be flattered by a pause of the machine.
    """
    import jax
    import jax.numpy as jnp

    multiply = jax.jit(lambda a: a @ a)
    matrices = [jax.device_put(jnp.eye(1024), device) for device in jax.devices()]
    rates = []
    for _ in range(6):
        began = perf_counter()
        for _ in range(10):
            matrices = [multiply(matrix) for matrix in matrices]
        jax.block_until_ready(matrices)
        rates.append(10 * len(matrices) * 2 * 1024**3 / (perf_counter() - began))
    return max(rates[1:])


def worker(seeds: int) -> dict[str, float]:
    from ddpg.training.devices import configure_jax

    configure_jax(seeds, 2.0 * BATCH * WIDTHS[0] * WIDTHS[1])
    import jax
    import numpy as np

    from ddpg.algorithm.agent import DPG
    from ddpg.algorithm.networks import NetworkConfig
    from ddpg.config.config import Config
    from ddpg.envs.pendulum import Pendulum
    from ddpg.experience.replay import Replay
    from ddpg.training.backend import loop_for
    from ddpg.training.scan import Scan

    network = NetworkConfig(widths=WIDTHS)
    agent = DPG(actor=network, critic=network)
    scan = Scan(loop_for(Config(agent=agent, replay=Replay(20_000, BATCH)), Pendulum()))
    scan.start(jax.random.split(jax.random.key(0), seeds))
    scan.compile(longest=CHUNK, learning=False)(np.int32(0), CHUNK)
    turn = scan.compile(longest=CHUNK, learning=True)
    report, times = turn(np.int32(CHUNK), CHUNK), []
    for i in range(CHUNKS):
        began = perf_counter()
        report = turn(np.int32((2 + i) * CHUNK), CHUNK)
        times.append(perf_counter() - began)
    assert np.isfinite(report.metrics.q).all()
    rate = product_rate()
    floor = operations(3, 1) / rate
    step = median(times) / CHUNK / seeds
    return {"steps_per_second": 1 / step, "gflops": rate / 1e9, "floor_us": 1e6 * floor, "times_floor": step / floor}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.json"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--worker", type=int)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(worker(args.worker)))
        return
    runs: dict[int, list[dict[str, float]]] = {1: [], 8: []}
    for _ in range(args.repeats):
        for seeds, of_seeds in runs.items():
            command = [sys.executable, __file__, "--worker", str(seeds)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            of_seeds.append(json.loads(said))
            print(seeds, "seeds:", {key: round(value, 2) for key, value in of_seeds[-1].items()}, flush=True)
    middle = {seeds: {key: median(run[key] for run in of) for key in of[0]} for seeds, of in runs.items()}
    ratios = [b["steps_per_second"] / a["steps_per_second"] for a, b in zip(runs[1], runs[8], strict=True)]
    result = {
        "command": f"python benchmarks/speed.py --repeats {args.repeats}",
        "machine": f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}",
        "matrix_operations_per_update": operations(3, 1),
        "one_seed": middle[1],
        "eight_seeds": middle[8],
        "eight_to_one": {"median": median(ratios), "all": ratios},
        "runs": {str(seeds): of for seeds, of in runs.items()},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in ("one_seed", "eight_seeds", "eight_to_one")}, indent=2))


if __name__ == "__main__":
    main()
