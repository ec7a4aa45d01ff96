"""What a file that anyone may have made must be before it is opened."""

import stat
from pathlib import Path


def check_plain(path: Path, limit: int) -> None:
    """ValueError, in one line, unless PATH is a plain file of at most `limit` bytes; OSError if there is nothing.

    A link may lead out of the folder, a pipe never answers, and a device is as long as one reads.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        kind = "link" if stat.S_ISLNK(found.st_mode) else "folder" if stat.S_ISDIR(found.st_mode) else "pipe or device"
        raise ValueError(f"{path} is a {kind}, expected a plain file; put the file itself there")
    if found.st_size > limit:
        raise ValueError(f"{path} has {found.st_size} bytes, expected at most {limit}; it is none that ddpg wrote")
