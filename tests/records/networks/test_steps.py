"""Steps are the forward pass: what the standalone reader makes of them in NumPy is what the networks make in JAX."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import register_dataclass

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.layers import ACTIVATIONS, Block, Dense
from ddpg.algorithm.nets import GreedyPolicy, Nets
from ddpg.algorithm.networks import Actor, NetworkConfig, Plain, Residual
from ddpg.algorithm.normaliser import RunningStats, byte_scale
from ddpg.algorithm.norms import BatchNorm, LayerNorm, Running
from ddpg.algorithm.steps import Step
from ddpg.algorithm.values import Categorical
from ddpg.envs.pendulum import Pendulum
from ddpg.mistake import Mistake
from ddpg.records.networks import onnx, standalone_policy
from ddpg.records.networks.standalone_policy import network_of, policy_of
from ddpg.records.networks.steps import arrays_of, check_finite, critic_steps, policy_steps
from ddpg.types import Spec
from tests.networks import random_nets

ARM = Spec(obs_shape=(2, 3), action_low=(-1.0, 0.0, -5.0), action_high=(3.0, 0.5, 2.0))
STATS = RunningStats(
    jnp.float32(1000), jnp.linspace(-2, 3, 6).reshape(ARM.obs_shape), jnp.array([[0.0, 1e-4, 1.0], [2.0, 3.0, 9.0]])
)
LAYERNORM, BATCHNORM = (
    NetworkConfig(widths=(6, 5), block=Plain("layer")),
    NetworkConfig(widths=(6, 5), block=Plain("batch")),
)
RESIDUAL = NetworkConfig(widths=(6, 6), block=Residual(2))
AGENTS = {
    "ddpg": DPG(),
    "late action": DPG(
        critic=NetworkConfig(widths=(5, 4), action_layer=1), actor=NetworkConfig(widths=(6,), final_init=3e-3)
    ),
    "two critics": DPG(critics=2, actor=NetworkConfig(widths=(8, 8, 8), activation="tanh")),
    "elu": DPG(actor=NetworkConfig(activation="elu"), critic=NetworkConfig(widths=(7,), activation="silu")),
    "gelu": DPG(actor=NetworkConfig(activation="gelu"), critic=NetworkConfig(activation="gelu")),
    "layer norm": DPG(actor=LAYERNORM, critic=LAYERNORM),
    "batch norm": DPG(actor=BATCHNORM, critic=replace(BATCHNORM, action_layer=1), critics=2),
    "residual": DPG(actor=RESIDUAL, critic=RESIDUAL, critics=2),
    "categorical": DPG(value=Categorical(atoms=11, low=-20.0, high=5.0)),
    "residual and categorical": DPG(actor=RESIDUAL, critic=RESIDUAL, critics=2, value=Categorical(atoms=5)),
}


def run(steps: list[Step], x: np.ndarray) -> np.ndarray:
    spec = replace(ARM, obs_shape=x.shape[1:])
    return network_of(arrays_of(steps, spec))(x)


NORMS = {
    "layer": LayerNorm(jnp.linspace(0.5, 2, 6), jnp.linspace(-1, 1, 6)),
    "batch": BatchNorm(
        jnp.linspace(0.5, 2, 6), jnp.linspace(-1, 1, 6), Running(jnp.linspace(-3, 3, 6), jnp.linspace(0, 4, 6))
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_steps_of_a_norm(name: str) -> None:
    for scale in (1e-3, 1, 1e6):
        x = scale * np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
        np.testing.assert_allclose(run(NORMS[name].steps(), x), NORMS[name](jnp.asarray(x)), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("f", ACTIVATIONS)
def test_steps_of_a_dense_layer_and_of_a_block(f: str) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(20, 6)).astype(np.float32)

    def dense(i: int, o: int, **fields: Any) -> Dense:
        weight, bias = (jnp.asarray(random.normal(size=shape), jnp.float32) for shape in ((i, o), (o,)))
        return Dense(weight, bias, **fields)

    both = dense(6, 6, before=NORMS["batch"], after=NORMS["layer"])
    inside = Block(dense(6, 9, before=NORMS["layer"]), dense(9, 6, linear=True))
    for layer in (dense(6, 4), both, replace(both, linear=True), inside, Block(inside.up, replace(inside.down))):
        np.testing.assert_allclose(run(layer.steps(f), x), layer(jnp.asarray(x), ACTIVATIONS[f]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run(both.steps(None), x), both(jnp.asarray(x), lambda x: x), rtol=1e-4, atol=1e-4)


def test_blocks_may_contain_blocks() -> None:
    """Each `add` adds what the last `keep` left: an inner block's is gone by then."""
    x = np.ones((1, 2), np.float32)
    inner = [Step("keep"), Step("affine", {"gain": 2.0, "offset": 0.0}), Step("add")]
    assert run([Step("keep"), *inner, Step("add")], x).tolist() == [[4, 4]]


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("spec", [Pendulum().spec, ARM], ids=["pendulum", "arm"])
def test_steps_of_an_actor_and_of_critics(name: str, spec: Spec) -> None:
    agent = AGENTS[name]
    nets = random_nets(agent, spec)
    random = np.random.default_rng(0)
    obs = random.normal(size=(16, *spec.obs_shape)).astype(np.float32)
    action = random.uniform(-1, 1, (16, spec.action_dim)).astype(np.float32)
    for stats in (None, STATS) if spec == ARM else (None,):
        policy = GreedyPolicy(stats, nets.encoder, nets.actor)
        low, high = np.array(spec.action_low), np.array(spec.action_high)
        units = low + (np.asarray(jax.jit(GreedyPolicy.__call__)(policy, obs)) + 1) * (high - low) / 2
        np.testing.assert_allclose(policy_of(arrays_of(policy_steps(policy, spec), spec))(obs), units, atol=1e-5)
        seen = obs if stats is None else np.clip((obs - stats.mean) / np.sqrt(stats.variance + 1e-8), -10, 10)
        q = agent.value.mean(jax.jit(Nets.q)(nets, seen, action))
        for scale in (1.0, 0.25):
            steps = critic_steps(nets, stats, spec, agent.value, scale)
            answer = network_of(arrays_of(steps, spec))(obs, action)
            assert answer.shape == (agent.critics, 16, 1)
            assert answer.dtype == np.float32
            np.testing.assert_allclose(answer[..., 0], q / scale, rtol=1e-5, atol=1e-4)


@register_dataclass
@dataclass(frozen=True)
class RMSNorm:
    """A norm that nothing in records knows (Zhang and Sennrich 2019)."""

    of_minibatch: ClassVar[bool] = False
    gain: Any

    @classmethod
    def of(cls, size: int) -> "RMSNorm":
        return cls(jnp.ones(size))

    def __call__(self, x: Any) -> Any:
        return x / jnp.sqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-5) * self.gain

    def with_statistics(self, x: Any, rate: float) -> "RMSNorm":
        return self

    def steps(self) -> list[Step]:
        return [Step("rms"), Step("affine", {"gain": self.gain, "offset": 0.0})]


def test_a_new_norm_is_exported_by_its_steps_alone() -> None:
    import onnxruntime

    nets = random_nets(DPG(actor=NetworkConfig(widths=(6, 5))), ARM)
    first, *others = nets.actor.layers
    assert isinstance(first, Dense)
    actor = Actor((replace(first, after=RMSNorm(jnp.linspace(1, 2, 6))), *others), "silu")
    policy = GreedyPolicy(STATS, nets.encoder, actor)
    arrays = arrays_of(policy_steps(policy, ARM), ARM)
    obs = np.random.default_rng(0).normal(scale=3, size=(16, *ARM.obs_shape)).astype(np.float32)
    expected = ARM.to_units(policy(jnp.asarray(obs)))
    np.testing.assert_allclose(policy_of(arrays)(obs), expected, atol=1e-5)
    session = onnxruntime.InferenceSession(onnx.model_of(arrays).SerializeToString())
    np.testing.assert_allclose(np.asarray(session.run(None, {"obs": obs})[0]), expected, atol=1e-5)


def test_both_tables_have_every_step_of_an_actor() -> None:
    assert set(standalone_policy.STEPS) - set(onnx.STEPS) == {"softmax"}  # of critics, which are not exported
    assert set(onnx.STEPS) < set(standalone_policy.STEPS)
    documented = str(Step.__doc__)
    assert all(kind in documented for kind in (*standalone_policy.STEPS, "keep", "add", "join"))


WORDS = {
    None: "clip_0 flatten dense_0 relu dense_1 tanh affine_0 clip_1",
    "layer": "clip_0 flatten dense_0 centre rms affine_0 relu dense_1 tanh affine_1 clip_1",
    "batch": "clip_0 flatten standardise_0 affine_0 dense_0 standardise_1 affine_1 relu dense_1 tanh affine_2 clip_1",
}


@pytest.mark.parametrize("norm", WORDS)
def test_steps_are_written_as_words_and_arrays_under_their_names(norm: Any) -> None:
    nets = random_nets(DPG(actor=NetworkConfig(widths=(5,), block=Plain(norm))), ARM)
    arrays = arrays_of(policy_steps(GreedyPolicy(None, nets.encoder, nets.actor), ARM), ARM)
    assert arrays["steps"] == WORDS[norm]
    (first, _) = nets.actor.layers
    assert isinstance(first, Dense)
    np.testing.assert_array_equal(arrays["dense_0/weight"], first.weight)
    steps = {name.partition("/")[0] for name in arrays if "/" in name}
    assert steps == {word for word in arrays["steps"].split() if "_" in word}
    assert {arrays[name].dtype.name for name in arrays if "/" in name} == {"float32"}


def test_steps_of_residual_networks_and_of_critics() -> None:
    agent = DPG(
        actor=RESIDUAL, critic=NetworkConfig(widths=(5, 4), action_layer=1), critics=2, value=Categorical(atoms=5)
    )
    nets = random_nets(agent, ARM)
    block = "keep centre rms affine_{} dense_{} relu dense_{} add"
    policy = policy_steps(GreedyPolicy(STATS, nets.encoder, nets.actor), ARM)
    assert arrays_of(policy, ARM)["steps"] == (
        f"standardise_0 clip_0 flatten dense_0 {block.format(0, 1, 2)} {block.format(1, 3, 4)} "
        "centre rms affine_2 dense_5 tanh affine_3 clip_1"
    )
    critic = arrays_of(critic_steps(nets, None, ARM, agent.value, 0.5), ARM)
    assert critic["steps"] == "clip_0 flatten dense_0 relu join dense_1 relu dense_2 softmax dense_3 affine_0"
    assert critic["dense_1/weight"].shape == (2, 5 + 3, 4)
    assert critic["dense_1/bias"].shape == (2, 1, 4)
    assert critic["dense_3/weight"].ravel().tolist() == [-1, -0.5, 0, 0.5, 1]


def test_pixels_are_divided_by_255_unless_they_are_normalised() -> None:
    spec = replace(ARM, obs_dtype="uint8")
    nets = random_nets(DPG(), spec)
    for stats, words in ((byte_scale(spec), ["bytes_0", "flatten"]), (STATS, ["standardise_0", "clip_0"])):
        arrays = arrays_of(policy_steps(GreedyPolicy(stats, nets.encoder, nets.actor), spec), spec)
        assert arrays["steps"].split()[:2] == words


def test_networks_that_diverged_are_refused() -> None:
    nets = random_nets(DPG(actor=NetworkConfig(widths=(5,))), ARM)
    lost = jax.tree.map(lambda leaf: leaf * np.float32(np.inf), nets.actor)
    for actor in (nets.actor, lost):
        arrays = arrays_of(policy_steps(GreedyPolicy(None, nets.encoder, actor), ARM), ARM)
        if actor is nets.actor:
            check_finite(arrays)
            continue
        with pytest.raises(Mistake, match="the policy's dense_0/weight has NaN or infinite values") as error:
            check_finite(arrays)
        assert "\n" not in str(error.value)
