"""Whatever is in a file, its reader loads it or says in one line why not; benchmarks/fuzz.py tries more of them."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

WHERE = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"
TARGETS, INPUTS = ("config", "metrics", "networks", "checkpoint"), 50

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and devices are those of Unix")


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The benchmark, with its folders among those of the tests."""
    spec = importlib.util.spec_from_file_location("fuzz", WHERE)
    assert spec
    assert spec.loader
    module = sys.modules["fuzz"] = importlib.util.module_from_spec(spec)  # where dataclasses look for their module
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("fuzz")
    vars(module)["home"] = lambda: folder
    return module


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what NumPy says of a stranger's numbers
def test_loaded_or_refused_in_one_line(target: str, fuzz: ModuleType) -> None:
    @settings(max_examples=INPUTS)
    @given(st.integers(0, 2**32))
    def check(number: int) -> None:
        outcome, said = fuzz.verdict(fuzz.TARGETS[target].read, fuzz.made(target, number, seed=1))
        assert outcome in ("loaded", "refused"), said
        found[outcome] += 1

    found = {"loaded": 0, "refused": 0}
    check()
    assert min(found.values()) > INPUTS // 20  # neither is all that ever happens


def test_an_id_in_a_folder_imports_no_module(fuzz: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(fuzz.home() / fuzz.OUTSIDE)
    for number in range(100):
        fuzz.verdict(fuzz.TARGETS["environment"].read, fuzz.made("environment", number, seed=1))
    assert fuzz.CANARY not in sys.modules
    # It could have been.
    assert importlib.util.find_spec(fuzz.CANARY) is not None
