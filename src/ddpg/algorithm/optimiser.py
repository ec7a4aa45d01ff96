"""The optimiser's step of a network, and the soft update of its target."""

import jax
import jax.numpy as jnp
import optax

from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.norms import Running
from ddpg.hyperparameters import Number, equals
from ddpg.schedules import Constant
from ddpg.types import PyTree


def adam(network: NetworkConfig) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019) if the network has `weight_decay`.

    `l2` adds l2 * theta to the gradient first, as the 2016 paper does for its critic.
    """
    constant = isinstance(network.schedule, Constant)
    lr = network.lr if constant else lambda update: network.lr * network.schedule(update)
    parts = [optax.clip_by_global_norm(network.max_grad_norm)] if network.max_grad_norm is not None else []
    parts += [optax.add_decayed_weights(network.l2)] if not equals(network.l2, 0) else []
    decays = not equals(network.weight_decay, 0)
    parts += [optax.adamw(lr, weight_decay=network.weight_decay) if decays else optax.adam(lr)]
    return optax.chain(*parts) if len(parts) > 1 else parts[0]


def init_optimiser(network: NetworkConfig, params: PyTree) -> PyTree:
    """The optimiser's state before the first step."""
    return adam(network).init(params)


def gradient_step(network: NetworkConfig, params: PyTree, grad: PyTree, opt: PyTree) -> tuple[PyTree, PyTree]:
    """Parameters and optimiser after one step down the gradient."""
    updates, opt = adam(network).update(grad, opt, _without_statistics(params))
    return optax.apply_updates(params, updates), opt


def _without_statistics(params: PyTree) -> PyTree:
    """The same with running statistics of 0: weight decay must not pull at them."""

    def is_running(x: PyTree) -> bool:
        return isinstance(x, Running)

    def zero(x: PyTree) -> PyTree:
        return jax.tree.map(jnp.zeros_like, x) if is_running(x) else x

    return jax.tree.map(zero, params, is_leaf=is_running)


def soft_update(online: PyTree, target: PyTree, tau: Number) -> PyTree:
    """theta' <- tau theta + (1 - tau) theta'"""
    return optax.incremental_update(online, target, tau)
