"""What benchmarks/gpu.py does on a machine with an accelerator, in tiny sizes."""

import importlib.util
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_its_parts_in_small(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("gpu", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    gpu: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gpu)
    tiny = gpu.SMALL | {"actor.widths": (8,), "critic.widths": (8,)}
    said = gpu.speed("ddpg", tiny, 2)
    assert said["seeds"] == 2
    assert said["updates_per_second"] == said["steps_per_second"] > 0
    pixels = {"pixels.size": 16, "encoder.filters": (4,), "encoder.strides": (2,), "encoder.kernels": (3,)}
    task = gpu.task(tiny | pixels | {"steps": 2_100}, time.monotonic() + 600)
    assert task["optimum"] > task["curve"][-1]["return"]
    assert max(gpu.convolution().values()) < 1e-5
    assert gpu.machine()["devices"] >= 1
