"""The deterministic policy gradient: init, act, update. This is the page to read beside the paper's algorithm box.

mu(s | theta)  actor       Q(s, a | theta)  critic       mu', Q'  their targets
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Shaped

from ddpg.algorithm.exploration import Exploration, Gaussian
from ddpg.algorithm.networks import Actor, Critic, Network
from ddpg.algorithm.optimiser import gradient_step, init_optimiser, soft_update
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import Scalar, Value, pessimistic
from ddpg.ranges import Natural, UnitInterval
from ddpg.types import AnyArray, Key, Metrics, PyTree, Spec, Transition


class Nets(NamedTuple):
    actor: Actor
    critic: Critic


class AgentState(NamedTuple):
    online: Nets
    target: Nets
    actor_opt: PyTree
    critic_opt: PyTree


# What Q(s, a) [K, b] of K critics is to the actor.
ACTOR_Q = {"first": lambda q: q[0], "min": lambda q: jnp.min(q, axis=0), "mean": lambda q: jnp.mean(q, axis=0)}


class ActorMetrics(NamedTuple):
    """What an update says of the actor; unknown where it waits."""

    actor_loss: Float[Array, ""]
    dq_da: Float[Array, ""]
    saturation: Float[Array, ""]


@dataclass(frozen=True)
class DPG:
    """DDPG (Lillicrap et al. 2016) as a value whose fields are its parts.

    `critics` is the number K of critics; the target takes the pessimistic one per sample, the actor follows the one
    that `guide` says. `smoothing` is noise on the target's action. The actor moves at every `delay`-th update, the
    targets with it or at every `period`-th, by the share `tau` of the way; `tau_actor` is the target actor's, where
    it is another: 1 is a copy whenever targets move, which where `delay` is a multiple of `period` is no target actor.
    """

    actor: Network = Network()
    critic: Network = Network(activation="silu", lr=2e-3)
    critics: Natural = 1
    actor_q: Literal["first", "min", "mean"] = "first"
    value: Value = Scalar()
    exploration: Exploration = Gaussian()
    smoothing: TargetSmoothing = TargetSmoothing()
    policy_delay: Natural = 1
    tau: UnitInterval = 0.01
    tau_actor: UnitInterval | None = None
    target_period: Natural | None = None

    def init(self, key: Key, spec: Spec) -> AgentState:
        actor_key, critic_key = jax.random.split(key)
        nets = Nets(
            self.actor.actor(actor_key, spec),
            self.critic.critic(critic_key, spec, self.critics, self.value.outputs),
        )
        # The targets start as copies: theta' <- theta.
        target = jax.tree.map(jnp.copy, nets)
        return AgentState(
            nets, target, init_optimiser(self.actor, nets.actor), init_optimiser(self.critic, nets.critic)
        )

    def act(
        self, actor: Actor, obs: Shaped[AnyArray, "n *obs"], noise: Float[AnyArray, "n m"]
    ) -> Float[AnyArray, "n m"]:
        """The behaviour policy beta: a_t = mu(s_t) + N_t, clipped to the action range. Greedy is `actor(obs)`."""
        xp = noise.__array_namespace__()
        return xp.minimum(xp.maximum(actor(obs) + noise, -1.0), 1.0)

    def update(
        self, state: AgentState, batch: Transition, noise: Float[Array, "b m"], count: Int[Array, ""]
    ) -> tuple[AgentState, Metrics, Float[Array, " b"]]:
        """One gradient step of critic and actor, and one step of their targets, on a minibatch.

        `white` is N(0, 1), not read without smoothing; `count` is that of the updates before, the same for all seeds.
        The last answer is how far each Q(s_i, a_i) was from its target, for a replay that goes by it.
        """
        actor, critic = state.online
        target = state.target
        s, s_next = batch.obs, batch.next_obs
        # Batch normalisation, where there is any, takes both as one minibatch: a state is the same to Q and to Q'.
        both = jnp.concatenate([s, s_next])

        # y_i = r_i + gamma Q'(s_{i+1}, mu'(s_{i+1}))
        a_next = target.actor(s_next, beside=s)
        if self.smoothing.sigma:
            a_next = self.smoothing(a_next, noise)
        prediction = target.critic(s_next, a_next, beside=s)
        y = self.value.target(batch.reward, batch.discount, pessimistic(prediction, self.value.mean(prediction)))

        # Update the critic by minimising L = 1/N sum_i (y_i - Q(s_i, a_i))^2
        def critic_loss(critic: Critic) -> tuple[Float[Array, ""], tuple[Float[Array, ""], Float[Array, " b"]]]:
            prediction = critic(s, batch.action, beside=s_next)
            loss = jnp.mean(batch.weight * self.value.loss(prediction, y), axis=-1)
            q = jnp.mean(batch.weight * self.value.mean(prediction)[0])
            return jnp.sum(loss), (q, jnp.max(self.value.error(prediction, y), axis=0))

        (loss, (q, td_error)), grad = jax.value_and_grad(critic_loss, has_aux=True)(critic)
        critic, critic_opt = gradient_step(self.critic, critic.seeing(both), grad, state.critic_opt)

        def improve(actor: Actor, opt: PyTree) -> tuple[Actor, PyTree, ActorMetrics]:
            # Update the actor by the sampled policy gradient, 1/N sum_i grad_a Q(s, a)|a=mu(s) grad_theta mu(s)
            def q_of(a: Float[Array, "b m"]) -> Float[Array, ""]:
                q = self.value.mean(critic(s, a, beside=s_next))
                return jnp.sum(batch.weight * ACTOR_Q[self.actor_q](q))

            mu, pull_back = jax.vjp(lambda actor: actor(s, beside=s_next), actor)
            q_mu, dq_da = jax.value_and_grad(q_of)(mu)
            (grad,) = pull_back(-dq_da / len(mu))  # minus: Adam descends, J is to ascend
            actor, opt = gradient_step(self.actor, actor.seeing(both), grad, opt)
            norm = jnp.mean(jnp.linalg.norm(dq_da, axis=-1))
            return actor, opt, ActorMetrics(-q_mu / len(mu), norm, jnp.mean(jnp.abs(mu) > 0.99, dtype=mu.dtype))

        def wait(actor: Actor, opt: PyTree) -> tuple[Actor, PyTree, ActorMetrics]:
            return actor, opt, ActorMetrics(*[jnp.full_like(loss, jnp.nan)] * 3)

        actor, actor_opt, actor_metrics = at_every(self.policy_delay, count, improve, wait, actor, state.actor_opt)

        # Soft update of the targets: theta' <- tau theta + (1 - tau) theta'
        def track(target: Nets) -> Nets:
            after = soft_update(actor, target.actor, self.tau_actor or self.tau)
            return Nets(after, soft_update(critic, target.critic, self.tau))

        target = at_every(self.target_period or self.policy_delay, count, track, lambda target: target, target)
        return (
            AgentState(Nets(actor, critic), target, actor_opt, critic_opt),
            Metrics(q, loss, *actor_metrics),
            td_error,
        )


def at_every(n: int, count: Int[Array, ""], do: Callable[..., Any], wait: Callable[..., Any], *args: PyTree) -> Any:
    """`do` at every n-th update, else `wait`: computed only where it is due, since all seeds share `count`."""
    return do(*args) if n == 1 else jax.lax.cond((count + 1) % n == 0, do, wait, *args)
