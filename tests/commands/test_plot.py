"""Which runs become one curve."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpg.commands.plot import plot_runs
from ddpg.config.file import write_config
from ddpg.config.presets import HOST_STEPS, PRESETS, host_defaults
from ddpg.config.reading import override
from ddpg.mistake import Mistake
from ddpg.records.log import Log
from ddpg.records.plot import Curve


def written(folder: Path, options: dict[str, object], preset: str = "article", gap: float | None = None) -> Path:
    """A run folder as training leaves it, without the training."""
    config = override(PRESETS[preset], options)
    folder.mkdir()
    write_config(config, folder / "config.json")
    seeds = range(config.seed, config.seed + config.seeds)
    known = {} if gap is None else {"gap_to_optimum": np.full(len(seeds), gap)}
    with Log(folder / "metrics.jsonl", folder / "tensorboard", {}) as log:
        for step in (1000, 2000):
            point: Any = {"step": step, "seeds": tuple(seeds), "return": -200.0 - np.array(seeds)} | known
            log(point)
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """What would be drawn: label -> returns [seeds, steps]."""
    found: dict[str, np.ndarray] = {}
    monkeypatch.setattr(
        "ddpg.commands.plot.learning_curve",
        lambda curves, *_: found.update({curve.label: curve.returns for curve in curves}),
    )
    return found


TABLE = """,exp_name,env_name,seed,metric,env_step,value
0,TD7,Pendulum-v1,1,avg_return,1000,-300
1,TD7,Pendulum-v1,1,avg_return,2000,-200
2,TD7,Pendulum-v1,2,avg_return,2000,-210.5
3,TD7,Pendulum-v1,2,success,2000,1
4,article,Pendulum-v1,1,avg_return,2000,
5,TD7,Walker2d-v4,1,avg_return,2000,99
"""


MEANS = """exp_name,env_name,seed,metric,env_step,value
TD3,Hopper-v4,mean,avg_return,1000,300.0
TD3,Hopper-v4,mean,avg_return,2000,400.0
TD3,Hopper-v4,mean,std,2000,50.0
SAC,Hopper-v4,0,avg_return,2000,500.0
"""


def test_published_means_have_their_deviation_and_are_no_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, again = tmp_path / "means.csv", tmp_path / "again.csv"
    table.write_text(MEANS)
    plot_runs([table], again)
    assert again.read_text() == MEANS
    curves = dict[str, Curve]()
    monkeypatch.setattr(
        "ddpg.commands.plot.learning_curve",
        lambda drawn, *_: curves.update({curve.label: curve for curve in drawn}),
    )
    plot_runs([again], tmp_path / "a.png")
    assert curves["TD3"].deviation is not None
    np.testing.assert_array_equal(curves["TD3"].deviation, [np.nan, 50])
    assert curves["SAC"].deviation is None


def test_tables_of_others_are_drawn_beside(tmp_path: Path, drawn: dict[str, np.ndarray]) -> None:
    run, table = written(tmp_path / "run", {}), tmp_path / "others.csv"
    table.write_text(TABLE)
    plot_runs([run, table], tmp_path / "a.png")
    assert list(drawn) == ["article", "TD7", "article (2)"]
    np.testing.assert_array_equal(drawn["TD7"], [[-300, -200], [np.nan, -210.5]])
    drawn.clear()
    plot_runs([table], tmp_path / "a.png", env="Walker2d-v4")
    assert {label: returns.tolist() for label, returns in drawn.items()} == {"TD7": [[99]]}
    drawn.clear()
    plot_runs([table], tmp_path / "a.png", env="Pendulum-v1", metric="success")
    assert {label: returns.tolist() for label, returns in drawn.items()} == {"TD7": [[1]]}


def test_a_table_that_is_written_is_read_again(tmp_path: Path, drawn: dict[str, np.ndarray]) -> None:
    run, table = written(tmp_path / "run", {"seeds": 2}), tmp_path / "new" / "own.csv"
    plot_runs([run], table)
    assert table.read_text().splitlines()[:2] == [
        "exp_name,env_name,seed,metric,env_step,value",
        "article,Pendulum-v1,0,avg_return,1000,-200.0",
    ]
    plot_runs([table], tmp_path / "a.png")
    assert {label: returns.tolist() for label, returns in drawn.items()} == {"article": [[-200] * 2, [-201] * 2]}


@pytest.mark.parametrize(
    ("text", "named", "line"),
    [
        ("a,b\n1,2\n", {}, "no column exp_name, env_name, seed, metric, env_step, value"),
        (TABLE.splitlines()[0], {}, "no rows"),
        (TABLE.replace("-210.5", "much"), {}, "line 4: env_step '2000', value 'much'"),
        (TABLE.replace("1000", "inf"), {}, "line 2: env_step 'inf'"),
        (TABLE.replace("1000", "0.5"), {}, "line 2: env_step '0.5'"),
        (TABLE.replace("-300", "inf"), {}, "value 'inf'"),
        ("a" * 200_000, {}, "field larger than"),
        (TABLE, {}, "has 2 environments; choose one with --env, such as Pendulum-v1"),
        (TABLE, {"env": "Ant-v4"}, "has no Ant-v4, but Pendulum-v1, Walker2d-v4"),
        (
            TABLE,
            {"env": "Pendulum-v1", "metric": "speed"},
            "has no metric speed of Pendulum-v1, but avg_return, success",
        ),
        (None, {}, "no such file"),
    ],
)
def test_tables_that_say_too_little(tmp_path: Path, text: str | None, named: dict[str, str], line: str) -> None:
    if text is not None:
        (tmp_path / "a.csv").write_text(text)
    with pytest.raises(Mistake, match=line):
        plot_runs([tmp_path / "a.csv"], tmp_path / "a.png", **named)


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
    write_config(replace(PRESETS["article"], env="my-own"), run / "config.json")
    plot_runs([run], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


@pytest.mark.parametrize(("gaps", "optimum"), [([60.0], -140.0), ([60.0, 60.0], -140.0), ([60.0, None], None)])
def test_an_optimum_is_drawn_where_every_run_knew_it(
    gaps: list[float | None], optimum: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optima = list[float | None]()
    monkeypatch.setattr("ddpg.commands.plot.learning_curve", lambda *given: optima.append(given[-1]))
    runs = [written(tmp_path / str(i), {"seed": i}, gap=gap and gap + i) for i, gap in enumerate(gaps)]
    plot_runs(runs, tmp_path / "a.png")
    assert optima == [optimum]


def test_a_run_that_python_stepped_is_its_preset(tmp_path: Path, drawn: dict[str, np.ndarray]) -> None:
    def stepped(name: str, given: dict[str, object]) -> Path:
        asked = override(PRESETS["ddpg"], {"steps": 4000} | given)
        return written(tmp_path / name, {"steps": 4000, **host_defaults(asked, given)}, "ddpg")

    runs = {
        "registered": {"env": "MountainCarContinuous-v0"},
        "chosen": {"env": "gym:Pendulum-v1"},
        "module": {"env": "room:Room-v0", "eval.episodes": 3},
        "own": {"env": "Room"},
        "four": {"env": "Room", "collect.envs": 4},
        "turns": {"env": "gym:Pendulum-v1", "collect.steps": 10},
        "updates": {"env": "gym:Pendulum-v1", "collect.updates": 9},
    }
    for name, given in runs.items():
        plot_runs([stepped(name, given)], tmp_path / "a.png")
    assert list(drawn) == ["ddpg", "ddpg, collect.envs 4", "ddpg, collect.steps 10", "ddpg, collect.updates 900"]


def test_compiled_and_gymnasiums_side_by_side(tmp_path: Path, drawn: dict[str, np.ndarray]) -> None:
    turns: dict[str, object] = {"collect.steps": HOST_STEPS, "collect.updates": HOST_STEPS}
    runs = [written(tmp_path / "a", {}, "ddpg"), written(tmp_path / "b", {"env": "gym:Pendulum-v1"} | turns, "ddpg")]
    plot_runs(runs, tmp_path / "a.png")
    assert list(drawn) == ["ddpg, Pendulum-v1", "ddpg, gym:Pendulum-v1"]
    with pytest.raises(ValueError, match="runs of different environments"):
        plot_runs([runs[0], written(tmp_path / "c", {"env": "MountainCarContinuous-v0"})], tmp_path / "a.png")
