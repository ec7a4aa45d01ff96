"""REINFORCE with a baseline (Williams 1992; Sutton et al. 2000): a stochastic policy, learned from whole episodes.

a ~ pi(a | s) = N(mu(s), sigma^2)       nabla J = E[ nabla log pi(a_t | s_t) (G_t - b(s_t)) ]
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from ddpg.algorithm.layers import ACTIVATIONS, Layers, forward
from ddpg.algorithm.networks import Actor, NetworkConfig
from ddpg.algorithm.optimiser import gradient_step, init_optimiser
from ddpg.envs.protocol import Environment
from ddpg.types import Key, PyTree


class GaussianPolicy(NamedTuple):
    """pi(a | s) = N(mu(s), sigma^2), independent in every action dimension; sigma is the same in every state."""

    mu: Actor
    log_sigma: Float[Array, " m"]

    def sample(self, obs: Float[Array, "n *obs"], normal: Float[Array, "n m"]) -> Float[Array, "n m"]:
        """a ~ pi(s), from standard normal numbers."""
        return self.mu(obs) + jnp.exp(self.log_sigma) * normal

    def log_probability(self, obs: Float[Array, "n *obs"], action: Float[Array, "n m"]) -> Float[Array, " n"]:
        """log pi(a | s), without the constant."""
        z = (action - self.mu(obs)) / jnp.exp(self.log_sigma)
        return -jnp.sum(jnp.square(z) / 2 + self.log_sigma, axis=-1)


class Episode(NamedTuple):
    """Whole episodes side by side; `valid` is false after an episode's end."""

    obs: Float[Array, "t n *obs"]
    action: Float[Array, "t n m"]
    reward: Float[Array, "t n"]
    next_obs: Float[Array, "t n *obs"]
    terminated: Bool[Array, "t n"]
    last: Bool[Array, "t n"]
    valid: Bool[Array, "t n"]


class ReinforceState(NamedTuple):
    policy: GaussianPolicy
    baseline: Layers
    policy_opt: PyTree
    baseline_opt: PyTree
    key: Key
    updates: Int[Array, ""]  # done


@dataclass(frozen=True)
class Reinforce:
    """An update after every `episodes` whole episodes; `sigma` is that of the first policy.

    It differs from the papers in this: Adam makes the steps, several episodes make a gradient, the baseline makes
    `fits` steps for each of the policy's, and it estimates the return after a time limit, which is no end.
    """

    actor: NetworkConfig = NetworkConfig(activation="tanh", lr=3e-3)
    baseline: NetworkConfig = NetworkConfig(activation="tanh", lr=1e-2)
    sigma: float = 1.0
    gamma: float = 0.95
    episodes: int = 5
    fits: int = 10

    def init(self, env: Environment, key: Key) -> ReinforceState:
        key, actor_key, baseline_key = jax.random.split(key, 3)
        m, inputs = env.spec.action_dim, env.spec.obs_size
        policy = GaussianPolicy(
            self.actor.init_actor(actor_key, inputs, m), jnp.full(m, jnp.log(self.sigma), jnp.float32)
        )
        baseline = self.baseline.layers(baseline_key, inputs, 0, 1)
        opts = init_optimiser(self.actor, policy), init_optimiser(self.baseline, baseline)
        return ReinforceState(policy, baseline, *opts, key, jnp.int32(0))

    def advance(self, env: Environment, state: ReinforceState, steps: int) -> ReinforceState:
        """As many updates as have room in `steps` environment steps."""

        def iterate(state: ReinforceState, _: None) -> tuple[ReinforceState, None]:
            episode = self.collect(env, state.policy, jax.random.fold_in(state.key, state.updates))
            return self.update(state, episode), None

        return jax.lax.scan(iterate, state, None, length=steps // self.steps_per_update(env))[0]

    def steps_per_update(self, env: Environment) -> int:
        """Environment steps of its episodes; one that ends early is counted as if it had not."""
        return self.episodes * env.max_episode_steps

    def policy(self, env: Environment, state: ReinforceState) -> Actor:
        return state.policy.mu

    def collect(self, env: Environment, policy: GaussianPolicy, key: Key) -> Episode:
        """Episodes [T, N] with actions drawn from the policy; the environment clips them."""
        reset, actions = jax.random.split(key)
        first = jax.vmap(env.reset)(jax.random.split(reset, self.episodes))
        shape = (env.max_episode_steps, self.episodes, env.spec.action_dim)

        def step(carry: tuple[PyTree, Array, Array], normal: Float[Array, "n m"]) -> tuple[tuple, Episode]:
            state, obs, valid = carry
            action = policy.sample(obs, normal)
            state, next_obs, reward, terminated, truncated = jax.vmap(env.step)(state, action)
            last = terminated | truncated
            return (state, next_obs, valid & ~last), Episode(obs, action, reward, next_obs, terminated, last, valid)

        carry = (*first, jnp.ones(self.episodes, bool))
        return jax.lax.scan(step, carry, jax.random.normal(actions, shape))[1]

    def value(self, baseline: Layers, obs: Float[Array, "n *obs"]) -> Float[Array, " n"]:
        """b(s)"""
        return forward(baseline, obs, ACTIVATIONS[self.baseline.activation], lambda x: x)[:, 0]

    def update(self, state: ReinforceState, episode: Episode) -> ReinforceState:
        """One gradient step of the policy, and `fits` of the baseline, from the same episodes."""
        after = jax.vmap(lambda obs: self.value(state.baseline, obs))(episode.next_obs)
        G = returns_to_go(episode, after, self.gamma).reshape(-1)
        obs, action, valid = (x.reshape(-1, *x.shape[2:]) for x in (episode.obs, episode.action, episode.valid))
        weight = valid / jnp.sum(valid)
        advantage = G - self.value(state.baseline, obs)

        # Policy: ascend 1/N sum_t nabla log pi(a_t | s_t) (G_t - b(s_t))
        def policy_loss(policy: GaussianPolicy) -> Float[Array, ""]:
            return -jnp.sum(weight * advantage * policy.log_probability(obs, action))

        # Baseline: descend 1/N sum_t (G_t - b(s_t))^2
        def baseline_loss(baseline: Layers) -> Float[Array, ""]:
            return jnp.sum(weight * jnp.square(G - self.value(baseline, obs)))

        grad = jax.grad(policy_loss)(state.policy)
        policy, policy_opt = gradient_step(self.actor, state.policy, grad, state.policy_opt)

        def fit(_: Int[Array, ""], fitted: tuple[Layers, PyTree]) -> tuple[Layers, PyTree]:
            baseline, opt = fitted
            return gradient_step(self.baseline, baseline, jax.grad(baseline_loss)(baseline), opt)

        baseline, baseline_opt = jax.lax.fori_loop(0, self.fits, fit, (state.baseline, state.baseline_opt))
        return ReinforceState(policy, baseline, policy_opt, baseline_opt, state.key, state.updates + 1)


def returns_to_go(episode: Episode, after: Float[Array, "t n"], gamma: float) -> Float[Array, "t n"]:
    """G_t = r_t + gamma G_{t+1}; after a true end 0, and after a time limit `after`, the value of the next state."""

    def back(G: Array, step: tuple[Episode, Array]) -> tuple[Array, Array]:
        row, value = step
        G = row.reward + gamma * jnp.where(row.terminated, 0.0, jnp.where(row.last, value, G))
        return G, G

    return jax.lax.scan(back, jnp.zeros_like(after[0]), (episode, after), reverse=True)[1]
