"""`ddpg study`: the list, the answer, and what is printed if a signal stops it."""

from pathlib import Path
from typing import Any

import pytest

from ddpg import cli
from ddpg.commands import study as command
from ddpg.studies.catalogue import STUDIES
from ddpg.studies.study import Answer
from ddpg.studies.trainings import Stopped


def test_without_a_name_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study"]) == 0
    printed = capsys.readouterr().out
    for name, study in STUDIES.items():
        assert f"{name} " in printed
        assert study.question in printed


def test_it_prints_the_verdict_and_where_the_answer_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = list[Any]()

    def run_study(study: Any, folder: Path, steps: int | None, seeds: int | None, note: Any) -> Answer:
        asked.append((study.name, folder, steps, seeds))
        note("1/1 ddpg: return -140.0")
        return Answer("So it is.", [], [])

    monkeypatch.setattr(command, "run_study", run_study)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["study", "ideas", "--steps", "5e3", "--seeds", "2"]) == 0
    assert cli.main(["study", "noise", "-o", "mine"]) == 0
    assert asked == [("ideas", Path("studies/ideas"), 5_000, 2), ("noise", Path("mine"), None, None)]
    printed = capsys.readouterr().err.splitlines()
    assert printed[:3] == ["1/1 ddpg: return -140.0", "So it is.", "answer: studies/ideas/answer.md"]


def test_a_signal_leaves_the_command_that_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any) -> Answer:
        raise Stopped(2)

    monkeypatch.setattr(command, "run_study", stopped)
    assert cli.main(["study", "ideas", "--seeds", "2", "-o", "here"]) == 130
    assert capsys.readouterr().err == "to go on: ddpg study ideas --seeds 2 -o here\n"


def test_an_unknown_study_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", "idea"]) == 2
    assert capsys.readouterr().err.startswith("ddpg: study idea: expected ideas, ")
