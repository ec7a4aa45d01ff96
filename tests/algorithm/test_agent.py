"""The update beside an independent one in NumPy, from the paper: forward, backward, Adam and targets by hand."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import Array
from jax.tree_util import register_dataclass

from ddpg.algorithm.agent import DPG, AgentState
from ddpg.algorithm.encoders import Flat
from ddpg.algorithm.initialisers import Normal
from ddpg.algorithm.nets import GreedyPolicy, Nets
from ddpg.algorithm.networks import NetworkConfig, Plain
from ddpg.algorithm.optimiser import gradient_step, init_optimiser
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.steps import Step
from ddpg.algorithm.values import Categorical, Scalar
from ddpg.schedules import Exponential, Linear
from ddpg.types import Key, Spec, Transition
from tests.networks import init_agent

SPEC = Spec(obs_shape=(2, 2), action_low=(-1.0, -1.0), action_high=(1.0, 1.0))
BATCH = 7


Norm = list[np.ndarray]  # scales and shifts, and of batch normalisation the running means and variances


class Perceptron:
    """Layers in float64 with the backward pass written out, under ReLU or ELU; the action enters at layer `entry`.

    A layer is [weights, biases], then the numbers of a normalisation before its activation: of each sample, or of the
    minibatch with all that is `beside` it, which is of the input, too, and ends where the action enters.
    """

    def __init__(self, layers: list[list[np.ndarray]], entry: int = 0, elu: bool = False) -> None:
        self.layers, self.entry, self.elu = layers, entry, elu

    def norms(self, i: int) -> tuple[Norm, Norm]:
        """Of what goes into layer i, and of its sums."""
        own = self.layers[i][2:]
        return (own[:4], own[4:]) if len(own) == 8 else ([], own)

    def still(self, i: int) -> set[int]:
        """Which numbers of layer i are followed instead of learned."""
        return {j for j in range(len(self.layers[i])) if len(self.layers[i]) > 4 and j >= 2 and (j - 2) % 4 >= 2}

    def forward(
        self, obs: np.ndarray, action: np.ndarray | None = None, beside: np.ndarray | None = None
    ) -> np.ndarray:
        self.inputs, self.units, self.sums, self.width = [], [], [], 0 if action is None else action.shape[1]
        self.seen = list[Norm]()
        x = obs.reshape(len(obs), -1)
        if beside is not None and self.norms(0)[0]:
            x = np.concatenate([x, beside.reshape(len(beside), -1)])
        for i, (weight, bias, *_) in enumerate(self.layers):
            if i == self.entry and action is not None:
                x = np.concatenate([x[: len(obs)], action], axis=1)
            before, after = self.norms(i)
            seen, units = [], []
            if before:
                x, unit = self.normalise(x, before, seen)
                units.append(unit)
            self.inputs.append(x)
            x = x @ weight + bias
            if after:
                x, unit = self.normalise(x, after, seen)
                units.append(unit)
            self.seen.append(seen)
            self.units.append(units)
            self.sums.append(x)
            x = np.where(x > 0, x, np.expm1(x) if self.elu else 0.0)
        return self.sums[-1][: len(obs)]

    def normalise(self, x: np.ndarray, norm: Norm, seen: Norm) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        axis = 0 if len(norm) == 4 else 1
        mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
        if axis == 0:
            seen += [mean[0], variance[0]]
        deviation = np.sqrt(variance + 1e-5)
        unit = (x - mean) / deviation
        return unit * norm[0] + norm[1], (unit, deviation)

    def see(self) -> None:
        """Move the running statistics a hundredth of the way to those of the last forward pass."""
        for i, layer in enumerate(self.layers):
            for j, new in zip(sorted(self.still(i)), self.seen[i], strict=True):
                layer[j] = layer[j] + 0.01 * (new - layer[j])

    def backward(self, slope: np.ndarray) -> tuple[list[list[np.ndarray]], np.ndarray]:
        """d/d output -> (d/d weights and biases, d/d action), at the last forward pass."""
        gradient, of_action = [], np.zeros((len(slope), 0))
        for i in reversed(range(len(self.layers))):
            slope = np.pad(slope, ((0, len(self.sums[i]) - len(slope)), (0, 0)))  # nothing was asked of what is beside
            weight, (before, after), units = self.layers[i][0], self.norms(i), self.units[i]
            of_before, of_after = [], []
            if after:
                slope, of_after = self.through_norm(slope, after, *units[-1])
            of_weight = [self.inputs[i].T @ slope, slope.sum(axis=0)]
            slope = slope @ weight.T
            if before:
                slope, of_before = self.through_norm(slope, before, *units[0])
            gradient.insert(0, [*of_weight, *of_before, *of_after])
            if i == self.entry and self.width:
                slope, of_action = slope[:, : -self.width], slope[:, -self.width :]
            if i:
                below = self.sums[i - 1][: len(slope)]
                slope = slope * np.where(below > 0, 1.0, np.exp(below) if self.elu else 0.0)
        return gradient, of_action

    def through_norm(
        self, slope: np.ndarray, norm: Norm, unit: np.ndarray, deviation: np.ndarray
    ) -> tuple[np.ndarray, Norm]:
        axis = 0 if len(norm) == 4 else 1
        own = [(slope * unit).sum(axis=0), slope.sum(axis=0), *map(np.zeros_like, norm[2:])]
        slope = slope * norm[0]
        along = (slope * unit).mean(axis, keepdims=True)
        return (slope - slope.mean(axis, keepdims=True) - unit * along) / deviation, own


class Adam:
    """Kingma & Ba 2015, algorithm 1, with l2 * theta added to the gradient, or decay * theta to what is made of it."""

    def __init__(self, net: Perceptron, lr: float, l2: float, decay: float) -> None:
        self.net, self.lr, self.l2, self.decay, self.t = net, lr, l2, decay, 0
        self.m = [[np.zeros_like(p) for p in layer] for layer in net.layers]
        self.v = [[np.zeros_like(p) for p in layer] for layer in net.layers]

    def gradient_step(self, gradient: list[list[np.ndarray]]) -> None:
        self.t += 1
        for at, (layer, grads, ms, vs) in enumerate(zip(self.net.layers, gradient, self.m, self.v, strict=True)):
            for i, g in enumerate(grads):
                if i in self.net.still(at):
                    continue
                g = g + self.l2 * layer[i]
                ms[i] = 0.9 * ms[i] + 0.1 * g
                vs[i] = 0.999 * vs[i] + 0.001 * g**2
                m_hat, v_hat = ms[i] / (1 - 0.9**self.t), vs[i] / (1 - 0.999**self.t)
                layer[i] = layer[i] - self.lr * (m_hat / (np.sqrt(v_hat) + 1e-8) + self.decay * layer[i])


class Squared:
    """One number: y = r + discount Q', and the loss (y - Q)^2, or Huber's beyond `huber`."""

    def __init__(self, huber: float | None) -> None:
        self.huber = huber

    def mean(self, output: np.ndarray) -> np.ndarray:
        return output[:, 0]

    def slope(self, output: np.ndarray) -> np.ndarray:
        """d mean / d output."""
        return np.ones_like(output)

    def target(self, reward: np.ndarray, discount: np.ndarray, output: np.ndarray) -> np.ndarray:
        return (reward + discount * output[:, 0])[:, None]

    def loss(self, output: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(loss, d loss / d output, error)."""
        gap = output - y
        if self.huber is None:
            return gap[:, 0] ** 2, 2 * gap, np.abs(gap[:, 0])
        far = np.abs(gap) > self.huber
        loss = np.where(far, self.huber * (np.abs(gap) - self.huber / 2), gap**2 / 2)
        return loss[:, 0], np.clip(gap, -self.huber, self.huber), np.abs(gap[:, 0])


class Distribution:
    """Probabilities of returns z: Bellemare et al. 2017, algorithm 1, one sample and one atom after the other."""

    def __init__(self, low: float, high: float, atoms: int) -> None:
        self.z = np.linspace(low, high, atoms)

    def probabilities(self, output: np.ndarray) -> np.ndarray:
        grown = np.exp(output - output.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)

    def mean(self, output: np.ndarray) -> np.ndarray:
        return self.probabilities(output) @ self.z

    def slope(self, output: np.ndarray) -> np.ndarray:
        return self.probabilities(output) * (self.z - self.mean(output)[:, None])

    def target(self, reward: np.ndarray, discount: np.ndarray, output: np.ndarray) -> np.ndarray:
        p, m, step = self.probabilities(output), np.zeros_like(output), self.z[1] - self.z[0]
        for i in range(len(p)):
            for j in range(len(self.z)):
                moved = min(max(reward[i] + discount[i] * self.z[j], self.z[0]), self.z[-1])
                b = min(max((moved - self.z[0]) / step, 0), len(self.z) - 1)
                lower, upper = int(np.floor(b)), int(np.ceil(b))
                m[i, lower] += p[i, j] * (upper - b if upper > lower else 1)
                m[i, upper] += p[i, j] * (b - lower)
        return m

    def loss(self, output: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p = self.probabilities(output)
        cross = -(y * np.log(p)).sum(axis=1)
        entropy = -(y * np.log(np.where(y > 0, y, 1))).sum(axis=1)
        return cross, p - y, np.sqrt(cross - entropy)


@dataclass
class Learner:
    """Algorithm 1 of Lillicrap et al. 2016, Fujimoto et al. 2018 and Barth-Maron et al. 2018, from the minibatch on.

    With all their parts; `period` None moves the targets with the actor.
    """

    actor: Perceptron
    critics: list[Perceptron]
    actor_target: Perceptron
    critic_targets: list[Perceptron]
    actor_adam: Adam
    critic_adams: list[Adam]
    value: Squared | Distribution
    taus: tuple[float, float]
    sigma: float
    clip: float
    policy_delay: int
    target_period: int
    actor_q: str
    t: int = 0

    def update(self, batch: Transition, white: np.ndarray) -> dict[str, Any]:
        obs, action, reward, discount, next_obs, weight = (np.asarray(x) for x in batch[:6])
        n = len(reward)
        self.t += 1
        epsilon = np.clip(self.sigma * white, -self.clip, self.clip)
        a_next = np.clip(np.tanh(self.actor_target.forward(next_obs, beside=obs)) + epsilon, -1, 1)
        nexts = [target.forward(next_obs, a_next, obs).copy() for target in self.critic_targets]
        smallest = np.argmin([self.value.mean(output) for output in nexts], axis=0)
        chosen = np.array([nexts[k][i] for i, k in enumerate(smallest)])
        y = self.value.target(reward, discount, chosen)
        said: dict[str, Any] = {"critic_loss": 0.0, "error": np.zeros(n)}
        for i, (critic, adam) in enumerate(zip(self.critics, self.critic_adams, strict=True)):
            output = critic.forward(obs, action, next_obs)
            loss, slope, error = self.value.loss(output, y)
            said["critic_loss"] += np.sum(weight * loss) / n
            said["error"] = np.maximum(said["error"], error)
            if i == 0:
                said["q"] = np.sum(weight * self.value.mean(output)) / n
            gradient, _ = critic.backward(weight[:, None] * slope / n)
            adam.gradient_step(gradient)
            critic.see()
        if self.t % self.policy_delay:
            said |= dict.fromkeys(("actor_loss", "dq_da", "saturation", "stuck"), np.nan)
        else:
            said |= self.improve(obs, next_obs, weight)
        if self.t % self.target_period == 0:
            self.follow()
        return said

    def improve(self, obs: np.ndarray, next_obs: np.ndarray, weight: np.ndarray) -> dict[str, Any]:
        n = len(obs)
        mu = np.tanh(self.actor.forward(obs, beside=next_obs))
        qs, slopes = [], []
        for critic in self.critics:
            output = critic.forward(obs, mu, next_obs)
            qs.append(self.value.mean(output))
            slopes.append(critic.backward(weight[:, None] * self.value.slope(output))[1])
        share = np.zeros((len(qs), n))  # of each critic in what the actor follows
        if self.actor_q == "first":
            share[0] = 1
        elif self.actor_q == "mean":
            share[:] = 1 / len(qs)
        else:
            share[np.argmin(qs, axis=0), np.arange(n)] = 1
        dq_da = (share[:, :, None] * np.array(slopes)).sum(axis=0)
        gradient, _ = self.actor.backward(-dq_da / n * (1 - mu**2))
        self.actor_adam.gradient_step(gradient)
        self.actor.see()
        return {
            "actor_loss": -np.sum(weight * share * np.array(qs)) / n,
            "dq_da": np.mean(np.sqrt(np.sum(dq_da**2, axis=1))),
            "saturation": np.mean(np.abs(mu) > 0.99),
            "stuck": np.mean([np.mean(x > 0.99) > 0.95 or np.mean(x < -0.99) > 0.95 for x in mu.T]),
        }

    def follow(self) -> None:
        online, targets = [self.actor, *self.critics], [self.actor_target, *self.critic_targets]
        for net, target, tau in zip(online, targets, [self.taus[0]] + [self.taus[1]] * len(self.critics), strict=True):
            for layer, old in zip(net.layers, target.layers, strict=True):
                old[:] = [tau * p + (1 - tau) * o for p, o in zip(layer, old, strict=True)]


def copied(network: NetworkConfig, layers: Any, member: int | None = None) -> Perceptron:
    pick = (lambda x: np.array(x)) if member is None else (lambda x: np.array(x[member]))
    parameters = [[pick(x) for x in jax.tree.leaves(layer)] for layer in layers]
    return Perceptron(parameters, network.action_layer, network.activation == "elu")


def bounds(value: Categorical) -> tuple[float, float]:
    return (-1.0, 1.0) if value.low is None or value.high is None else (value.low, value.high)


ORACLES: dict[type, Callable[[Any], Squared | Distribution]] = {
    Scalar: lambda value: Squared(value.huber),
    Categorical: lambda value: Distribution(*bounds(value), value.atoms),
}


def learner(agent: DPG, state: AgentState) -> Learner:
    members = range(agent.critics)
    actor = copied(agent.actor, state.online.actor.layers)
    critics = [copied(agent.critic, state.online.critic.layers, k) for k in members]
    return Learner(
        actor,
        critics,
        copied(agent.actor, state.target.actor.layers),
        [copied(agent.critic, state.target.critic.layers, k) for k in members],
        Adam(actor, agent.actor.lr, agent.actor.l2, agent.actor.weight_decay),
        [Adam(critic, agent.critic.lr, agent.critic.l2, agent.critic.weight_decay) for critic in critics],
        ORACLES[type(agent.value)](agent.value),
        (agent.tau_actor or agent.tau, agent.tau),
        agent.smoothing.sigma,
        agent.smoothing.clip,
        agent.policy_delay,
        agent.target_period or agent.policy_delay,
        agent.actor_q,
    )


def batches(count: int, dtype: Any = np.float64) -> list[Transition]:
    """Weights not all 1, one of them 0; discounts 0 for some samples."""
    rng = np.random.default_rng(0)
    discount = np.array([0.9, 0.0, 0.9, 0.81, 0.9, 0.0, 0.9])
    weight = np.array([1.0, 2.0, 0.0, 0.5, 1.5, 1.0, 1.0])

    def cast(x: np.ndarray) -> jax.Array:
        return jnp.asarray(x, dtype)

    return [
        Transition(
            obs=cast(rng.normal(size=(BATCH, *SPEC.obs_shape))),
            action=cast(rng.uniform(-1, 1, (BATCH, SPEC.action_dim))),
            reward=cast(rng.normal(size=BATCH)),
            discount=cast(discount),
            next_obs=cast(rng.normal(size=(BATCH, *SPEC.obs_shape))),
            weight=cast(weight),
        )
        for _ in range(count)
    ]


def assert_layers(ours: Any, theirs: Any, member: int | None) -> None:
    pick = slice(None) if member is None else member
    for layer, parameters in zip(ours, theirs, strict=True):
        for x, expected in zip(jax.tree.leaves(layer), parameters, strict=True):
            np.testing.assert_allclose(x[pick], expected, rtol=1e-9, atol=1e-12)


SMOOTHED = TargetSmoothing(sigma=0.4, clip=0.5)
NORMED = NetworkConfig(block=Plain(norm="layer"))
BATCH_NORMED = NetworkConfig(block=Plain(norm="batch"), l2=0.2)
AGENTS = {
    "ddpg": DPG(),
    "ddpg, l2 and the action later": DPG(critic=NetworkConfig(action_layer=1, l2=0.3)),
    "two critics": DPG(critics=2, critic=NetworkConfig(l2=0.1)),
    "two critics, the action later": DPG(critics=2, critic=NetworkConfig(action_layer=1)),
    "td3": DPG(critics=2, smoothing=SMOOTHED, policy_delay=2),
    "smoothing alone": DPG(smoothing=SMOOTHED),
    "delay alone": DPG(critics=2, policy_delay=3),
    "huber": DPG(
        value=Scalar(huber=0.3), critic=NetworkConfig(weight_decay=0.2), actor=NetworkConfig(weight_decay=0.1, l2=0.1)
    ),
    "td3_plus": DPG(
        critics=2, value=Scalar(huber=0.3), smoothing=SMOOTHED, policy_delay=2, critic=replace(NORMED, activation="elu")
    ),
    "d4pg": DPG(
        actor=NORMED,
        critic=replace(NORMED, action_layer=1),
        value=Categorical(atoms=7, low=-1.5, high=2.0),
        tau=1.0,
        target_period=3,
    ),
    "categorical, found support, smallest of two": DPG(value=Categorical(atoms=4), critics=2, actor_q="min"),
    "fasttd3": DPG(
        value=Categorical(atoms=5), critics=2, actor_q="min", policy_delay=2, tau_actor=1.0, target_period=1
    ),
    "simba's, without its networks": DPG(
        critics=2, actor_q="min", tau_actor=1.0, smoothing=SMOOTHED, critic=NetworkConfig(weight_decay=0.1)
    ),
    "lillicrap": DPG(actor=BATCH_NORMED, critic=replace(BATCH_NORMED, action_layer=1)),
    "td3 with batch normalisation": DPG(
        actor=BATCH_NORMED, critic=replace(BATCH_NORMED, action_layer=1), critics=2, smoothing=SMOOTHED, policy_delay=2
    ),
    "mean of two": DPG(critics=2, actor_q="mean"),
}


def in_64_bits(tree: Any) -> Any:
    """In NumPy arrays, with which sums outside of an update are nothing to compile."""
    return jax.tree.map(lambda x: np.asarray(x, np.float64 if x.dtype == jnp.float32 else None), tree)


@pytest.mark.parametrize("name", AGENTS)
def test_update_is_the_papers(name: str) -> None:
    kind = AGENTS[name]
    activation = "elu" if kind.critic.activation == "elu" else "relu"
    agent = replace(
        kind,
        actor=replace(kind.actor, widths=(6, 5), activation="relu", init=Normal(std=0.9, bias=0.1), lr=0.02),
        critic=replace(kind.critic, widths=(6, 5), activation=activation, init=Normal(std=0.5, bias=0.1), lr=0.03),
        tau=kind.tau if kind.target_period == 3 else 0.1,
    )
    critics, policy_delay = agent.critics, max(agent.policy_delay, agent.target_period or 1)
    rng = np.random.default_rng(1)
    # In float64 on both sides: in float32 Adam's first step turns rounding around a zero gradient into its sign.
    with jax.enable_x64(True):
        state = in_64_bits(init_agent(agent, jax.random.key(critics), SPEC))
        if kind.actor.block == BATCH_NORMED.block:
            # Where nothing but rounding pulls at a shift of 0, Adam would make steps of that.
            state = state._replace(online=jax.tree.map(lambda x: x + 0.1, state.online))
        # Targets unlike the online networks, so that mixing them up shows.
        state = state._replace(target=jax.tree.map(lambda x: 1.3 * x[::-1], state.target))
        reference, update = learner(agent, state), jax.jit(agent.update)
        saturation = []
        for count, batch in enumerate(batches(2 * policy_delay + 2)):
            white = rng.normal(size=(BATCH, SPEC.action_dim))
            state, metrics, error = update(state, batch, jnp.asarray(white), jnp.int32(count))
            expected = reference.update(batch, white)
            np.testing.assert_allclose(error, expected.pop("error"), rtol=1e-9, atol=1e-12, err_msg="error")
            assert set(expected) == set(metrics._fields)
            for name, value in expected.items():
                exact = 1e-6 if name in ("saturation", "stuck") else 1e-9  # JAX counts in float32
                np.testing.assert_allclose(getattr(metrics, name), value, rtol=exact, err_msg=name)
            saturation.append(float(metrics.saturation))

            for nets, actor, members in (
                (state.online, reference.actor, reference.critics),
                (state.target, reference.actor_target, reference.critic_targets),
            ):
                assert_layers(nets.actor.layers, actor.layers, None)
                for k, critic in enumerate(members):
                    assert_layers(nets.critic.layers, critic.layers, k)

            for moment, name in (("m", "mu"), ("v", "nu")):
                assert_layers(
                    optax.tree_utils.tree_get(state.actor_opt, name).layers, getattr(reference.actor_adam, moment), None
                )
                found = optax.tree_utils.tree_get(state.critic_opt, name)[1].layers  # beside the encoder's
                for k, adam in enumerate(reference.critic_adams):
                    assert_layers(found, getattr(adam, moment), k)
            assert optax.tree_utils.tree_get(state.actor_opt, "count") == reference.actor_adam.t
            assert optax.tree_utils.tree_get(state.critic_opt, "count") == reference.t
        assert 0 < np.nanmax(saturation) < 1, "the batches saturate some actions and not others"


@pytest.mark.parametrize("actor_q", ["first", "min", "mean"])
def test_critics_that_are_one_are_ddpgs(actor_q: Literal["first", "min", "mean"]) -> None:
    """Parts that say what plain DDPG does: critics with the same weights, and targets moved when it moves them."""
    small = NetworkConfig(widths=(6, 5), lr=0.02)
    one = DPG(actor=small, critic=small, tau=0.1)
    three = replace(one, critics=3, actor_q=actor_q, target_period=1, tau_actor=0.1)
    with jax.enable_x64(True):
        state = in_64_bits(init_agent(one, jax.random.key(0), SPEC))

        def tripled(tree: Any) -> Any:
            """With critics of three members; what is counted has no members."""
            return jax.tree.map(lambda x: np.concatenate([x] * 3) if x.ndim else x, tree)

        online, target = (nets._replace(critic=tripled(nets.critic)) for nets in (state.online, state.target))
        thrice = AgentState(online, target, state.actor_opt, tripled(state.critic_opt))
        update_one, update_three = jax.jit(one.update), jax.jit(three.update)
        for count, batch in enumerate(batches(3)):
            state, *_ = update_one(state, batch, UNREAD, jnp.int32(count))
            thrice, *_ = update_three(thrice, batch, UNREAD, jnp.int32(count))
        for ours, theirs in ((thrice.online, state.online), (thrice.target, state.target)):
            wanted = theirs._replace(critic=tripled(theirs.critic))
            for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


UNREAD = jnp.zeros((BATCH, 0))  # where nothing is smoothed
SMALL = DPG(actor=NetworkConfig(widths=(4,)), critic=NetworkConfig(widths=(4,)), critics=2)


def test_targets_start_equal_and_tau_1_copies(assert_identical: Callable[[Any, Any], None]) -> None:
    agent = replace(SMALL, tau=1.0)
    state = init_agent(agent, jax.random.key(0), SPEC)
    assert_identical(state.online, state.target)
    after, *_ = jax.jit(agent.update)(state, batches(1, np.float32)[0], UNREAD, jnp.int32(0))
    assert_identical(after.online, after.target)
    both = zip(*map(jax.tree.leaves, jax.device_get((state.online, after.online))), strict=True)
    assert all((x != y).any() for x, y in both)


def test_critics_of_one_ensemble_differ() -> None:
    critic = jax.device_get(init_agent(SMALL, jax.random.key(0), SPEC).online.critic)
    assert all((leaf[0] != leaf[1]).all() for leaf in jax.tree.leaves(critic))


def greedy_policy(nets: Nets) -> GreedyPolicy:
    return GreedyPolicy(None, nets.encoder, nets.actor)


def test_behaviour_is_greedy_plus_noise_within_bounds() -> None:
    policy = greedy_policy(init_agent(SMALL, jax.random.key(0), SPEC).online)
    obs = jax.random.normal(jax.random.key(1), (5, *SPEC.obs_shape))
    greedy = np.asarray(policy(obs))
    assert np.abs(greedy).max() < 1
    noise = jnp.array([[0.0, 0.01], [-0.02, 5.0], [-5.0, 0.0], [1.5, -1.5], [0.0, 0.0]])
    np.testing.assert_array_equal(SMALL.act(policy, obs, noise), np.clip(greedy + noise, -1, 1))
    np.testing.assert_array_equal(SMALL.act(policy, obs, jnp.zeros_like(noise)), greedy)


@pytest.mark.parametrize("init", [NetworkConfig().init, Normal()])
def test_step_is_traced_once(init: Any) -> None:
    agent = replace(
        SMALL, actor=NetworkConfig(widths=(4,), init=init), critic=NetworkConfig(widths=(4,), init=init, l2=0.01)
    )
    traces = 0

    def step(state: AgentState, batch: Transition) -> AgentState:
        nonlocal traces
        traces += 1
        return agent.update(state, batch, UNREAD, jnp.int32(0))[0]

    compiled = jax.jit(step)
    state = jax.jit(lambda key: agent.init(key, SPEC))(jax.random.key(0))
    for batch in batches(3, np.float32):
        state = compiled(state, batch)
    assert traces == 1


def test_behaviour_is_the_same_in_numpy() -> None:
    policy = greedy_policy(init_agent(SMALL, jax.random.key(0), SPEC).online)
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(5, *SPEC.obs_shape)).astype(np.float32)
    noise = rng.normal(size=(5, SPEC.action_dim)).astype(np.float32)
    action = SMALL.act(jax.tree.map(np.asarray, policy), obs, noise)
    assert isinstance(action, np.ndarray)
    np.testing.assert_allclose(action, SMALL.act(policy, jnp.asarray(obs), jnp.asarray(noise)), atol=1e-6)


DESCENTS = {
    "plain": NetworkConfig(lr=0.1),
    "schedule": NetworkConfig(lr=0.1, schedule=Linear(final=0.2, steps=4, begin=1)),
    "clip": NetworkConfig(lr=0.1, max_grad_norm=2.5),
    "l2": NetworkConfig(lr=0.1, l2=0.3),
    "all": NetworkConfig(lr=0.1, l2=0.3, max_grad_norm=2.5, schedule=Exponential(rate=0.5, final=0.2)),
}


@pytest.mark.parametrize("name", DESCENTS)
def test_descent_by_hand(name: str) -> None:
    """Adam's steps in NumPy; the norm of all gradients together is clipped, before l2 is added."""
    network, rng = DESCENTS[name], np.random.default_rng(0)
    with jax.enable_x64(True):
        params = {"a": jnp.asarray(rng.normal(size=(3, 2))), "b": jnp.asarray(rng.normal(size=4))}
        theirs = {key: np.array(value) for key, value in params.items()}
        m, v = ({key: np.zeros_like(value) for key, value in theirs.items()} for _ in range(2))
        opt, clipped = init_optimiser(network, params), []
        step = jax.jit(partial(gradient_step, network))
        for update in range(6):
            grad = {key: rng.normal(size=value.shape) * (update % 3) for key, value in theirs.items()}
            params, opt = step(params, grad, opt)
            norm = np.sqrt(sum(np.sum(g**2) for g in grad.values()))
            shrink = min(1.0, network.max_grad_norm / max(norm, 1e-9)) if network.max_grad_norm else 1.0
            clipped.append(shrink < 1)
            lr = network.lr * float(network.schedule(np.int32(update)))
            for key, g in grad.items():
                g = shrink * g + network.l2 * theirs[key]
                m[key], v[key] = 0.9 * m[key] + 0.1 * g, 0.999 * v[key] + 0.001 * g**2
                m_hat, v_hat = m[key] / (1 - 0.9 ** (update + 1)), v[key] / (1 - 0.999 ** (update + 1))
                theirs[key] -= lr * m_hat / (np.sqrt(v_hat) + 1e-8)
                np.testing.assert_allclose(params[key], theirs[key], rtol=1e-6, err_msg=f"{key}, update {update}")
    assert (set(clipped) == {True, False}) == (network.max_grad_norm is not None)


def test_the_penalty_on_preactivations_pulls_saturated_actions_back() -> None:
    """Where tanh is flat the critic's gradient is 0, and that of lambda mean(u^2) is not; by automatic gradients."""
    network = NetworkConfig(widths=(5,))
    agent = DPG(actor=network, critic=network, preactivation=0.3)
    state, rng = init_agent(agent, jax.random.key(0), SPEC), np.random.default_rng(0)
    layers = state.online.actor.layers
    wide = replace(state.online.actor, layers=(*layers[:-1], replace(layers[-1], bias=jnp.array([12.0, -0.5]))))
    nets = state.online._replace(actor=wide)
    obs, action = (jnp.asarray(rng.normal(size=(BATCH, *shape)).astype("f")) for shape in ((2, 2), (2,)))
    one = jnp.ones(BATCH)
    batch = Transition(obs, action, one, one, obs, one)

    def loss(actor: Any) -> Array:
        u = actor.preactivation(nets.encoder.state(obs))
        q = agent.value.mean(nets.q(obs, jnp.tanh(u)))[0]
        return -jnp.mean(q) + 0.3 * jnp.mean(jnp.square(u))

    _, opt, _ = jax.jit(agent._actor_step)(nets, state.actor_opt, batch, action, jnp.int32(0))
    followed, expected = optax.tree_utils.tree_get(opt, "mu"), jax.jit(jax.grad(loss))(wide)  # 0.1 times the gradient
    for ours, theirs in zip(jax.tree.leaves(followed), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(10 * ours, theirs, rtol=1e-4, atol=1e-6)
    assert float(expected.layers[-1].bias[0]) == pytest.approx(0.3 * 12, rel=0.2)


@register_dataclass
@dataclass(frozen=True)
class Mixing:
    """z = obs W, and the pair is the action beside a z: an encoder with parameters."""

    weight: Array

    def state(self, obs: Array) -> Array:
        return obs.reshape(len(obs), -1) @ self.weight

    def pair(self, z: Array, action: Array) -> Array:
        return jnp.concatenate([action, z[:, :1] * action], axis=1)

    def with_statistics(self, obs: Array, rate: float) -> "Mixing":
        return self

    def pair_steps(self) -> list[Step]:
        raise AssertionError("nothing writes it")

    def steps(self) -> list[Step]:
        raise AssertionError("nothing writes it")


class Mixed(Flat):
    def sizes(self, spec: Spec) -> tuple[int, int]:
        return 5, 2 * spec.action_dim

    def create(self, key: Key, spec: Spec) -> Any:
        return Mixing(jax.random.normal(key, (spec.obs_size, 5)))


def test_an_encoder_is_trained_by_the_critics_loss_alone_and_has_a_target() -> None:
    """Its gradient is that of the loss through z and the pair; the policy gradient stops at the actor."""
    agent = replace(SMALL, critics=1, encoder=Mixed(), tau=0.25)
    state = init_agent(agent, jax.random.key(0), SPEC)
    batch = next(iter(batches(1, np.float32)))
    after, *_ = jax.jit(agent.update)(state, batch, UNREAD, jnp.int32(0))
    s, s_next = batch.obs, batch.next_obs

    def loss(encoder: Mixing) -> Array:
        y = batch.reward + batch.discount * state.target.q(s_next, state.target.mu(s_next))[0, :, 0]
        q = state.online._replace(encoder=encoder).q(s, batch.action)[0, :, 0]
        return jnp.mean(batch.weight * (q - y) ** 2)

    # Adam's first step is the learning rate times the sign of the gradient.
    (gradient,), (before,), (now,) = map(
        jax.tree.leaves,
        jax.device_get((jax.jit(jax.grad(loss))(state.online.encoder), state.online.encoder, after.online.encoder)),
    )
    step, moved = -agent.critic.lr * np.sign(gradient), now - before
    np.testing.assert_allclose(moved, step, rtol=1e-3)
    (slow,) = map(np.asarray, jax.tree.leaves(after.target.encoder))
    np.testing.assert_allclose(slow - before, 0.25 * moved, rtol=1e-3)  # the target began as a copy
