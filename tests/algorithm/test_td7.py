"""TD7 beside an independent one in NumPy, in 64 bits, with gradients by central differences of its losses."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.agent import DPG, AgentState
from ddpg.algorithm.networks import NetworkConfig, Plain
from ddpg.algorithm.sale import Sale
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import Scalar
from ddpg.config.config import check
from ddpg.config.presets import PRESETS
from ddpg.experience.priority_tree import summed
from ddpg.experience.sampling import Priorities, Prioritised
from ddpg.mistake import Mistake
from ddpg.types import Spec, Transition
from tests.networks import init_agent

SPEC = Spec((3,), (-1.0, -2.0), (1.0, 2.0))
BATCH, PERIOD, DELAY, RATE = 6, 3, 2, 1e-2
AGENT = replace(
    PRESETS["td7"].agent,
    encoder=Sale(size=4, widths=(5,), lr=RATE),
    actor=replace(PRESETS["td7"].agent.actor, lift=5, widths=(4,), lr=RATE),
    critic=replace(PRESETS["td7"].agent.critic, lift=3, widths=(5,), lr=RATE),
    policy_delay=DELAY,
    target_period=PERIOD,
)

Weights = list[np.ndarray]


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(x))


def avg_l1(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.abs(x).mean(axis=-1, keepdims=True), 1e-8)


class Reference:
    """Networks as lists of weights: f and g [w, b, w, b], each critic and the actor with the lift first."""

    def __init__(self, state: AgentState) -> None:
        def layers(layers: Any, pick: Any = lambda x: x) -> Weights:
            inner = [getattr(layer, "layer", layer) for layer in layers]
            return [np.asarray(pick(x), np.float64) for layer in inner for x in (layer.weight, layer.bias)]

        nets: Any = state.online
        self.encoder = layers(nets.encoder.f) + layers(nets.encoder.g)
        self.critics = [w for k in range(2) for w in layers(nets.critic.layers, lambda x, k=k: x[k])]
        self.actor = layers(nets.actor.layers)
        self.seen, self.seen_target = [self.encoder] * 2  # f and g as the networks see them, and as the targets do
        self.critics_target, self.actor_target = self.critics, self.actor
        self.low, self.high, self.clip, self.clipped, self.steep = np.inf, -np.inf, (0.0, 0.0), 0, 0
        self.adams = {name: Adam() for name in ("encoder", "critics", "actor")}

    @staticmethod
    def f(encoder: Weights, s: np.ndarray) -> np.ndarray:
        return avg_l1(elu(s @ encoder[0] + encoder[1]) @ encoder[2] + encoder[3])

    @staticmethod
    def g(encoder: Weights, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        return elu(np.concatenate([z, a], 1) @ encoder[4] + encoder[5]) @ encoder[6] + encoder[7]

    @staticmethod
    def mu(actor: Weights, s: np.ndarray, z: np.ndarray) -> np.ndarray:
        x = np.concatenate([z, avg_l1(s @ actor[0] + actor[1])], 1)
        return np.tanh(np.maximum(x @ actor[2] + actor[3], 0) @ actor[4] + actor[5])

    def q(self, critics: Weights, encoder: Weights, s: np.ndarray, a: np.ndarray) -> np.ndarray:
        """[2, b]"""
        z, values = self.f(encoder, s), []
        for w in (critics[:6], critics[6:]):
            lift = avg_l1(np.concatenate([s, a], 1) @ w[0] + w[1])
            x = np.concatenate([z, lift, self.g(encoder, z, a)], 1)
            values.append((elu(x @ w[2] + w[3]) @ w[4] + w[5])[:, 0])
        return np.array(values)

    def update(self, batch: Transition, noise: np.ndarray, t: int) -> np.ndarray:
        """Update t, from 1; |TD errors|, the larger of both critics."""
        s, a, r, discount, s_next, _ = (np.asarray(x, np.float64) for x in batch[:6])
        next_z = self.f(self.encoder, s_next)
        self.encoder = self.adams["encoder"](
            lambda w: np.mean((self.g(w, self.f(w, s), a) - next_z) ** 2), self.encoder
        )
        a_next = self.mu(self.actor_target, s_next, self.f(self.seen_target, s_next))
        a_next = np.clip(a_next + np.clip(0.2 * noise, -0.5, 0.5), -1, 1)
        q_next = self.q(self.critics_target, self.seen_target, s_next, a_next).min(axis=0)
        self.clipped += int(self.clip != (0, 0)) * np.sum(q_next != np.clip(q_next, *self.clip))
        y = r + discount * np.clip(q_next, *self.clip)
        self.low, self.high = min(self.low, y.min()), max(self.high, y.max())

        def critic_loss(w: Weights) -> float:
            delta = np.abs(self.q(w, self.seen, s, a) - y)
            return np.where(delta < 1, delta**2 / 2, delta - 0.5).mean(axis=1).sum()  # as steep as TD7's beyond 1

        error = np.abs(self.q(self.critics, self.seen, s, a) - y).max(axis=0)
        self.steep += np.sum(error > 1)
        self.critics = self.adams["critics"](critic_loss, self.critics)
        if t % DELAY == 0:
            z = self.f(self.seen, s)
            self.actor = self.adams["actor"](
                lambda w: -self.q(self.critics, self.seen, s, self.mu(w, s, z)).mean(), self.actor
            )
        if t % PERIOD == 0:
            self.actor_target, self.critics_target, self.seen_target = self.actor, self.critics, self.seen
            self.seen, self.clip = self.encoder, (self.low, self.high)
        return error


class Adam:
    """Kingma & Ba 2015, algorithm 1, down the gradient by central differences."""

    def __init__(self) -> None:
        self.t, self.m, self.v = 0, 0.0, 0.0

    def __call__(self, loss: Any, weights: Weights) -> Weights:
        flat = np.concatenate([w.ravel() for w in weights])

        def unflat(x: np.ndarray) -> Weights:
            pieces = np.split(x, np.cumsum([w.size for w in weights])[:-1])
            return [piece.reshape(w.shape) for piece, w in zip(pieces, weights, strict=True)]

        steps = 1e-6 * np.eye(flat.size)
        grad = np.array([loss(unflat(flat + step)) - loss(unflat(flat - step)) for step in steps]) / 2e-6
        self.t += 1
        self.m, self.v = 0.9 * self.m + 0.1 * grad, 0.999 * self.v + 0.001 * grad**2
        m, v = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        return unflat(flat - RATE * m / (np.sqrt(v) + 1e-8))


def batches(count: int) -> list[tuple[Transition, np.ndarray]]:
    draw = np.random.default_rng(7)

    def batch() -> tuple[Transition, np.ndarray]:
        s, s_next = draw.normal(size=(2, BATCH, 3))
        a, noise = draw.uniform(-1, 1, (BATCH, 2)), 2 * draw.normal(size=(BATCH, 2))
        discount = np.where(draw.random(BATCH) < 0.2, 0.0, 0.99)
        columns = (s, a, 1 + 0.3 * draw.normal(size=BATCH), discount, s_next, np.ones(BATCH))
        return Transition(*map(jnp.float32, columns)), noise

    return [batch() for _ in range(count)]


def leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def flat(critics: Weights) -> list[np.ndarray]:
    return [np.stack(pair) for pair in zip(critics[:6], critics[6:], strict=True)]


def test_with_longer_returns_the_encoder_predicts_one_step_all_the_same() -> None:
    state, ((batch, noise), *_) = init_agent(AGENT, jax.random.key(0), SPEC), batches(1)
    other = batch._replace(next_obs=-batch.next_obs)

    @jax.jit
    def encoder_after(batch: Transition) -> Any:
        return AGENT.update(state, batch, jnp.float32(noise), jnp.int32(0))[0].encoder_training

    three = batch, other._replace(following=batch.next_obs), other
    one, many, wrong = (leaves(encoder_after(batch)) for batch in three)
    for x, y in zip(one, many, strict=True):
        np.testing.assert_array_equal(x, y)
    assert any((x != y).any() for x, y in zip(one, wrong, strict=True))


def test_updates_are_those_of_the_paper() -> None:
    """Through two synchronisations, so that trained, seen and target encoders are three different ones."""
    state = init_agent(AGENT, jax.random.key(0), SPEC)
    reference, update = Reference(state), jax.jit(AGENT.update)
    for t, (batch, noise) in enumerate(batches(8)):
        state, _, error = update(state, batch, jnp.float32(noise), jnp.int32(t))
        np.testing.assert_allclose(error, reference.update(batch, noise, t + 1), rtol=2e-3, atol=2e-3)
    assert state.encoder_training is not None
    assert state.value_range is not None
    pairs = [
        (state.encoder_training.encoder, reference.encoder),
        (state.online.encoder, reference.seen),
        (state.target.encoder, reference.seen_target),
        (state.online.actor, reference.actor),
        (state.target.actor, reference.actor_target),
        (state.online.critic, flat(reference.critics)),
        (state.target.critic, flat(reference.critics_target)),
    ]
    for ours, theirs in pairs:
        for x, y in zip(leaves(ours), theirs, strict=True):
            np.testing.assert_allclose(x, y, atol=2e-3)
    np.testing.assert_allclose(state.value_range, (reference.low, reference.high, *reference.clip), rtol=1e-3)
    encoders = [leaves(pair[0])[0] for pair in pairs[:3]]
    assert min(np.abs(x - y).max() for x, y in pairwise(encoders)) > 1e-2
    assert reference.clipped > 0
    assert 0 < reference.steep < 8 * BATCH


def test_the_preset_has_the_authors_constants() -> None:
    """Those of the authors' code, sfujim/TD7@c1c280d."""
    config = PRESETS["td7"]
    agent, replay = config.agent, config.replay
    assert agent.encoder == Sale(size=256, widths=(256, 256), activation="elu", lr=3e-4)
    assert (agent.actor.lift, agent.actor.widths, agent.actor.activation) == (256, (256, 256), "relu")
    assert (agent.critic.lift, agent.critic.widths, agent.critic.activation) == (256, (256, 256), "elu")
    assert (agent.actor.lr, agent.critic.lr, agent.critics, agent.actor_q) == (3e-4, 3e-4, 2, "mean")
    assert (agent.value, agent.clip_values) == (Scalar(huber=1.0), "targets")
    assert (agent.policy_delay, agent.target_period, agent.tau) == (2, 250, 1.0)
    assert agent.smoothing == TargetSmoothing(sigma=0.2, clip=0.5)
    assert replay.sampling == Prioritised(alpha=0.4, beta=0.0, anneal=0, floor=1.0, recount=250)
    assert (replay.batch, replay.capacity, config.gamma, config.collect.warmup) == (256, 1_000_000, 0.99, 25_000)


def test_what_networks_see_moves_only_with_the_targets() -> None:
    state = init_agent(AGENT, jax.random.key(1), SPEC)
    update = jax.jit(AGENT.update)
    for t, (batch, noise) in enumerate(batches(PERIOD)):
        before = leaves(state.online.encoder)
        state, *_ = update(state, batch, jnp.float32(noise), jnp.int32(t))
        same = [np.array_equal(x, y) for x, y in zip(before, leaves(state.online.encoder), strict=True)]
        assert all(same) == (t < PERIOD - 1)
    assert state.encoder_training is not None
    for x, y in zip(leaves(state.online.encoder), leaves(state.encoder_training.encoder), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_lift_sees_the_observation_and_the_action_alone() -> None:
    """Without an encoder it is a first layer like any, without an activation and with AvgL1Norm."""
    agent = DPG(actor=NetworkConfig(lift=4, widths=(3,)), critic=NetworkConfig(lift=4, widths=(3,)))
    nets = init_agent(agent, jax.random.key(0), SPEC).online
    s, a = (jax.random.normal(jax.random.key(i), (5, size)) for i, size in ((1, 3), (2, 2)))
    lift, *rest = nets.critic.layers
    x = avg_l1(np.concatenate([s, a], 1) @ np.asarray(lift.layer.weight[0]) + np.asarray(lift.layer.bias[0]))
    hidden = np.maximum(x @ np.asarray(rest[0].weight[0]) + np.asarray(rest[0].bias[0]), 0)
    q = hidden @ np.asarray(rest[1].weight[0]) + np.asarray(rest[1].bias[0])
    np.testing.assert_allclose(nets.q(s, a)[0], q, rtol=1e-4, atol=1e-5)


def test_the_largest_priority_is_recounted() -> None:
    sampling = Prioritised(alpha=1.0, beta=0.0, anneal=0, floor=1e-3, recount=2)
    sampler = Priorities(summed(jnp.zeros(32)), jnp.float32(9.0))
    index = jnp.arange(3)
    sampler = sampling.on_update(sampler, index, jnp.array([1.0, 2.0, 5.0]), jnp.int32(0))
    assert float(sampler.largest) == 9.0
    sampler = sampling.on_update(sampler, index, jnp.array([1.0, 2.0, 4.0]), jnp.int32(1))
    assert float(sampler.largest) == 4.0


@pytest.mark.parametrize(
    ("agent", "line"),
    [
        (replace(AGENT, critic=NetworkConfig(trunk=8)), "encoder sale"),
        (replace(AGENT, critic=NetworkConfig(action_layer=1)), "encoder sale"),
        (replace(AGENT, critic=NetworkConfig(block=Plain("batch"))), "use --critic.block.norm layer"),
        (DPG(critic=NetworkConfig(lift=4, block=Plain("batch"))), "use --critic.block.norm layer"),
        (DPG(critic=NetworkConfig(lift=4, trunk=4)), "use one of them"),
        (DPG(critic=NetworkConfig(lift=4, action_layer=1)), "use one of them"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(agent: DPG, line: str) -> None:
    with pytest.raises(Mistake, match=line):
        check(agent)
