"""Atomic file writes: beside the place, flushed to the disk, and only then renamed."""

import os
from pathlib import Path


def replace_atomically(partial: Path, path: Path) -> None:
    """Rename the finished file `partial` to `path`, so that neither a crash nor a power cut leaves half of it."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
    flush_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    replace_atomically(partial, path)


def flush_folder(folder: Path) -> None:
    """Until then a power cut may undo what was created or renamed in it."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
