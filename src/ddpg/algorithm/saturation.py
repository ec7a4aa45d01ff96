"""How near an actor's actions are to their bounds: what an update reports of it."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

AT_BOUND = 0.99  # of the bound of an action
ONE_BOUND = 0.95  # share of the states, above which a dimension is stuck


class ActorMetrics(NamedTuple):
    """The actor's part of `Metrics`; NaN at updates in which it does not move."""

    actor_loss: Float[Array, ""]
    dq_da: Float[Array, ""]
    saturation: Float[Array, ""]
    stuck: Float[Array, ""]


def actor_metrics(mu: Float[Array, "b m"], q: Float[Array, ""], dq_da: Float[Array, "b m"]) -> ActorMetrics:
    """What an update of the actor shows, from the sum of Q(s, mu(s)) and its gradient by the actions."""
    at_bound = jnp.abs(mu) > AT_BOUND
    one_bound = jnp.abs(jnp.mean(jnp.sign(mu) * at_bound, axis=0))  # per dimension: 1 if all states have the same
    norm = jnp.mean(jnp.linalg.norm(dq_da, axis=-1))
    stuck = jnp.mean(one_bound > ONE_BOUND, dtype=mu.dtype)
    return ActorMetrics(-q / len(mu), norm, jnp.mean(at_bound, dtype=mu.dtype), stuck)
