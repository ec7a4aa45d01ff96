"""`ddpg report`: one or several runs as one HTML page that needs nothing else."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from ddpg.environment import EnvironmentLike
from ddpg.mistake import Mistake
from ddpg.records.atomic import write_text
from ddpg.report_page.history import read_history
from ddpg.report_page.page import LARGEST, page
from ddpg.report_page.words import LANGUAGES
from ddpg.settings import own_settings
from ddpg.terminal import reason
from ddpg.training.film import silent
from ddpg.training.folder import absolute


@own_settings()
def report_runs(
    runs: str | Path | Sequence[str | Path],
    file: str | Path | None = None,
    env: EnvironmentLike | None = None,
    language: str = "en",
    note: Callable[[str], None] = silent,
) -> Path:
    """Write a page about a run or several, and return its path: `ddpg.report`.

    `file` is report.html by default, and report.zh.html in Chinese.
    `env` is what films are drawn in, by default the run's own; a run of a function, or of an id that imports a module,
    needs it. `language` is "en" or "zh". `note` is called with a line before what takes seconds.
    Raises Mistake if a folder is no run, or the page cannot be written, or would have more than 5 MB.
    """
    folders = [runs] if isinstance(runs, str | Path) else list(runs)
    if not folders:
        raise Mistake("no runs; expected at least one run folder")
    if language not in LANGUAGES:
        raise Mistake(f"language {language!r}, expected one of {', '.join(LANGUAGES)}")
    path = absolute(file or ("report.html" if language == "en" else f"report.{language}.html"))
    if path.suffix.lower() not in (".html", ".htm"):
        raise Mistake(f"{path}: expected a name that ends in .html; choose another -o")
    text = page([read_history(folder) for folder in folders], language, env, note)
    if (size := len(text.encode())) > LARGEST:
        raise Mistake(f"a page about {len(folders)} runs would have {size / 1e6:.1f} MB, more than 5; name fewer runs")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise Mistake(f"{path} cannot be written ({reason(error)}); choose another -o") from None
    return path


def report_command(args: Namespace) -> int:
    def note(line: str) -> None:
        print(line, file=sys.stderr)

    path = report_runs(args.RUN, args.o, args.env, args.lang, note)
    print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)", file=sys.stderr)
    return 0
