"""A greedy policy as one ONNX graph, with the normaliser and the action's units inside (docs/export.md).

A dozen kinds of nodes, by onnx's own helper: converters of JAX's programs, such as jax2onnx, would install thirty
packages to write the same file.
"""

import json
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpg.algorithm.networks import Actor
from ddpg.algorithm.normaliser import RunningStats
from ddpg.mistake import Mistake
from ddpg.records.networks.npz import FORMAT, NORM_EPSILON, arrays_of
from ddpg.records.networks.standalone_policy import numbers_of, steps_of
from ddpg.types import Spec

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


OPSET, IR = 13, 7  # what onnxruntime reads since 1.7, of 2021


def check_onnx() -> None:
    """ValueError if the packages are missing that write an ONNX file and run it."""
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise Mistake(
            f"the format onnx needs {' and '.join(missing)}: pip install 'ddpg[onnx]', or choose --format numpy"
        )


def save_onnx(path: Path, actor: Actor, stats: RunningStats | None, spec: Spec) -> None:
    """Write it: `obs` ["batch", *obs] of the environment's dtype -> `action` ["batch", m] of float32."""
    path.write_bytes(model_of(arrays_of(actor, stats, spec)).SerializeToString())


def load_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """It in onnxruntime, on one thread: observations [b, *obs] -> actions [b, m]."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda obs: np.asarray(session.run(["action"], {"obs": obs})[0])


def model_of(arrays: dict[str, np.ndarray]) -> "ModelProto":
    """The graph that computes what records/npz_reader.py does, from the same arrays."""
    from onnx import checker, helper, numpy_helper

    graph = Nodes(arrays)
    low, high, limit = arrays["action_low"], arrays["action_high"], float(arrays["limit"])
    x = graph("Flatten", "obs", axis=1)
    if arrays["obs_dtype"] == "uint8":
        x = graph("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(np.float32)))
    x = graph("Sub", x, "shift") if arrays["shift"].any() else x
    x = graph("Div", x, "scale") if (arrays["scale"] != 1).any() else x
    x = graph("Clip", x, -limit, limit)
    kept: list[str] = []
    for step in steps_of(arrays):
        kind, _, i = step.partition("_")
        if kind == "dense":
            x = graph("Gemm", x, f"weight_{i}", f"bias_{i}")
        elif kind == "norm":
            x = _norm(graph, x, *(f"{name}_{i}" for name in numbers_of(step, arrays)))
        elif kind == "activation":
            x = ACTIVATIONS[str(arrays["activation"])](graph, x)
        elif kind == "keep":
            kept.append(x)
        else:
            x = graph("Add", x, kept.pop())
    x = graph("Tanh", x)
    x = graph("Add", graph("Mul", x, high / 2 - low / 2), low / 2 + high / 2)
    graph("Min", graph("Max", x, "action_low"), "action_high")
    graph.nodes[-1].output[0] = "action"

    def port(name: str, dtype: str, shape: list[int]) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["batch", *shape])

    made = helper.make_graph(
        graph.nodes,
        "policy",
        [port("obs", str(arrays["obs_dtype"]), arrays["obs_shape"].tolist())],
        [port("action", "float32", [low.size])],
        [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="ddpg",
        producer_version=version("ddpg"),
    )
    bounds = {name: json.dumps(arrays[name].tolist()) for name in ("action_low", "action_high")}
    helper.set_model_props(model, {"format": FORMAT, "format_version": str(arrays["format_version"]), **bounds})
    checker.check_model(model, full_check=True)
    return model


class Nodes:
    """Nodes in the order in which they are called for, and the constants that they use, some of them from `arrays`."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def __call__(self, op: str, *inputs: str | float | np.ndarray, **attributes: Any) -> str:
        """Add one; returns the name of what it answers."""
        from onnx import helper

        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        self.constants |= {name: self.arrays[name] for name in names if name in self.arrays}
        self.nodes.append(helper.make_node(op, names, [f"{op}_{len(self.nodes)}"], **attributes))
        return self.nodes[-1].output[0]

    def _constant(self, value: float | np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(value, np.float32)
        return name


def _norm(graph: Nodes, x: str, gain: str, offset: str, mean: str = "", deviation: str = "") -> str:
    """Of x itself where no mean and deviation are given; the operator LayerNormalization came with opset 17."""
    x = graph("Sub", x, mean or graph("ReduceMean", x, axes=[-1]))
    if not deviation:
        variance = graph("ReduceMean", graph("Mul", x, x), axes=[-1])
        deviation = graph("Sqrt", graph("Add", variance, float(NORM_EPSILON)))
    return graph("Add", graph("Mul", graph("Div", x, deviation), gain), offset)


def _silu(graph: Nodes, x: str) -> str:
    # A runtime's sigmoid of a large negative number may be 1e-8 instead of 0, which must not be multiplied with it.
    return graph("Mul", graph("Clip", x, -20.0), graph("Sigmoid", x))


def _gelu(graph: Nodes, x: str) -> str:
    """With tanh, as jax.nn.gelu has it; the operator Gelu came with opset 20."""
    y = graph("Clip", x, -10.0, 10.0)  # beyond, its tanh is ±1
    cubic = graph("Mul", y, graph("Add", graph("Mul", graph("Mul", y, y), 0.044715), 1.0))
    gate = graph("Add", graph("Tanh", graph("Mul", cubic, 0.7978845608)), 1.0)
    return graph("Mul", graph("Mul", graph("Clip", x, -10.0), 0.5), gate)


ACTIVATIONS: dict[str, Callable[[Nodes, str], str]] = {
    "relu": lambda graph, x: graph("Relu", x),
    "tanh": lambda graph, x: graph("Tanh", x),
    "elu": lambda graph, x: graph("Elu", x),
    "silu": _silu,
    "gelu": _gelu,
}
