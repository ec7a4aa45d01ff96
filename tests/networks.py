"""Networks for tests, made with little to compile, or nothing."""

from functools import partial
from typing import Any

import jax
import numpy as np

from ddpg.algorithm.agent import DPG, AgentState
from ddpg.algorithm.nets import Nets
from ddpg.types import Key, Spec


@partial(jax.jit, static_argnums=(0, 2))
def init_agent(agent: DPG, key: Key, spec: Spec) -> AgentState:
    """`agent.init` as one program; each of its operations by itself would be another to compile."""
    return agent.init(key, spec)


def random_nets(agent: DPG, spec: Spec, seed: int = 0) -> Nets:
    """Networks of an agent with random numbers in every leaf, running statistics included, in NumPy."""
    random = np.random.default_rng(seed)

    def leaf(path: Any, shape: Any) -> np.ndarray:
        fan_in = shape.shape[-2] if shape.ndim > 1 else 1
        numbers = random.uniform(-1, 1, shape.shape).astype(np.float32) / np.float32(np.sqrt(fan_in))
        name = jax.tree_util.keystr(path)
        return np.abs(numbers) + np.float32(0.1) if "variance" in name or "scale" in name else numbers

    shapes = jax.eval_shape(lambda: agent.init(jax.random.key(0), spec).online)
    return jax.tree_util.tree_map_with_path(leaf, shapes)
