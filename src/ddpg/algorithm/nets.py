"""The networks of an agent together: encoder, actor and critics, and the policy that is deployed."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Shaped

from ddpg.algorithm.encoders import Embedding
from ddpg.algorithm.networks import Actor, Critic
from ddpg.algorithm.normaliser import InputStats, normalise
from ddpg.algorithm.norms import has_statistics
from ddpg.algorithm.sale import EncoderTraining
from ddpg.types import AnyArray, Transition


class Nets(NamedTuple):
    encoder: Embedding
    actor: Actor
    critic: Critic

    def mu(self, obs: Shaped[Array, "b *obs"]) -> Float[Array, "b m"]:
        return self.actor(self.encoder.state(obs))

    def q(self, obs: Shaped[Array, "b *obs"], action: Float[Array, "b m"]) -> Float[Array, "k b outputs"]:
        z = self.encoder.state(obs)
        return self.critic(z, self.encoder.pair(z, action))

    def with_statistics(self, obs: Shaped[Array, "b *obs"], rate: float) -> "Nets":
        """The same networks, the running statistics of batch normalisation moved by `rate` towards those of `obs`.

        Without batch normalisation nothing changes.
        """
        if not has_statistics(self):
            return self
        z = self.encoder.with_statistics(obs, 1.0).state(obs)
        encoder = self.encoder.with_statistics(obs, rate)
        return Nets(encoder, self.actor.with_statistics(z, rate), self.critic.with_statistics(z, rate))


class GreedyPolicy(NamedTuple):
    """mu(s) from raw observations: normalise, encode, apply the actor."""

    stats: InputStats
    encoder: Embedding
    actor: Actor

    def __call__(self, obs: Shaped[AnyArray, "n *obs"]) -> Float[AnyArray, "n m"]:
        return self.actor(self.encoder.state(normalise(obs, self.stats)))


def joint(batch: Transition) -> Shaped[Array, "bb *obs"]:
    """s and s' of a minibatch together, whose statistics batch normalisation takes (CrossQ: Bhatt et al. 2024)."""
    return jnp.concatenate([batch.obs, batch.next_obs])


def critic_parameters(nets: Nets, training: EncoderTraining | None) -> tuple[Embedding | None, Critic]:
    """What the critic's loss trains: the encoder, unless that has a loss of its own (then None), and the critic."""
    return nets.encoder if training is None else None, nets.critic
