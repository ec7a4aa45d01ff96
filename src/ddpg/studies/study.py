"""What a study is: a sentence of the article, an experiment of a given size, and the answer that it writes down."""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

from ddpg.mistake import Mistake
from ddpg.records.atomic import write_text
from ddpg.terminal import count, reason, thousands


@dataclass(frozen=True)
class Size:
    """How large an experiment is: environment steps of each training, and how many seeds of each."""

    steps: int
    seeds: int

    def __str__(self) -> str:
        return f"{thousands(self.steps)} steps, {count(self.seeds, 'seed')}"


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under `columns`, the first of which names the row."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    name: str = "table"  # of its file

    def markdown(self) -> str:
        rule = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [self.columns, rule, *([_cell(value) for value in row] for row in self.rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def csv(self) -> str:
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()


@dataclass(frozen=True)
class Answer:
    """What an experiment found: a verdict of a few sentences, its tables, and the names of its figures."""

    verdict: str
    tables: Sequence[Table]
    figures: Sequence[str]


@dataclass(frozen=True)
class Bench:
    """Where an experiment works, how large it is to be, and how it says what it is doing."""

    folder: Path
    size: Size
    note: Callable[[str], None] = field(default=lambda text: None)


@dataclass(frozen=True)
class Study:
    """A sentence of the article, in its own words and in English, and the experiment that answers it.

    `minutes` is what it takes on two cores at its usual `size`.
    """

    name: str
    question: str
    original: str
    claim: str
    minutes: float
    size: Size
    experiment: Callable[[Bench], Answer]
    least: int = 2_000  # steps, before which some of its trainings learn nothing


def run_study(
    study: Study,
    folder: Path,
    steps: int | None = None,
    seeds: int | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Answer:
    """Do what is left of a study in `folder`, and write answer.md, its tables as CSV, and its figures there.

    Trainings that are there already are not done again, so a study that was stopped goes on. Raises Mistake if the
    folder holds another study, or one of another size, or cannot be written, or `steps` are too few.
    """
    size = replace(study.size, **{k: v for k, v in {"steps": steps, "seeds": seeds}.items() if v is not None})
    folder = folder.absolute()
    if size.steps < study.least:
        raise Mistake(f"steps {size.steps}: too few for study {study.name}; use at least {study.least}")
    if size.seeds < 1:
        raise Mistake(f"seeds {size.seeds}: expected at least 1")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder, study.name, size)
        answer = study.experiment(Bench(folder, size, note))
        for table in answer.tables:
            write_text(folder / f"{table.name}.csv", table.csv())
        write_text(folder / "answer.md", page(study, size, answer))
    except OSError as error:
        where = error.filename or folder
        raise Mistake(f"{where} cannot be read or written ({reason(error)}); choose another -o") from None
    return answer


def page(study: Study, size: Size, answer: Answer) -> str:
    """The answer as Markdown, beside its figures."""
    parts = [
        f"# {study.question}",
        f"> {study.original}",
        study.claim,
        f"**Answer.** {answer.verdict}",
        *(f"![{study.question}]({figure})" for figure in answer.figures),
        *(table.markdown() for table in answer.tables),
        f"`ddpg study {study.name}`: {size}, unless the table or the text names others.",
    ]
    return "\n\n".join(parts) + "\n"


def _claim(folder: Path, name: str, size: Size) -> None:
    """Mark the folder as this study's. Raises Mistake if it is another's."""
    mark, own = folder / "study.json", {"study": name, **asdict(size)}
    if mark.exists():
        there = _read(mark)
        if there != own:
            other = f"study {there.get('study')} of {there.get('steps')} steps and {there.get('seeds')} seeds"
            raise Mistake(f"{folder} holds {other}, not {name} of {size}; choose another -o")
    elif any(folder.iterdir()):
        raise Mistake(f"{folder} holds other files; choose another -o")
    else:
        write_text(mark, json.dumps(own) + "\n")


def _read(mark: Path) -> Mapping[str, Any]:
    try:
        there = json.loads(mark.read_text(encoding="utf-8"))
    except ValueError:
        there = None
    if not isinstance(there, dict):
        raise Mistake(f"{mark} is damaged; choose another -o")
    return there


def shown(value: float, places: int = 1) -> str:
    """A number to read: with a true minus sign, and no minus before 0."""
    if not math.isfinite(value):
        return "unknown"
    return f"{round(value, places) + 0:.{places}f}".replace("-", "\N{MINUS SIGN}")


def _cell(value: Any) -> str:
    return shown(value) if isinstance(value, float) else str(value)
