"""Which devices compute: on a CPU each seed runs a single-seed program; on an accelerator seeds are batched."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.stages import Wrapped
from jaxtyping import Float

from ddpg.config.config import Config
from ddpg.mistake import Mistake
from ddpg.terminal import one_line
from ddpg.training.data_parallel import check_devices, homes
from ddpg.types import PyTree, Spec

# Floating-point operations of one matrix product below which a second thread gains nothing: an update of td3_plus (8
# million) took 0.92 ms with one and 0.94 ms with two, one of td3 (24 million) 1.84 and 1.14 ms.
SINGLE_THREAD_FLOPS = 1e7
CACHE_BYTES = 2 * 2**30
# Compiler options for a processor (docs/benchmarks.md): vectors as wide as it has, and fewer copies inside loops.
ON_CPU: dict[str, int | bool] = {"xla_cpu_prefer_vector_width": 512, "xla_cpu_copy_insertion_use_region_analysis": True}


def prepare_jax(config: Config, spec: Spec) -> None:
    """Configure JAX for a run, with its cache of compiled programs."""
    agent, (z, pair) = config.agent, config.agent.encoder.sizes(spec)
    ends = (agent.actor, z, spec.action_dim), (agent.critic, z + pair, agent.value.outputs)
    sizes = [[inputs, *network.block.hidden_sizes(network.widths), outputs] for network, inputs, outputs in ends]
    largest = max(w * v for each in sizes for w, v in pairwise(each))
    configure_jax(config.seeds, 2.0 * config.replay.batch * largest, config.devices)
    check_devices(config.devices)
    cache_programs(os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ddpg"))


def configure_jax(seeds: int, product: float, devices: int = 1) -> None:
    """Before JAX first computes: one virtual device per core for many seeds, one thread for small networks.

    Of one seed on several `devices` a processor makes so many virtual ones.
    `product` is the floating-point operations of the largest matrix product. For small products a second thread costs
    more than it saves; for large ones the number of threads, which changes the order of sums, is the same for one seed
    and for many. If JAX has already started, its devices and threads stay as they are, which is slower.
    """
    try:
        jax.config.update("jax_num_cpu_devices", max(devices, min(seeds, cores())))
    except RuntimeError:  # JAX has already started
        return
    if product < SINGLE_THREAD_FLOPS and "NPROC" not in os.environ:
        os.environ["NPROC"] = "1"  # XLA's CPU client reads it when it starts, which is now
        _start()
        del os.environ["NPROC"]
    else:
        _start()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start() -> None:
    """Start JAX. Raises Mistake if it cannot, as with JAX_PLATFORMS=cuda where there is no GPU."""
    try:
        jax.devices()
    except Exception as error:  # several types, by platform and version
        chosen = os.environ.get("JAX_PLATFORMS")
        why = f"JAX_PLATFORMS={chosen}: " if chosen else ""
        raise Mistake(
            f"{why}JAX cannot start ({one_line(error) or type(error).__name__}); JAX_PLATFORMS=cpu uses the processor"
        ) from error


def cache_programs(folder: str) -> None:
    """Keep compiled programs on disk, so that the second run starts at once; JAX's own setting goes first.

    With a size JAX locks the folder, so that no process reads what another writes, and drops what was not used lately.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        for program in Path(folder).glob("*-cache"):
            if not program.with_name(f"{program.name.removesuffix('-cache')}-atime").exists():
                program.unlink(missing_ok=True)  # of a process killed as it wrote; beside it JAX could write no other
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def place_on_devices(tree: PyTree, devices: int = 1) -> list[PyTree]:
    """A tree with leaves [S, ...] as groups of seeds computed together, each on its device.

    On a CPU a group is one seed, without the axis of seeds: seed i of many runs the program of seed i alone and equals
    it bit for bit. On an accelerator, where launches cost more than arithmetic, a group is all seeds of a device, with
    leaves [g, ...], and seed i equals itself alone up to rounding. If one seed has several `devices`, the group is
    on all of them.
    """
    seeds = len(jax.tree.leaves(tree)[0])
    groups = min(seeds, jax.device_count())
    parts: list[Any] = [slice(first, end) for first, end in pairwise(seeds * i // groups for i in range(groups + 1))]
    return [
        jax.device_put(jax.tree.map(itemgetter(part), tree), home)
        for part, home in zip(range(seeds) if _each_alone() else parts, homes(devices), strict=False)
    ]


def numbers_of_each(numbers: Float[np.ndarray, "*S n"], seeds: int, devices: int = 1) -> list[Float[jax.Array, "*g n"]]:
    """Hyperparameters, the same for all seeds [n] or of each [S, n], in groups beside theirs."""
    return place_on_devices(np.broadcast_to(numbers, (seeds, numbers.shape[-1])), devices)


def gathered(groups: Sequence[PyTree]) -> PyTree:
    """The trees of all groups as one, in NumPy arrays [S, ...] of its own."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *map(with_seeds, groups))


def with_seeds(group: PyTree) -> PyTree:
    """A group's tree in NumPy, with leaves [g, ...]."""
    return jax.tree.map(lambda x: np.asarray(x)[None] if _each_alone() else np.asarray(x), group)


def jit_group(one: Callable[..., Any], donate: bool = False) -> Wrapped:
    """`one(tree of a seed, its hyperparameters, *common)`, compiled for a group, whose seeds may differ in both."""

    def group(tree: PyTree, numbers: PyTree, *common: Any) -> PyTree:
        if _each_alone():
            return one(tree, numbers, *common)
        return jax.vmap(lambda tree, numbers: one(tree, numbers, *common))(tree, numbers)

    return jit_loop(group, donate)


def jit_loop(program: Callable[..., Any], donate: bool = False) -> Wrapped:
    """`jax.jit` for what runs millions of times; with `donate` the first argument's memory is the result's."""
    options = ON_CPU if jax.default_backend() == "cpu" else {}
    return jax.jit(program, donate_argnums=0 if donate else (), compiler_options=options)


def _each_alone() -> bool:
    """Whether a group is one seed. No axis of length 1 then: XLA would copy a whole replay to change its layout."""
    return jax.default_backend() == "cpu"


def compiled(
    program: Wrapped, groups: Sequence[PyTree], numbers: Sequence[PyTree], *common: Any
) -> Callable[..., list[PyTree]]:
    """(groups, numbers, *common) -> the result of each group, by programs compiled ahead for groups like these.

    Devices compute side by side. A program belongs to its device, so each device compiles its own.
    """
    each = list(zip(groups, numbers, strict=True))
    lowered = [program.lower(*pair, *common) for pair in each[: jax.device_count()]]
    with ThreadPoolExecutor(len(lowered)) as pool:
        programs = list(pool.map(lambda each: each.compile(), lowered))

    def run(groups: Sequence[PyTree], numbers: Sequence[PyTree], *common: Any) -> list[PyTree]:
        pairs = zip(groups, numbers, strict=True)
        return [own(*pair, *common) for own, pair in zip(cycle(programs), pairs, strict=False)]

    return run
