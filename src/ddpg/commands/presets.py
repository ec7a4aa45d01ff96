"""`ddpg presets`: the presets side by side, of the options in which they differ."""

import sys
from argparse import Namespace
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ddpg.config.presets import PRESETS
from ddpg.config.reading import options, values
from ddpg.terminal import checked, plain


def tables(console: Console) -> list[Table]:
    """The first preset beside as many others as fit, again and again until all were shown."""
    paths = [option.path for option in options(PRESETS["ddpg"]) if option.path != "preset"]
    columns = {name: {path: plain(value) for path, value in values(PRESETS[name]).items()} for name in PRESETS}
    first, *others = columns

    def table(shown: Sequence[str]) -> Table:
        drawn = Table("", *shown, box=None, header_style="bold")
        for path in paths:
            row = [columns[name].get(path, "-") for name in shown]
            if len(set(row)) > 1:
                drawn.add_row(path, *row)
        return drawn

    result = list[Table]()
    while others:
        n = len(others)
        while n > 1 and console.measure(table([first, *others[:n]])).maximum >= console.width:
            n -= 1
        result.append(table([first, *others[:n]]))
        others = others[n:]
    return result


def presets_command(args: Namespace) -> int:
    console = Console()
    drawn = tables(console)
    with checked(sys.stdout):
        with console.capture() as captured:  # rich itself would end the program if nobody reads
            for table in drawn:
                console.print(table)
                console.print()
        print(captured.get().rstrip("\n"), flush=True)
    return 0
