"""A study's folder, its answer, and its trainings, which are done once."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpg.config.presets import by_name
from ddpg.config.reading import override
from ddpg.mistake import Mistake
from ddpg.records.observer import StopTraining
from ddpg.records.plot import Curve
from ddpg.studies import catalogue, frequency, ideas, noise, pixels, trainings
from ddpg.studies.study import Answer, Bench, Size, Study, Table, run_study
from ddpg.studies.trainings import Stopped, Trained, Variant, returns_table, trained
from ddpg.training.run import Run
from tests.tiny import TINY

VARIANTS = [Variant("as it is", {}), Variant("tau 1", {"tau": 1.0})]


def study_of(experiment: Callable[[Bench], Answer]) -> Study:
    return Study("toy", "Which?", "原文", "The article says so.", 1, Size(2_000, 2), experiment)


def test_the_answer_is_a_page_with_its_tables_and_figures(tmp_path: Path) -> None:
    table = Table(("row", "value"), [("a", -1.25), ("b", 3)])
    study = study_of(lambda bench: Answer(f"{bench.size.seeds} seeds.", [table], ["toy.png"]))
    run_study(study, tmp_path / "toy", seeds=3)
    page = (tmp_path / "toy" / "answer.md").read_text(encoding="utf-8")
    assert page.startswith("# Which?\n\n> 原文\n\nThe article says so.\n\n**Answer.** 3 seeds.\n")
    assert "![Which?](toy.png)" in page
    assert "| row | value |\n| --- | ---: |\n| a | −1.2 |\n| b | 3 |" in page
    assert "`ddpg study toy`: 2 000 steps, 3 seeds" in page
    assert (tmp_path / "toy" / "table.csv").read_text() == "row,value\na,-1.25\nb,3\n"


def test_a_folder_is_of_one_study_of_one_size(tmp_path: Path) -> None:
    study = study_of(lambda bench: Answer("Yes.", [], []))
    run_study(study, tmp_path / "toy")
    run_study(study, tmp_path / "toy")
    with pytest.raises(Mistake, match="holds study toy of 2000 steps and 2 seeds, not toy of 2 000 steps, 3 seeds"):
        run_study(study, tmp_path / "toy", seeds=3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear")
    with pytest.raises(Mistake, match="holds other files; choose another -o"):
        run_study(study, tmp_path / "mine")
    (tmp_path / "toy" / "study.json").write_text("[")
    with pytest.raises(Mistake, match=r"study.json is damaged"):
        run_study(study, tmp_path / "toy")
    with pytest.raises(Mistake, match="steps 1999: too few for study toy; use at least 2000"):
        run_study(study, tmp_path / "new", steps=1_999)
    assert not (tmp_path / "new").exists()
    with pytest.raises(Mistake, match="seeds 0: expected at least 1"):
        run_study(study, tmp_path / "new", seeds=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(Mistake, match=r"file cannot be read or written \(.*\); choose another -o"):
        run_study(study, tmp_path / "file")


def tiny(real: Callable[..., Run], log: list[Any]) -> Callable[..., Run]:
    def train(*args: Any, options: Any, **rest: Any) -> Run:
        log.append(options)
        return real(*args, options={**TINY, **options}, **rest)

    return train


def test_trainings_are_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, notes = list[Any](), list[str]()
    monkeypatch.setattr(trainings, "train", tiny(trainings.train, done))
    bench = Bench(tmp_path, Size(1_200, 2), notes.append)
    first = trained(bench, VARIANTS)
    assert done == [{}, {"tau": 1.0}]
    assert [note.split(":")[0] for note in notes] == ["1/2 as it is", "2/2 tau 1"]
    again = trained(bench, VARIANTS)
    assert len(done) == 2
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.curve.returns, other.curve.returns)
        assert one.last.shape == (2,)
        assert one.optimum == pytest.approx(other.optimum)
    (label, iqm, low, high, reached, step, command) = returns_table(first, level=-1e4).rows[1]
    assert (label, reached, command) == ("tau 1", "2/2", "`ddpg train --tau 1`")
    assert low <= iqm <= high
    assert step == first[1].curve.steps[0]


def test_a_stopped_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, done = trainings.train, list[Any]()

    def interrupted(*args: Any, **rest: Any) -> Run:
        run = tiny(real, done)(*args, observers=[_stop], **rest)
        return Run(run.path, run.config, run.summary, 2)

    bench = Bench(tmp_path, Size(1_200, 1))
    monkeypatch.setattr(trainings, "train", interrupted)
    with pytest.raises(Stopped):
        trained(bench, VARIANTS[:1])
    (row,) = trained(bench, VARIANTS[:1])
    assert len(done) == 1
    assert row.curve.steps[-1] == 1_200


def _stop(point: Any) -> None:
    raise StopTraining("enough")


def test_a_training_that_diverges_is_an_answer_and_one_without_a_checkpoint_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, notes = list[Any](), list[str]()
    monkeypatch.setattr(trainings, "train", tiny(trainings.train, done))
    bench, huge = Bench(tmp_path, Size(1_200, 1), notes.append), Variant("huge", {"critic.lr": 1e30, "actor.lr": 1e30})
    (tmp_path / "runs" / "huge").mkdir(parents=True)
    (tmp_path / "runs" / "huge" / "config.json").write_text("{}")  # killed before its first checkpoint
    (row,), (again,) = trained(bench, [huge]), trained(bench, [huge])
    assert not row.iqm >= trainings.SOLVED
    assert not again.iqm >= trainings.SOLVED
    assert len(done) == 1
    assert "diverged" in notes[0]
    assert ideas.verdict(row, {"a": [row]}, np.ones(8), 0.0).count("unknown") == 2


def test_a_run_that_another_process_trains_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings.RunFolder, "state", lambda self: "running")
    with pytest.raises(Mistake, match=r"another process is training in .*; wait for its end"):
        trained(Bench(tmp_path, Size(1_200, 1)), VARIANTS[:1])


EVERY = [
    *(ideas.REFERENCE, *(variant for group in ideas.GROUPS.values() for variant in group)),
    *(*noise.PENDULUM, *noise.MOUNTAIN_CAR, *noise.FADING),
    *(*frequency.EACH, *frequency.BLOCKS),
    *pixels.VARIANTS,
]


@pytest.mark.parametrize("variant", EVERY, ids=lambda variant: variant.label)
def test_every_variant_can_be_trained_by_its_command(variant: Variant) -> None:
    asked = override(by_name(variant.preset or "ddpg"), {"env": variant.env, **variant.options})
    words = variant.command.split()[2:]
    typed = {word.removeprefix("--"): value for word, value in pairwise(words) if word.startswith("--")}
    typed.pop("preset", None)
    assert override(by_name(variant.preset or "ddpg"), {"env": variant.env, **typed}) == asked


def test_files_that_are_no_run_stay(tmp_path: Path) -> None:
    letter = tmp_path / "runs" / "as-it-is" / "letter.txt"
    letter.parent.mkdir(parents=True)
    letter.write_text("Dear")
    with pytest.raises(Mistake, match="holds other files than a run; move them"):
        trained(Bench(tmp_path, Size(1_200, 1)), VARIANTS[:1])
    assert letter.read_text() == "Dear"


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = trainings.train(run=tmp_path_factory.mktemp("one") / "run", steps=1_200, options=TINY, quiet=True)
    return run.path


@pytest.mark.parametrize("name", ["ideas", "noise", "frequency", "pixels"])
def test_every_study_answers(name: str, one_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(bench: Bench, variants: list[Variant]) -> list[Trained]:
        random = np.random.default_rng(len(variants))
        steps = np.arange(1, 6) * (bench.size.steps // 5)
        curves = [Curve(v.label, steps, -300 + random.normal(size=(bench.size.seeds, 5))) for v in variants]
        return [Trained(v, one_run, curve, -130.0) for v, curve in zip(variants, curves, strict=True)]

    module = {"ideas": ideas, "noise": noise, "frequency": frequency, "pixels": pixels}[name]
    monkeypatch.setattr(module, "trained", drawn)
    if name == "noise":  # the run is a pendulum's
        states = np.random.default_rng(0).uniform([-1.2, -0.07], [0.6, 0.07], size=(1_000, 2))
        monkeypatch.setattr(noise, "replay", lambda run, seed: {"obs": states})
    study = catalogue.by_name(name)
    answer = run_study(study, tmp_path / name)
    assert answer.verdict.endswith(".")
    assert "nan" not in answer.verdict
    assert (tmp_path / name / f"{name}.png").stat().st_size > 10_000
    assert json.loads((tmp_path / name / "study.json").read_text())["study"] == name
    for table in answer.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert (tmp_path / name / f"{table.name}.csv").exists()


def test_correlations_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    random, x = np.random.default_rng(0), np.zeros((200_000, 2))
    for t in range(1, len(x)):
        x[t] = 0.9 * x[t - 1] + random.normal(size=2)
    monkeypatch.setattr(ideas, "replay", lambda run: {"obs": x})
    along, apart = ideas.correlations(tmp_path)
    np.testing.assert_allclose(along, 0.9**ideas.LAGS, atol=0.03)
    assert abs(apart) < 0.02


def test_the_noises_that_are_compared_are_of_equal_size() -> None:
    strong = noise.paths(noise.OrnsteinUhlenbeck(theta=0.05, sigma=0.5), steps=20_000)
    long = {
        "OU": noise.paths(noise.OrnsteinUhlenbeck(theta=0.15, sigma=0.2), steps=20_000),
        "OU, car": strong * noise.WEAK / noise.STRONG,
        "Gaussian": noise.paths(noise.Gaussian(sigma=noise.WEAK), steps=20_000),
        "pink": noise.paths(noise.Pink(sigma=noise.WEAK), steps=20_000),
    }
    for path in long.values():
        assert path.std() == pytest.approx(noise.WEAK, rel=0.1)


def test_a_study_that_is_not_there_is_one_line() -> None:
    with pytest.raises(Mistake, match=r"study idea: expected ideas, .*; did you mean ideas\?"):
        catalogue.by_name("idea")
