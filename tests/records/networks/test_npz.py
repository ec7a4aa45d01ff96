"""The .npz holds plain arrays, and the page that documents it has the reader, which needs NumPy alone."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.nets import GreedyPolicy
from ddpg.algorithm.networks import NetworkConfig, Residual
from ddpg.algorithm.normaliser import init_stats
from ddpg.records.networks import standalone_policy
from ddpg.records.networks.npz import save_npz
from ddpg.records.networks.steps import arrays_of, policy_steps
from ddpg.types import Spec
from tests.networks import random_nets

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
READER = ROOT / "src" / "ddpg" / "records" / "networks" / "standalone_policy.py"
SPEC = Spec(obs_shape=(2, 3), action_low=(-1.0, 0.0), action_high=(3.0, 0.5))


def arrays(**fields: Any) -> dict[str, Any]:
    nets = random_nets(DPG(actor=NetworkConfig(**{"widths": (5, 4), **fields})), SPEC)
    return arrays_of(policy_steps(GreedyPolicy(init_stats(SPEC.obs_shape), nets.encoder, nets.actor), SPEC), SPEC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_npz(tmp_path / "policy.npz", arrays())
    return tmp_path / "policy.npz"


def test_the_page_has_the_reader() -> None:
    source = READER.read_text(encoding="utf-8")
    assert f"```python\n{source}```\n" in PAGE
    imported = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imported] == ["import json", "import numpy as np"]


def test_every_array_is_documented_and_needs_no_pickle(file: Path) -> None:
    with np.load(file, allow_pickle=False) as found:
        assert found.files == list(arrays())
        assert all(f"`{name}`" in PAGE for name in found.files if "/" not in name or name == "dense_0/weight")
        assert {found[name].dtype.kind for name in found.files} <= set("fiU")
        assert {found[name].dtype.name for name in found.files if "/" in name} == {"float32"}
        assert (str(found["format"]), int(found["format_version"])) == ("ddpg-network", 2)


def test_a_step_that_the_reader_does_not_know_is_refused_in_one_line() -> None:
    known = arrays(widths=(5,), block=Residual())
    with pytest.raises(ValueError, match=r"steps \['attention'\] are not known here; use the reader of") as error:
        standalone_policy.policy_of(known | {"steps": f"{known['steps']} attention_0"})
    assert "\n" not in str(error.value)


def test_a_copy_of_the_reader_runs_on_its_own(file: Path) -> None:
    (file.parent / "reader.py").write_bytes(READER.read_bytes())
    code = "import sys; sys.path.insert(0, '.'); import reader, numpy as np; "
    code += "print(reader.load('policy.npz')(np.zeros((2, 3))).tolist()); assert 'ddpg' not in sys.modules"
    said = subprocess.run([sys.executable, "-I", "-c", code], cwd=file.parent, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    np.testing.assert_allclose(ast.literal_eval(said.stdout), standalone_policy.load(file)(np.zeros((2, 3))))


def test_one_observation_or_a_batch_of_them(file: Path) -> None:
    policy = standalone_policy.load(file)
    obs = np.random.default_rng(0).normal(size=(5, 2, 3))
    actions = policy(obs)
    assert (actions.shape, actions.dtype) == ((5, 2), np.float32)
    for one, action in zip(obs, actions, strict=True):
        np.testing.assert_allclose(policy(one), action, rtol=1e-5)
    np.testing.assert_array_equal(policy(obs.tolist()), actions)
    assert policy(obs[:0]).shape == (0, 2)
    for wrong in (np.zeros(3), np.zeros((3, 2)), np.zeros((1, 1, 2, 3)), 0.0):
        with pytest.raises(ValueError, match=r"expected \(2, 3\) or a batch of them"):
            policy(wrong)


def test_another_version_is_refused(file: Path) -> None:
    for change in ({"format_version": 1}, {"format": "another"}):
        with pytest.raises(ValueError, match="expected ddpg-network of version 2"):
            standalone_policy.policy_of(arrays() | change)
    np.savez(file, a=np.zeros(1))
    with pytest.raises(ValueError, match="None of version 0, expected ddpg-network"):
        standalone_policy.load(file)
