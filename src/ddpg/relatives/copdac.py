"""COPDAC-Q (Silver et al. 2014, section 4.3): the deterministic policy gradient with linear functions and no replay.

mu(s) = tanh(theta^T phi(s))       Q^w(s, a) = (a - mu(s))^T nabla_theta mu(s)^T w + v^T phi(s)
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from ddpg.envs.protocol import Environment
from ddpg.envs.vector import Vector
from ddpg.types import Key, PyTree


@dataclass(frozen=True)
class Fourier:
    """phi(s): cosines of every combination of frequencies up to `order` (Konidaris, Osentoski & Thomas 2011).

    Observations [n] lie between `low` and `high`; there are (order + 1)^n features.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    order: int = 4

    @property
    def frequencies(self) -> Float[np.ndarray, "f n"]:
        return np.array([*product(range(self.order + 1), repeat=len(self.low))], np.float32)

    @property
    def rates(self) -> Float[np.ndarray, "f 1"]:
        """What the step sizes of each feature's parameters are multiplied by: 1 / |frequencies|, or 1 (section 3)."""
        return (1 / np.maximum(np.linalg.norm(self.frequencies, axis=1), 1))[:, None]

    def __call__(self, obs: Float[Array, "*b n"]) -> Float[Array, "*b f"]:
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        return jnp.cos(np.pi * ((obs - low) / (high - low)) @ self.frequencies.T)


PENDULUM = Fourier(low=(-1.0, -1.0, -8.0), high=(1.0, 1.0, 8.0))


class Parameters(NamedTuple):
    theta: Float[Array, "f m"]  # of the actor
    w: Float[Array, "f m"]  # of the critic's advantage
    v: Float[Array, "f 1"]  # of the critic's state value


class COPDACState(NamedTuple):
    parameters: Parameters
    env: PyTree
    obs: Float[Array, "1 n"]
    boundary: Bool[Array, "1"]  # obs is the last of its episode
    key: Key
    step: Int[Array, ""]


@dataclass(frozen=True)
class COPDAC:
    """An update at every step, from that step alone. The behaviour policy adds N(0, sigma^2) to mu, then clips.

    The paper's policies are linear; here tanh keeps the actions in their bounds, as in DDPG, and nabla mu has its
    slope.
    """

    features: Fourier = PENDULUM
    actor_lr: float = 3e-4
    advantage_lr: float = 0.02
    value_lr: float = 0.02
    sigma: float = 0.7
    gamma: float = 0.95

    def init(self, env: Environment, key: Key) -> COPDACState:
        reset, key = jax.random.split(key)
        f, m = len(self.features.frequencies), env.spec.action_dim
        parameters = Parameters(jnp.zeros((f, m)), jnp.zeros((f, m)), jnp.zeros((f, 1)))
        return COPDACState(parameters, *Vector(env, 1).fresh(reset), jnp.zeros(1, bool), key, jnp.int32(0))

    def advance(self, env: Environment, state: COPDACState, steps: int) -> COPDACState:
        vector = Vector(env, 1)

        def draw(step: Int[Array, ""]) -> tuple[Float[Array, " m"], PyTree]:
            noise, reset = jax.random.split(jax.random.fold_in(state.key, step))
            return jax.random.normal(noise, (env.spec.action_dim,)), vector.fresh(reset)

        def iterate(state: COPDACState, drawn: tuple[Array, PyTree]) -> tuple[COPDACState, None]:
            noise, fresh = drawn
            obs = state.obs[0]
            action = jnp.clip(self.mu(state.parameters, obs) + self.sigma * noise, -1.0, 1.0)
            moved, result = vector.step(state.env, action[None], state.boundary, fresh)
            discount = jnp.where(result.terminated, 0.0, self.gamma)[0]
            after = self.update(state.parameters, obs, action, result.reward[0], discount, result.obs[0])
            # The step after an end has only reset the environment.
            parameters = jax.tree.map(lambda new, old: jnp.where(state.boundary, old, new), after, state.parameters)
            end = result.terminated | result.truncated
            return COPDACState(parameters, moved, result.obs, end, state.key, state.step + 1), None

        return jax.lax.scan(iterate, state, jax.vmap(draw)(state.step + jnp.arange(steps)))[0]

    def policy(self, env: Environment, state: COPDACState) -> Callable[[Array], Array]:
        return lambda obs: self.mu(state.parameters, obs)

    def mu(self, parameters: Parameters, obs: Float[Array, "*b n"]) -> Float[Array, "*b m"]:
        """tanh(theta^T phi(s)), the greedy action."""
        return jnp.tanh(self.features(obs) @ parameters.theta)

    def update(
        self,
        parameters: Parameters,
        obs: Float[Array, " n"],
        action: Float[Array, " m"],
        reward: Float[Array, ""],
        discount: Float[Array, ""],
        next_obs: Float[Array, " n"],
    ) -> Parameters:
        """Equations 19 to 22, from one transition; `discount` is gamma, or 0 after a true end.

        nabla_theta mu_i(s) is phi(s) (1 - mu_i(s)^2) in column i of theta and 0 in the others. So nabla_theta mu(s)^T w
        is a number per action dimension, and every product with nabla_theta mu(s) an outer one.
        """
        theta, w, v = parameters
        phi, phi_next, mu = self.features(obs), self.features(next_obs), self.mu(parameters, obs)
        slope = 1 - jnp.square(mu)
        dq_da = slope * (phi @ w)  # nabla_a Q^w(s, a) = nabla_theta mu(s)^T w

        # delta_t = r_t + gamma Q^w(s_{t+1}, mu(s_{t+1})) - Q^w(s_t, a_t); at mu(s) Q^w is v^T phi(s)
        q = (action - mu) @ dq_da + (phi @ v)[0]
        delta = reward + discount * (phi_next @ v)[0] - q

        # theta <- theta + alpha_theta nabla_theta mu(s_t) (nabla_theta mu(s_t)^T w_t)
        # w <- w + alpha_w delta_t phi(s_t, a_t), with phi(s, a) = nabla_theta mu(s) (a - mu(s))
        # v <- v + alpha_v delta_t phi(s_t)
        rates = self.features.rates
        return Parameters(
            theta + self.actor_lr * rates * jnp.outer(phi, slope * dq_da),
            w + self.advantage_lr * rates * delta * jnp.outer(phi, slope * (action - mu)),
            v + self.value_lr * rates * delta * phi[:, None],
        )
