"""DDPG and its variants: init, act, update. `DPG.update` is algorithm 1 of Lillicrap et al. 2016, in its order.

mu(s | theta)  actor       Q(s, a | theta)  critic       mu', Q'  their targets, with parameters theta'
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, Shaped

from ddpg.algorithm.augment import AnyAugmentation, NoAugmentation
from ddpg.algorithm.encoders import AnyEncoder, Embedding, Flat
from ddpg.algorithm.exploration import AnyExploration, Gaussian, clip_action
from ddpg.algorithm.nets import GreedyPolicy, Nets, critic_parameters, joint
from ddpg.algorithm.networks import Actor, Critic, NetworkConfig
from ddpg.algorithm.optimiser import gradient_step, init_optimiser, soft_update
from ddpg.algorithm.parameter_noise import ParameterNoise
from ddpg.algorithm.sale import EncoderTraining, Sale
from ddpg.algorithm.saturation import ActorMetrics, actor_metrics
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import RANGES, AnyValue, Scalar, ValueRange, clipped_double_q
from ddpg.hyperparameters import equals
from ddpg.mistake import Mistake
from ddpg.ranges import Choice, Natural, NonNegative, UnitInterval
from ddpg.types import AnyArray, Key, Metrics, PyTree, Spec, Transition


class AgentState(NamedTuple):
    online: Nets
    target: Nets
    actor_opt: PyTree
    critic_opt: PyTree
    # Of SALE: the encoder in training and its optimiser. `online.encoder` is a copy, renewed when the targets move.
    encoder_training: EncoderTraining | None = None
    value_range: ValueRange | None = None  # to which Q' is clipped


# How the actor reduces Q(s, a) [K, b] of K critics to one.
ACTOR_Q = {"first": lambda q: q[0], "min": lambda q: jnp.min(q, axis=0), "mean": lambda q: jnp.mean(q, axis=0)}
STATISTICS_RATE = 0.01  # per update, of batch normalisation's running statistics


@dataclass(frozen=True)
class DPG:
    """DDPG (Lillicrap et al. 2016) as a frozen dataclass; each field is a part that a variant replaces.

    `critics` is the number K of critics: the target takes the smallest per sample, the actor follows `actor_q`.
    `smoothing` is noise on the target's action, and with `smoothing.actor` on the actor's own. `augment` shifts the
    pictures of a minibatch. `preactivation` is the coefficient of a penalty on the actor's preactivations u,
    mu(s) = tanh(u): the actor's loss gets `preactivation` times the mean of u^2, so that tanh does not saturate early
    (MR.Q: Fujimoto et al. 2025, section 4.2.3). The actor is updated at every `policy_delay`-th update, the targets
    with it or at every `target_period`-th, with the Polyak coefficient `tau`; `tau_actor` is that of the target actor,
    `tau_encoder` that of the target encoder (default `tau`). With `tau_actor` 1 there is no separate target actor if
    `policy_delay` is a multiple of `target_period`. With `clip_values`, Q' is clipped to a range of returns, as it was
    when the targets last moved, [0, 0] before: of all `targets` so far (TD7: Fujimoto et al. 2023), or of what the
    `rewards` so far allow; a distribution has bounds of its own.
    """

    encoder: AnyEncoder = Flat()
    actor: NetworkConfig = NetworkConfig()
    critic: NetworkConfig = NetworkConfig(activation="silu", lr=2e-3)
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
            self.actor.init_actor(actor_key, z, spec.action_dim, embedded),
            self.critic.init_critic(critic_key, z, pair, self.critics, self.value.outputs, embedded, spec.action_dim),
        )
        training = self.encoder.begin(nets.encoder)
        return AgentState(
            online=nets,
            target=jax.tree.map(jnp.copy, nets),  # theta' <- theta
            actor_opt=init_optimiser(self.actor, nets.actor),
            critic_opt=init_optimiser(self.critic, critic_parameters(nets, training)),
            encoder_training=training,
            value_range=ValueRange.empty() if self.clip_values and self.value.predicts_returns else None,
        )

    def warm_start(self, state: AgentState, online: Nets, target: Nets) -> AgentState:
        """The state with pretrained networks. Q' is not clipped until the range of its targets is known."""
        value_range, training = state.value_range and state.value_range.unclipped(), self.encoder.begin(online.encoder)
        return state._replace(online=online, target=target, encoder_training=training, value_range=value_range)

    def act(self, policy: GreedyPolicy, obs: Shaped[AnyArray, "n *obs"], noise: Float[AnyArray, "n m"]) -> AnyArray:
        """The behaviour policy beta: a_t = mu(s_t) + N_t [n, m], clipped to the action range."""
        return clip_action(policy(obs) + noise)

    def update(
        self, state: AgentState, batch: Transition, noise: Float[Array, "b m"], count: Int[Array, ""]
    ) -> tuple[AgentState, Metrics, Float[Array, " b"]]:
        """One gradient step of critic and actor, and one step of their targets, on a minibatch.

        `noise` is standard normal, for target smoothing ([b, 0] without); `count` is the number of earlier updates,
        the same for all seeds. The last result is |TD error| per sample, the largest of the critics.
        """
        # Encoder: SALE has a loss of its own; other encoders are trained by the critic's
        training = self.encoder.learn(state.encoder_training, batch)

        # Target: y_i = r_i + gamma Q'(s_{i+1}, mu'(s_{i+1}))
        y = self._target(state, batch, noise, count)

        # Critic: minimise L = 1/N sum_i (y_i - Q(s_i, a_i))^2
        encoder, critic, critic_opt, loss, q, td_error = self._critic_step(state, batch, y)

        # Actor: ascend the sampled policy gradient, 1/N sum_i grad_a Q(s, a)|a=mu(s) grad_theta mu(s)
        def actor_step(actor: Actor, opt: PyTree) -> tuple[Actor, PyTree, ActorMetrics]:
            nets = Nets(state.online.encoder, actor, critic)  # the encoder before this step, as in DrQ-v2
            return self._actor_step(nets, opt, batch, noise, count)

        def skip(actor: Actor, opt: PyTree) -> tuple[Actor, PyTree, ActorMetrics]:
            return actor, opt, ActorMetrics(*[jnp.full_like(loss, jnp.nan)] * 4)

        args = state.online.actor, state.actor_opt
        actor, actor_opt, metrics = every_nth(self.policy_delay, count, actor_step, skip, *args)

        # Soft update of the targets: theta' <- tau theta + (1 - tau) theta'
        def move_targets(target: Nets, encoder: Embedding, clip: ValueRange | None) -> Any:
            moved = self._soft_update(Nets(encoder, actor, critic), target)
            return moved, training.encoder if training else encoder, clip and clip.with_clip_updated()

        clip = state.value_range
        if self.clip_values and clip:
            clip = clip.extended(RANGES[self.clip_values](y, batch), batch.weight)
        args = state.target, encoder, clip
        target, encoder, clip = every_nth(self._period, count, move_targets, lambda *same: same, *args)

        state = AgentState(Nets(encoder, actor, critic), target, actor_opt, critic_opt, training, clip)
        return state, Metrics(q, loss, *metrics), td_error

    def targets_move(self, count: Int[Array, ""]) -> Bool[Array, ""]:
        """Whether the targets move in the update after `count` others."""
        return is_nth(self._period, count)

    @property
    def _period(self) -> int:
        return self.target_period or self.policy_delay

    def _target(
        self, state: AgentState, batch: Transition, noise: Float[Array, "b m"], count: Int[Array, ""]
    ) -> Float[Array, "b outputs"]:
        """y of each sample; `batch.discount` is gamma^n, and 0 after a true end. With K critics Q' is the smallest."""
        target = state.target.with_statistics(joint(batch), 1.0)
        a_next = target.mu(batch.next_obs)
        if not equals(self.smoothing.sigma, 0):
            a_next = self.smoothing(a_next, noise, count)
        q_next = target.q(batch.next_obs, a_next)
        q_next = clipped_double_q(q_next, self.value.mean(q_next))
        if state.value_range is not None:
            q_next = state.value_range.clip(q_next)
        return self.value.target(batch.reward, batch.discount, q_next)

    def _critic_step(
        self, state: AgentState, batch: Transition, y: Float[Array, "b outputs"]
    ) -> tuple[Embedding, Critic, PyTree, Float[Array, ""], Float[Array, ""], Float[Array, " b"]]:
        """Encoder, critic, their optimiser, loss, mean of Q(s, a) and |TD error|.

        The loss is the sum over K critics. `batch.weight` is 0 for rows that are no transition, and 1 in the mean;
        prioritised replay multiplies it by its importance weights.
        """
        online, training = state.online, state.encoder_training

        def loss_of(trained: tuple[Embedding | None, Critic]) -> tuple[Float[Array, ""], tuple[Array, Array]]:
            encoder, critic = trained
            nets = Nets(encoder or online.encoder, online.actor, critic).with_statistics(joint(batch), 1.0)
            prediction = nets.q(batch.obs, batch.action)
            loss = jnp.mean(batch.weight * self.value.loss(prediction, y), axis=-1)
            q = jnp.mean(batch.weight * self.value.mean(prediction)[0])
            return jnp.sum(loss), (q, jnp.max(self.value.error(prediction, y), axis=0))

        (loss, (q, td_error)), grad = jax.value_and_grad(loss_of, has_aux=True)(critic_parameters(online, training))
        trained = critic_parameters(online.with_statistics(joint(batch), STATISTICS_RATE), training)
        (encoder, critic), opt = gradient_step(self.critic, trained, grad, state.critic_opt)
        return encoder or online.encoder, critic, opt, loss, q, td_error

    def _actor_step(
        self, nets: Nets, opt: PyTree, batch: Transition, noise: Float[Array, "b m"], count: Int[Array, ""]
    ) -> tuple[Actor, PyTree, ActorMetrics]:
        """The two factors one after the other: grad_a Q [b, m] per sample, then its product with grad_theta mu."""

        def q_of(a: Float[Array, "b m"]) -> Float[Array, ""]:
            q = self.value.mean(nets.with_statistics(joint(batch), 1.0).q(batch.obs, a))
            return jnp.sum(batch.weight * ACTOR_Q[self.actor_q](q))  # the sum, so that dq_da is per sample

        def mu_of(actor: Actor) -> tuple[Float[Array, "b m"], Float[Array, "b m"]]:
            """mu(s) = tanh(u), and u."""
            own = nets._replace(actor=actor).with_statistics(joint(batch), 1.0)
            u = own.actor.preactivation(own.encoder.state(batch.obs))
            return jnp.tanh(u), u

        (mu, u), vjp = jax.vjp(mu_of, nets.actor)  # vjp((g, h)) = sum_i g_i grad_theta mu(s_i) + h_i grad_theta u(s_i)
        # Noise in another order than the target's, which is not to be that of the same sample.
        a = self.smoothing(mu, noise[::-1], count) if self.smoothing.actor else mu
        q_mu, dq_da = jax.value_and_grad(q_of)(a)
        dloss_da = -dq_da / len(mu)  # minus: Adam minimises, we maximise J
        dloss_du = self.preactivation * 2 * u / u.size
        (grad,) = vjp((dloss_da, dloss_du))
        actor, opt = gradient_step(self.actor, nets.with_statistics(joint(batch), STATISTICS_RATE).actor, grad, opt)
        return actor, opt, actor_metrics(mu, q_mu, dq_da)

    def _soft_update(self, online: Nets, target: Nets) -> Nets:
        tau_encoder, tau_actor = (self.tau if tau is None else tau for tau in (self.tau_encoder, self.tau_actor))
        return Nets(
            soft_update(online.encoder, target.encoder, tau_encoder),
            soft_update(online.actor, target.actor, tau_actor),
            soft_update(online.critic, target.critic, self.tau),
        )

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
            first = isinstance(self.encoder, Sale) or self.critic.lift is not None  # where the action has to come in
            fix = "--critic.block.norm layer" if first else "--critic.action_layer 1"
            raise Mistake(f"critic.block.norm batch: batch norm would normalise the action, too; use {fix}")
        if self.actor.batch_normalised and isinstance(self.exploration, ParameterNoise):
            raise Mistake(
                "exploration parameters: noise on weights suits layer normalisation, not batch normalisation; "
                "use --actor.block.norm layer"
            )


def every_nth(n: int, count: Int[Array, ""], do: Callable[..., Any], skip: Callable[..., Any], *args: PyTree) -> Any:
    """`do` at every n-th update, else `skip`: computed only then, since all seeds share `count`."""
    return do(*args) if n == 1 else jax.lax.cond(is_nth(n, count), do, skip, *args)


def is_nth(n: int, count: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether the update after `count` others is one of every n."""
    return (count + 1) % n == 0
