"""Probe environments: each can be solved only if one part of the learner works (Andy Jones, "Debugging RL").

A failure names the broken part. All have one-dimensional observations and actions, and known optimal values.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ddpg.types import Key, Spec

SPEC = Spec(obs_shape=(1,), action_low=(-1.0,), action_high=(1.0,))


class ProbeState(NamedTuple):
    obs: Float[Array, "1"]
    t: Array


@dataclass(frozen=True)
class Probe:
    """An episode of `length` steps over a random or constant observation; subclass-free: `reward` is the part tested.

    `reads_obs`: observations are -1 or 1, else 0. `ends`: the last step is a true end, else a time limit.
    """

    id: str
    length: int = 1
    reads_obs: bool = False
    acts: bool = False
    ends: bool = True
    spec = SPEC

    @property
    def max_episode_steps(self) -> int:
        return self.length

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        sign = jnp.where(jax.random.bernoulli(key), 1.0, -1.0)
        obs = jnp.where(self.reads_obs, sign, 0.0)[None]
        return ProbeState(obs, jnp.int32(0)), obs

    def step(self, state: ProbeState, action: Float[Array, "1"]) -> tuple[ProbeState, Array, Array, Array, Array]:
        """Reward at the last step only: 1, the observation, or 1 minus the squared distance of action and its half."""
        t = state.t + 1
        last = t >= self.length
        best = 0.5 * state.obs[0] if self.reads_obs else jnp.float32(0.5)
        if self.acts:
            worth = 1.0 - jnp.square(action[0] - best)
        else:
            worth = state.obs[0] if self.reads_obs else jnp.float32(1.0)
        # With several steps the observation tells the time too, or the value could not be a function of it.
        obs = state.obs if self.length == 1 else jnp.full((1,), t / self.length)
        reward = jnp.where(last, worth, 0.0)
        return ProbeState(obs, t), obs, reward, last & self.ends, last & (not self.ends)


CONSTANT_VALUE = Probe("probe-value")  # value loss and optimiser: Q = 1
DEPENDS_ON_OBS = Probe("probe-obs", reads_obs=True)  # back-propagation to the input: Q(s) = s
DISCOUNT = Probe("probe-discount", length=2)  # bootstrap and discount: Q(s_0) = gamma, Q(s_1) = 1
TIME_LIMIT = Probe("probe-time-limit", ends=False)  # a time limit bootstraps: Q = 1 + gamma Q, so 1 / (1 - gamma)
ACTION = Probe("probe-action", acts=True)  # policy gradient: mu = 1/2
POLICY = Probe("probe-policy", reads_obs=True, acts=True)  # both together: mu(s) = s / 2
PROBES = (CONSTANT_VALUE, DEPENDS_ON_OBS, DISCOUNT, TIME_LIMIT, ACTION, POLICY)
