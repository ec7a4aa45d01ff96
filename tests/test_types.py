"""The spec of an environment: actions from [-1, 1]^m to its units, and its bounds in 32 bits."""

import jax
import jax.numpy as jnp
import numpy as np

from ddpg.types import Spec


def test_units_with_asymmetric_bounds_per_dimension() -> None:
    spec = Spec(obs_shape=(1,), action_low=(-1.0, 0.0, -3.0), action_high=(1.0, 10.0, -1.0))
    action = np.array([[-1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.5, -0.5, 0.5]], np.float32)
    wanted = [[-1, 0, -3], [0, 5, -2], [1, 10, -1], [0.5, 2.5, -1.5]]
    assert spec.to_units(action).dtype == np.float64
    np.testing.assert_array_equal(spec.to_units(action), wanted)
    np.testing.assert_array_equal(spec.to_units(action[3]), wanted[3])
    compiled = jax.jit(spec.to_units)(jnp.asarray(action))
    assert compiled.dtype == jnp.float32
    np.testing.assert_allclose(compiled, wanted, atol=1e-6)


def test_units_are_within_bounds_however_large() -> None:
    largest = float(np.finfo(np.float64).max)
    spec = Spec((1,), (-largest, 0.1, -0.3), (largest, 0.3, 0.1))
    for action in (-1.0, -np.nextafter(np.float32(1), np.float32(0)), 1.0):
        units = spec.to_units(np.full(3, action))
        assert (units >= spec.action_low).all()
        assert (units <= spec.action_high).all()
    np.testing.assert_array_equal(spec.to_units(np.ones(3)), spec.action_high)
    assert np.isnan(spec.to_units(np.full(3, np.nan))).all()


def test_bounds_of_32_bits_are_within_those_of_64() -> None:
    spec = Spec((1,), (-0.3, 0.1, -1.0), (0.1, 0.3, 1.0))
    low, high = spec.bounds32
    assert low.dtype == high.dtype == np.float32
    assert (np.float64(low) >= spec.action_low).all()
    assert (np.float64(high) <= spec.action_high).all()
    np.testing.assert_allclose([low, high], [spec.action_low, spec.action_high], rtol=1e-7)
    assert (low[2], high[2]) == (-1, 1)
