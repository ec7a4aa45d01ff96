"""Which devices compute: seeds are spread over the cores of a CPU, or side by side on an accelerator."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Wrapped

SMALL = 4e6  # floating-point operations of one matrix product: below, waking a second thread costs more than it saves


def prepare(seeds: int, product: float) -> None:
    """Before JAX first computes: one virtual device a core for many seeds, one thread for small networks.

    `product` is the floating-point operations of the largest matrix product. If JAX has already started, its
    devices stay as they are: the results are the same, only slower.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        jax.config.update("jax_num_cpu_devices", min(seeds, cores))
    except RuntimeError:  # JAX has already started
        return
    if product < SMALL and "NPROC" not in os.environ:
        os.environ["NPROC"] = "1"  # read by XLA's CPU client when it starts, which is now
        jax.devices()
        del os.environ["NPROC"]


def cache_programs(folder: str) -> None:
    """Keep compiled programs on disk, so that the second run starts at once; JAX's own setting goes first."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@cache
def mesh(seeds: int) -> Mesh:
    """The devices that `seeds` agents are spread over: never more than there are agents."""
    return Mesh(np.array(jax.devices()[:seeds]), ("seed",))


def filled_up(tree: Any) -> Any:
    """Leaves [K, ...] with the last seed again and again until every device has as many; those are never shown."""
    seeds = len(jax.tree.leaves(tree)[0])
    more = -seeds % mesh(seeds).size
    return jax.tree.map(lambda x: jnp.concatenate([x, *[x[-1:]] * more]) if more else x, tree)


def over_seeds(one: Callable[..., Any], shared: int = 0, donate: bool = False) -> Wrapped:
    """Compile `one(seed's leaves, ..., *shared)` for a leading axis of seeds, the last `shared` arguments being common.

    On a CPU each device maps over its seeds one after the other: batching them would be faster only where launches
    dominate, as on an accelerator. Seed i of many equals seed i alone up to the rounding of two programs.
    """
    accelerator = jax.default_backend() != "cpu"

    def local(*args: Any) -> Any:
        own, common = args[: len(args) - shared], args[len(args) - shared :]

        def seed(leaves: Any) -> Any:
            return one(*leaves, *common)

        return jax.vmap(seed)(own) if accelerator else jax.lax.map(seed, own)

    def spread(*args: Any) -> Any:
        devices = mesh(len(jax.tree.leaves(args)[0]))
        seeds = PartitionSpec("seed")
        specs = (seeds,) * (len(args) - shared) + (PartitionSpec(),) * shared
        return jax.shard_map(local, mesh=devices, in_specs=specs, out_specs=seeds, check_vma=False)(*args)

    return jax.jit(spread, donate_argnums=0 if donate else ())


def place(tree: Any) -> Any:
    """Lay a tree with leaves [K, ...] over the devices."""
    devices = mesh(len(jax.tree.leaves(tree)[0]))

    def lay(x: Any) -> Any:
        # What holds nothing comes out of a program as if it were everywhere, and must go in like that.
        return jax.device_put(x, NamedSharding(devices, PartitionSpec("seed") if x.size else PartitionSpec()))

    return jax.tree.map(lay, tree)
