"""The .npz holds plain arrays, and the page that documents it has the reader, which needs NumPy alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from ddpg.algorithm.networks import Network, Plain, Residual
from ddpg.algorithm.normaliser import init_stats
from ddpg.records.networks import standalone_policy as npz_reader
from ddpg.records.networks.npz import arrays_of, save_npz, within
from ddpg.types import Spec

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
READER = ROOT / "src" / "ddpg" / "records" / "npz_reader.py"
SPEC = Spec(obs_shape=(2, 3), action_low=(-1.0, 0.0), action_high=(3.0, 0.5))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    actor = Network(widths=(5, 4)).actor(jax.random.key(0), SPEC)
    save_npz(tmp_path / "policy.npz", actor, init_stats(SPEC.obs_shape), SPEC)
    return tmp_path / "policy.npz"


def test_the_page_has_the_reader() -> None:
    source = READER.read_text(encoding="utf-8")
    assert f"```python\n{source}```\n" in PAGE
    imported = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imported] == ["import numpy as np"]


def test_every_array_is_documented_and_needs_no_pickle(file: Path) -> None:
    with np.load(file, allow_pickle=False) as arrays:
        found = {re.sub(r"_\d+$", "_i", name): arrays[name] for name in arrays.files}
    assert all(f"`{name}`" in PAGE for name in found)
    assert {array.dtype.kind for array in found.values()} <= set("fiU")
    assert (str(found["format"]), int(found["format_version"])) == ("ddpg-policy", 1)
    for block in (Plain("layer"), Plain("batch"), Residual()):
        arrays = arrays_of(Network(widths=(5, 5), block=block).actor(jax.random.key(0), SPEC), None, SPEC)
        found = {re.sub(r"_\d+$", "_i", name): array for name, array in arrays.items()}
        assert all(f"`{name}`" in PAGE for name in found)
        assert all(f"`{word.rpartition('_')[0]}_i`" in PAGE for word in str(found["steps"]).split() if "_" in word)
        assert {array.dtype.kind for array in found.values()} <= set("fiU")
        assert int(found["format_version"]) == 2
        for name, array in npz_reader.numbers_of("norm_0", arrays).items():
            assert array.dtype == np.float32, name


def test_steps_are_those_of_the_layers() -> None:
    said = {
        Plain("layer"): "dense_0 norm_0 activation dense_1",
        Plain("batch"): "norm_0 dense_0 norm_1 activation dense_1",
        Residual(): "dense_0 keep norm_0 dense_1 activation dense_2 add norm_1 dense_3",
    }
    for block, steps in said.items():
        arrays = arrays_of(Network(widths=(5,), block=block).actor(jax.random.key(0), SPEC), None, SPEC)
        assert (str(arrays["steps"]), npz_reader.steps_of(arrays)) == (steps, steps.split())
        assert ("mean_0" in arrays) == (block == Plain("batch"))
    plain = arrays_of(Network(widths=(5,)).actor(jax.random.key(0), SPEC), None, SPEC)
    assert "steps" not in plain
    assert npz_reader.steps_of(plain) == ["dense_0", "activation", "dense_1"]


def test_a_step_that_the_reader_does_not_know_is_refused_in_one_line() -> None:
    arrays = arrays_of(Network(widths=(5,), block=Residual()).actor(jax.random.key(0), SPEC), None, SPEC)
    with pytest.raises(ValueError, match=r"steps \['attention'\] are not known here; use the reader of") as error:
        npz_reader.policy_of(arrays | {"steps": np.array(f"{arrays['steps']} attention_0")})
    assert "\n" not in str(error.value)


def test_a_copy_of_the_reader_runs_on_its_own(file: Path) -> None:
    (file.parent / "reader.py").write_bytes(READER.read_bytes())
    code = "import sys; sys.path.insert(0, '.'); import reader, numpy as np; "
    code += "print(reader.load('policy.npz')(np.zeros((2, 3))).tolist()); assert 'ddpg' not in sys.modules"
    said = subprocess.run([sys.executable, "-I", "-c", code], cwd=file.parent, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    np.testing.assert_allclose(ast.literal_eval(said.stdout), npz_reader.load(file)(np.zeros((2, 3))))


def test_one_observation_or_a_batch_of_them(file: Path) -> None:
    policy = npz_reader.load(file)
    obs = np.random.default_rng(0).normal(size=(5, 2, 3))
    actions = policy(obs)
    assert (actions.shape, actions.dtype) == ((5, 2), np.float32)
    for one, action in zip(obs, actions, strict=True):
        np.testing.assert_allclose(policy(one), action, rtol=1e-5)
    assert policy(obs[:0]).shape == (0, 2)
    for wrong in (np.zeros(3), np.zeros((3, 2)), np.zeros((1, 1, 2, 3)), 0.0):
        with pytest.raises(ValueError, match=r"expected \(2, 3\) or a batch of them"):
            policy(wrong)


def test_another_version_is_refused(file: Path) -> None:
    arrays = arrays_of(Network(widths=(5,)).actor(jax.random.key(0), SPEC), None, SPEC)
    for change in ({"format_version": np.array(3)}, {"format": np.array("another")}):
        with pytest.raises(ValueError, match="expected ddpg-policy of version 1 or 2"):
            npz_reader.policy_of(arrays | change)
    np.savez(file, a=np.zeros(1))
    with pytest.raises(ValueError, match="None of version 0, expected ddpg-policy"):
        npz_reader.load(file)


def test_bounds_of_32_bits_are_within_those_of_64() -> None:
    spec = Spec((1,), (-0.3, 0.1, -1.0), (0.1, 0.3, 1.0))
    low, high = within(spec)
    assert low.dtype == high.dtype == np.float32
    assert (np.float64(low) >= spec.action_low).all()
    assert (np.float64(high) <= spec.action_high).all()
    np.testing.assert_allclose([low, high], [spec.action_low, spec.action_high], rtol=1e-7)
    assert (low[2], high[2]) == (-1, 1)
