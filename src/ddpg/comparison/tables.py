"""The tables of a comparison, once, and as text for a terminal, Markdown, LaTeX and CSV."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from ddpg.comparison.compare import Comparison, Section
from ddpg.comparison.number import interval, p_value, share
from ddpg.terminal import thousands

UNDECIDED = "undecided"
RIGHT = ("step", "p", "p (Holm)")  # columns of numbers without brackets
LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {"\\": r"\textbackslash{}", "<": "$<$", ">": "$>$"}


@dataclass(frozen=True)
class Table:
    """Cells of text under a head; the first column is of names, the others of numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(comparison: Comparison) -> list[Table]:
    """IQM per environment and algorithm, then the pairs over all environments, then those per environment."""
    listed = [_scores(comparison)]
    overall = comparison.overall
    if overall.pairs:
        listed.append(_pairs(f"Probability of improvement, {_over(comparison)}", [overall], named=False))
    if overall.pairs and len(comparison.sections) > 1:
        listed.append(_pairs("Probability of improvement, per environment", comparison.sections, named=True))
    return listed


def _over(comparison: Comparison) -> str:
    return comparison.overall.name if len(comparison.sections) == 1 else "mean over environments"


def _scores(comparison: Comparison) -> Table:
    """A row per environment, and one over all on one scale."""
    labels = comparison.labels
    head = ["environment", "step", *(f"{label} ({_seeds(comparison, label)})" for label in labels)]
    rows = [[each.name, thousands(comparison.steps[each.name]), *_iqms(each)] for each in comparison.sections]
    if comparison.ranges is not None:
        rows.append(["all, scaled", "", *_iqms(comparison.overall)])
    return Table("Interquartile mean of the return [95 % interval]", head, rows)


def _iqms(section: Section) -> list[str]:
    """With as many digits as the narrowest interval asks for."""
    widths = [of.high - of.low for of in section.iqm.values() if of.high > of.low]
    return [interval(*of, min(widths, default=None)) for of in section.iqm.values()]


def _seeds(comparison: Comparison, label: str) -> str:
    counts = sorted({len(x) for x in comparison.overall.scores[label]})
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{number} {'seed' if number == '1' else 'seeds'}"


def _pairs(title: str, sections: Sequence[Section], named: bool) -> Table:
    """A row per pair; p is corrected for all rows of the table."""
    many = sum(len(each.pairs) for each in sections) > 1
    head = ["X, Y", *(["environment"] if named else []), "P(X > Y) [95 % interval]", "p", *(["p (Holm)"] * many)]
    rows = list[list[str]]()
    for each in sections:
        for pair in each.pairs:
            name = [f"{pair.x}, {pair.y}", *([each.name] if named else [])]
            tested = [p_value(pair.p_value), *([p_value(pair.corrected)] if many else [])]
            verdict = UNDECIDED if pair.better is None else f"{pair.better} is higher"
            rows.append([*name, share(*pair.probability), *tested, verdict])
    return Table(title, [*head, "verdict"], rows)


def page(shown: Sequence[Table], notes: Sequence[str]) -> RenderableType:
    """For a terminal."""
    parts = list[RenderableType]()
    for each in shown:
        grid = RichTable(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for name in each.head:
            grid.add_column(Text(name), justify="right" if name in RIGHT else "left")
        for row in each.rows:
            grid.add_row(*map(Text, row))
        parts += [Text(each.title, "bold"), grid, Text()]
    return Group(*parts, *(Text(f"· {note}") for note in notes))


def markdown(shown: Sequence[Table], notes: Sequence[str]) -> str:
    def lines() -> Iterator[str]:
        for each in shown:
            yield f"**{each.title}**\n"
            for row in (each.head, ["---"] * len(each.head), *each.rows):
                cells = [cell.replace("|", r"\|") for cell in row]
                yield f"| {' | '.join(cells)} |"
            yield ""
        yield from (f"- {note}" for note in notes)

    return "\n".join(lines()) + "\n"


def latex(shown: Sequence[Table], notes: Sequence[str]) -> str:
    """Each table as a `tabular` with the rules of booktabs; notes as comments."""

    def lines() -> Iterator[str]:
        yield "% needs \\usepackage{booktabs}"
        for each in shown:
            yield f"% {each.title}"
            yield f"\\begin{{tabular}}{{l{'r' * (len(each.head) - 1)}}}\n\\toprule"
            yield f"{' & '.join(map(escaped, each.head))} \\\\\n\\midrule"
            yield from (f"{' & '.join(map(escaped, row))} \\\\" for row in each.rows)
            yield "\\bottomrule\n\\end{tabular}\n"
        yield from (f"% {note}" for note in notes)

    return "\n".join(lines()) + "\n"


def escaped(text: str) -> str:
    """With a minus sign, not a hyphen, before numbers."""
    words = "".join(LATEX.get(character, character) for character in text).split(" ")
    return " ".join(word.replace("-", "$-$") if any(c.isdigit() for c in word[:3]) else word for word in words)


def scores_csv(comparison: Comparison) -> str:
    """A row per environment and algorithm, and of all environments on one scale."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("environment", "step", "algorithm", "seeds", "iqm", "ci_low", "ci_high", "mean"))
    whole = [] if comparison.ranges is None else [comparison.overall]
    for each in [*comparison.sections, *whole]:
        for label in comparison.labels:
            seeds = sum(map(len, each.scores[label]))
            ends = ("" if math.isnan(end) else end for end in each.iqm[label])
            step = comparison.steps.get(each.name, "") if each not in whole else ""
            table.writerow((each.name, step, label, seeds, *ends, each.mean(label)))
    return text.getvalue()
