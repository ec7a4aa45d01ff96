"""DQN (Mnih et al. 2015) for continuous actions: each dimension has a few values, and Q an output per action.

With k values in each of d dimensions there are k^d actions, so k^d outputs: the network tells their values all at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, UInt32

from ddpg.algorithm.layers import ACTIVATIONS, Layers, forward
from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.optimiser import gradient_step, init_optimiser
from ddpg.envs.protocol import Environment
from ddpg.envs.vector import Vector
from ddpg.experience.replay import Replay
from ddpg.experience.ring import Ring
from ddpg.types import Key, PyTree, Row, Transition


class DQNState(NamedTuple):
    online: Layers
    target: Layers
    opt: PyTree
    ring: Ring
    env: PyTree
    obs: Float[Array, "1 *obs"]
    boundary: Bool[Array, "1"]  # obs is the last of its episode
    key: Key
    step: Int[Array, ""]


class Chance(NamedTuple):
    """What is random about one step."""

    explore: Float[Array, "1"]  # below epsilon: the random action
    action: Int[Array, "1"]
    fresh: PyTree  # a new episode, if one begins
    bits: UInt32[Array, " b"]  # of the minibatch


@dataclass(frozen=True)
class DQN:
    """`values` per action dimension; epsilon falls linearly to `epsilon` over `anneal` steps, from 1.

    An update per step after `warmup` steps; every `period` steps the target network becomes a copy. It differs from the
    paper in this: states are vectors, not pictures, and Adam makes the steps, not RMSProp.
    """

    network: NetworkConfig = NetworkConfig(lr=1e-3)
    replay: Replay = Replay()
    values: int = 5
    gamma: float = 0.99
    epsilon: float = 0.1
    anneal: int = 5_000
    warmup: int = 1_000
    period: int = 200

    def init(self, env: Environment, key: Key) -> DQNState:
        key, network_key, reset_key = jax.random.split(key, 3)
        online = self.network.layers(network_key, env.spec.obs_size, 0, self.values**env.spec.action_dim)
        state, obs = Vector(env, 1).fresh(reset_key)
        no = jnp.zeros(1, bool)
        row = Row(obs, jnp.zeros((1, 1)), jnp.zeros(1), no, no, ~no)
        ring = self.replay.init(jax.tree.map(lambda x: x[None], row), env.spec)
        target = jax.tree.map(jnp.copy, online)
        return DQNState(online, target, init_optimiser(self.network, online), ring, state, obs, no, key, jnp.int32(0))

    def advance(self, env: Environment, state: DQNState, steps: int) -> DQNState:
        # Random numbers are drawn ahead of the loop, all at once.
        chance = jax.vmap(partial(self.draw, env, state.key))(state.step + jnp.arange(steps))
        return jax.lax.scan(lambda *each: (self.iterate(env, *each), None), state, chance)[0]

    def draw(self, env: Environment, key: Key, step: Int[Array, ""]) -> Chance:
        """Everything random about one step."""
        explore, action, reset, batch = jax.random.split(jax.random.fold_in(key, step), 4)
        return Chance(
            jax.random.uniform(explore, (1,)),
            jax.random.randint(action, (1,), 0, self.values**env.spec.action_dim),
            Vector(env, 1).fresh(reset),
            jax.random.bits(batch, (self.replay.batch,), jnp.uint32),
        )

    def policy(self, env: Environment, state: DQNState) -> Callable[[Array], Array]:
        """argmax_a Q(s, a)"""
        return lambda obs: self.action(jnp.argmax(self.q(state.online, obs), axis=-1), env.spec.action_dim)

    def q(self, layers: Layers, obs: Float[Array, "b *obs"]) -> Float[Array, "b actions"]:
        """Q(s, a) of every action."""
        return forward(layers, obs, ACTIVATIONS[self.network.activation], lambda x: x)

    def action(self, index: Int[Array, " b"], m: int) -> Float[Array, "b m"]:
        """The action of that number: its digits in base `values`, spread over [-1, 1]."""
        digits = index[:, None] // self.values ** jnp.arange(m) % self.values
        return 2.0 * digits / (self.values - 1) - 1.0

    def iterate(self, env: Environment, state: DQNState, chance: Chance) -> DQNState:
        """One step of the environment, then one update."""
        # With probability epsilon select a random action, else argmax_a Q(s, a)
        epsilon = 1.0 + (self.epsilon - 1.0) * jnp.minimum(state.step / self.anneal, 1.0)
        greedy = jnp.argmax(self.q(state.online, state.obs), axis=-1)
        index = jnp.where(chance.explore < epsilon, chance.action, greedy)

        # Execute it, observe reward and next state, store the transition
        action = self.action(index, env.spec.action_dim)
        moved, result = Vector(env, 1).step(state.env, action, state.boundary, chance.fresh)
        number = index[:, None].astype(jnp.float32)
        row = Row(state.obs, number, result.reward, result.terminated, result.truncated, state.boundary)
        ring = self.replay.add(state.ring, jax.tree.map(lambda x: x[None], row), env.spec)

        # Sample a minibatch, make a gradient step; every `period` steps reset Q' = Q
        def learn(online: Layers, target: Layers, opt: PyTree) -> tuple[Layers, Layers, PyTree]:
            batch, _ = self.replay.sample(ring, chance.bits, state.step, self.gamma, env.spec)
            online, opt = self.update(online, target, opt, batch)
            now = (state.step + 1) % self.period == 0
            return online, jax.lax.cond(now, lambda: online, lambda: target), opt

        same = state.online, state.target, state.opt
        online, target, opt = jax.lax.cond(state.step >= self.warmup, learn, lambda *same: same, *same)
        end = result.terminated | result.truncated
        return DQNState(online, target, opt, ring, moved, result.obs, end, state.key, state.step + 1)

    def update(self, online: Layers, target: Layers, opt: PyTree, batch: Transition) -> tuple[Layers, PyTree]:
        """One gradient step; the actions of the batch are their numbers."""
        # Target: y_j = r_j + gamma max_a' Q'(s_{j+1}, a')
        y = batch.reward + batch.discount * jnp.max(self.q(target, batch.next_obs), axis=-1)

        # Descend (y_j - Q(s_j, a_j))^2, with the error in the gradient clipped to [-1, 1]
        def loss(layers: Layers) -> Float[Array, ""]:
            q = jnp.take_along_axis(self.q(layers, batch.obs), batch.action.astype(jnp.int32), axis=-1)[:, 0]
            error = y - q
            clipped = jnp.clip(error, -1.0, 1.0)
            return jnp.mean(batch.weight * clipped * (error - clipped / 2))

        return gradient_step(self.network, online, jax.grad(loss)(online), opt)
