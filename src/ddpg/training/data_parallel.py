"""One seed on several devices: its state is on all of them, and each computes a part of the minibatches.

Programs say where arrays are split, and XLA inserts the sums over devices, such as that of gradients. So the numbers
are those of one device but for the order of sums.
"""

from collections.abc import Iterator
from functools import cache
from itertools import cycle, repeat
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ddpg.mistake import Mistake
from ddpg.types import PyTree

Tree = TypeVar("Tree")


@cache
def _mesh(devices: int) -> Mesh:
    return Mesh(jax.devices()[:devices], ("data",))


def on_all(devices: int) -> NamedSharding:
    """Of arrays that are whole on each of so many devices."""
    return NamedSharding(_mesh(devices), PartitionSpec())


def in_parts(devices: int, tree: Tree) -> Tree:
    """In a program: with the first axis of every array split among so many devices, if it can be; else as it is."""
    if devices == 1:
        return tree
    parts = NamedSharding(_mesh(devices), PartitionSpec("data"))

    def constrained(x: Any) -> Any:
        return x if x.shape[0] % devices else jax.lax.with_sharding_constraint(x, parts)

    return jax.tree.map(constrained, tree)


def whole(devices: int, tree: Tree) -> Tree:
    """In a program: with every array whole on each of so many devices."""
    return tree if devices == 1 else jax.lax.with_sharding_constraint(tree, on_all(devices))


def homes(devices: int) -> Iterator[Any]:
    """Where seeds are, one after the other: each on a device of its own, or the one seed on all of several."""
    return cycle(jax.devices()) if devices == 1 else repeat(on_all(devices))


def check_devices(devices: int) -> None:
    """Raise Mistake if there are not so many. Starts JAX."""
    there = jax.devices()
    if devices > len(there):
        kind = there[0].platform
        fix = f"use --devices {len(there)}"
        if kind == "cpu":  # JAX had started before it was told
            fix += f', or jax.config.update("jax_num_cpu_devices", {devices}) before anything else uses JAX'
        else:
            fix += ", or JAX_PLATFORMS=cpu, which makes virtual ones of the processor"
        raise Mistake(f"devices {devices}: JAX has {len(there)} ({kind}); {fix}")


def device_notes(devices: int) -> tuple[str, ...]:
    """What a run should say about its devices."""
    if devices == 1 or jax.default_backend() != "cpu":
        return ()
    return (f"devices {devices}: virtual ones of the processor, to try them out; a run is seldom faster with them",)


def place(devices: int, trees: list[PyTree]) -> list[PyTree]:
    """Each tree of one seed at its home."""
    return [jax.device_put(*pair) for pair in zip(trees, homes(devices), strict=False)]
