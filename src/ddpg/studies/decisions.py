"""What one decision costs: mu(s), a ~ pi(s), and argmax_a Q(s, a), by networks of 64 and 64 units."""

from collections.abc import Callable
from time import process_time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ddpg.envs.point_reach import PointReach
from ddpg.relatives.dqn import DQN
from ddpg.relatives.reinforce import Reinforce

MOST = 10_000  # outputs of a DQN that is made here


class Decisions(NamedTuple):
    """Seconds of a core for one action in one state; NaN for a network that is not made."""

    deterministic: float
    sampled: float
    dqn: float


def decisions(k: int, reinforce: Reinforce, dqn: DQN, n: int = 2_000) -> Decisions:
    """In k dimensions; the means of `n` decisions in a row. DQN's outputs must fit into memory."""
    env, key = PointReach(k), jax.random.key(0)
    policy = reinforce.init(env, key).policy
    times = [
        _per_action(lambda obs, t: policy.mu(obs), k, n),
        _per_action(lambda obs, t: policy.sample(obs, jax.random.normal(jax.random.fold_in(key, t), (1, k))), k, n),
    ]
    if dqn.values**k > MOST:
        return Decisions(*times, dqn=float("nan"))
    layers = dqn.network.layers(key, k, 0, dqn.values**k)
    times.append(_per_action(lambda obs, t: dqn.action(jnp.argmax(dqn.q(layers, obs), axis=-1), k), k, n))
    return Decisions(*times)


def _per_action(act: Callable[[Array, Array], Array], k: int, n: int) -> float:
    def step(obs: Float[Array, "1 k"], t: Array) -> tuple[Float[Array, "1 k"], None]:
        return 0.9 * obs + 0.1 * act(obs, t), None

    run = jax.jit(lambda obs: jax.lax.scan(step, obs, jnp.arange(n))[0])
    obs = jax.block_until_ready(run(jnp.ones((1, k))))
    best = np.inf
    for _ in range(3):
        began = process_time()
        jax.block_until_ready(run(obs))
        best = min(best, (process_time() - began) / n)
    return best
