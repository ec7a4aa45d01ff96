"""The page about runs: whole, self-contained and escaped, whatever the runs are."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import ddpg
from ddpg.cli import main
from ddpg.config.file import write_config
from ddpg.config.presets import PRESETS, host_defaults
from ddpg.config.reading import override
from ddpg.records.log import Log
from ddpg.report_page.markup import VOID
from ddpg.report_page.words import CHINESE, Say
from tests.gym_worlds import GymWalk
from tests.tiny import PAIR, TINY

LARGEST = 5_000_000


class Reader(HTMLParser):
    """Fails unless every element is closed where it must be; collects text, elements and references."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.policy, self.drawn = False, list[str]()
        self.open, self.elements, self.references, self.text = list[str](), list[str](), list[str](), ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "data", "action", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.drawn += [value or "" for name, value in attrs if name in ("d", "style")]
        self.policy |= tag == "meta" and ("http-equiv", "Content-Security-Policy") in attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def films(self) -> int:
        return sum(reference.startswith("data:image/gif") for reference in self.references)

    def maps(self) -> int:
        return sum(reference.startswith("data:image/png") for reference in self.references)


def read(path: Path) -> Reader:
    """The page, which is asserted to need nothing else."""
    page = path.read_text(encoding="utf-8")
    assert len(page.encode()) < LARGEST
    reader = Reader(page)
    assert all(reference.startswith(("data:image/", "#")) for reference in reader.references)
    assert not re.search(r"@import|url\(|https?://", page.replace("data:", ""))
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(reader.elements)
    assert reader.policy
    assert not [drawn for drawn in reader.drawn if "nan" in drawn or "inf" in drawn]
    return reader


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A film is a few bytes at once; answers how many there were."""
    made = list[int]()

    def film(policy: Any, env: Any, config: Any, path: Path, **_: Any) -> None:
        made.append(len(made))
        path.write_bytes(b"GIF89a" + bytes(made))

    monkeypatch.setattr("ddpg.report_page.films.film_policy", film)
    return made


def written(folder: Path, options: dict[str, Any], points: dict[int, Any], summary: Any = None) -> Path:
    """A run folder without the training."""
    asked = override(PRESETS["ddpg"], options)
    config = asked if asked.env == "Pendulum-v1" else override(asked, host_defaults(asked, options))
    folder.mkdir(parents=True)
    write_config(config, folder / "config.json")
    with Log(folder / "metrics.jsonl", folder / "tensorboard", {}) as log:
        for step, returned in points.items():
            point: Any = {"step": step, "seeds": tuple(config.seed_range), "return": np.array(returned)}
            log(point)
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_several_seeds_with_films_and_maps(trained: ddpg.Run, tmp_path: Path) -> None:
    path = ddpg.report(trained.path, tmp_path / "new" / "page.html")
    page = read(path)
    assert page.films() == 3
    assert (
        page.maps() == 2 * 6 + 2
    )  # the beginning, three moments, the end and the optimum, of Q and mu; and the scales
    for word in (
        "interquartile mean over 3 seeds",
        "optimum from the same starts",
        "critic loss",
        "saturation",
        "bias",
    ):
        assert word in page.text, word
    assert f"finished: {trained.config.steps} steps" in page.text
    assert "beginning: step 0" in page.text
    assert "midway: step 300" in page.text
    assert f"ddpg resume {trained.path} --steps 1200" in page.text
    assert "eval.every" in page.text
    assert f"jax {jax.__version__}" in page.text
    low, high = trained.summary["ci_low"], trained.summary["ci_high"]
    assert f"{-low:,.0f}".replace(",", "\u202f") in page.text
    assert f"{-high:,.0f}".replace(",", "\u202f") in page.text


def test_one_seed_and_the_terminal(tmp_path: Path, quick: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    ddpg.train(steps=400, run=tmp_path / "run", options=TINY, quiet=True)
    capsys.readouterr()
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "page.html"), "--lang", "zh"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(f"report: {tmp_path / 'page.html'} (")
    page = read(tmp_path / "page.html")
    assert "95 %" not in page.text
    assert "已完成：400 步" in page.text
    assert page.films() == len(quick) == 3


def test_two_runs_and_an_environment_without_renderer(trained: ddpg.Run, tmp_path: Path) -> None:
    other = ddpg.train(GymWalk, steps=400, run=tmp_path / "walk", options=PAIR, quiet=True)
    path = ddpg.report([trained.path, other.path], tmp_path / "page.html")
    page = read(path)
    assert "2 runs" in page.text
    assert [reference for reference in page.references if reference.startswith("#")] == ["#run-1", "#run-2"]
    assert "No film: unknown environment 'GymWalk'" in page.text
    assert "ddpg.resume(" in page.text
    path = ddpg.report(other.path, tmp_path / "page.html", env=GymWalk)
    assert "No film: environment 0 of 'GymWalk' cannot be made" in read(path).text


def test_a_run_that_was_stopped_early(tmp_path: Path, quick: list[int]) -> None:
    def stop(point: ddpg.LogPoint) -> None:
        raise ddpg.StopTraining("<b>enough</b>")

    run = ddpg.train(steps=2_000, run=tmp_path / "run", options=TINY, observers=[stop], quiet=True)
    page = read(ddpg.report(run.path, tmp_path / "page.html"))
    assert "stopped by an observer at step 100 of 2\u202f000" in page.text
    assert "stopped: <b>enough</b>" in page.text
    assert f"ddpg resume {run.path}\n" in page.text
    (run.path / "summary.json").unlink()
    page = read(ddpg.report(run.path, tmp_path / "page.html"))
    assert "its end was not written; the log ends at step 100" in page.text
    assert len(quick) == 4


def test_a_run_of_which_nothing_is_there_yet(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", {"seeds": 2}, {})
    page = read(ddpg.report(folder, tmp_path / "page.html"))
    assert "No greedy return was logged" in page.text
    assert "No update was made" in page.text
    assert "No film: " in page.text
    assert "has saved no networks yet" in page.text
    (folder / "metrics.jsonl").unlink()
    read(ddpg.report(folder, tmp_path / "page.html"))


@pytest.mark.usefixtures("no_pictures", "one_device")
def test_a_diverged_run(tmp_path: Path) -> None:
    options = TINY | {"critic.lr": 1e6, "actor.lr": 1e3}
    with pytest.raises(ddpg.Mistake, match="diverged"):
        ddpg.train(steps=5_000, seeds=2, run=tmp_path / "run", options=options, quiet=True)
    page = read(ddpg.report(tmp_path / "run", tmp_path / "page.html"))
    assert "failed at step" in page.text
    assert "failure: training diverged by step" in page.text
    assert "diverged: seed 0: Q is" in page.text


def test_markup_in_names_stays_text(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>\"'&"
    folder = written(tmp_path / evil, {"seeds": 2}, {1000: [-200, -300], 2000: [-150, np.nan]})
    summary = {"steps": 2000, "interrupted": False, "failure": evil, "warnings": [evil, 7], "diverged": {"0": evil}}
    (folder / "summary.json").write_text(json.dumps(summary))
    config = json.loads((folder / "config.json").read_text())
    config |= {"env": evil, "preset": evil, "env_args": [evil], "versions": {evil: evil, "jax": 3}}
    (folder / "config.json").write_text(json.dumps(config))
    page = read(ddpg.report([folder, folder], tmp_path / "page.html"))
    assert not page.films() + page.maps()
    assert page.text.count(evil) > 10
    assert f"The preset {evil} is none of ours" in page.text


@pytest.mark.parametrize(
    "summary", ["{", "[]", '{"steps": "many", "wall_seconds": [], "warnings": {"a": {}}, "steps_per_second": 1e400}']
)
def test_a_summary_that_says_nothing(summary: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", {}, {1000: [-200.0]})
    (folder / "summary.json").write_text(summary)
    read(ddpg.report(folder, tmp_path / "page.html"))


def test_no_module_is_imported_because_a_folder_says_so(tmp_path: Path, quick: list[int]) -> None:
    folder = written(tmp_path / "run", {"env": "no_such_module_of_anyone:Env-v0"}, {1000: [-200.0]})
    page = read(ddpg.report(folder, tmp_path / "page.html"))
    assert "No film: the run's environment no_such_module_of_anyone:Env-v0 imports a module" in page.text
    assert not quick
    with pytest.raises(ddpg.Mistake, match="no_such_module_of_anyone"):
        ddpg.report(folder, tmp_path / "page.html", env="no_such_module_of_anyone:Env-v0")


def test_the_runs_own_film_and_what_is_none(trained: ddpg.Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.path, tmp_path / "run"))
    config = replace(trained.config, env="my-own")
    (folder / "config.json").unlink()
    write_config(config, folder / "config.json")
    page = read(ddpg.report(folder, tmp_path / "page.html"))
    assert page.films() == 1
    assert "No film: unknown environment 'my-own'" in page.text
    (folder / "policy.gif").write_bytes(b"<svg onload=alert(1)>")
    assert read(ddpg.report(folder, tmp_path / "page.html")).films() == 0


def test_many_runs_stay_below_five_megabytes(
    trained: ddpg.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def film(policy: Any, env: Any, config: Any, path: Path, **_: Any) -> None:
        path.write_bytes(b"GIF89a" + bytes(2_000_000))

    monkeypatch.setattr("ddpg.report_page.films.film_policy", film)
    page = read(ddpg.report([trained.path] * 5, tmp_path / "page.html"))
    assert page.films() == 5  # what the run itself left
    assert "is too large for the page" in page.text


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("report nowhere", "nowhere is no run folder"),
        ("report {run} -o page.pdf", "page.pdf: expected a name that ends in .html"),
        ("report {run} --lang fr", "invalid choice: 'fr'"),
        ("report", "the following arguments are required: RUN"),
    ],
)
def test_mistakes(
    words: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = written(tmp_path / "run", {}, {1000: [-200.0]})
    assert main(words.format(run=folder).split()) == 2
    assert line in capsys.readouterr().err


def test_mistakes_in_python(tmp_path: Path) -> None:
    with pytest.raises(ddpg.Mistake, match="no runs"):
        ddpg.report([])
    with pytest.raises(ddpg.Mistake, match="language 'fr', expected one of en, zh"):
        ddpg.report(tmp_path, language="fr")
    folder = written(tmp_path / "run", {}, {1000: [-200.0]})
    (tmp_path / "file").touch()
    with pytest.raises(ddpg.Mistake, match="cannot be written"):
        ddpg.report(folder, tmp_path / "file" / "page.html")


def test_both_languages_have_the_same_gaps() -> None:
    for sentence, words in CHINESE.items():
        assert set(re.findall(r"{\w+}", sentence)) == set(re.findall(r"{\w+}", words)), sentence
        assert Say("en")(sentence, n=1, all=2, x=3, y=4, why=5, name=6, list=7, version=8)
