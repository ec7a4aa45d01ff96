"""`ddpg compare`: what is compared, what is refused in one line, and what is written."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddpg
from ddpg import cli
from ddpg.config.file import write_config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.records.statistics import summary

EVERY = 1000


def written(folder: Path, returns: Sequence[Sequence[float | None]], preset: str = "ddpg", **options: object) -> Path:
    """A run folder as training leaves it: the returns [seeds, points] were measured every thousand steps."""
    named = {name.replace("__", "."): value for name, value in options.items()}
    config = override(PRESETS[preset], {"seeds": len(returns), **named})
    folder.mkdir()
    write_config(config, folder / "config.json")
    records = [
        {"step": (i + 1) * EVERY, "seed": seed, "return": of_seed[i]}
        for i in range(len(returns[0]))
        for seed, of_seed in zip(config.seed_range, returns, strict=True)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def around(level: float, seeds: int = 5, points: int = 3, seed: int = 0) -> list[list[float]]:
    return (np.random.default_rng(seed).normal(level, 1, (seeds, points))).tolist()


def table(path: Path, agents: Sequence[str], envs: Sequence[str], seeds: int = 5) -> Path:
    random = np.random.default_rng(len(agents))
    rows = [
        f"{agent},{env},{seed},avg_return,{step},{random.normal(i)}"
        for i, agent in enumerate(agents)
        for env in envs
        for seed in range(seeds)
        for step in (EVERY, 2 * EVERY)
    ]
    path.write_text("\n".join(["exp_name,env_name,seed,metric,env_step,value", *rows]) + "\n")
    return path


def test_two_presets_in_one_environment(tmp_path: Path) -> None:
    low, high = around(-150), around(-140, seed=1)
    runs = [written(tmp_path / "a", low), written(tmp_path / "b", high, "article")]
    found = ddpg.compare(runs)
    assert found["algorithms"] == ["ddpg", "article"]
    assert found["scale"] is None
    assert found["overall"] == {
        key: found["environments"]["Pendulum-v1"][key] for key in ("algorithms", "pairs", "curve")
    }
    own, last = found["overall"]["algorithms"]["ddpg"], np.array(low)[:, -1]
    assert own["scores"] == last.tolist()
    assert {key: own[key] for key in ("iqm", "ci_low", "ci_high", "mean")} == pytest.approx(
        {key: summary(last)[key] for key in ("iqm", "ci_low", "ci_high", "mean")}
    )  # as in summary.json
    [pair] = found["overall"]["pairs"]
    assert (pair["x"], pair["y"], pair["better"]) == ("ddpg", "article", "article")
    assert (pair["probability_of_improvement"], pair["p"]) == (0.0, pytest.approx(2 / 252))


def test_runs_with_the_same_options_are_seeds_and_labels_set_them_apart(tmp_path: Path) -> None:
    runs = [written(tmp_path / str(i), around(-150, seed=i), seed=5 * i) for i in range(2)]
    together = ddpg.compare(runs)
    assert len(together["overall"]["algorithms"]["ddpg"]["scores"]) == 10
    assert together["overall"]["pairs"] == []
    assert any("a label before a run" in note for note in together["notes"])
    assert ddpg.compare([f"old={runs[0]}", f"new={runs[1]}"])["algorithms"] == ["old", "new"]
    assert ddpg.compare({"old": runs[0], "new": [runs[1]]})["algorithms"] == ["old", "new"]


def test_tables_of_others_and_several_environments(tmp_path: Path) -> None:
    envs = ["Hopper-v4", "Ant-v4"]
    path = table(tmp_path / "others.csv", ["TD7", "MR.Q", "SAC"], envs)
    found = ddpg.compare([path], reference={"Hopper-v4": (0.0, 2.0), "Ant-v4": (-1.0, 1.0)})
    assert list(found["environments"]) == envs
    assert found["scale"] == {"Hopper-v4": [0.0, 2.0], "Ant-v4": [-1.0, 1.0]}
    raw = found["environments"]["Ant-v4"]["algorithms"]["SAC"]["scores"]
    assert found["overall"]["algorithms"]["SAC"]["scores"][1] == pytest.approx([(x + 1) / 2 for x in raw])
    assert len(found["overall"]["pairs"]) == 3
    assert any("does not say how it evaluated" in note for note in found["notes"])
    alone = ddpg.compare([path], env="Ant-v4")
    assert list(alone["environments"]) == ["Ant-v4"]
    run = written(tmp_path / "run", around(0), env="Hopper-v4")
    found = ddpg.compare([f"ours={run}", path])
    assert (found["algorithms"], list(found["environments"])) == (["ours", "TD7", "MR.Q", "SAC"], ["Hopper-v4"])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"eval__episodes": 10}, "eval.episodes 100 and 10; train both with the same --eval.episodes"),
        ({"eval__seed": 3}, "eval.seed 0 and 3"),
        ({"action_repeat": 2}, "action_repeat 1 and 2"),
        ({"env": "gym:Pendulum-v1"}, "compiled and Gymnasium's draw other starts; train both with gym:Pendulum-v1"),
        ({"env": "gym:Pendulum-v1", "env_args": ["g=5"]}, "env-args none and g=5"),
        ({"env": "Pendulum-v0"}, "ddpg was run in Pendulum-v1, article in Pendulum-v0: versions of an environment"),
        ({"env": "Hopper-v5"}, " was not run in Pendulum-v1; expected every algorithm in every environment"),
    ],
)
def test_what_is_not_comparable_is_refused(tmp_path: Path, options: dict[str, Any], line: str) -> None:
    runs = [written(tmp_path / "a", around(-150)), written(tmp_path / "b", around(-140), "article", **options)]
    with pytest.raises(ddpg.Mistake, match=r"^[^\n]+$") as refused:
        ddpg.compare(runs)
    assert line in str(refused.value)


def test_what_several_environments_lack_is_named(tmp_path: Path) -> None:
    runs = [table(tmp_path / "a.csv", ["A"], ["one", "two"]), table(tmp_path / "b.csv", ["B"], ["two", "three"])]
    with pytest.raises(ddpg.Mistake, match=r"B was not run in one; .*; leave it out with --env two"):
        ddpg.compare(runs)
    assert list(ddpg.compare(runs, env=["two"])["environments"]) == ["two"]
    with pytest.raises(ddpg.Mistake, match=r"a.csv has no three, but one, two"):
        ddpg.compare(runs, env="three")


def test_seeds_are_not_counted_twice_and_share_their_options(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a", around(-150)), written(tmp_path / "b", around(-140))
    with pytest.raises(ddpg.Mistake, match=r"holds seed 0 of ddpg in Pendulum-v1 a second time; .* such as other="):
        ddpg.compare([a, b])
    other = written(tmp_path / "c", around(-140), seed=5, actor__lr=1e-4)
    with pytest.raises(ddpg.Mistake, match=r"are both x, but differ in actor.lr"):
        ddpg.compare({"x": [a, other]})
    path = table(tmp_path / "t.csv", ["ddpg"], ["Pendulum-v1"])
    with pytest.raises(ddpg.Mistake, match="expected one table, or runs"):
        ddpg.compare([a, path])
    several = table(tmp_path / "u.csv", ["A", "B"], ["Pendulum-v1"])
    with pytest.raises(ddpg.Mistake, match=r"the table has 2 algorithms \(A, B\); leave the label out"):
        ddpg.compare([f"x={several}"])
    path.write_text("exp_name,env_name,seed,metric,env_step,value\nTD3,Pendulum-v1,mean,avg_return,1000,-150\n")
    with pytest.raises(ddpg.Mistake, match="TD3 in Pendulum-v1 has means over seeds alone"):
        ddpg.compare([path, several])


def test_the_last_step_that_all_have_or_the_one_asked_for(tmp_path: Path) -> None:
    longer, shorter = around(-150, points=5), around(-140, points=3)
    runs = [written(tmp_path / "a", longer), written(tmp_path / "b", shorter, "article")]
    found = ddpg.compare(runs)
    assert found["environments"]["Pendulum-v1"]["step"] == 3 * EVERY
    assert "Pendulum-v1: compared at step 3 000, the last that all have; ddpg went on" in found["notes"]
    earlier = ddpg.compare(runs, step=2 * EVERY)
    assert earlier["overall"]["algorithms"]["ddpg"]["scores"] == np.array(longer)[:, 1].tolist()
    assert earlier["overall"]["curve"]["step"] == [EVERY, 2 * EVERY]
    with pytest.raises(ddpg.Mistake, match="--step 2500: not every seed in Pendulum-v1 was evaluated then"):
        ddpg.compare(runs, step=2500)


def test_a_diverged_seed_counts_as_the_lowest(tmp_path: Path) -> None:
    returns: list[Sequence[float | None]] = [*around(-150), [-150.0, None, None]]
    found = ddpg.compare([written(tmp_path / "a", returns), written(tmp_path / "b", around(-400), "article")])
    lowest = np.min(around(-400))
    assert found["overall"]["algorithms"]["ddpg"]["scores"][-1] == lowest
    assert any("1 seed of ddpg without a return: counted as the lowest" in note for note in found["notes"])
    with pytest.raises(ddpg.Mistake, match="has no return"):
        ddpg.compare([written(tmp_path / "c", [[None, None]])])


@pytest.mark.parametrize(
    ("seeds", "presets", "line"),
    [
        (
            3,
            2,
            "too few seeds to show any difference, however large: with 3 the smallest possible p is 0.100; "
            "use at least 4 of each algorithm",
        ),
        (4, 3, "with 4 the smallest possible p is 0.0286, 0.0857 corrected for 3 pairs; use at least 5"),
        (5, 2, "ddpg and article: undecided, which is not equal; with so many seeds a difference of about"),
        (5, 3, "3 pairs are undecided, which is not equal; with so many seeds a difference of about"),
        (1, 1, "one seed has no spread"),
    ],
)
def test_too_few_seeds_are_named(tmp_path: Path, seeds: int, presets: int, line: str) -> None:
    names = ["ddpg", "article", "td3"][:presets]
    runs = [written(tmp_path / name, around(0, seeds, seed=i), name) for i, name in enumerate(names)]
    assert any(line in note for note in ddpg.compare(runs)["notes"])


def test_the_command_prints_tables_or_one_json_object_and_writes_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(written(tmp_path / "a", around(-150))), f"my_td3={written(tmp_path / 'b', around(-140), 'td3')}"]
    files = [tmp_path / "out" / f"c{suffix}" for suffix in (".png", ".json", ".md", ".tex", ".csv")]
    assert cli.main(["compare", *runs, "-o", *map(str, files)]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "my_td3 is higher" in printed.err
    assert cli.main(["compare", *runs, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads(files[1].read_text()) == ddpg.compare(runs)
    assert files[0].stat().st_size > 10_000
    assert "| Pendulum-v1 | 3 000 | -1" in files[2].read_text()
    tex = files[3].read_text()
    assert "my\\_td3 (5 seeds)" in tex
    assert "$-$1" in tex
    assert tex.count("\\begin{tabular}") == tex.count("\\end{tabular}") == 2
    head, *rows = files[4].read_text().splitlines()
    assert head.startswith("environment,step,algorithm,seeds,iqm")
    assert [row.split(",")[2] for row in rows] == ["ddpg", "my_td3"]


def test_a_figure_of_several_environments_and_of_one_algorithm(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", ["A", "B", "C"], ["one", "two"])
    ddpg.compare([path], tmp_path / "a.png")
    ddpg.compare([table(tmp_path / "u.csv", ["A"], ["one"], seeds=1)], [tmp_path / "b.png", tmp_path / "b.md"])
    assert (tmp_path / "a.png").stat().st_size > (tmp_path / "b.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-o", "a.pdf"], "a.pdf: expected a name that ends in .png, .json, .md, .tex, .csv"),
        (["--reference", "Pendulum-v1"], "--reference =Pendulum-v1: expected ENV=LOW:HIGH"),
        (["--reference", "Pendulum-v1=3:1"], "--reference Pendulum-v1=3:1: expected a lower and a higher return"),
        (["--reference", "Ant-v5=1:3"], "--reference Ant-v5: no run is of that environment"),
        (["--env", "Ant-v5"], "--env Ant-v5: no run is of that environment; expected some of Pendulum-v1"),
        (["--metric", "success"], "--metric success chooses from a table"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    assert cli.main(["compare", str(written(tmp_path / "a", around(-150))), *words]) == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert printed.count("\n") == 1


def test_runs_of_other_versions_of_a_simulator_are_named(tmp_path: Path) -> None:
    runs = [written(tmp_path / "a", around(-150)), written(tmp_path / "b", around(-140), "article")]
    for run, version in zip(runs, ("0.9.9", "1.2.3"), strict=True):
        data = json.loads((run / "config.json").read_text())
        data["versions"] |= {"gymnasium": version, "mujoco": version, "numpy": version}
        (run / "config.json").write_text(json.dumps(data))
    notes = [note for note in ddpg.compare(runs)["notes"] if "versions" in note]
    assert [note.partition("different versions of ")[2] for note in notes] == [
        "gymnasium: 0.9.9, 1.2.3",
        "mujoco: 0.9.9, 1.2.3",
    ]


def test_an_own_preset_is_its_own_label(tmp_path: Path) -> None:
    run = written(tmp_path / "a", around(-150))
    (run / "config.json").unlink()
    write_config(replace(PRESETS["ddpg"], preset="mine", seeds=5), run / "config.json")
    assert ddpg.compare([run])["algorithms"] == ["mine"]


def test_a_step_whose_lines_are_not_all_written_is_left_out(tmp_path: Path) -> None:
    run = written(tmp_path / "a", around(-150))
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:-2]))
    assert ddpg.compare([run])["environments"]["Pendulum-v1"]["step"] == 2 * EVERY


def test_names_in_a_table_do_not_control_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(ddpg.Mistake, match="expected printable names"):
        ddpg.compare([table(tmp_path / "a.csv", ["\x1b[2J"], ["one"])])
