"""The deterministic policy gradient: init, act, update. This is the page to read beside the paper's algorithm box.

mu(s | theta)  actor       Q(s, a | theta)  critic       mu', Q'  their targets
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Int, Shaped

from ddpg.algorithm.nets import Actor, Critic, Network
from ddpg.algorithm.noise import Constant, Exploration, Gaussian, Smoothing
from ddpg.algorithm.values import Scalar, pessimistic
from ddpg.types import Key, Metrics, Natural, PyTree, Some, Spec, Transition, UnitInterval


class Nets(NamedTuple):
    actor: Actor
    critic: Critic


class AgentState(NamedTuple):
    online: Nets
    target: Nets
    actor_opt: PyTree
    critic_opt: PyTree


class OfActor(NamedTuple):
    """What an update says of the actor; unknown where it waits."""

    actor_loss: Float[Array, ""]
    dq_da: Float[Array, ""]
    saturation: Float[Array, ""]


@dataclass(frozen=True)
class DPG:
    """DDPG (Lillicrap et al. 2016) as a value whose fields are its parts.

    `critics` is the number K of critics; the target takes the pessimistic one per sample. `smoothing` is noise on the
    target's action. Actor and targets move at every `delay`-th update, the targets by the share `tau` of the way.
    """

    actor: Network = Network()
    critic: Network = Network(activation="silu", lr=2e-3)
    critics: Natural = 1
    value: Scalar = Scalar()
    exploration: Exploration = Gaussian()
    smoothing: Smoothing = Smoothing()
    delay: Natural = 1
    tau: UnitInterval = 0.01

    def init(self, key: Key, spec: Spec) -> AgentState:
        actor_key, critic_key = jax.random.split(key)
        nets = Nets(
            self.actor.actor(actor_key, spec),
            self.critic.critic(critic_key, spec, self.critics, self.value.size),
        )
        # The targets start as copies: theta' <- theta.
        target = jax.tree.map(jnp.copy, nets)
        return AgentState(nets, target, rest(self.actor, nets.actor), rest(self.critic, nets.critic))

    def act(self, actor: Actor, obs: Shaped[Some, "n *obs"], noise: Float[Some, "n m"]) -> Float[Some, "n m"]:
        """The behaviour policy beta: a_t = mu(s_t) + N_t, clipped to the action range. Greedy is `actor(obs)`."""
        xp = noise.__array_namespace__()
        return xp.minimum(xp.maximum(actor(obs) + noise, -1.0), 1.0)

    def update(
        self, state: AgentState, batch: Transition, white: Float[Array, "b m"], count: Int[Array, ""]
    ) -> tuple[AgentState, Metrics]:
        """One gradient step of critic and actor, and one step of their targets, on a minibatch.

        `white` is N(0, 1), not read without smoothing; `count` is that of the updates before, the same for all seeds.
        """
        actor, critic = state.online
        target = state.target

        # y_i = r_i + gamma Q'(s_{i+1}, mu'(s_{i+1}))
        a_next = target.actor(batch.next_obs)
        if self.smoothing.sigma:
            a_next = self.smoothing(a_next, white)
        prediction = target.critic(batch.next_obs, a_next)
        y = self.value.target(batch.reward, batch.discount, pessimistic(prediction, self.value.mean(prediction)))

        # Update the critic by minimising L = 1/N sum_i (y_i - Q(s_i, a_i))^2
        def critic_loss(critic: Critic) -> tuple[Float[Array, ""], Float[Array, ""]]:
            prediction = critic(batch.obs, batch.action)
            loss = jnp.mean(batch.weight * self.value.loss(prediction, y), axis=-1)
            return jnp.sum(loss), jnp.mean(batch.weight * self.value.mean(prediction)[0])

        (loss, q), grad = jax.value_and_grad(critic_loss, has_aux=True)(critic)
        critic, critic_opt = descend(self.critic, critic, grad, state.critic_opt)

        def improve(actor: Actor, opt: PyTree, target: Nets) -> tuple[Actor, PyTree, Nets, OfActor]:
            # Update the actor by the sampled policy gradient, 1/N sum_i grad_a Q(s, a)|a=mu(s) grad_theta mu(s)
            def q_of(a: Float[Array, "b m"]) -> Float[Array, ""]:
                return jnp.sum(batch.weight * self.value.mean(critic(batch.obs, a))[0])

            mu, pull_back = jax.vjp(lambda actor: actor(batch.obs), actor)
            q_mu, dq_da = jax.value_and_grad(q_of)(mu)
            (grad,) = pull_back(-dq_da / len(mu))  # minus: Adam descends, J is to ascend
            actor, opt = descend(self.actor, actor, grad, opt)

            # Soft update of the targets: theta' <- tau theta + (1 - tau) theta'
            target = follow(Nets(actor, critic), target, self.tau)

            norm = jnp.mean(jnp.linalg.norm(dq_da, axis=-1))
            return actor, opt, target, OfActor(-q_mu / len(mu), norm, jnp.mean(jnp.abs(mu) > 0.99, dtype=mu.dtype))

        def wait(actor: Actor, opt: PyTree, target: Nets) -> tuple[Actor, PyTree, Nets, OfActor]:
            return actor, opt, target, OfActor(*[jnp.full_like(loss, jnp.nan)] * 3)

        if self.delay == 1:
            actor, actor_opt, target, said = improve(actor, state.actor_opt, target)
        else:
            due = (count + 1) % self.delay == 0
            actor, actor_opt, target, said = jax.lax.cond(due, improve, wait, actor, state.actor_opt, target)
        return AgentState(Nets(actor, critic), target, actor_opt, critic_opt), Metrics(q, loss, *said)


def adam(network: Network) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015); `l2` adds l2 * theta to the gradient first, as the 2016 paper does for its critic."""
    constant = isinstance(network.schedule, Constant)
    lr = network.lr if constant else lambda update: network.lr * network.schedule(update)
    parts = [optax.clip_by_global_norm(network.clip)] if network.clip else []
    parts += [optax.add_decayed_weights(network.l2)] if network.l2 else []
    return optax.chain(*parts, optax.adam(lr)) if parts else optax.adam(lr)


def rest(network: Network, params: PyTree) -> PyTree:
    """The optimiser's state before the first step."""
    return adam(network).init(params)


def follow(online: PyTree, target: PyTree, tau: float) -> PyTree:
    return optax.incremental_update(online, target, tau)


def descend(network: Network, params: PyTree, grad: PyTree, opt: PyTree) -> tuple[PyTree, PyTree]:
    updates, opt = adam(network).update(grad, opt, params)
    return optax.apply_updates(params, updates), opt
