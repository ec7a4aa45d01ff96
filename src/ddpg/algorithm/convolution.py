"""Convolutions as layers: on a CPU slices and products, on accelerators the compiler's own.

Inside a loop of compiled code the compiler's convolution is some thirty times slower on a CPU (docs/pixels.md); both
give the same numbers up to rounding. Pictures lie [c, h, w, b] here, with the minibatch last: slices are then long rows
that lie together, and the product for the weights' gradient finds its numbers side by side.
"""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass
from jaxtyping import Float

from ddpg.algorithm.layers import STATIC, Activation
from ddpg.algorithm.steps import Step
from ddpg.types import AnyArray


@register_dataclass
@dataclass(frozen=True)
class Convolution:
    """f(W * x + b) of pictures, without padding."""

    weight: Float[AnyArray, "*s k k c o"]
    bias: Float[AnyArray, "*s o"]
    stride: int = field(metadata=STATIC)

    def __call__(self, x: Float[AnyArray, "c h w b"], f: Activation) -> Float[AnyArray, "o y x b"]:
        if isinstance(x, np.ndarray):
            y = _product(x, self.weight, self.stride)
        else:
            slices, compiler = (partial(each, stride=self.stride) for each in (by_slices, by_compiler))
            y = jax.lax.platform_dependent(x, self.weight, cpu=slices, default=compiler)
        return f(y + self.bias[:, None, None, None])

    def with_statistics(self, x: Float[AnyArray, "c h w b"], rate: float) -> "Convolution":
        return self

    def steps(self, f: str | None) -> list[Step]:
        """For the files of networks."""
        arrays = {"weight": self.weight, "bias": self.bias, "stride": np.float32(self.stride)}
        return [Step("convolution", arrays), *([] if f is None else [Step(f)])]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def by_slices(x: Float[Array, "c h w b"], weight: Float[Array, "k k c o"], stride: int) -> Float[Array, "o y x b"]:
    """One product with the inputs of every output; its derivative makes these again instead of keeping them."""
    return _product(x, weight, stride)


def _forward(
    x: Float[Array, "c h w b"], weight: Float[Array, "k k c o"], stride: int
) -> tuple[Float[Array, "o y x b"], tuple[Array, Array]]:
    return _product(x, weight, stride), (x, weight)


def _backward(
    stride: int, residuals: tuple[Array, Array], grad: Float[Array, "o y x b"]
) -> tuple[Float[Array, "c h w b"], Float[Array, "k k c o"]]:
    """By the input, and by the weights. The derivative that JAX finds itself takes twice as long."""
    x, weight = residuals
    k, _, c, o = weight.shape
    flat = grad.reshape(o, -1)
    by_weight = _inputs(x, k, stride) @ flat.T
    each = (weight.reshape(-1, o) @ flat).reshape(k, k, c, *grad.shape[1:])
    return _outputs(each, x.shape, stride), by_weight.reshape(weight.shape)


by_slices.defvjp(_forward, _backward)


def by_compiler(x: Float[Array, "c h w b"], weight: Float[Array, "k k c o"], stride: int) -> Float[Array, "o y x b"]:
    order = ("CHWN", "HWIO", "CHWN")
    return jax.lax.conv_general_dilated(x, weight, (stride, stride), "VALID", dimension_numbers=order)


def _product(
    x: Float[AnyArray, "c h w b"], weight: Float[AnyArray, "k k c o"], stride: int
) -> Float[AnyArray, "o y x b"]:
    k, _, _, o = weight.shape
    height, width = ((size - k) // stride + 1 for size in x.shape[1:3])
    return (weight.reshape(-1, o).T @ _inputs(x, k, stride)).reshape(o, height, width, -1)


def _inputs(x: Float[AnyArray, "c h w b"], k: int, stride: int) -> Float[AnyArray, "kkc yxb"]:
    """What each output looks at, in a column. Patches that touch are only rearranged for it."""
    c, b = len(x), x.shape[3]
    if k == stride:
        height, width = (size // k for size in x.shape[1:3])
        patches = x[:, : height * k, : width * k].reshape(c, height, k, width, k, b)
        return patches.transpose(2, 4, 0, 1, 3, 5).reshape(k * k * c, -1)
    slices = [x[window] for window in _windows(x.shape, k, stride).values()]
    return x.__array_namespace__().concatenate(slices).reshape(k * k * c, -1)


def _outputs(each: Float[Array, "k k c y x b"], shape: tuple[int, ...], stride: int) -> Float[Array, "c h w b"]:
    """The sum of what each element of a kernel gives, where it has looked: `_inputs` the other way."""
    k, _, c, height, width, b = each.shape
    if k == stride:
        x = each.transpose(2, 3, 0, 4, 1, 5).reshape(c, height * k, width * k, b)
        return jnp.pad(x, [(0, whole - used) for whole, used in zip(shape, x.shape, strict=True)])
    x = jnp.zeros(shape)
    for (i, j), window in _windows(shape, k, stride).items():
        x = x.at[window].add(each[i, j])
    return x


def _windows(shape: tuple[int, ...], k: int, stride: int) -> dict[tuple[int, int], tuple[slice, ...]]:
    """Where in [c, h, w, b] the inputs are that element (i, j) of a kernel meets."""
    rows, columns = (stride * ((size - k) // stride) + 1 for size in shape[1:3])

    def window(i: int, j: int) -> tuple[slice, ...]:
        return slice(None), slice(i, i + rows, stride), slice(j, j + columns, stride)

    return {(i, j): window(i, j) for i in range(k) for j in range(k)}
