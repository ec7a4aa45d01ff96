"""The output of a notebook's cell."""

import io
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

WIDTH, HEIGHT = 88, 24  # characters
PRE = "<pre style=\"line-height: 1.2; font-family: Menlo, 'DejaVu Sans Mono', Consolas, monospace\">{code}</pre>"


def in_notebook() -> bool:
    """Whether an IPython kernel runs this process; IPython is not imported for the answer."""
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class Cell:
    """One output, redrawn in place, and pictures below it."""

    def __init__(self) -> None:
        self._ipython, self._output = import_module("IPython.display"), None

    def draw(self, *lines: RenderableType) -> None:
        console = Console(
            file=io.StringIO(), record=True, width=WIDTH, height=HEIGHT, force_terminal=True, force_jupyter=False,
            legacy_windows=False, color_system="truecolor",
        )  # fmt: skip
        console.print(*lines, sep="\n")
        html = self._ipython.HTML(console.export_html(inline_styles=True, code_format=PRE))
        if self._output is None:
            self._output = self._ipython.display(html, display_id=True)
        else:
            self._output.update(html)

    def show(self, picture: Path) -> None:
        self._ipython.display(self._ipython.Image(filename=str(picture)))
