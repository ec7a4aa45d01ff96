"""Convolutions in both ways, layouts of pictures, and encoders of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from ddpg.algorithm.convolution import Convolution, by_compiler, by_slices
from ddpg.algorithm.encoders import AnyEncoder, Conv, Patches
from ddpg.algorithm.initialisers import Orthogonal
from ddpg.mistake import Mistake
from ddpg.pictures import layout_of
from ddpg.types import Spec

SHAPES = [(3, 1), (3, 2), (8, 8), (2, 2), (5, 3), (1, 1), (4, 2)]  # kernel, stride


@pytest.mark.parametrize(("size", "stride"), SHAPES)
def test_slices_and_a_product_are_the_compilers_convolution(size: int, stride: int) -> None:
    """Values and gradients."""
    x = jax.random.normal(jax.random.key(0), (3, 19, 21, 2))
    weight = jax.random.normal(jax.random.key(1), (size, size, 3, 4))

    @jax.jit
    def both(x: Array, w: Array) -> Any:
        wanted, pull_wanted = jax.vjp(lambda x, w: by_compiler(x, w, stride), x, w)
        got, pull_got = jax.vjp(lambda x, w: jnp.asarray(by_slices(x, w, stride)), x, w)
        return wanted, got, list(zip(pull_wanted(wanted), pull_got(wanted), strict=True))

    wanted, got, gradients = both(x, weight)
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    for a, b in gradients:
        np.testing.assert_allclose(b, a, atol=1e-3, rtol=1e-4)
    layer = Convolution(np.asarray(weight), np.zeros(4, np.float32), stride)
    np.testing.assert_allclose(layer(np.asarray(x), lambda y: y), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "axes", "picture"),
    [
        ((84, 84, 9), (0, 1, 2), (84, 84, 9)),
        ((3, 84, 64), (1, 2, 0), (84, 64, 3)),
        ((48, 64), (0, 1), (48, 64, 1)),
        ((4, 48, 64), (1, 2, 0), (48, 64, 4)),
        ((4, 48, 64, 3), (1, 2, 0, 3), (48, 64, 12)),
        ((4, 3, 48, 64), (2, 3, 0, 1), (48, 64, 12)),
        ((8, 8, 3), (0, 1, 2), (8, 8, 3)),
        ((3, 8, 8), (1, 2, 0), (8, 8, 3)),
        ((2, 3, 8, 8), (2, 3, 0, 1), (8, 8, 6)),
        ((2, 8, 8, 3), (1, 2, 0, 3), (8, 8, 6)),
    ],
)
def test_the_order_of_axes_is_found(shape: tuple[int, ...], axes: tuple[int, ...], picture: tuple[int, ...]) -> None:
    layout = layout_of(shape)
    assert layout is not None
    assert (layout.axes, layout.shape) == (axes, picture)
    obs = np.arange(2 * np.prod(shape)).reshape(2, *shape)
    assert layout(obs).shape == (2, *picture)
    height, width = (axis - 1 for axis in layout.spatial)
    turned = np.moveaxis(obs[0], [height, width], [0, 1])
    np.testing.assert_array_equal(layout(obs)[0].ravel(), turned.ravel())


@pytest.mark.parametrize("shape", [(), (3,), (30, 4, 84, 84), (2, 2, 2, 2, 2), (1, 5)])
def test_what_is_no_picture(shape: tuple[int, ...]) -> None:
    assert layout_of(shape) is None
    with pytest.raises(Mistake, match="is no picture; use --encoder flat, or --pixels"):
        Conv().sizes(Spec(shape, (-1.0,), (1.0,), "uint8"))


@pytest.mark.parametrize(
    "encoder",
    [Conv(), Patches(), Patches(filters=(8, 16), patches=(6, 2)), Conv(filters=(4, 5), kernels=(5,), strides=(3, 2))],
)
@pytest.mark.parametrize("shape", [(48, 40, 3), (3, 48, 40)])
def test_encoders_of_pictures(encoder: AnyEncoder, shape: tuple[int, ...]) -> None:
    """The size is as said, the action joins as it is, NumPy and JAX agree, and the steps are what is written."""
    spec = Spec(shape, (-1.0, -1.0), (1.0, 1.0), "uint8")
    embedding = jax.jit(encoder.create, static_argnums=1)(jax.random.key(0), spec)
    obs = np.random.default_rng(0).random((3, *shape), np.float32)
    z, action = jax.device_get(jax.jit(lambda net, obs: net.state(obs))(embedding, obs)), np.zeros((3, 2))
    assert (z.shape[1], embedding.pair(z, action).shape[1]) == encoder.sizes(spec)
    np.testing.assert_allclose(jax.tree.map(np.asarray, embedding).state(obs), z, atol=1e-5)
    assert [step.kind for step in embedding.steps()][-1] == "flatten"
    assert 0.05 < z.std() < 1


def test_layers_that_are_too_many_are_one_line() -> None:
    with pytest.raises(Mistake, match="layer 1 looks at 8 x 8 of what has 6 x 6 then"):
        Patches(filters=(8,), patches=(8, 8)).sizes(Spec((48, 48, 3), (-1.0,), (1.0,), "uint8"))
    with pytest.raises(Mistake, match=r"encoder.kernels 3,3, .* expected 4 numbers, or one, in encoder.kernels too"):
        Conv(kernels=(3, 3)).check("encoder")


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (5, 5)])
def test_orthogonal_weights(shape: tuple[int, int]) -> None:
    words = jax.random.uniform(jax.random.key(0), (shape[0] + 1, shape[1]), minval=-0.999)
    layer = jax.device_get(jax.jit(Orthogonal(gain=2.0))(words))
    weight = layer.weight if shape[0] >= shape[1] else layer.weight.T
    np.testing.assert_allclose(weight.T @ weight, 4 * np.eye(min(shape)), atol=1e-5)
    assert not layer.bias.any()
