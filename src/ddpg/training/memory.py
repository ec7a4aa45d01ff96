"""How much memory a run needs, and how much there is."""

import os
from pathlib import Path

import jax

from ddpg.config.config import Config
from ddpg.environment import AnyEnvironment
from ddpg.mistake import Mistake
from ddpg.terminal import count
from ddpg.training.backend import learner_for


def replay_bytes(config: Config, env: AnyEnvironment) -> int:
    """Bytes of the replay of all seeds."""
    learner = learner_for(config, env.spec)
    obs = jax.ShapeDtypeStruct((config.collect.envs, *env.spec.obs_shape), env.spec.obs_dtype)
    ring = jax.eval_shape(learner.empty_ring, obs)
    return config.seeds * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(ring))


def available_bytes() -> float:
    """Memory of this machine, or of the container it is."""
    available = float("inf")
    if hasattr(os, "sysconf"):
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else ""
    return min(available, int(text)) if text.isdecimal() else available


def accelerator_bytes() -> float:
    """Memory of one device that is not the processor, once JAX has started; infinite where nothing says."""
    return float((jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", "inf"))


def check_accelerator(config: Config, env: AnyEnvironment) -> None:
    """Raise Mistake if the replays that share a device would not fit its memory."""
    devices = jax.device_count() // config.devices
    seeds = -(-config.seeds // devices)  # on the fullest of them
    needed, available = replay_bytes(config, env) / config.seeds * seeds, accelerator_bytes()
    if needed > available:
        raise Mistake(
            f"replay.capacity {config.replay.capacity} is {1e-9 * needed:.1f} GB for {count(seeds, 'seed')} on one "
            f"{jax.local_devices()[0].device_kind}, which has {1e-9 * available:.1f}; use a smaller --replay.capacity"
        )


def check_memory(config: Config, env: AnyEnvironment) -> None:
    """Raise Mistake if the replay, and its copy while a checkpoint is written or read, would not fit."""
    needed, available = replay_bytes(config, env), available_bytes()
    if jax.config.values["jax_platforms"] == "cpu":
        needed *= config.devices  # each has its own, in this memory
    if 2 * needed > available:
        raise Mistake(
            f"replay.capacity {config.replay.capacity} is {1e-9 * needed:.1f} GB for {count(config.seeds, 'seed')} "
            f"on {count(config.devices, 'device')}, "
            f"and as much again while a checkpoint is written or read, and this machine has {1e-9 * available:.1f}; "
            f"use a smaller --replay.capacity"
        )
