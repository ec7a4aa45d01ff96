"""A scalar value's mean, target and loss by hand, and the pessimistic choice among members."""

import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.values import Scalar, pessimistic


def test_scalar_by_hand() -> None:
    value = Scalar()
    prediction = jnp.array([[[1.0], [2.0], [-3.0]], [[0.0], [5.0], [1.0]]])
    np.testing.assert_array_equal(value.mean(prediction), [[1, 2, -3], [0, 5, 1]])
    reward, discount = jnp.array([1.0, -1.0, 0.5]), jnp.array([0.5, 0.0, 0.25])
    # The second ends truly: its discount is 0, and nothing follows the reward.
    y = value.target(reward, discount, jnp.array([[2.0], [100.0], [-4.0]]))
    np.testing.assert_array_equal(y, [[2.0], [-1.0], [-0.5]])
    np.testing.assert_array_equal(value.loss(prediction, y), [[1.0, 9.0, 6.25], [4.0, 36.0, 2.25]])
    assert value.size == prediction.shape[-1]


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
