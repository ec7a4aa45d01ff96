"""The deterministic policy gradient: init, act, update. The update follows the order of the paper's algorithm box.

mu(s | theta)  actor       Q(s, a | theta)  critic       mu', Q'  their targets
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Shaped

from ddpg.algorithm.augment import AnyAugmentation, NoAugmentation
from ddpg.algorithm.encoders import AnyEncoder, Embedding, Flat
from ddpg.algorithm.exploration import AnyExploration, Gaussian
from ddpg.algorithm.networks import Actor, Critic, Network
from ddpg.algorithm.normaliser import InputStats, normalise
from ddpg.algorithm.norms import has_statistics
from ddpg.algorithm.optimiser import gradient_step, init_optimiser, soft_update
from ddpg.algorithm.parameter_noise import ParameterNoise
from ddpg.algorithm.sale import Latest, Sale
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import RANGES, AnyValue, Scalar, ValueRange, pessimistic
from ddpg.hyperparameters import equals
from ddpg.mistake import Mistake
from ddpg.ranges import Choice, Natural, NonNegative, UnitInterval
from ddpg.types import AnyArray, Key, Metrics, PyTree, Spec, Transition


class Nets(NamedTuple):
    encoder: Embedding
    actor: Actor
    critic: Critic

    def mu(self, obs: Shaped[Array, "b *obs"]) -> Float[Array, "b m"]:
        return self.actor(self.encoder.state(obs))

    def q(self, obs: Shaped[Array, "b *obs"], action: Float[Array, "b m"]) -> Float[Array, "k b outputs"]:
        z = self.encoder.state(obs)
        return self.critic(z, self.encoder.pair(z, action))

    def fitted(self, obs: Shaped[Array, "b *obs"], rate: float) -> "Nets":
        """Running statistics of batch normalisation, if any, moved by `rate` towards those of a minibatch."""
        if not has_statistics(self):
            return self
        z = self.encoder.fitted(obs, 1.0).state(obs)
        return Nets(self.encoder.fitted(obs, rate), self.actor.fitted(z, rate), self.critic.fitted(z, rate))


class GreedyPolicy(NamedTuple):
    """mu(s) of unnormalised observations: normalised, encoded, then the actor."""

    stats: InputStats
    encoder: Embedding
    actor: Actor

    def __call__(self, obs: Shaped[AnyArray, "n *obs"]) -> Float[AnyArray, "n m"]:
        return self.actor(self.encoder.state(normalise(obs, self.stats)))


class AgentState(NamedTuple):
    online: Nets
    target: Nets
    actor_opt: PyTree
    critic_opt: PyTree
    latest: Latest | None = None  # of an encoder with a loss of its own; `online` has that of the last targets
    values: ValueRange | None = None  # if Q' is clipped


# How the actor reduces Q(s, a) [K, b] of K critics to one.
ACTOR_Q = {"first": lambda q: q[0], "min": lambda q: jnp.min(q, axis=0), "mean": lambda q: jnp.mean(q, axis=0)}


class ActorMetrics(NamedTuple):
    """The actor's part of `Metrics`; NaN at updates in which it does not move."""

    actor_loss: Float[Array, ""]
    dq_da: Float[Array, ""]
    saturation: Float[Array, ""]
    stuck: Float[Array, ""]


@dataclass(frozen=True)
class DPG:
    """DDPG (Lillicrap et al. 2016) as a frozen dataclass; each field is a part that a variant replaces.

    `critics` is the number K of critics: the target takes the smallest per sample, the actor follows `actor_q`.
    `smoothing` is noise on the target's action, `augment` moves the pictures of a minibatch. `preactivation` times the
    mean square of what the actor gives to its tanh joins the actor's loss, so that it does not begin in saturation
    (MR.Q: Fujimoto et al. 2025, section 4.2.3). The actor is updated at every `policy_delay`-th update, the targets
    with it or at every `target_period`-th, with the Polyak coefficient `tau`; `tau_actor` is that of the target actor
    (default `tau`), and `tau_encoder` that of the target encoder. With 1 it is a copy, and no target at all if
    `policy_delay` is a multiple of `target_period`. With `clip_values`, Q' stays in a range of returns, as it was when
    the targets last moved: of all `targets` so far (TD7: Fujimoto et al. 2023), or of what the `rewards` so far allow;
    a distribution has bounds of its own.
    """

    encoder: AnyEncoder = Flat()
    actor: Network = Network()
    critic: Network = Network(activation="silu", lr=2e-3)
    critics: Natural = 1
    actor_q: Annotated[str, Choice(ACTOR_Q)] = "first"
    value: AnyValue = Scalar()
    exploration: AnyExploration = Gaussian()
    smoothing: TargetSmoothing = TargetSmoothing()
    augment: AnyAugmentation = NoAugmentation()
    preactivation: NonNegative = 0.0
    policy_delay: Natural = 1
    tau: UnitInterval = 0.01
    tau_actor: UnitInterval | None = None
    tau_encoder: UnitInterval | None = None
    target_period: Natural | None = None
    clip_values: Annotated[str, Choice(RANGES)] | None = None

    def init(self, key: Key, spec: Spec) -> AgentState:
        actor_key, critic_key = jax.random.split(key)
        (z, pair), embedded = self.encoder.sizes(spec), self.encoder.embedded(spec)
        nets = Nets(
            self.encoder.create(jax.random.fold_in(key, 0), spec),
            self.actor.actor(actor_key, z, spec.action_dim, embedded),
            self.critic.critic(critic_key, z, pair, self.critics, self.value.outputs, embedded, spec.action_dim),
        )
        # The targets start as copies: theta' <- theta.
        target = jax.tree.map(jnp.copy, nets)
        latest, clipped = self.encoder.begin(nets.encoder), self.clip_values is not None and self.value.outputs == 1
        critic_opt = init_optimiser(self.critic, with_critic(nets, latest))
        return AgentState(
            nets,
            target,
            init_optimiser(self.actor, nets.actor),
            critic_opt,
            latest,
            ValueRange.none() if clipped else None,
        )

    def go_on_with(self, state: AgentState, online: Nets, target: Nets) -> AgentState:
        """With networks that were trained before; Q' is not clipped before the range of its targets is known."""
        values = state.values and state.values.unclipped()
        return state._replace(online=online, target=target, latest=self.encoder.begin(online.encoder), values=values)

    def act(self, policy: GreedyPolicy, obs: Shaped[AnyArray, "n *obs"], noise: Float[AnyArray, "n m"]) -> AnyArray:
        """The behaviour policy beta: a_t = mu(s_t) + N_t [n, m], clipped to the action range."""
        xp = noise.__array_namespace__()
        return xp.minimum(xp.maximum(policy(obs) + noise, -1.0), 1.0)

    def update(
        self, state: AgentState, batch: Transition, noise: Float[Array, "b m"], count: Int[Array, ""]
    ) -> tuple[AgentState, Metrics, Float[Array, " b"]]:
        """One gradient step of critic and actor, and one step of their targets, on a minibatch.

        `noise` is standard normal, for target smoothing alone ([b, 0] without); `count` is the number of updates
        done, the same for all seeds. The last result is |TD error| per sample, the largest of the critics.
        """
        online, target = state.online, state.target
        s, s_next = batch.obs, batch.next_obs
        both = jnp.concatenate([s, s_next])  # `fitted(both, …)` changes nothing without batch normalisation

        # Encoder: by a loss of its own, if it has one (SALE), else by the critic's
        latest = self.encoder.learn(state.latest, batch)

        # Target: y_i = r_i + gamma Q'(s_{i+1}, mu'(s_{i+1}))
        fixed = target.fitted(both, 1.0)
        a_next = fixed.mu(s_next)
        if not equals(self.smoothing.sigma, 0):
            a_next = self.smoothing(a_next, noise, count)
        prediction = fixed.q(s_next, a_next)
        prediction = pessimistic(prediction, self.value.mean(prediction))
        if (values := state.values) is not None:
            prediction = values.clip(prediction)
        y = self.value.target(batch.reward, batch.discount, prediction)

        # Critic: minimise L = 1/N sum_i (y_i - Q(s_i, a_i))^2
        def critic_loss(trained: tuple[Embedding | None, Critic]) -> tuple[Float[Array, ""], tuple[Array, Array]]:
            encoder, critic = trained
            prediction = Nets(encoder or online.encoder, online.actor, critic).fitted(both, 1.0).q(s, batch.action)
            loss = jnp.mean(batch.weight * self.value.loss(prediction, y), axis=-1)
            q = jnp.mean(batch.weight * self.value.mean(prediction)[0])
            return jnp.sum(loss), (q, jnp.max(self.value.error(prediction, y), axis=0))

        (loss, (q, td_error)), grad = jax.value_and_grad(critic_loss, has_aux=True)(with_critic(online, latest))
        trained = with_critic(online.fitted(both, 0.01), latest)
        (encoder, critic), critic_opt = gradient_step(self.critic, trained, grad, state.critic_opt)
        encoder = encoder or online.encoder

        # Actor: ascend the sampled policy gradient, 1/N sum_i grad_a Q(s, a)|a=mu(s) grad_theta mu(s)
        def update_actor(actor: Actor, opt: PyTree) -> tuple[Actor, PyTree, ActorMetrics]:
            nets = Nets(online.encoder, actor, critic)  # which has seen s already (DrQ-v2)

            def q_of(a: Float[Array, "b m"]) -> Float[Array, ""]:
                q = self.value.mean(nets.fitted(both, 1.0).q(s, a))
                return jnp.sum(batch.weight * ACTOR_Q[self.actor_q](q))

            mu, pull_back = jax.vjp(lambda actor: nets._replace(actor=actor).fitted(both, 1.0).mu(s), actor)
            a = self.smoothing(mu, noise[::-1], count) if self.smoothing.actor else mu
            q_mu, dq_da = jax.value_and_grad(q_of)(a)
            loss_da = -dq_da / len(mu)  # minus: Adam minimises, we maximise J
            if not equals(self.preactivation, 0):
                loss_da += self.preactivation * gradient_of_preactivation(mu)
            (grad,) = pull_back(loss_da)
            actor, opt = gradient_step(self.actor, nets.fitted(both, 0.01).actor, grad, opt)
            return actor, opt, actor_metrics(mu, q_mu, dq_da)

        def skip(actor: Actor, opt: PyTree) -> tuple[Actor, PyTree, ActorMetrics]:
            return actor, opt, ActorMetrics(*[jnp.full_like(loss, jnp.nan)] * 4)

        actor, actor_opt, metrics = every_nth(
            self.policy_delay, count, update_actor, skip, online.actor, state.actor_opt
        )

        # Soft update of the targets: theta' <- tau theta + (1 - tau) theta'
        def update_targets(target: Nets, encoder: Embedding, values: ValueRange | None) -> Any:
            tau_encoder, tau_actor = (self.tau if tau is None else tau for tau in (self.tau_encoder, self.tau_actor))
            moved = Nets(
                soft_update(encoder, target.encoder, tau_encoder),
                soft_update(actor, target.actor, tau_actor),
                soft_update(critic, target.critic, self.tau),
            )
            return moved, latest.encoder if latest else encoder, values and values.moved()

        period = self.target_period or self.policy_delay
        if self.clip_values and values:
            values = values.seen(RANGES[self.clip_values](y, batch), batch.weight)
        target, encoder, values = every_nth(period, count, update_targets, lambda *same: same, target, encoder, values)
        state = AgentState(Nets(encoder, actor, critic), target, actor_opt, critic_opt, latest, values)
        return state, Metrics(q, loss, *metrics), td_error

    def check(self, path: str) -> None:
        """Rules between actor, critic and exploration, whose options need no prefix."""
        if self.actor.action_layer:
            raise Mistake("actor.action_layer 1: only a critic takes actions in; use --critic.action_layer 1")
        late = (("trunk", self.critic.trunk, "none"), ("action_layer", self.critic.action_layer, "0"))
        for name, value, without in late if isinstance(self.encoder, Sale) else ():
            if value:
                raise Mistake(
                    f"critic.{name} {value}: encoder sale joins state and action first; use --critic.{name} {without}"
                )
        if self.critic.batch_normalised and not self.critic.action_layer:
            raise Mistake(
                "critic.block.norm batch: batch norm would normalise the action, too; use --critic.action_layer 1"
            )
        if self.actor.batch_normalised and isinstance(self.exploration, ParameterNoise):
            raise Mistake(
                "exploration parameters: noise on weights suits layer normalisation, not batch normalisation; "
                "use --actor.block.norm layer"
            )


def with_critic(nets: Nets, latest: Latest | None) -> tuple[Embedding | None, Critic]:
    """What the critic's loss trains: with the critic the encoder, unless that has a loss of its own."""
    return nets.encoder if latest is None else None, nets.critic


def actor_metrics(mu: Float[Array, "b m"], q: Float[Array, ""], dq_da: Float[Array, "b m"]) -> ActorMetrics:
    """What an update of the actor shows, from the sum of Q(s, mu(s)) and its gradient by the actions."""
    at_bound = jnp.abs(mu) > 0.99
    one_bound = jnp.abs(jnp.mean(jnp.sign(mu) * at_bound, axis=0))  # per dimension: 1 if all states have the same
    norm = jnp.mean(jnp.linalg.norm(dq_da, axis=-1))
    stuck = jnp.mean(one_bound > 0.95, dtype=mu.dtype)
    return ActorMetrics(-q / len(mu), norm, jnp.mean(at_bound, dtype=mu.dtype), stuck)


def gradient_of_preactivation(mu: Float[Array, "b m"]) -> Float[Array, "b m"]:
    """The gradient by mu = tanh(u) of the mean of u^2; beyond |u| of 5, where tanh is flat, as if u was 5."""
    bounded = jnp.clip(mu, -0.9999, 0.9999)
    return 2 * jnp.arctanh(bounded) / (1 - jnp.square(bounded)) / mu.size


def every_nth(n: int, count: Int[Array, ""], do: Callable[..., Any], skip: Callable[..., Any], *args: PyTree) -> Any:
    """`do` at every n-th update, else `skip`: computed only then, since all seeds share `count`."""
    return do(*args) if n == 1 else jax.lax.cond((count + 1) % n == 0, do, skip, *args)
