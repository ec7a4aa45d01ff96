"""A scalar value's mean, target and loss by hand, and the pessimistic choice among members."""

import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.values import Categorical, Scalar, pessimistic


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
def test_pessimistic_takes_the_member_with_the_smallest_mean_per_sample(members: int, size: int) -> None:
    rng = np.random.default_rng(members)
    prediction, q = rng.normal(size=(members, 7, size)).astype(np.float32), rng.normal(size=(members, 7))
    chosen = pessimistic(jnp.asarray(prediction), jnp.asarray(q, jnp.float32))
    assert chosen.shape == (7, size)
    for i in range(7):
        smallest = min(range(members), key=lambda k: q[k, i])
        np.testing.assert_array_equal(chosen[i], prediction[smallest, i])


def test_pessimistic_scalar_is_the_minimum_and_one_member_the_identity() -> None:
    value = Scalar()
    prediction = jnp.asarray(np.random.default_rng(0).normal(size=(3, 50, 1)), jnp.float32)
    np.testing.assert_array_equal(pessimistic(prediction, value.mean(prediction)), prediction.min(axis=0))
    np.testing.assert_array_equal(pessimistic(prediction[:1], value.mean(prediction[:1])), prediction[0])


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
