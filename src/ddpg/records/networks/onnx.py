"""A greedy policy as one ONNX graph (docs/export.md).

A dozen kinds of nodes, by onnx's own helper: converters of JAX's programs, such as jax2onnx, would install thirty
packages to write the same file.
"""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpg.mistake import Mistake
from ddpg.version import __version__

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


OPSET, IR = 13, 7  # what onnxruntime reads since 1.7, of 2021


def check_onnx() -> None:
    """Raise Mistake if the packages are missing that write an ONNX file and run it."""
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise Mistake(
            f"the format onnx needs {' and '.join(missing)}: pip install {' '.join(missing)}, or choose --format numpy"
        )


def save_onnx(path: Path, arrays: dict[str, Any]) -> None:
    """Write it: `obs` ["batch", *obs] of the environment's dtype -> `action` ["batch", m] of float32."""
    path.write_bytes(model_of(arrays).SerializeToString())


def load_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """It in onnxruntime, on one thread: observations [b, *obs] -> actions [b, m]."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda obs: np.asarray(session.run(["action"], {"obs": obs})[0])


def model_of(arrays: dict[str, Any]) -> "ModelProto":
    """The graph that computes what standalone_policy.py does, from the same arrays."""
    from onnx import checker, helper, numpy_helper

    graph = Nodes()
    x = "obs"
    if arrays["obs_dtype"] != "float32":
        x = graph("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(np.float32)))
    skips: list[str] = []
    for word in arrays["steps"].split():
        kind = word.partition("_")[0]
        own = {name.partition("/")[2]: name for name in arrays if name.startswith(f"{word}/")}
        graph.constants |= {name: arrays[name] for name in own.values()}
        if kind == "keep":
            skips.append(x)
        elif kind == "add":
            x = graph("Add", x, skips.pop())
        elif kind == "part":
            skips.append(x)
            x = _part(graph, x, **own)
        elif kind == "place":
            x = _place(graph, x, skips.pop(), **own)
        else:
            x = STEPS[kind](graph, x, **own)
    graph.nodes[-1].output[0] = "action"

    def port(name: str, dtype: str, shape: list[int]) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["batch", *shape])

    network = helper.make_graph(
        graph.nodes,
        "policy",
        [port("obs", arrays["obs_dtype"], arrays["obs_shape"].tolist())],
        [port("action", "float32", [len(arrays["action_low"])])],
        [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
    )
    model = helper.make_model(
        network,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="ddpg",
        producer_version=__version__,
    )
    bounds = {name: json.dumps(arrays[name].tolist()) for name in ("action_low", "action_high")}
    about = {name: str(arrays[name]) for name in ("format", "format_version", "leaves")}
    helper.set_model_props(model, about | bounds)
    checker.check_model(model, full_check=True)
    return model


class Nodes:
    """Nodes in the order in which they are called for, and the constants that they use."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def __call__(self, op: str, *inputs: str | float, **attributes: Any) -> str:
        """Add one; returns the name of its output."""
        from onnx import helper

        names = [value if isinstance(value, str) else self.constant(np.float32(value)) for value in inputs]
        self.nodes.append(helper.make_node(op, names, [f"{op}_{len(self.nodes)}"], **attributes))
        return self.nodes[-1].output[0]

    def constant(self, value: np.ndarray | np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name


def _rms(graph: Nodes, x: str) -> str:
    mean = graph("ReduceMean", graph("Mul", x, x), axes=[-1])
    return graph("Div", x, graph("Sqrt", graph("Add", mean, 1e-5)))


def _l1(graph: Nodes, x: str) -> str:
    return graph("Div", x, graph("Max", graph("ReduceMean", graph("Abs", x), axes=[-1]), 1e-8))


def _silu(graph: Nodes, x: str) -> str:
    # A runtime's sigmoid of a large negative number may be 1e-8 instead of 0, which must not be multiplied with it.
    return graph("Mul", graph("Clip", x, -20.0), graph("Sigmoid", x))


def _gelu(graph: Nodes, x: str) -> str:
    """With tanh, as jax.nn.gelu has it; the operator Gelu came with opset 20."""
    y = graph("Clip", x, -10.0, 10.0)  # beyond, its tanh is ±1
    cubic = graph("Mul", y, graph("Add", graph("Mul", graph("Mul", y, y), 0.044715), 1.0))
    gate = graph("Add", graph("Tanh", graph("Mul", cubic, 0.7978845608)), 1.0)
    return graph("Mul", graph("Mul", graph("Clip", x, -10.0), 0.5), gate)


def _picture(graph: Nodes, x: str, axes: str, shape: str) -> str:
    order, size = (graph.constants.pop(name).astype(int) for name in (axes, shape))
    turned = graph("Transpose", x, perm=[0, *(order + 1).tolist()])
    return graph("Reshape", turned, graph.constant(np.array([0, *size], np.int64)))  # 0: as many as there are


def _convolution(graph: Nodes, x: str, weight: str, bias: str, stride: str) -> str:
    """ONNX has channels first."""
    steps, kernels = int(graph.constants.pop(stride)), graph.constants.pop(weight)
    kernels = graph.constant(np.ascontiguousarray(kernels.transpose(3, 2, 0, 1)))
    y = graph("Conv", graph("Transpose", x, perm=[0, 3, 1, 2]), kernels, bias, strides=[steps, steps])
    return graph("Transpose", y, perm=[0, 2, 3, 1])


def _part(graph: Nodes, x: str, begin: str, end: str, shape: str) -> str:
    size = graph.constants.pop(shape).astype(int)
    features = _features(graph, x, int(graph.constants.pop(begin)), int(graph.constants.pop(end)))
    return graph("Reshape", features, graph.constant(np.array([0, *size], np.int64)))


def _place(graph: Nodes, x: str, whole: str, begin: str, end: str) -> str:
    first, last = (int(graph.constants.pop(name)) for name in (begin, end))
    before = [] if first == 0 else [_features(graph, whole, 0, first)]
    return graph("Concat", *before, x, _features(graph, whole, last, np.iinfo(np.int64).max), axis=-1)


def _features(graph: Nodes, x: str, begin: int, end: int) -> str:
    bounds = [graph.constant(np.array([value], np.int64)) for value in (begin, end, 1)]
    return graph("Slice", x, *bounds)


STEPS: dict[str, Callable[..., str]] = {
    "bytes": lambda graph, x, high: graph("Div", x, high),
    "picture": _picture,
    "convolution": _convolution,
    "flatten": lambda graph, x: graph("Flatten", x, axis=1),
    "dense": lambda graph, x, weight, bias: graph("Gemm", x, weight, bias),
    "centre": lambda graph, x: graph("Sub", x, graph("ReduceMean", x, axes=[-1])),
    "rms": _rms,
    "l1": _l1,
    "standardise": lambda graph, x, mean, deviation: graph("Div", graph("Sub", x, mean), deviation),
    "affine": lambda graph, x, gain, offset: graph("Add", graph("Mul", x, gain), offset),
    "clip": lambda graph, x, low, high: graph("Min", graph("Max", x, low), high),
    "relu": lambda graph, x: graph("Relu", x),
    "tanh": lambda graph, x: graph("Tanh", x),
    "elu": lambda graph, x: graph("Elu", x),
    "silu": _silu,
    "gelu": _gelu,
}
