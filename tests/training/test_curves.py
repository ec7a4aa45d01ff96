"""Which runs become one curve."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpg.records.log import Log
from ddpg.training import config as configuration
from ddpg.training.config import override
from ddpg.training.curves import plot_runs
from ddpg.training.presets import PRESETS


def written(folder: Path, options: dict[str, object], preset: str = "article") -> Path:
    """A run folder as training leaves it, without the training."""
    config = override(PRESETS[preset], options)
    folder.mkdir()
    configuration.write(config, folder / "config.json")
    seeds = range(config.seed, config.seed + config.seeds)
    with Log(folder, seeds) as log:
        for step in (1000, 2000):
            log.write(step, [{"step": step, "seed": seed, "return": -200.0 - seed} for seed in seeds])
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """What would be drawn: label -> returns [seeds, steps]."""
    found: dict[str, np.ndarray] = {}
    monkeypatch.setattr(
        "ddpg.training.curves.learning_curve",
        lambda curves, *_: found.update({curve.label: curve.returns for curve in curves}),
    )
    return found


def test_runs_of_the_same_options_are_one_curve(tmp_path: Path, drawn: dict[str, np.ndarray]) -> None:
    runs = [written(tmp_path / str(seed), {"seed": seed, "seeds": 2}) for seed in (0, 2)]
    plot_runs(runs, tmp_path / "a.png")
    assert {label: returns.shape for label, returns in drawn.items()} == {"article": (4, 2)}


def test_runs_of_other_options_are_other_curves(tmp_path: Path, drawn: dict[str, np.ndarray]) -> None:
    changes = [
        {},
        {"exploration.schedule": "constant"},
        {"exploration": "ou", "exploration.theta": 0.15},
        {"exploration": "ou", "exploration.theta": 0.5},
        {"exploration.schedule": "linear", "exploration.schedule.steps": 500},
        {"actor.lr": 1e-4},
    ]
    plot_runs([written(tmp_path / str(i), change) for i, change in enumerate(changes)], tmp_path / "a.png")
    assert list(drawn) == [
        "article",
        "article, exploration.schedule constant",
        "article, exploration ou, exploration.schedule constant",
        "article, exploration ou, exploration.schedule constant, exploration.theta 0.5",
        "article, exploration.schedule linear, exploration.schedule.steps 500",
        "article, actor.lr 0.0001",
    ]


def test_a_seed_is_not_counted_twice(tmp_path: Path) -> None:
    runs = [written(tmp_path / name, {"seed": 1}) for name in "ab"]
    with pytest.raises(ValueError, match="holds seed 1 of article a second time"):
        plot_runs(runs, tmp_path / "a.png")


def test_a_run_of_an_unknown_environment_has_no_optimum(tmp_path: Path) -> None:
    run = written(tmp_path / "run", {})
    (run / "config.json").unlink()
    configuration.write(replace(PRESETS["article"], env="my-own"), run / "config.json")
    plot_runs([run], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "known"),
    [({}, True), ({"env_args": "g=9.8"}, False), ({"action_repeat": 2}, False), ({"env": "gym:Pendulum-v1"}, False)],
)
def test_an_optimum_is_drawn_only_of_the_very_environment(
    options: dict[str, object], known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optima = list[float | None]()
    monkeypatch.setattr("ddpg.training.curves.learning_curve", lambda *given: optima.append(given[-1]))
    plot_runs([written(tmp_path / "run", options)], tmp_path / "a.png")
    assert [optimum is not None for optimum in optima] == [known]
