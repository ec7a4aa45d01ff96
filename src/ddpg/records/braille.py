"""Curves in a terminal: a braille character has two by four dots."""

from itertools import groupby

import numpy as np
from rich.text import Text

from ddpg.records.limits import Window

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # Unicode's bit of each dot of a character
LINE, OPTIMUM = "bold cyan", "green"


def draw(points: np.ndarray, window: Window, optimum: float | None, width: int, rows: int) -> list[Text]:
    """The curve through those of `points` [points, (step, value)] in the window, `rows` lines of `width`."""
    wide, tall = 2 * width, 4 * rows
    points = points[points[:, 0] >= window.begin]
    along = (points[:, 0] - window.begin) / (window.end - window.begin)
    columns = np.clip(np.rint(along * (wide - 1)), 0, wide - 1).astype(int)
    crossed = np.arange(columns[0], columns[-1] + 1)
    level = depth(np.interp(crossed, columns, points[:, 1]), window, tall)
    dots = np.zeros((tall, wide), dtype=bool)
    for column, here, before in zip(crossed, level, [level[0], *level[:-1]], strict=True):
        between = (before + 1, here + 1) if before < here else (here, max(before, here + 1))
        dots[slice(*between), column] = True
    curve = dots.reshape(rows, 4, width, 2)
    marks = np.zeros_like(dots)
    if optimum is not None:
        marks[int(depth(optimum, window, tall)), ::2] = True
    drawn = np.any(curve, axis=(1, 3), keepdims=True)
    # A character has one colour: the curve's dots replace the optimum's.
    shown = np.where(drawn, curve, marks.reshape(rows, 4, width, 2))
    codes = 0x2800 + np.einsum("rywx,yx->rw", shown, DOTS)
    lines = [Text(no_wrap=True) for _ in range(rows)]
    for line, row, mine in zip(lines, codes, drawn[:, 0, :, 0], strict=True):
        cells = zip(row, mine, strict=True)  # in runs of one colour: rich is slow per piece
        for own, run in groupby(cells, key=lambda cell: bool(cell[1])):
            line.append("".join(chr(code) for code, _ in run).replace("\u2800", " "), LINE if own else OPTIMUM)
    return lines


def depth(values: np.ndarray | float, window: Window, rows: int) -> np.ndarray:
    """The row of each value, 0 at the top."""
    share = (window.high - np.asarray(values)) / (window.high - window.low)
    return np.clip(np.rint(share * (rows - 1)), 0, rows - 1).astype(int)
