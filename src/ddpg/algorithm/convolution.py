"""Convolutions as layers: on a CPU slices and one product, on accelerators the compiler's own.

Inside a loop of compiled code the compiler's convolution is 15 to 28 times slower on a CPU (docs/pixels.md); both give
the same numbers up to rounding.
"""

from dataclasses import dataclass, field

import jax
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
    """f(W * x + b) of pictures [b, h, w, c], without padding. Kernels lie [k, k, c, o]."""

    weight: Float[AnyArray, "*s k k c o"]
    bias: Float[AnyArray, "*s o"]
    stride: int = field(metadata=STATIC)

    def __call__(self, x: Float[AnyArray, "b h w c"], f: Activation) -> Float[AnyArray, "b y x o"]:
        if isinstance(x, np.ndarray):
            return f(by_slices(x, self.weight, self.stride) + self.bias)

        def compiler(x: Array, weight: Array) -> Array:
            return by_compiler(x, weight, self.stride)

        def slices(x: Array, weight: Array) -> Array:
            return by_slices(x, weight, self.stride)

        return f(jax.lax.platform_dependent(x, self.weight, cpu=slices, default=compiler) + self.bias)

    def fitted(self, x: Float[AnyArray, "b h w c"], rate: float) -> "Convolution":
        return self

    def steps(self, f: str | None) -> list[Step]:
        """For the files of networks."""
        arrays = {"weight": self.weight, "bias": self.bias, "stride": np.float32(self.stride)}
        return [Step("convolution", arrays), *([] if f is None else [Step(f)])]


def by_slices(
    x: Float[AnyArray, "b h w c"], weight: Float[AnyArray, "k k c o"], stride: int
) -> Float[AnyArray, "b y x o"]:
    """The inputs of every output side by side, then one product. Patches that touch are only rearranged for it."""
    k, _, _, o = weight.shape
    height, width = ((size - k) // stride + 1 for size in x.shape[1:3])
    if k == stride:
        x = x[:, : height * k, : width * k].reshape(len(x), height, k, width, k, -1)
        inputs = x.transpose(0, 1, 3, 2, 4, 5).reshape(len(x), height, width, -1)
    else:
        rows, columns = stride * (height - 1) + 1, stride * (width - 1) + 1
        each = [x[:, i : i + rows : stride, j : j + columns : stride] for i in range(k) for j in range(k)]
        inputs = x.__array_namespace__().concatenate(each, axis=-1)
    return inputs @ weight.reshape(-1, o)


def by_compiler(x: Float[Array, "b h w c"], weight: Float[Array, "k k c o"], stride: int) -> Float[Array, "b y x o"]:
    order = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, weight, (stride, stride), "VALID", dimension_numbers=order)
