"""What a file that anyone may have made must be before it is opened."""

import stat
from mmap import ACCESS_READ, mmap
from pathlib import Path


def check_plain(path: Path, limit: int) -> None:
    """ValueError, in one line, unless PATH is a plain file of at most `limit` bytes; OSError if there is nothing.

    A link may lead out of the folder, a pipe never answers, and a device is as long as one reads.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        kind = "link" if stat.S_ISLNK(found.st_mode) else "folder" if stat.S_ISDIR(found.st_mode) else "pipe or device"
        raise ValueError(f"it is a {kind}, expected a plain file; put the file itself there")
    if found.st_size > limit:
        raise ValueError(f"it has {found.st_size} bytes, expected at most {limit}; ddpg wrote none such")


def check_hdf5(path: Path, limit: int) -> None:
    """`check_plain`, and that the texts in it can be reached; ValueError, in one line, if HDF5 might search for ever.

    Texts lie in heaps, chains of objects that say how long they are. HDF5 (2.0) follows one that says 0 without end,
    so every chain is followed here first. The superblock says how wide sizes are: 8 bytes in whatever ddpg wrote.
    """
    check_plain(path, limit)
    with path.open("rb") as file:
        start = file.read(16)
        widths = start[13:15] if start[8:9] < b"\x02" else start[9:11]
        if not start.startswith(b"\x89HDF\r\n\x1a\n") or widths != b"\x08\x08":
            raise ValueError("it is no HDF5 file, or none that ddpg wrote")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            at = data.find(b"GCOL\x01")
            while at >= 0:
                _check_heap(data, at)
                at = data.find(b"GCOL\x01", at + 1)


def _check_heap(data: mmap, at: int) -> None:
    end = at + int.from_bytes(data[at + 8 : at + 16], "little")
    at += 16
    while end - at >= 16:  # what is left after the last object can be less than the head of one
        index, size = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 8 : at + 16], "little")
        step = 16 + -(-size // 8) * 8 if index else size  # free space, which has no index, counts its head
        if not 16 <= step <= end - at:
            raise ValueError("its texts are damaged")
        at += step
