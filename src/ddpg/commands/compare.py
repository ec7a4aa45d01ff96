"""`ddpg compare`: algorithms side by side, with what their seeds can tell."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ddpg.comparison.caution import cautions, scale
from ddpg.comparison.comparable import check_comparable
from ddpg.comparison.compare import Comparison, compare
from ddpg.comparison.data import as_data
from ddpg.comparison.figure import draw
from ddpg.comparison.sources import Labelled, labelled, read_sources
from ddpg.comparison.tables import latex, markdown, page, scores_csv, tables
from ddpg.comparison.tasks import Range, align
from ddpg.mistake import Mistake
from ddpg.records.atomic import write_text
from ddpg.settings import own_settings
from ddpg.terminal import finite, is_terminal, reason, stdout_for_json

WIDTH = 160  # columns of what goes to a file or a pipe
Place = str | Path
Writer = Callable[[Comparison, Sequence[str], Path], None]

WRITERS: dict[str, Writer] = {
    ".png": lambda comparison, _, file: draw(comparison, file),
    ".json": lambda comparison, notes, file: write_text(
        file, json.dumps(finite(as_data(comparison, notes)), allow_nan=False, indent=1) + "\n"
    ),
    ".md": lambda comparison, notes, file: write_text(file, markdown(tables(comparison), notes)),
    ".tex": lambda comparison, notes, file: write_text(file, latex(tables(comparison), notes)),
    ".csv": lambda comparison, _, file: write_text(file, scores_csv(comparison)),
}


@own_settings()
def compare_runs(
    runs: Sequence[Place] | Mapping[str, Place | Sequence[Place]],
    files: Place | Sequence[Place] = (),
    *,
    env: str | Sequence[str] = (),
    metric: str | None = None,
    step: int | None = None,
    reference: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """Compare algorithms, and return all numbers as plain data (docs/compare.md): `ddpg.compare`.

    `runs` are run folders and tables of other projects' curves (.csv), or such by the label of their algorithm;
    without a label runs with the same options are seeds of one algorithm. `files` are written by their suffix: .png,
    .json, .md, .tex or .csv. `env` and `metric` choose from what is there, `step` is compared instead of the last
    step that all seeds have, and `reference` has the returns that are 0 and 1 of every environment.
    Raises Mistake if something cannot be read, compared or written.
    """
    places: list[Labelled] = []
    if isinstance(runs, Mapping):
        for label, of_label in runs.items():
            places += [(label, Path(run)) for run in ([of_label] if isinstance(of_label, str | Path) else of_label)]
    else:
        places = labelled(runs)
    files = [files] if isinstance(files, str | Path) else files
    envs = [env] if isinstance(env, str) else env
    ranges = None if reference is None else {name: _range(name, ends) for name, ends in reference.items()}
    comparison, notes = _compared(places, list(map(Path, files)), envs, metric, step, ranges)
    return as_data(comparison, notes)


def compare_command(args: Namespace) -> int:
    reference = parse_reference(args.reference) if args.reference else None
    with stdout_for_json() as print_json:
        comparison, notes = _compared(labelled(args.RUN), args.o, args.env, args.metric, args.step, reference)
        if args.json:
            print_json(as_data(comparison, notes))
        else:
            width = None if is_terminal(sys.stderr) else WIDTH
            Console(stderr=True, width=width).print(page(tables(comparison), notes))
        for file in args.o:
            print(f"written: {file}", file=sys.stderr)
    return 0


def _compared(
    places: Sequence[Labelled],
    files: Sequence[Path],
    envs: Sequence[str],
    metric: str | None,
    step: int | None,
    reference: Mapping[str, Range] | None,
) -> tuple[Comparison, list[str]]:
    """The comparison and the lines to read with it, after the files are written."""
    for file in files:
        if file.suffix.lower() not in WRITERS:
            raise Mistake(f"{file}: expected a name that ends in {', '.join(WRITERS)}; choose another -o")
    if not places:
        raise Mistake("no runs; expected run folders, or tables that end in .csv")
    sources = read_sources(places, envs, metric)
    notes = check_comparable(sources)
    tasks, aligned = align(sources, step)
    comparison = compare(tasks, reference)
    notes = [*cautions(comparison), *notes, *aligned]
    if line := scale(comparison, reference is not None):
        notes.append(line)
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            WRITERS[file.suffix.lower()](comparison, notes, file)
        except OSError as error:
            raise Mistake(f"{file} cannot be written ({reason(error)}); choose another -o") from None
    return comparison, notes


def parse_reference(words: Sequence[str]) -> dict[str, Range]:
    """ENV=LOW:HIGH, the returns that are 0 and 1 in that environment."""
    ranges = dict[str, Range]()
    for word in words:
        env, _, ends = word.rpartition("=")
        ranges[env] = _range(env, ends.split(":"))
    return ranges


def _range(env: str, ends: Sequence[Any]) -> Range:
    try:
        low, high = map(float, ends)
    except (TypeError, ValueError):
        written = ":".join(map(str, ends))
        raise Mistake(f"--reference {env}={written}: expected ENV=LOW:HIGH, such as Hopper-v5=18.8:3226") from None
    return low, high
