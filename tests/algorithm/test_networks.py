"""Networks beside NumPy: shapes, initial distributions, members, and where the action enters."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.initialisers import Normal
from ddpg.algorithm.layers import ACTIVATIONS, IN_NUMPY, Dense, product
from ddpg.algorithm.networks import Actor, Critic, NetworkConfig, Plain, Residual
from ddpg.algorithm.norms import Running
from ddpg.algorithm.picture_embedding import flatten_observation
from ddpg.types import Spec, Transition
from tests.networks import init_agent

SPEC = Spec(obs_shape=(2, 3), action_low=(-1.0,) * 4, action_high=(1.0,) * 4)
KEY = jax.random.key(0)

FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "silu": lambda x: x * special.expit(x),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


@partial(jax.jit, static_argnums=0)
def actor_of(network: NetworkConfig) -> Actor:
    return network.init_actor(KEY, SPEC.obs_size, SPEC.action_dim)


@partial(jax.jit, static_argnums=range(3))
def critic_of(network: NetworkConfig, members: int = 1, outputs: int = 1) -> Critic:
    return network.init_critic(KEY, SPEC.obs_size, SPEC.action_dim, members, outputs)


def obs_and_action(b: int = 5) -> tuple[jax.Array, jax.Array]:
    draw = np.random.default_rng(1)
    return (
        jnp.asarray(draw.normal(size=(b, SPEC.obs_size)), jnp.float32),
        jnp.asarray(draw.uniform(-1, 1, (b, SPEC.action_dim)), jnp.float32),
    )


def said(network: Actor | Critic, *inputs: Any) -> np.ndarray:
    """What a network makes of its inputs, compiled."""
    return np.asarray(jax.jit(lambda network, inputs: network(*inputs))(network, inputs))


def test_every_activation_is_checked() -> None:
    assert set(FORMULAS) == set(ACTIVATIONS)


def test_without_hidden_layers_networks_are_linear() -> None:
    obs, action = obs_and_action()
    actor, critic = actor_of(NetworkConfig(widths=())), critic_of(NetworkConfig(widths=()), 2, 3)
    (layer,), (values,) = jax.device_get((actor.layers, critic.layers))
    np.testing.assert_allclose(said(actor, obs), np.tanh(np.asarray(obs) @ layer.weight + layer.bias), atol=1e-6)
    both = np.concatenate([obs, action], axis=1)
    assert values.weight.shape == (2, both.shape[1], 3)
    np.testing.assert_allclose(said(critic, obs, action), both @ values.weight + values.bias[:, None, :], atol=1e-6)


@pytest.mark.parametrize("activation", FORMULAS)
def test_actor_is_a_perceptron_with_tanh(activation: str) -> None:
    actor = Actor(actor_of(NetworkConfig(widths=(8, 7))).layers, activation)
    obs, _ = obs_and_action()
    x = np.asarray(obs)
    for i, layer in enumerate(actor.layers):
        x = x @ np.asarray(layer.weight) + np.asarray(layer.bias)
        x = np.tanh(x) if i == 2 else FORMULAS[activation](x)
    assert x.shape == (5, SPEC.action_dim)
    np.testing.assert_allclose(said(actor, obs), x, atol=1e-6)


@pytest.mark.parametrize("action_layer", [0, 1])
@pytest.mark.parametrize("members", [1, 3])
def test_critic_takes_the_action_at_its_layer(members: int, action_layer: Literal[0, 1]) -> None:
    critic = critic_of(NetworkConfig(widths=(8, 7), action_layer=action_layer), members, 2)
    obs, action = obs_and_action()
    q = said(critic, obs, action)
    assert q.shape == (members, 5, 2)
    for k in range(members):
        x = np.asarray(obs)
        for i, layer in enumerate(jax.device_get(critic.layers)):
            x = np.concatenate([x, action], axis=1) if i == action_layer else x
            x = x @ layer.weight[k] + layer.bias[k]
            x = np.maximum(x, 0) if i < 2 else x
        np.testing.assert_allclose(q[k], x, atol=1e-6)


def test_one_member_equals_the_vmapped_path() -> None:
    one = critic_of(NetworkConfig(widths=(8, 7)), 1, 1)
    twice = Critic(jax.tree.map(lambda x: jnp.repeat(x, 2, axis=0), one.layers), one.activation, one.action_layer)
    obs, action = obs_and_action()
    both = said(twice, obs, action)
    np.testing.assert_allclose(said(one, obs, action)[0], both[0], atol=1e-6)
    np.testing.assert_array_equal(both[0], both[1])


def assert_uniform(drawn: jax.Array, bound: float) -> None:
    x = np.asarray(drawn).ravel()
    assert np.abs(x).max() <= np.float32(bound)
    assert stats.kstest(x, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


@pytest.mark.parametrize("action_layer", [0, 1])
def test_hidden_layers_are_uniform_within_their_fan_in(action_layer: Literal[0, 1]) -> None:
    critic = critic_of(NetworkConfig(widths=(300, 200), action_layer=action_layer), 2, 1)
    # The action counts where it enters.
    fan_in = (10, 300, 200) if action_layer == 0 else (6, 304, 200)
    for layer, inputs in zip(critic.layers, fan_in, strict=True):
        assert layer.weight.shape[:2] == (2, inputs)
        assert_uniform(layer.weight, inputs**-0.5)
        assert_uniform(layer.bias, inputs**-0.5)


def test_final_init_bounds_only_the_last_layer() -> None:
    recipe = NetworkConfig(widths=(300, 200), final_init=3e-3)
    for layers, outputs in (
        (actor_of(recipe).layers, 4),
        (critic_of(recipe, 2, 1).layers, 1),
    ):
        *hidden, last = layers
        assert last.weight.shape[-2:] == (200, outputs)
        assert_uniform(last.weight, 3e-3)
        assert np.abs(last.bias).max() <= 3e-3
        for layer in hidden:
            assert_uniform(layer.weight, layer.weight.shape[-2] ** -0.5)
    obs, _ = obs_and_action()
    assert np.abs(said(actor_of(recipe), obs)).max() < 0.1


def test_normal_initialisation() -> None:
    actor = actor_of(NetworkConfig(widths=(300, 200), init=Normal(std=0.3, bias=0.1)))
    for layer in actor.layers:
        assert stats.kstest(np.asarray(layer.weight).ravel(), stats.norm(0, 0.3).cdf).pvalue > 1e-3
        np.testing.assert_array_equal(layer.bias, np.full(layer.bias.shape, 0.1, np.float32))


@pytest.mark.parametrize("init", [NetworkConfig().init, Normal()])
def test_layers_and_members_are_drawn_apart_and_in_float32(init: Normal) -> None:
    critic = critic_of(NetworkConfig(widths=(20, 20), init=init), 2, 20)
    kernels = [np.asarray(layer.weight)[k, :10].ravel() for layer in critic.layers for k in range(2)]
    correlation = np.corrcoef(kernels) - np.eye(len(kernels))
    assert np.abs(correlation).max() < 0.3  # 200 numbers each: standard error 0.07
    for leaf in jax.tree.leaves(critic):
        assert (leaf.dtype, leaf.weak_type) == (jnp.float32, False)  # a weak type would be compiled for twice


def test_dense_is_affine() -> None:
    layer = Dense(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([0.5, -0.5]))
    np.testing.assert_array_equal(layer(jnp.array([[1.0, 1.0], [0.0, 2.0]]), lambda x: x), [[4.5, 5.5], [6.5, 7.5]])


def products(function: Callable[..., jax.Array], *args: Any) -> set[str]:
    """The shapes of all products in a compiled step down the gradient by all arguments."""
    gradient = jax.grad(lambda args: function(*args).sum())
    descend = jax.jit(lambda args: jax.tree.map(lambda x, slope: x - slope, args, gradient(args)))
    text = descend.lower(args).compile().as_text() or ""
    return set(re.findall(r"= f32\[([\d,]+)\]\S* dot\(", text))


def test_gradients_of_few_columns_are_computed_transposed() -> None:
    x, weight = jnp.ones((16, 32)), jnp.ones((32, 6))
    assert "6,32" in products(lambda x, w: product(x, w) ** 2, x, weight)
    assert "32,6" in products(lambda x, w: x.dot(w) ** 2, x, weight), "else `product` is not needed any more"


def test_members_have_products_of_their_own() -> None:
    critic = critic_of(NetworkConfig(widths=(32, 32)), 3)
    shapes = products(lambda critic, obs, action: critic(obs, action) ** 2, critic, *obs_and_action(16))
    assert shapes
    assert not any(size in shape.split(",") for shape in shapes for size in ("48", "96")), shapes


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_actor_is_the_same_in_numpy(activation: str) -> None:
    actor = actor_of(NetworkConfig(widths=(20, 20), activation=activation, init=Normal(std=0.5)))
    obs = np.random.default_rng(0).uniform(-3, 3, (50, *SPEC.obs_shape)).astype(np.float32)
    in_numpy = jax.tree.map(np.asarray, actor)(flatten_observation(obs))
    assert isinstance(in_numpy, np.ndarray)
    assert in_numpy.dtype == np.float32
    compiled = jax.jit(lambda actor, obs: actor(flatten_observation(obs)))
    np.testing.assert_allclose(in_numpy, compiled(actor, obs), atol=2e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_the_same_in_numpy_however_large(activation: str) -> None:
    x = np.concatenate([np.linspace(-8, 8, 99), [-1e4, -89, 89, 1e4]]).astype(np.float32)
    np.testing.assert_allclose(IN_NUMPY[activation](x), ACTIVATIONS[activation](jnp.asarray(x)), rtol=1e-5, atol=1e-6)


def shaken(tree: Any) -> Any:
    """With every leaf a little changed, so that scales and shifts are not 1 and 0."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x) + np.float32(rng.uniform(0, 0.3, x.shape))), tree)


def standard(x: np.ndarray, axis: int, norm: Any) -> np.ndarray:
    centred = (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-5)
    return centred * np.asarray(norm.scale) + np.asarray(norm.shift)


def test_layer_norm_comes_before_the_activation() -> None:
    actor = shaken(actor_of(NetworkConfig(widths=(8, 7), block=Plain(norm="layer"))))
    obs, _ = obs_and_action()
    x = np.asarray(obs)
    for layer in actor.layers[:-1]:
        x = np.maximum(standard(x @ np.asarray(layer.weight) + np.asarray(layer.bias), 1, layer.after), 0)
    last, q = jax.device_get(actor.layers[-1]), said(actor, obs)
    np.testing.assert_allclose(q, np.tanh(x @ last.weight + last.bias), atol=1e-5)
    normalised = actor.with_statistics(obs, 1.0)
    assert jax.tree.structure(normalised) == jax.tree.structure(actor)
    np.testing.assert_array_equal(said(normalised, obs), q)


def test_simba_is_its_figure() -> None:
    """Linear, blocks x + W2 relu(W1 LN(x)), layer norm, linear (Lee et al. 2025, section 4)."""
    recipe = NetworkConfig(widths=(8, 8), block=Residual(expansion=3))
    critic = shaken(critic_of(recipe, 2, 5))
    obs, action = obs_and_action()
    q = said(critic, obs, action)
    for k in range(2):
        first, *blocks, last = jax.tree.map(lambda leaf, k=k: np.asarray(leaf[k]), critic.layers)
        x = np.concatenate([np.asarray(obs), action], axis=1) @ first.weight + first.bias
        assert [block.up.weight.shape for block in blocks] == [(8, 24), (8, 24)]
        for block in blocks:
            inner = np.maximum(standard(x, 1, block.up.before) @ block.up.weight + block.up.bias, 0)
            x = x + inner @ block.down.weight + block.down.bias
        x = standard(x, 1, last.before) @ last.weight + last.bias
        np.testing.assert_allclose(q[k], x, atol=1e-5)
    actor = actor_of(recipe)
    np.testing.assert_allclose(jax.tree.map(np.asarray, actor)(np.asarray(obs)), said(actor, obs), atol=1e-6)


def test_batch_norm_is_of_the_batch_while_learning_and_of_what_was_seen_else() -> None:
    """Ioffe & Szegedy 2015; of the input and all layers before the action (Lillicrap et al. 2016, section 3)."""
    critic = shaken(critic_of(NetworkConfig(widths=(8, 7), block=Plain(norm="batch"), action_layer=1), 2, 1))
    whole, actions = obs_and_action(50)
    obs, action = whole[:20], actions[:20]
    once = jax.jit(lambda critic: critic.with_statistics(whole, 0.01))
    after = critic
    for _ in range(800):  # until what was seen is the batch itself
        after = once(after)
    of_batch, of_seen, before = jax.jit(
        lambda critic, after: [net(obs, action) for net in (critic.with_statistics(whole, 1.0), after, critic)]
    )(critic, after)
    for k in range(2):
        first, second, last = jax.tree.map(lambda leaf, k=k: np.asarray(leaf[k]), critic.layers)
        assert (second.before, second.after, last.before, last.after) == (None,) * 4
        x = standard(np.asarray(whole), 0, first.before) @ first.weight + first.bias
        x = np.maximum(standard(x, 0, first.after), 0)[:20]
        x = np.maximum(np.concatenate([x, action], axis=1) @ second.weight + second.bias, 0) @ last.weight + last.bias
        np.testing.assert_allclose(of_batch[k], x, atol=1e-4)
        np.testing.assert_allclose(of_seen[k], x, atol=2e-2)
        assert np.abs(before[k] - x).max() > 0.1
    both = zip(jax.tree.leaves(critic), jax.tree.leaves(once(critic)), strict=True)
    assert sum((np.asarray(x) != np.asarray(y)).any() for x, y in both) == 4, (
        "mean and variance of two normalisations, and nothing else"
    )
    actor = actor_of(NetworkConfig(widths=(8, 7), block=Plain(norm="batch")))
    assert [(x.before is None, x.after is None) for x in actor.layers] == [(False, False), (True, False), (True, True)]
    np.testing.assert_allclose(jax.tree.map(np.asarray, actor)(np.asarray(obs)), said(actor, obs), atol=1e-6)


def test_statistics_are_followed_and_neither_learned_nor_decayed() -> None:
    recipe = NetworkConfig(widths=(8, 7), block=Plain(norm="batch"), l2=0.5, weight_decay=0.5)
    agent = DPG(actor=recipe, critic=replace(recipe, action_layer=1))
    state = init_agent(agent, KEY, replace(SPEC, obs_shape=(6,)))
    obs, action = obs_and_action(16)
    ones = jnp.ones(16)
    batch = Transition(obs, action, ones, 0.9 * ones, 2 * obs + 1, ones)
    both = jnp.concatenate([batch.obs, batch.next_obs])
    after, *_ = jax.jit(agent.update)(state, batch, jnp.zeros((16, 0)), jnp.int32(0))
    nets = state.online.actor, state.online.critic
    followed = jax.jit(lambda nets: [net.with_statistics(both, 0.01) for net in nets])(nets)
    for net, seen in zip(nets, followed, strict=True):
        new = after.online.actor if isinstance(net, Actor) else after.online.critic
        for layer, expected, old in zip(new.layers, seen.layers, net.layers, strict=True):
            for norm in ("before", "after"):
                if getattr(old, norm) is not None:
                    running, wanted = getattr(layer, norm).running, getattr(expected, norm).running
                    for x, y in zip(running, wanted, strict=True):
                        np.testing.assert_allclose(x, y, atol=1e-6)
                    assert not np.array_equal(getattr(layer, norm).scale, getattr(old, norm).scale)


def test_a_state_is_the_same_among_observations_and_among_next_ones() -> None:
    """Or Q' would take a next observation for another, wherever next observations are not like observations."""
    critic = shaken(critic_of(NetworkConfig(widths=(8, 7), block=Plain(norm="batch"), action_layer=1), 2, 1))
    actor = shaken(actor_of(NetworkConfig(widths=(8, 7), block=Plain(norm="batch"))))
    obs, action = obs_and_action(16)
    # As of states in a row: all but the first and the last are both.
    later = jnp.concatenate([obs[1:], 3 * obs[:1] - 2])
    both = jnp.concatenate([obs, later])

    @jax.jit
    def normalised_by(seen: jax.Array | None) -> Any:
        """Of observations and of next ones, mu and Q, by what was seen or each by itself."""
        values = list[Any]()
        for x, a in ((obs, action), (later, jnp.roll(action, -1, axis=0))):
            mu, q = (net.with_statistics(x if seen is None else seen, 1.0) for net in (actor, critic))
            values += [mu(x), q(x, a)]
        return values

    mu, q, mu_next, q_next = normalised_by(both)
    np.testing.assert_allclose(mu[1:], mu_next[:-1], atol=1e-5)
    np.testing.assert_allclose(q[:, 1:], q_next[:, :-1], atol=1e-5)
    # Each by itself they would not be.
    mu, _, mu_next, _ = jax.device_get(normalised_by(None))
    assert np.abs(mu[1:] - mu_next[:-1]).max() > 0.1


def test_targets_are_normalised_by_the_minibatch() -> None:
    """As what is learned is: else the chance of a minibatch would be between Q and Q'."""
    recipe = NetworkConfig(widths=(8, 7), block=Plain(norm="batch"))
    agent = DPG(actor=recipe, critic=replace(recipe, action_layer=1))
    state = init_agent(agent, KEY, replace(SPEC, obs_shape=(6,)))
    obs, action = obs_and_action(16)
    ones = jnp.ones(16)
    batch = Transition(obs, action, ones, 0.9 * ones, obs[::-1], ones)
    update = jax.jit(agent.update)
    losses = []
    for by in (0.0, 5.0):
        target = jax.tree.map(
            lambda x, by=by: Running(x.mean + by, x.variance + by) if isinstance(x, Running) else x,
            state.target,
            is_leaf=lambda x: isinstance(x, Running),
        )
        metrics = update(state._replace(target=target), batch, jnp.zeros((16, 0)), jnp.int32(0))[1]
        losses.append(float(metrics.critic_loss))
        greedy = said(target.actor, obs)
    assert losses[0] == losses[1]
    assert (greedy != said(state.target.actor, obs)).any()
