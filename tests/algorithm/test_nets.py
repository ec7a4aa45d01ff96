"""Networks beside NumPy: shapes, initial distributions, members, and where the action enters."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ddpg.algorithm.nets import ACTIVATIONS, IN_NUMPY, Actor, Critic, Dense, Network, Normal, flat
from ddpg.types import Spec

SPEC = Spec(obs_shape=(2, 3), action_low=(-1.0,) * 4, action_high=(1.0,) * 4)
KEY = jax.random.key(0)

FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "silu": lambda x: x * special.expit(x),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


def obs_and_action(b: int = 5) -> tuple[jax.Array, jax.Array]:
    obs_key, action_key = jax.random.split(jax.random.key(1))
    return (
        jax.random.normal(obs_key, (b, *SPEC.obs_shape)),
        jax.random.uniform(action_key, (b, SPEC.action_dim), minval=-1.0),
    )


def test_every_activation_is_checked() -> None:
    assert set(FORMULAS) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", FORMULAS)
def test_actor_is_a_perceptron_with_tanh(activation: str) -> None:
    actor = Actor(Network(widths=(8, 7)).actor(KEY, SPEC).layers, activation)
    obs, _ = obs_and_action()
    x = np.asarray(obs).reshape(5, 6)
    for i, layer in enumerate(actor.layers):
        x = x @ np.asarray(layer.weight) + np.asarray(layer.bias)
        x = np.tanh(x) if i == 2 else FORMULAS[activation](x)
    assert x.shape == (5, SPEC.action_dim)
    np.testing.assert_allclose(actor(obs), x, atol=1e-6)


@pytest.mark.parametrize("action_layer", [0, 1])
@pytest.mark.parametrize("members", [1, 3])
def test_critic_takes_the_action_at_its_layer(members: int, action_layer: Literal[0, 1]) -> None:
    critic = Network(widths=(8, 7), action_layer=action_layer).critic(KEY, SPEC, members, size=2)
    obs, action = obs_and_action()
    q = critic(obs, action)
    assert q.shape == (members, 5, 2)
    for k in range(members):
        x = np.asarray(obs).reshape(5, 6)
        for i, layer in enumerate(critic.layers):
            x = np.concatenate([x, action], axis=1) if i == action_layer else x
            x = x @ np.asarray(layer.weight[k]) + np.asarray(layer.bias[k])
            x = np.maximum(x, 0) if i < 2 else x
        np.testing.assert_allclose(q[k], x, atol=1e-6)


def test_one_member_equals_the_vmapped_path() -> None:
    one = Network(widths=(8, 7)).critic(KEY, SPEC, 1, 1)
    twice = Critic(jax.tree.map(lambda x: jnp.repeat(x, 2, axis=0), one.layers), one.activation, one.action_layer)
    obs, action = obs_and_action()
    both = twice(obs, action)
    np.testing.assert_allclose(one(obs, action)[0], both[0], atol=1e-6)
    np.testing.assert_array_equal(both[0], both[1])


def assert_uniform(drawn: jax.Array, bound: float) -> None:
    x = np.asarray(drawn).ravel()
    assert np.abs(x).max() <= np.float32(bound)
    assert stats.kstest(x, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


@pytest.mark.parametrize("action_layer", [0, 1])
def test_hidden_layers_are_uniform_within_their_fan_in(action_layer: Literal[0, 1]) -> None:
    critic = Network(widths=(300, 200), action_layer=action_layer).critic(KEY, SPEC, 2, 1)
    # The action counts where it enters.
    fan_in = (10, 300, 200) if action_layer == 0 else (6, 304, 200)
    for layer, inputs in zip(critic.layers, fan_in, strict=True):
        assert layer.weight.shape[:2] == (2, inputs)
        assert_uniform(layer.weight, inputs**-0.5)
        assert_uniform(layer.bias, inputs**-0.5)


def test_final_init_bounds_only_the_last_layer() -> None:
    recipe = Network(widths=(300, 200), final_init=3e-3)
    for layers, outputs in (
        (recipe.actor(KEY, SPEC).layers, 4),
        (recipe.critic(KEY, SPEC, 2, 1).layers, 1),
    ):
        *hidden, last = layers
        assert last.weight.shape[-2:] == (200, outputs)
        assert_uniform(last.weight, 3e-3)
        assert np.abs(last.bias).max() <= 3e-3
        for layer in hidden:
            assert_uniform(layer.weight, layer.weight.shape[-2] ** -0.5)
    obs, _ = obs_and_action()
    assert np.abs(recipe.actor(KEY, SPEC)(obs)).max() < 0.1


def test_normal_initialisation() -> None:
    actor = Network(widths=(300, 200), init=Normal(std=0.3, bias=0.1)).actor(KEY, SPEC)
    for layer in actor.layers:
        assert stats.kstest(np.asarray(layer.weight).ravel(), stats.norm(0, 0.3).cdf).pvalue > 1e-3
        np.testing.assert_array_equal(layer.bias, np.full(layer.bias.shape, 0.1, np.float32))


@pytest.mark.parametrize("init", [Network().init, Normal()])
def test_layers_and_members_are_drawn_apart_and_in_float32(init: Normal) -> None:
    critic = Network(widths=(20, 20), init=init).critic(KEY, SPEC, 2, 20)
    kernels = [np.asarray(layer.weight[k, :10]).ravel() for layer in critic.layers for k in range(2)]
    correlation = np.corrcoef(kernels) - np.eye(len(kernels))
    assert np.abs(correlation).max() < 0.3  # 200 numbers each: standard error 0.07
    for leaf in jax.tree.leaves(critic):
        assert (leaf.dtype, leaf.weak_type) == (jnp.float32, False)  # a weak type would be compiled for twice


def test_dense_is_affine() -> None:
    layer = Dense(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([0.5, -0.5]))
    np.testing.assert_array_equal(layer(jnp.array([[1.0, 1.0], [0.0, 2.0]])), [[4.5, 5.5], [6.5, 7.5]])


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_actor_is_the_same_in_numpy(activation: Literal["relu", "tanh", "elu", "silu", "gelu"], dtype: type) -> None:
    actor = Network(widths=(20, 20), activation=activation, init=Normal(std=0.5)).actor(KEY, SPEC)
    obs = np.random.default_rng(0).uniform(-3, 3, (50, *SPEC.obs_shape)) if dtype is np.float32 else pixels()
    obs = obs.astype(dtype)
    in_numpy = jax.tree.map(np.asarray, actor)(obs)
    assert isinstance(in_numpy, np.ndarray)
    assert in_numpy.dtype == np.float32
    np.testing.assert_allclose(in_numpy, jax.jit(lambda actor, obs: actor(obs))(actor, obs), atol=2e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_the_same_in_numpy_however_large(activation: str) -> None:
    x = np.concatenate([np.linspace(-8, 8, 99), [-1e4, -89, 89, 1e4]]).astype(np.float32)
    np.testing.assert_allclose(IN_NUMPY[activation](x), ACTIVATIONS[activation](jnp.asarray(x)), rtol=1e-5, atol=1e-6)


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, *SPEC.obs_shape), np.uint8)


def test_bytes_are_scaled_to_at_most_1() -> None:
    actor, critic = Network(widths=(8,)).actor(KEY, SPEC), Network(widths=(8,)).critic(KEY, SPEC, 1, 1)
    obs, scaled = jnp.asarray(pixels()), jnp.asarray(pixels() / 255, jnp.float32)
    np.testing.assert_allclose(actor(obs), actor(scaled), atol=1e-6)
    action = jnp.zeros((50, SPEC.action_dim))
    np.testing.assert_allclose(critic(obs, action), critic(scaled, action), atol=1e-6)
    # The same numbers in float32 are what they are.
    np.testing.assert_array_equal(flat(pixels().astype(np.float32)), pixels().reshape(50, -1))
