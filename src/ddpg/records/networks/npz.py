"""A network as one .npz of plain arrays (docs/export.md)."""

from pathlib import Path
from typing import Any

import numpy as np


def save_npz(path: Path, arrays: dict[str, Any]) -> None:
    """Write it; nothing in it needs a pickle."""
    with path.open("wb") as file:  # a path would have .npz added to it
        np.savez(file, allow_pickle=False, **arrays)
