"""Checks on untrusted files before they are opened."""

import math
import stat
from pathlib import Path

from ddpg.mistake import Mistake


def check_plain(path: Path, limit: float = math.inf) -> None:
    """Raise Mistake unless PATH is a plain file of at most `limit` bytes; OSError if it is missing.

    A link may lead out of the folder, a pipe never answers, and a device is as long as one reads.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        kind = (
            "link" if stat.S_ISLNK(status.st_mode) else "folder" if stat.S_ISDIR(status.st_mode) else "pipe or device"
        )
        raise Mistake(f"it is a {kind}, expected a plain file; put the file itself there")
    if status.st_size > limit:
        raise Mistake(f"it has {status.st_size} bytes, expected at most {limit}; ddpg wrote none such")


def check_within(folder: Path) -> None:
    """Raise Mistake if a folder to be written in holds a link, through which that would go elsewhere."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise Mistake(f"{path} is a link, which is not written through; put what it leads to in its place")
