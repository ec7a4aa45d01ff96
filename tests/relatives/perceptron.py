"""A network in float64 NumPy, and gradients by central differences: what the relatives are checked against."""

from collections.abc import Callable

import jax
import numpy as np

from ddpg.algorithm.layers import Layers

Arrays = list[np.ndarray]


def arrays(tree: object) -> Arrays:
    """The leaves in float64, in JAX's order."""
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def tanh_network(parameters: Arrays, x: np.ndarray) -> np.ndarray:
    """Weights and biases by turns, tanh between layers."""
    *hidden, (weight, bias) = zip(parameters[::2], parameters[1::2], strict=True)
    for w, b in hidden:
        x = np.tanh(x @ w + b)
    return x @ weight + bias


def differences(loss: Callable[[Arrays], float], parameters: Arrays, step: float = 1e-6) -> Arrays:
    """The gradient of `loss` by central differences, one number at a time."""
    gradient = [np.zeros_like(each) for each in parameters]
    for i, each in enumerate(parameters):
        for at in np.ndindex(each.shape):
            moved = [[x.copy() for x in parameters] for _ in range(2)]
            moved[0][i][at] += step
            moved[1][i][at] -= step
            gradient[i][at] = (loss(moved[0]) - loss(moved[1])) / (2 * step)
    return gradient


def first_moment(opt: tuple) -> Arrays:
    """Adam's mean of gradients after one step is a tenth of the gradient: so this is the gradient."""
    return [10 * each for each in arrays(opt[0].mu)]


def assert_close(one: Arrays, other: Arrays) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def random_layers(layers: Layers, seed: int) -> Layers:
    """The same shapes with larger numbers, so that no gradient is small by chance."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.float32(random.normal(size=x.shape) / 2), layers)
