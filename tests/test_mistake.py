"""A user's mistake is one line and status 2; a bug of ours keeps its traceback, whatever its type."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddpg
from ddpg.cli import main
from ddpg.envs.gymnasium_factory import by_id
from ddpg.envs.python_vector import PythonVector
from ddpg.mistake import Mistake


def broadcast(*_: Any, **__: Any) -> Any:
    return np.zeros(2) + np.zeros(3)


def wrong_file(*_: Any, **__: Any) -> Any:
    raise FileNotFoundError("a file that only we know of")


COMMANDS = {
    "train": "ddpg.commands.train.train",
    "resume run": "ddpg.commands.train.resume",
    "eval run": "ddpg.commands.evaluate.evaluate_run",
    "plot run": "ddpg.commands.plot.plot_runs",
    "export run --format onnx": "ddpg.commands.export.export_run",
    "doctor Pendulum-v1": "ddpg.commands.doctor.doctor",
    "study ideas": "ddpg.commands.study.study",
    "presets": "ddpg.commands.presets.tables",
}


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("bug", [broadcast, wrong_file])
def test_a_bug_in_a_command_is_no_mistake_of_its_user(line: str, bug: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMANDS[line], bug)
    with pytest.raises((ValueError, OSError)) as error:
        main(line.split())
    assert not isinstance(error.value, Mistake)


def test_it_ends_the_process_with_a_traceback() -> None:
    code = """
import sys
import numpy as np
from ddpg.cli import main
from ddpg.commands import presets
presets.tables = lambda console: np.zeros(2) + np.zeros(3)
sys.exit(main(["presets"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "ValueError: operands could not be broadcast together" in done.stderr


LONG = 300 * "n"  # longer than a file system takes
UNUSABLE = [
    f"train --run {LONG}",
    f"train --run {LONG}/run",
    f"resume {LONG}",
    f"eval {LONG}",
    f"plot {LONG}",
    f"export {LONG} --format numpy",
    f"eval RUN --episodes 1 --video {LONG}.gif",
    f"eval RUN --episodes 1 --video {LONG}/film.gif",
    f"plot RUN -o {LONG}.png",
    f"export RUN --format numpy -o {LONG}.npz",
    f"export RUN --format hdf5 -o {LONG}.hdf5",
    f"export RUN --format onnx -o {LONG}.onnx",
]


@pytest.mark.parametrize("line", UNUSABLE)
def test_what_the_system_refuses_is_a_mistake(
    line: str, trained: ddpg.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(trained.path) if word == "RUN" else word for word in line.split()]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("ddpg: ")
    assert LONG in last
    assert os.strerror(errno.ENAMETOOLONG) in last or "cannot be written" in last
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
@pytest.mark.parametrize("line", ["presets", "eval RUN --episodes 1 --json"])
def test_a_full_device_is_a_mistake(line: str, trained: ddpg.Run) -> None:
    words = [str(trained.path) if word == "RUN" else word for word in line.split()]
    command = [sys.executable, "-m", "ddpg", *words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == "ddpg: stdout cannot be written (No space left on device); choose another file or device\n"
    assert done.returncode == 2


def test_processes_that_the_system_refuses_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("ddpg.envs.worker_processes.AsyncVectorEnv", refuse)
    with pytest.raises(Mistake, match=r"^worker processes cannot start \(Too many open files\); they need"):
        PythonVector(by_id("Pendulum-v1"), [0], 1, "async")
