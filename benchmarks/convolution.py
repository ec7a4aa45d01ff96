"""The gradient of a convolutional encoder: ours inside a compiled loop, its own products alone, XLA's, and PyTorch's.

    python benchmarks/convolution.py [--torch PYTHON] [--rounds 5] [--out benchmarks/results/convolution.json]

Four layers of 32 filters of 3 x 3, strides 2, 2, 2 and 1 (48 x 48 pictures have three of them), of a minibatch;
gradients of the mean square of what leaves the last by all weights. Rounds of all methods by turns; medians, in
milliseconds, on as many threads as there are cores. A compiled loop has several gradients, as one of training has, and
each has another minibatch than the one before: what is constant the compiler would arrange once for all of them.
`products` are the matrix products of ours at their shapes, forward and backward, without what arranges their inputs.
PYTHON is an interpreter with torch; its layout is channels-last.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

SIZES = {"48x48x3": ((48, 48, 3), (2, 2, 2)), "84x84x9": ((84, 84, 9), (2, 2, 2, 1))}
BATCHES, FILTERS, KERNEL = (64, 256), 32, 3
LOOP, FEW = 16, 2  # gradients of a compiled loop; XLA's take seconds

TORCH = """
import json, sys, time, torch
torch.manual_seed(0)
jobs = {}
def job(shape, strides, batch):
    layers, channels = [], shape[2]
    for stride in strides:
        layers += [torch.nn.Conv2d(channels, 32, 3, stride), torch.nn.ReLU()]
        channels = 32
    net = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
    x = torch.rand(batch, shape[2], *shape[:2]).contiguous(memory_format=torch.channels_last)
    def run():
        net.zero_grad()
        net(x).square().mean().backward()
    return run
for line in sys.stdin:
    shape, strides, batch = json.loads(line)
    run = jobs.setdefault(line, job(shape, strides, batch))
    run()
    began = time.perf_counter()
    for _ in range(4):
        run()
    print((time.perf_counter() - began) / 4 * 1e3, flush=True)
"""


def timed(program: Callable[[], Any], gradients: int) -> float:
    """Milliseconds of one of the gradients that it makes."""
    import jax

    jax.block_until_ready(program())
    began = time.perf_counter()
    jax.block_until_ready(program())
    return (time.perf_counter() - began) / gradients * 1e3


def methods(shape: tuple[int, ...], strides: tuple[int, ...], batch: int) -> dict[str, Callable[[], Any]]:
    import jax
    import jax.numpy as jnp

    from ddpg.algorithm.convolution import by_compiler, by_slices

    channels, size, weights, products = shape[2], shape[0], [], []
    minibatches = jax.random.uniform(jax.random.key(0), (2, channels, size, size, batch))
    for i, stride in enumerate(strides):
        key = jax.random.key(i)
        weights.append(0.05 * jax.random.normal(key, (KERNEL, KERNEL, channels, FILTERS)))
        size = (size - KERNEL) // stride + 1
        rows, inner = batch * size * size, KERNEL**2 * channels
        products.append((jnp.ones((inner, rows)), jnp.ones((inner, FILTERS)), jnp.ones((FILTERS, rows))))
        channels = FILTERS

    def looped(convolve: Callable[..., Any], gradients: int) -> Callable[[], Any]:
        def loss(weights: list[Any], y: Any) -> Any:
            for weight, stride in zip(weights, strides, strict=True):
                y = jax.nn.relu(convolve(y, weight, stride=stride))
            return jnp.mean(jnp.square(y))

        @jax.jit
        def program(weights: list[Any], minibatches: Any) -> list[Any]:
            def step(i: Any, weights: list[Any]) -> list[Any]:
                grads = jax.grad(loss)(weights, minibatches[i % 2])
                return jax.tree.map(lambda w, g: w - 1e-3 * g, weights, grads)

            return jax.lax.fori_loop(0, gradients, step, weights)

        return lambda: program(weights, minibatches)

    def multiply(state: Any, _: None) -> tuple[Any, None]:
        """Forward, and backward by the weights; by the inputs, too, but for the first layer."""
        out = []
        for i, (inputs, weight, outputs) in enumerate(state):
            forward = weight.T @ inputs
            by_weight = inputs @ (outputs + 1e-9 * forward).T
            back = weight @ outputs if i else 0.0 * inputs[:1]
            out.append((inputs + 1e-9 * back, weight + 1e-9 * by_weight, outputs))
        return out, None

    alone = jax.jit(lambda state: jax.lax.scan(multiply, state, None, length=LOOP)[0])
    return {"ours": looped(by_slices, LOOP), "products": lambda: alone(products), "xla": looped(by_compiler, FEW)}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--torch", help="an interpreter with torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/convolution.json"))
    args = parser.parse_args()
    other = None
    if args.torch:
        other = subprocess.Popen([args.torch, "-c", TORCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = {"command": "python benchmarks/convolution.py", "cores": len(os.sched_getaffinity(0))}
    for name, (shape, strides) in SIZES.items():
        for batch in BATCHES:
            programs, times = methods(shape, strides, batch), dict[str, list[float]]()
            for i in range(args.rounds):
                for method, program in programs.items():
                    if method != "xla" or i == 0:  # which takes seconds
                        times.setdefault(method, []).append(timed(program, FEW if method == "xla" else LOOP))
                if other is not None and other.stdin and other.stdout:
                    print(json.dumps([shape, strides, batch]), file=other.stdin, flush=True)
                    times.setdefault("torch", []).append(float(other.stdout.readline()))
            said = {method: round(median(each), 2) for method, each in times.items()}
            said["ours/products"] = round(said["ours"] / said["products"], 2)
            if "torch" in said:
                said["ours/torch"] = round(said["ours"] / said["torch"], 2)
            result[f"{name}, batch {batch}"] = said
            print(f"{name}, batch {batch}", said, file=sys.stderr, flush=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
