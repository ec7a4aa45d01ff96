"""The documentation is true, in English and in Chinese: snippets run, commands parse, symbols and links resolve."""

import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cache, partial
from inspect import get_annotations
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unicodedata import east_asian_width

import gymnasium
import pytest

from ddpg import cli
from ddpg.arguments import parser
from ddpg.config.file import is_file
from ddpg.config.presets import by_name
from ddpg.config.reading import override
from ddpg.config.small import small_options
from ddpg.doctor.rehearse import Duration
from ddpg.environment import resolve
from ddpg.training import train as training

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
CHINESE = [page for page in PAGES if page.name.endswith(".zh.md") or page.parent == ROOT / "docs" / "zh"]
VARIANT = ROOT / "docs" / "variant.md"  # whose test and commands are of the project with its diff
TINY = {"collect.warmup": 600, "collect.learning_starts": 600, "eval.every": 600, "eval.episodes": 4}


class Block(NamedTuple):
    """A fenced block: the words after the fence, the text inside, and the number of lines before it."""

    info: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(match[1].strip(), match[2], text[: match.start(2)].count("\n")) for match in found]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Every `ddpg …` command line, in fenced shell blocks and in the text."""
    lines = [line for block in blocks(page) if block.info == "sh" for line in block.text.splitlines()]
    lines += re.findall(r"`(ddpg [^`]+)`", prose(page))
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part.startswith("ddpg ")]


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, one_device: None) -> None:
    """In an empty folder, `ddpg.train` with a budget of seconds, however many steps and seeds it is asked for."""

    def short(real: Callable[..., Any], *args: Any, options: Any = None, seeds: int | None = None, **rest: Any) -> Any:
        chosen = {**TINY, **(options or {}), "steps": 1_200}
        return real(*args, options=chosen, seeds=seeds and min(seeds, 2), **rest | {"steps": None})

    monkeypatch.setattr(training, "train", partial(short, training.train))
    monkeypatch.setattr("ddpg.training.finish.film_policy", lambda *_: None)  # a second each, and tested elsewhere
    monkeypatch.setattr("ddpg.commands.doctor.rehearse", lambda *_: Duration(60.0, 10.0, "learning"))
    monkeypatch.chdir(tmp_path)


OWN, ROOM = ROOT / "examples" / "own_gym_environment.py", "own_gym_environment:Room-v0"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples' folder is where modules are found, and what they register is not yet."""
    monkeypatch.syspath_prepend(OWN.parent)
    monkeypatch.delitem(sys.modules, OWN.stem, raising=False)
    monkeypatch.delitem(gymnasium.registry, "Room-v0", raising=False)


WITH_PYTHON = [page for page in PAGES if any(block.info == "python" for block in blocks(page))]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=names(WITH_PYTHON))
def test_python_snippets_run_in_order(page: Path) -> None:
    namespace: dict[str, Any] = {}
    for block in blocks(page):
        if block.info == "python":
            exec(compile("\n" * block.line + block.text, str(page), "exec"), namespace)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    "example",
    # Those with cameras compile convolutions for a minute.
    [pytest.param(path, marks=pytest.mark.slow if "camera" in path.stem else ()) for path in EXAMPLES],
    ids=names(EXAMPLES),
)
def test_examples_run(example: Path) -> None:
    module = load(example)
    if example.stem == "charts":
        training.train("Pendulum-v1", run="a")
        training.train("Pendulum-v1", run="b", seeds=2)
        module.main(["a", "b"])
        assert Path("charts.png").stat().st_size > 0
    elif example.stem == "article_plain":  # no run of ddpg: tested in test_article_plain.py
        module.main(["--episodes", "2"])
    else:
        module.main([])
        assert list(Path().glob("runs/*/summary.json"))


@pytest.mark.usefixtures("tiny")
def test_observers_stop_follow_a_schedule_and_track(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example, calls = load(ROOT / "examples" / "observers.py"), list[tuple[str, Any]]()
    example.main(["--tracker", "no_tracker"])
    not_there, end = capsys.readouterr().out.splitlines()
    assert not_there == "no_tracker is not installed (pip install no_tracker): nothing is tracked"
    assert end == "step 1200: not stopped early"
    tracker: Any = ModuleType("trackio")
    tracker.init = lambda **named: calls.append(("init", named))
    tracker.log = lambda numbers, step: calls.append((f"log {step}", numbers))
    tracker.finish = lambda: calls.append(("finish", None))
    monkeypatch.setitem(sys.modules, "trackio", tracker)
    monkeypatch.setenv("WANDB_MODE", "offline")
    example.main(["--steps", "1200", "--stop", "-9000"])
    assert "step 600: every seed has a return of at least -9000 (the lowest: -" in capsys.readouterr().out
    assert [name for name, _ in calls] == ["init", "log 600", "finish"]
    assert calls[0][1] == {"project": "ddpg", "config": {"steps": 1200}}
    assert calls[1][1]["noise_scale"] == pytest.approx(0.1 * (1 - 0.9 * 0.25))
    assert {"return", "steps_per_second"} < set(calls[1][1])


def test_the_page_on_own_environments_has_the_whole_example() -> None:
    assert OWN.read_text(encoding="utf-8") in (ROOT / "docs" / "own_environment.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("tiny")
def test_an_own_environment_from_the_doctor_to_its_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    """What docs/own_environment.md does at the command line."""
    assert cli.main(["doctor", ROOM, "--steps", "2000", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["command"] == f"ddpg train {ROOM} --preset td3 --steps 20000 --collect.warmup 1000 --normalise true"
    assert said["terminated"] > 0
    assert said["truncated"] > 0
    assert cli.main([*shlex.split(said["command"])[1:], "--steps", "1200", "--run", "room"]) == 0
    assert cli.main(["eval", "room"]) == 2  # what a folder says is not imported
    assert f"add --env {ROOM}" in capsys.readouterr().err
    assert cli.main(["eval", "room", "--env", ROOM, "--episodes", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 2


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMMANDS = sorted({command for page in PAGES if page != VARIANT for command in commands(page)})


@pytest.mark.parametrize("command", COMMANDS)
def test_command_lines_parse(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where MuJoCo may write its log
    parse(command)


def parse(command: str) -> None:
    """A command line as `ddpg` reads it, up to where it would run."""
    words = shlex.split(command, comments=True)[1:]
    if len(words) == 1 or "--help" in words:  # the name of a command, in the text
        assert cli.main([words[0], "--help"]) == 0
        return
    args, rest = parser(of_train=words[0] == "train").parse_known_args(words)
    assert not rest
    if words[0] == "train":
        check_training(**vars(args))
    if words[0] == "doctor":
        check_environment(args.ENV, tuple(args.env_args))


def test_the_variant_applies_passes_its_test_and_parses(tmp_path: Path) -> None:
    """What docs/variant.md does, but for the training."""
    if shutil.which("git") is None:
        pytest.skip("the page applies its diff with git")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    diffs = [block.text for block in blocks(VARIANT) if block.info == "diff"]
    tests = "\n".join(block.text for block in blocks(VARIANT) if block.info == "py")
    apart = os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}  # else git looks for a repository above
    touched = re.findall(r"^\+\+\+ b/(\S+)", "".join(diffs), re.MULTILINE)
    assert {str(Path(name).parent) for name in touched} == {"src/ddpg/algorithm"}  # no format of a file, no command
    for diff in diffs:
        subprocess.run(["git", "apply", "-"], cwd=tmp_path, env=apart, input=diff, text=True, check=True)
    code = f"""
import sys
from pathlib import Path
import ddpg, test_docs
assert Path(ddpg.__file__).is_relative_to({str(tmp_path)!r})
names = {{}}
exec(sys.stdin.read(), names)
tests = [name for name in names if name.startswith("test_")]
for test in tests:
    names[test]()
commands = test_docs.commands(test_docs.VARIANT)
for command in commands:
    test_docs.parse(command)
print(len(tests), len(commands))
"""
    paths = os.pathsep.join(map(str, [tmp_path / "src", ROOT / "tests"]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        input=tests,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    passed, parsed = map(int, done.stdout.split()[-2:])
    assert passed > 2
    assert parsed > 6


def check_training(ENV: str | None, preset: str | None, **given: Any) -> None:
    beside = ("COMMAND", "run", "quiet", "from_run", "best", "small", "demonstrations")
    options = {name: value for name, value in given.items() if value is not None and name not in beside}
    base = by_name("ddpg" if preset is None or is_file(preset) else preset)  # files are of sweeps to come
    config = override(base, {**(small_options(base) if given["small"] else {}), **options})
    check_environment(ENV or config.env, config.env_args, config.action_repeat)


@cache
def check_environment(id: str, env_args: tuple[str, ...] = (), action_repeat: int = 1) -> None:
    """The environment can be made, or the test is skipped if a package that it needs is not installed."""
    try:
        resolve(id, env_args, action_repeat)
    except ValueError as error:
        packages = ("envpool", "mujoco_playground", "gymnax", "mujoco", "Box2D")
        extra = [name for name in packages if name.lower() in str(error).lower()]
        if not extra or importlib.util.find_spec(extra[0]):
            raise
        pytest.skip(str(error))


def quotes(page: Path) -> Iterator[tuple[str, Path]]:
    """Symbols and the file each is defined in: links such as [`DPG.update`](agent.py)."""
    for symbol, target in re.findall(r"\[`([^`]+)`\]\(([^)#]+\.py)\)", prose(page)):
        yield symbol, (page.parent / target).resolve()


@cache
def symbols(file: Path) -> frozenset[str]:
    """Every dotted name that a file defines, and the ways to write the file's own path."""
    parts = file.parts
    paths = {"/".join(parts[i:]) for i in range(len(parts))}
    return frozenset(paths | set(defined(ast.parse(file.read_text(encoding="utf-8")))))


def defined(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    """Functions, classes, their members and nested functions, and the names that modules and classes assign."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield prefix + node.name
            yield from defined(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not isinstance(tree, ast.FunctionDef):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (prefix + name.id for name in ast.walk(target) if isinstance(name, ast.Name))


def unresolved(symbol: str, file: Path) -> str | None:
    """One line about a symbol that the file does not define."""
    if not file.is_file():
        return f"`{symbol}`: {file} does not exist"
    if symbol in (known := symbols(file)):
        return None
    near = get_close_matches(symbol, known, n=1)
    return f"`{symbol}` is not defined in {file.name}" + (f"; did you mean `{near[0]}`?" if near else "")


QUOTING = [page for page in PAGES if list(quotes(page))]


@pytest.mark.parametrize("page", QUOTING, ids=names(QUOTING))
def test_symbols_are_defined_in_the_file_they_link_to(page: Path) -> None:
    mistakes = [mistake for symbol, file in quotes(page) if (mistake := unresolved(symbol, file))]
    assert not mistakes


def test_a_symbol_that_a_file_does_not_define_is_named() -> None:
    agent = ROOT / "src/ddpg/algorithm/agent.py"
    for symbol in (
        "DPG",
        "DPG.update",
        "DPG.tau",
        "DPG.update.move_targets",
        "ACTOR_Q",
        "agent.py",
        "algorithm/agent.py",
    ):
        assert unresolved(symbol, agent) is None
    assert unresolved("DPG.updates", agent) == "`DPG.updates` is not defined in agent.py; did you mean `DPG.update`?"
    assert unresolved("y", agent) == "`y` is not defined in agent.py"  # local in DPG.update
    nested = "`move_targets` is not defined in agent.py; did you mean `DPG.update.move_targets`?"
    assert unresolved("move_targets", agent) == nested
    assert "does not exist" in (unresolved("DPG", agent.with_name("agents.py")) or "")


COPIES = [
    pytest.param(block.text, ROOT / block.info.split()[1], id=f"{page.name}:{block.line}")
    for page in PAGES
    for block in blocks(page)
    if block.info.startswith("py ")
]


@pytest.mark.parametrize(("code", "file"), COPIES)
def test_copied_code_is_in_its_file(code: str, file: Path) -> None:
    """A block that opens with ```py file."""
    assert unindented(code) in unindented(file.read_text(encoding="utf-8"))


def unindented(code: str) -> str:
    return "\n".join(line.strip() for line in code.strip().splitlines())


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_relative_links_resolve(page: Path) -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", prose(page)) if "://" not in target]
    broken = [target for target in targets if not resolves(page, target)]
    assert not broken


def resolves(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return file.exists() and (not anchor or anchor in anchors(file))


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links to them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_lines_are_short(page: Path) -> None:
    """At most 100 columns of what a reader sees, in Chinese 60 of its characters, but for tables and code."""
    lines = [line for line in prose(page).splitlines() if not line.startswith("|")]
    shown = [re.sub(r"\]\([^)]*\)|<[^>]*>", "", line) for line in lines]
    too_long = [line for line in shown if columns(line) > (120 if page in CHINESE else 100)]
    assert not too_long


def columns(line: str) -> int:
    """A Chinese character is as wide as two others."""
    return sum(1 + (east_asian_width(character) in "WF") for character in line)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_named_scripts_exist(page: Path) -> None:
    for script in re.findall(r"python ((?:examples|benchmarks)/\S+\.py)", page.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file(), script


def test_the_table_of_protocols_is_whole() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(\w+)`\]\(\.\./src/(\S+)\.py\) \|[^|]*\| ([^|]*) \|", page, re.MULTILINE)
    assert len(rows) > 9
    for name, module, answers in rows:
        protocol = getattr(importlib.import_module(module.replace("/", ".")), name)
        if not isinstance(protocol, type):  # an observer is any function
            continue
        members = {name.replace("__call__", "call") for name in {*vars(protocol), *get_annotations(protocol)}}
        assert set(re.findall(r"\w+", answers)) == {name for name in members if name[0] != "_"}, name


@pytest.mark.parametrize("folder", ["docs", "docs/zh"])
def test_notation_names_every_step(folder: str) -> None:
    page = ROOT / folder / "notation.md"
    places = {file.name for _, file in quotes(page)}
    files = "agent learner collector values exploration networks replay"
    assert {f"{name}.py" for name in files.split()} <= places


def counterpart(page: Path) -> Path:
    """The English page of a Chinese one."""
    return page.with_name("README.md") if page.parent == ROOT else page.parents[1] / page.name


FIGURE = re.compile(r"\d[\d ]*\.\d+|\d[\d ]*\d{3}")
SECTIONS = {"2.1", "2.2", "2.3", "4.1", "4.2"}  # of the article


def figures(text: str) -> set[str]:
    """Numbers with a decimal point or at least four digits in a text, outside of code and links: the measured ones."""
    plain = re.sub(r"`[^`]*`|\]\([^)]*\)|<[^>]*>", "", text)
    return {found.replace(" ", "") for found in FIGURE.findall(plain)} - SECTIONS


TRANSLATED = [page for page in CHINESE if counterpart(page).exists()]


@pytest.mark.parametrize("page", TRANSLATED, ids=names(TRANSLATED))
def test_chinese_figures_are_those_of_the_english_pages(page: Path) -> None:
    """Each is in its English counterpart, in README.md, or in an English page that it links to."""
    linked = {(page.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+\.md)", prose(page))}
    english = [other for other in {counterpart(page), ROOT / "README.md", *linked} - set(CHINESE) if other.exists()]
    known = set[str]().union(*(figures(other.read_text(encoding="utf-8")) for other in english))
    assert not figures(prose(page)) - known


def rows(page: Path) -> list[list[str]]:
    """The numbered rows of the tables of a page."""
    lines = re.findall(r"^\| (\d+ \|.*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def test_the_article_is_the_same_statements_in_both_languages() -> None:
    english, chinese = (rows(ROOT / folder / "article.md") for folder in ("docs", "docs/zh"))
    assert [int(row[0]) for row in english] == list(range(1, len(english) + 1))
    assert len(english) > 100
    for here, there in zip(english, chinese, strict=True):
        marks = [(row[0], row[2].count("✔"), re.findall(r"`study \w+`", row[2])) for row in (here, there)]
        assert marks[0] == marks[1]
        wrong = [re.search(r"\*\*(wrong|unclear|有误|不准确)\*\*", row[2]) is not None for row in (here, there)]
        assert wrong[0] == wrong[1]
        assert "✔" in here[2] or "study " in here[2] or wrong[0]


def test_the_chinese_page_of_commands_has_every_command_and_options_that_exist() -> None:
    text = (ROOT / "docs" / "zh" / "commands.md").read_text(encoding="utf-8")
    found = re.findall(r"^## ddpg (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert [command for command, _ in found] == list(cli.COMMANDS)
    assert re.findall(r"^\| `ddpg (\w+)` \|", text, re.MULTILINE) == list(cli.COMMANDS)
    for command, section in found:
        known = options_of(command)
        named = {name for row in re.findall(r"^\| (`-[^|]+)\|", section, re.MULTILINE) for name in row.split("`")[1::2]}
        assert named <= known, command


def options_of(command: str) -> set[str]:
    [subparsers] = [action.choices for action in parser(of_train=True)._actions if isinstance(action.choices, dict)]
    return {option for action in subparsers[command]._actions for option in action.option_strings}


def test_diagrams_are_what_their_script_draws() -> None:
    for name, svg in load(ROOT / "benchmarks" / "diagrams.py").files().items():
        assert (ROOT / "docs" / "images" / name).read_text(encoding="utf-8") == svg, name


def test_the_site_has_no_dead_links_and_loads_nothing_from_afar(tmp_path: Path) -> None:
    site = load(ROOT / "docs" / "build_site.py")
    assert site.main(["-o", str(tmp_path / "site")]) == 0
    assert (tmp_path / "site" / "zh" / "index.html").exists()
    page = tmp_path / "site" / "files.html"
    page.write_text('<a href="nowhere.html"></a><a href="index.html#no-heading"></a><script src="https://a.b/c.js">')
    dead = site.dead_links((tmp_path / "site").resolve())
    assert [line for line in dead if line.startswith("files.html")] == [
        "files.html: nowhere.html",
        "files.html: index.html#no-heading (no such heading)",
        "files.html: https://a.b/c.js (from afar)",
    ]
