"""A scalar value's mean, target and loss by hand, clipped double Q, and the range of returns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.values import RANGES, Categorical, Scalar, ValueRange, clipped_double_q
from ddpg.types import Spec, Transition
from tests.networks import init_agent


def test_scalar_by_hand() -> None:
    value = Scalar()
    prediction = jnp.array([[[1.0], [2.0], [-3.0]], [[0.0], [5.0], [1.0]]])
    np.testing.assert_array_equal(value.mean(prediction), [[1, 2, -3], [0, 5, 1]])
    reward, discount = jnp.array([1.0, -1.0, 0.5]), jnp.array([0.5, 0.0, 0.25])
    # The second ends truly: its discount is 0, and nothing follows the reward.
    y = value.target(reward, discount, jnp.array([[2.0], [100.0], [-4.0]]))
    np.testing.assert_array_equal(y, [[2.0], [-1.0], [-0.5]])
    np.testing.assert_array_equal(value.loss(prediction, y), [[1.0, 9.0, 6.25], [4.0, 36.0, 2.25]])
    assert value.outputs == prediction.shape[-1]


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("members", [1, 2, 5])
def test_clipped_double_q_takes_the_member_with_the_smallest_mean_per_sample(members: int, size: int) -> None:
    rng = np.random.default_rng(members)
    prediction, q = rng.normal(size=(members, 7, size)).astype(np.float32), rng.normal(size=(members, 7))
    chosen = clipped_double_q(jnp.asarray(prediction), jnp.asarray(q, jnp.float32))
    assert chosen.shape == (7, size)
    for i in range(7):
        smallest = min(range(members), key=lambda k: q[k, i])
        np.testing.assert_array_equal(chosen[i], prediction[smallest, i])


def test_clipped_double_q_of_scalars_is_the_minimum_and_one_member_the_identity() -> None:
    value = Scalar()
    prediction = jnp.asarray(np.random.default_rng(0).normal(size=(3, 50, 1)), jnp.float32)
    np.testing.assert_array_equal(clipped_double_q(prediction, value.mean(prediction)), prediction.min(axis=0))
    np.testing.assert_array_equal(clipped_double_q(prediction[:1], value.mean(prediction[:1])), prediction[0])


def test_huber_is_half_the_square_near_and_linear_far() -> None:
    value, y = Scalar(huber=0.5), jnp.zeros((3, 1))
    loss = value.loss(jnp.array([[[0.4], [-0.5], [3.0]]]), y)
    np.testing.assert_allclose(loss, [[0.08, 0.125, 0.5 * (3.0 - 0.25)]], rtol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-1600.0, 0.0), (3.0, 3.5)])
@pytest.mark.parametrize("atoms", [2, 3, 51])
def test_categorical_target_is_the_scalar_one_in_expectation(atoms: int, low: float, high: float) -> None:
    """The projection keeps the mean of r + gamma Z', but for what the support's ends cut (Bellemare et al. 2017)."""
    value, rng, b = Categorical(atoms=atoms, low=low, high=high), np.random.default_rng(0), 2000
    prediction = (3 * rng.normal(size=(b, atoms))).astype(np.float32)
    discount = rng.choice(np.array([0.0, 0.5, 0.99, 1.0], np.float32), b)
    reward = rng.uniform(low - high, high - low, b).astype(np.float32)
    target = np.float64(value.target(jnp.asarray(reward), jnp.asarray(discount), jnp.asarray(prediction)))
    assert (target >= 0).all()
    np.testing.assert_allclose(target.sum(axis=1), 1, rtol=1e-5)
    p, z = np.exp(prediction.astype(float)), np.linspace(low, high, atoms)
    moved = reward[:, None] + discount.astype(float)[:, None] * z
    expected = (np.clip(moved, low, high) * p).sum(axis=1) / p.sum(axis=1)
    np.testing.assert_allclose(target @ z, expected, atol=2e-5 * max(-low, high))
    inside = ((low <= moved) & (moved <= high)).all(axis=1)
    assert inside.any()
    scalar = Scalar().target(*(jnp.float32(x[inside]) for x in (reward, discount, (p @ z / p.sum(axis=1))[:, None])))
    np.testing.assert_allclose((target @ z)[inside], np.asarray(scalar)[:, 0], atol=2e-5 * max(-low, high))


def test_categorical_by_hand() -> None:
    value = Categorical(atoms=3, low=0.0, high=2.0)
    sure = jnp.log(jnp.array([[1e-9, 1.0, 1e-9], [0.5, 1e-9, 0.5]]))
    np.testing.assert_allclose(value.mean(sure), [1.0, 1.0], atol=1e-6)
    # r + gamma z: 0.25 + 0.5 of the middle atom is 0.75; the second ends truly at 5, beyond the support.
    target = value.target(jnp.array([0.25, 5.0]), jnp.array([0.5, 0.0]), sure)
    np.testing.assert_allclose(target, [[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]], atol=1e-6)
    # Where prediction and target are the same distribution nothing is left to learn, though the loss is its entropy.
    np.testing.assert_allclose(value.error(sure, jnp.exp(sure)), [0, 0], atol=1e-3)
    np.testing.assert_allclose(
        value.error(jnp.zeros((1, 3)), jnp.array([[0.0, 1.0, 0.0]])), [np.log(3) ** 0.5], rtol=1e-6
    )
    np.testing.assert_allclose(value.loss(sure, jnp.exp(sure)), [0, np.log(2)], atol=1e-6)
    assert Categorical().scales_returns
    assert not value.scales_returns
    assert not Scalar().scales_returns


def test_rewards_bound_the_returns_of_every_policy() -> None:
    """On a random chain of states: of 3-step windows with ends, against V* and V of the worst policy by iteration."""
    random, states, gamma = np.random.default_rng(0), 12, 0.9
    reward, after = random.normal(size=(states, 2)), random.integers(states, size=(states, 2))
    ends = random.random((states, 2)) < 0.1
    best, worst = np.zeros(states), np.zeros(states)
    for _ in range(500):
        best = (reward + gamma * ~ends * best[after]).max(axis=1)
        worst = (reward + gamma * ~ends * worst[after]).min(axis=1)
    windows = list[tuple[float, float]]()
    for s, *actions in np.ndindex(states, 2, 2, 2):  # all of them
        total, discount = np.float64(0), np.float64(1)
        for a in actions:
            total, discount = total + discount * reward[s, a], discount * gamma * (not ends[s, a])
            s = after[s, a]
        windows.append((float(total), float(discount)))
    r, d = jnp.array(windows, jnp.float32).T
    batch = Transition(jnp.zeros((96, 1)), jnp.zeros((96, 1)), r, d, jnp.zeros((96, 1)), jnp.ones(96))
    allowed = (
        ValueRange.empty().extended(RANGES["rewards"](jnp.zeros((96, 1)), batch), batch.weight).with_clip_updated()
    )
    assert allowed.clip_low <= worst.min()
    assert best.max() <= allowed.clip_high
    assert jnp.all(r + d * allowed.clip_high <= allowed.clip_high + 1e-5)  # so no target is ever outside
    assert jnp.all(r + d * allowed.clip_low >= allowed.clip_low - 1e-5)


@pytest.mark.parametrize("kind", RANGES)
def test_a_prediction_outside_of_the_range_is_clipped_once_it_is_known(kind: str) -> None:
    spec = Spec(obs_shape=(2,), action_low=(-1.0,), action_high=(1.0,))
    agent = DPG(clip_values=kind, tau=1.0)
    random = np.random.default_rng(1)
    obs, action = (jnp.asarray(random.normal(size=(8, n)), jnp.float32) for n in (2, 1))
    reward = jnp.linspace(-2, -1, 8)
    batch = Transition(obs, action, reward, jnp.full(8, 0.9), obs, jnp.ones(8))
    state, first = init_agent(agent, jax.random.key(0), spec), init_agent(agent, jax.random.key(0), spec)
    update = jax.jit(agent.update)
    for t in range(2):
        state, *_ = update(state, batch, jnp.zeros((8, 0)), jnp.int32(t))
    assert state.value_range is not None
    assert first.value_range is not None
    assert (float(first.value_range.clip_low), float(first.value_range.clip_high)) == (0, 0)
    if kind == "rewards":
        np.testing.assert_allclose([state.value_range.clip_low, state.value_range.clip_high], [-20, -10], rtol=1e-5)
    else:  # the first targets are the rewards, the second at least 0.9 of the lowest of those more
        assert -2 * 1.9 <= float(state.value_range.clip_low) <= -2
        assert float(state.value_range.clip_high) == pytest.approx(-1)
    for outside in (-1e3, 1e3):
        clipped = state.value_range.clip(jnp.full((8, 1), outside))
        assert float(jnp.max(jnp.abs(clipped))) <= 20


@pytest.mark.parametrize("reward", [-1.0, 0.0, 2.0])
def test_without_discounts_rewards_bound_nothing(reward: float) -> None:
    """But for what ends truly: there the reward is all that comes."""
    rewards, discount = jnp.full(3, reward), jnp.array([1.0, 1.0, 0.0])
    batch = Transition(jnp.zeros((3, 1)), jnp.zeros((3, 1)), rewards, discount, jnp.zeros((3, 1)), jnp.ones(3))
    allowed = ValueRange.empty().extended(RANGES["rewards"](jnp.zeros((3, 1)), batch), batch.weight).with_clip_updated()
    outside = jnp.array([[-1e6], [1e6]])
    np.testing.assert_array_equal(allowed.clip(outside), outside)


def test_a_distribution_is_not_clipped() -> None:
    spec = Spec(obs_shape=(2,), action_low=(-1.0,), action_high=(1.0,))
    agent = DPG(clip_values="rewards", value=Categorical())
    assert jax.eval_shape(lambda: agent.init(jax.random.key(0), spec)).value_range is None
