"""Checks on untrusted files before they are opened."""

import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ddpg.mistake import Mistake

OBJECTS = 2**16  # in all heaps of an HDF5 file; ours have ten or so


def check_plain(path: Path, limit: int) -> None:
    """ValueError, in one line, unless PATH is a plain file of at most `limit` bytes; OSError if there is nothing.

    A link may lead out of the folder, a pipe never answers, and a device is as long as one reads.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        kind = "link" if stat.S_ISLNK(found.st_mode) else "folder" if stat.S_ISDIR(found.st_mode) else "pipe or device"
        raise Mistake(f"it is a {kind}, expected a plain file; put the file itself there")
    if found.st_size > limit:
        raise Mistake(f"it has {found.st_size} bytes, expected at most {limit}; ddpg wrote none such")


def check_within(folder: Path) -> None:
    """ValueError, in one line, if a folder to be written in holds a link, through which that would go elsewhere."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise Mistake(f"{path} is a link, which is not written through; put what it leads to in its place")


def check_hdf5(path: Path, limit: int) -> None:
    """`check_plain`, and that HDF5 would not search in it for ever; ValueError, in one line, if it would.

    Texts lie in heaps, chains of objects that say how long they are. HDF5 (2.0) stays for ever at one of length 0,
    so whatever looks like a heap is followed here first; at any other damage HDF5 gives up by itself.
    """
    check_plain(path, limit)
    with path.open("rb") as file:
        start = file.read(16)
        widths = start[13:15] if start[8:9] < b"\x02" else start[9:11]
        if not start.startswith(b"\x89HDF\r\n\x1a\n") or widths != b"\x08\x08":  # of addresses and lengths
            raise Mistake("it is no HDF5 file, or none that ddpg wrote")
        left = OBJECTS
        for heap in list(islice(_places(file, b"GCOL\x01"), left)):
            left -= sum(1 for _ in islice(_objects(file, heap), left))
            if left <= 0:
                raise Mistake("it holds more texts than ddpg wrote")


def _places(file: BinaryIO, word: bytes) -> Iterator[int]:
    """Where a word is in a file, of which little is in memory at a time."""
    place, kept = 0, b""
    file.seek(0)
    while piece := file.read(2**20):
        window = kept + piece
        at = window.find(word)
        while at >= 0:
            yield place - len(kept) + at
            at = window.find(word, at + 1)
        place += len(piece)
        kept = window[1 - len(word) :]


def _objects(file: BinaryIO, heap: int) -> Iterator[int]:
    """Where the objects of a heap begin."""
    file.seek(heap + 8)
    at, end = heap + 16, heap + int.from_bytes(file.read(8), "little")
    while end - at >= 16:  # what is left after the last can be less than the head of one
        yield at
        file.seek(at)
        head = file.read(16)
        index, size = int.from_bytes(head[:2], "little"), int.from_bytes(head[8:], "little")
        step = (16 + (size + 7) // 8 * 8 if index else size) % 2**64  # free space, without index, counts its head
        if step == 0:
            raise Mistake("its texts are damaged")
        if len(head) < 16 or step > end - at:
            return
        at += step
