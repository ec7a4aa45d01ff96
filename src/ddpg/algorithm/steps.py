"""A forward pass as a list of steps: how layers describe themselves to the files of networks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ddpg.types import AnyArray

EPSILON = np.float32(1e-5)  # added to every variance and mean square


class Step(NamedTuple):
    """One operation on x, the numbers in a network, and its arrays by name.

    bytes                          x / 255, of integers from 0 to 255
    picture: axes, shape           each sample with its axes in this order, then of this shape [height, width, channels]
    convolution: weight, bias, stride    without padding, of pictures; weight is [k, k, channels, filters]
    flatten                        one row per sample
    dense: weight, bias            x @ weight + bias
    centre                         x - mean(x), over the features of each sample
    rms                            x / sqrt(mean(x^2) + 1e-5), likewise
    l1                             x / max(mean(|x|), 1e-8), likewise
    standardise: mean, deviation   (x - mean) / deviation
    affine: gain, offset           x * gain + offset
    clip: low, high                min(max(x, low), high)
    relu, tanh, elu, silu, gelu    the activation; gelu with tanh
    softmax                        over the features of each sample
    keep, add                      remember x; add the x remembered last, and forget it
    part: begin, end, shape        remember x; go on with these of its features, in this shape
    place: begin, end              the x remembered last, and forgotten, with x in the place of these of its features
    join                           append the action to the features

    records/networks/standalone_policy.py runs them, records/networks/onnx.py has their nodes: a layer that consists
    of these needs no edit there.
    """

    kind: str
    arrays: Mapping[str, AnyArray] = MappingProxyType({})
