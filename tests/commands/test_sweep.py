"""`ddpg sweep`: from the command line to a preset that gives the same return."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import ddpg
from ddpg.cli import main
from ddpg.sweeps import trial
from tests.tiny import TINY

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def space(tmp_path: Path) -> str:
    fixed = "".join(f'"{path}" = "{value}"\n' for path, value in TINY.items())
    path = tmp_path / "space.toml"
    path.write_text(f'{fixed}"critic.lr" = {{low = 1e-3, high = 1e-2, log = true}}\ntau = [0.01, 0.02]\n')
    return str(path)


def command(space: str, folder: Path, trials: int) -> list[str]:
    return f"sweep Pendulum-v1 --space {space} --trials {trials} --steps 200 --seeds 2 -o {folder}".split()


def test_the_preset_gives_the_return_of_the_sweep(
    space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, real = tmp_path / "sweep", trial.train

    def interrupted(*args: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)

    assert main(command(space, folder, 1)) == 0
    with monkeypatch.context() as patch:
        patch.setattr("ddpg.sweeps.trial.train", interrupted)
        assert main(command(space, folder, 3)) == 130
    said = capsys.readouterr().err
    assert f"to go on: ddpg sweep Pendulum-v1 --space {space} --trials 3 --steps 200 --seeds 2 -o {folder}" in said
    assert main(command(space, folder, 3)) == 0
    assert main(command(space, tmp_path / "at-once", 3)) == 0
    rows, at_once = (_rows(path) for path in (folder, tmp_path / "at-once"))
    assert rows == at_once
    said = capsys.readouterr().err
    assert f"ddpg train Pendulum-v1 --preset {folder}/preset.json --seed 1000 --seeds 10\n" in said
    best = max(float(row[2]) for row in rows)
    run = ddpg.train("Pendulum-v1", preset=folder / "preset.json", run=tmp_path / "run", quiet=True)
    assert run.summary["iqm"] == best
    assert run.config.seeds == 2
    assert not list(folder.glob("trials/*/checkpoints/*.safetensors"))
    monkeypatch.setattr("ddpg.sweeps.trial.train", None)
    assert main(command(space, folder, 3)) == 0  # nothing is left to do
    assert (folder / "sweep.png").stat().st_size > 1000


def _rows(folder: Path) -> list[list[str]]:
    """Without the seconds."""
    rows = [line.split(",") for line in (folder / "trials.csv").read_text().splitlines()[1:]]
    return [row[:6] + row[7:] for row in rows]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sweep Pendulum-v1 --space missing.toml", ["missing.toml cannot be read"]),
        ("sweep Pendulum-v1 --space sac", ["space 'sac'", "ddpg, mujoco"]),
        ("sweep Pendulum-v1 --preset tdd3", ["unknown preset 'tdd3'", "did you mean td3"]),
        ("sweep Pendulum-v1 --preset missing.json", ["preset missing.json cannot be read"]),
        ("sweep Pendulum-v1 --steps 100", ["collect.warmup 1000 is longer than the run"]),
        ("sweep Pendulum-v1 --trials 0", ["--trials"]),
        ("sweep Pendulun-v1 --trials 1", ["Pendulun-v1"]),
    ],
)
def test_mistakes_are_one_line(
    line: str,
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(word in said for word in words), said


def test_without_optuna_one_line_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpg.sweeps.search.find_spec", lambda name: None)
    assert main(["sweep", "Pendulum-v1"]) == 2
    assert capsys.readouterr().err == "ddpg: a sweep needs optuna: pip install 'ddpg-jax[sweep]'\n"
