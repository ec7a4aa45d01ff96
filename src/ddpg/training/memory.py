"""How much memory a run needs, and how much there is."""

import os
from pathlib import Path

import numpy as np

from ddpg.config.config import Config
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.experience.sampling import Prioritised


def memory(config: Config, env: Environment | GymFactory) -> int:
    """Bytes of the replay of all seeds."""
    obs = env.spec.obs_size * np.dtype(env.spec.obs_dtype).itemsize
    priority = 4 if isinstance(config.replay.sampling, Prioritised) else 0
    return config.replay.capacity * config.seeds * (obs + 4 * (env.spec.action_dim + 4) + priority)


def _memory_there() -> float:
    """Bytes of this machine, or of the container it is."""
    there = float("inf")
    if hasattr(os, "sysconf"):
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else ""
    return min(there, int(text)) if text.isdecimal() else there
