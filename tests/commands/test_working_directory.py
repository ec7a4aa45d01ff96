"""Files are where they were asked for, though an environment changes the working directory."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import ddpg
from ddpg.cli import main
from tests.tiny import PAIR, words

SHORT = words(PAIR | {"steps": 400})


class Assets(gymnasium.Env):
    """Changes to the folder of its files when it is made, as simulators do."""

    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (2,))
    action_space: spaces.Space = spaces.Box(-1, 1, (1,))
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    t = 0

    def __init__(self, folder: str, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        os.chdir(folder)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.normal(size=2).astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self.np_random.normal(size=2).astype(np.float32), -float(action[0] ** 2), False, self.t >= 20, {}

    def render(self) -> Any:
        return np.full((8, 8, 3), self.t, np.uint8)


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the environment Assets-v0 changes to."""
    folder = tmp_path / "assets"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)  # and back, at the end
    gymnasium.register("Assets-v0", lambda **kwargs: Assets(str(folder), **kwargs), disable_env_checker=True)
    yield folder
    del gymnasium.registry["Assets-v0"]


def test_every_command_writes_where_it_was_called(assets: Path) -> None:
    here = assets.parent / "here"
    here.mkdir()
    for command in (
        ["train", "Assets-v0", *SHORT, "--run", "out"],
        ["train", "Assets-v0", *SHORT, "--seed", "1"],
        ["resume", "out", "--steps", "500"],
        ["eval", "out", "--episodes", "2", "--video", "film.gif"],
        ["plot", "out", "runs/Assets-v0-ddpg-1", "-o", "curves.png"],
        ["export", "out", "--format", "numpy", "-o", "policy.npz"],
    ):
        os.chdir(here)
        assert main(command) == 0, command
        assert (Path.cwd() == assets) == (command[0] in ("train", "resume", "eval"))
    os.chdir(here)
    ddpg.film("out", "python.gif")
    os.chdir(here)
    run = ddpg.train("Assets-v0", config=ddpg.load_config("out"), run="again")
    assert Path.cwd() == assets
    assert run.path == here / "again"
    names = {path.name for path in here.iterdir()}
    assert names == {"out", "runs", "film.gif", "curves.png", "policy.npz", "python.gif", "again"}
    assert [path.name for path in (here / "runs").iterdir()] == ["Assets-v0-ddpg-1"]
    for folder in (here / "out", here / "runs" / "Assets-v0-ddpg-1", here / "again"):
        assert {"summary.json", "policy.gif", "learning_curve.png"} <= {path.name for path in folder.iterdir()}
    assert not list(assets.iterdir())
