"""The plan is the fixed point of Bellman's equation, written here once more in NumPy from Gymnasium's dynamics."""

from math import pi

import numpy as np
import pytest

from ddpg.envs.pendulum_plan import SPEEDS, THETAS, pendulum_plan


@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_bellmans_equation(gamma: float) -> None:
    plan = pendulum_plan(gamma)
    theta, speed = -pi + 2 * pi / THETAS * np.arange(THETAS), np.linspace(-8, 8, SPEEDS)
    random = np.random.default_rng(0)
    i, j = random.integers(THETAS, size=300), random.integers(SPEEDS, size=300)
    torque = np.linspace(-2, 2, 21)[:, None]
    reward = -(theta[i] ** 2 + 0.1 * speed[j] ** 2 + 0.001 * torque**2)
    fast = np.clip(speed[j] + 0.05 * (15 * np.sin(theta[i]) + 3 * torque), -8, 8)
    there = theta[i] + 0.05 * fast
    x, y = (there + pi) / (2 * pi) * THETAS, (fast + 8) / 16 * (SPEEDS - 1)
    left, below = np.floor(x).astype(int), np.minimum(np.floor(y).astype(int), SPEEDS - 2)
    a, b = x - left, y - below

    def v(p: int, q: int) -> np.ndarray:
        return plan.value[(left + p) % THETAS, below + q]

    value = (1 - a) * ((1 - b) * v(0, 0) + b * v(0, 1)) + a * ((1 - b) * v(1, 0) + b * v(1, 1))
    q = reward + gamma * value
    error = np.abs(q.max(axis=0) - plan.value[i, j])
    assert np.median(error) < 1e-3
    assert error.max() < 0.1
    chosen = np.argmin(np.abs(torque - 2 * plan.action[i, j]), axis=0)
    assert (q.max(axis=0) - q[chosen, np.arange(300)] < 0.01).all()


def test_upright_is_worth_nothing_and_mirrored_states_are_worth_the_same() -> None:
    plan = pendulum_plan(0.99)
    np.testing.assert_allclose(plan.value[THETAS // 2, SPEEDS // 2], 0, atol=1e-4)
    assert plan.action[THETAS // 2, SPEEDS // 2] == 0
    mirrored = np.roll(plan.value[::-1, ::-1], 1, axis=0)  # -theta_i is theta_(n - i)
    assert np.median(np.abs(mirrored - plan.value)) < 1e-3
    assert plan.value.max() <= 1e-4
