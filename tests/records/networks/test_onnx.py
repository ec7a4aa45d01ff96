"""The ONNX file by what it says of itself: its ports, its versions, and what onnxruntime makes of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.layers import ACTIVATIONS
from ddpg.algorithm.nets import GreedyPolicy
from ddpg.algorithm.networks import NetworkConfig, Plain, Residual
from ddpg.algorithm.normaliser import byte_scale, init_stats
from ddpg.records.networks.onnx import save_onnx
from ddpg.records.networks.steps import arrays_of, policy_steps
from ddpg.types import Spec
from tests.networks import random_nets

SPEC = Spec(obs_shape=(2, 3), action_low=(-1.0, 0.0), action_high=(3.0, 0.5))
PIXELS = Spec(obs_shape=(4, 4), action_low=(-1.0,), action_high=(1.0,), obs_dtype="uint8")
# What docs/export.md lists; every one of them older than opset 13.
LISTED = {"Flatten", "Cast", "Sub", "Div", "Clip", "Gemm", "Relu", "Tanh", "Elu", "Sigmoid", "Mul", "Add", "Max", "Min"}
LISTED |= {"ReduceMean", "Sqrt"}
PAGE = (Path(__file__).parents[3] / "docs" / "export.md").read_text(encoding="utf-8")


def written(
    path: Path,
    spec: Spec = SPEC,
    activation: Any = "relu",
    normalise: bool = False,
    block: Plain | Residual | None = None,
) -> onnx.ModelProto:
    actor = NetworkConfig(widths=(5,), activation=activation, block=block or Plain())
    nets = random_nets(DPG(actor=actor), spec)
    stats = init_stats(spec.obs_shape) if normalise else byte_scale(spec)
    save_onnx(path, arrays_of(policy_steps(GreedyPolicy(stats, nets.encoder, nets.actor), spec), spec))
    return onnx.load(path)


def test_versions_and_metadata(tmp_path: Path) -> None:
    model = written(tmp_path / "policy.onnx")
    assert (model.ir_version, [(each.domain, each.version) for each in model.opset_import]) == (7, [("", 13)])
    said = {each.key: each.value for each in model.metadata_props}
    assert (said["format"], said["format_version"]) == ("ddpg-network", "2")
    assert (json.loads(said["action_low"]), json.loads(said["action_high"])) == ([-1, 0], [3, 0.5])
    assert model.producer_name == "ddpg"


@pytest.mark.parametrize("spec", [SPEC, PIXELS], ids=["float32", "uint8"])
def test_one_input_and_one_output_of_any_batch(spec: Spec, tmp_path: Path) -> None:
    written(tmp_path / "policy.onnx", spec)
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    (obs,), (action,) = session.get_inputs(), session.get_outputs()
    assert (obs.name, obs.shape) == ("obs", ["batch", *spec.obs_shape])
    assert obs.type == ("tensor(uint8)" if spec.obs_dtype == "uint8" else "tensor(float)")
    assert (action.name, action.shape, action.type) == ("action", ["batch", spec.action_dim], "tensor(float)")
    for batch in (1, 7):
        (said,) = session.run(None, {"obs": np.zeros((batch, *spec.obs_shape), spec.obs_dtype)})
        assert np.asarray(said).shape == (batch, spec.action_dim)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nodes_are_those_documented_and_every_constant_is_used(activation: str, tmp_path: Path) -> None:
    assert all(node in PAGE for node in LISTED)
    for spec, normalise in ((SPEC, True), (PIXELS, False)):
        graph = written(tmp_path / "policy.onnx", spec, activation, normalise).graph
        assert {node.op_type for node in graph.node} <= LISTED
        assert {each.name for each in graph.initializer} <= {name for node in graph.node for name in node.input}


@pytest.mark.parametrize("block", [Plain("layer"), Plain("batch"), Residual()], ids=["layer", "batch", "residual"])
def test_other_layers_are_of_the_same_nodes(block: Plain | Residual, tmp_path: Path) -> None:
    model = written(tmp_path / "policy.onnx", block=block)
    assert {node.op_type for node in model.graph.node} <= LISTED
    names = {name for node in model.graph.node for name in node.input}
    assert {each.name for each in model.graph.initializer} <= names
    assert "dense_0/weight" in names
    assert [each.version for each in model.opset_import] == [13]
