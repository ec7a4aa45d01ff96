"""The pictures of a replay beside its checkpoints: files of the rows that came since the last one, written once.

A checkpoint names the files that hold its pictures. Those that no checkpoint names any more are removed.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8
from pydantic import TypeAdapter, ValidationError

from ddpg.experience.ring import Ring, in_places
from ddpg.mistake import Mistake
from ddpg.ranges import Whole
from ddpg.records import tree_file

KEY = "frames"  # in the header of a checkpoint, and the name of the folder


class File(NamedTuple):
    """The rows from `begin` to `end`, counted since the run began, and the digest of all that its file holds."""

    begin: Whole
    end: Whole
    sha256: str

    @property
    def name(self) -> str:
        return f"rows-{self.begin:012d}-{self.end:012d}.safetensors"


class NewPictures(NamedTuple):
    """What a checkpoint adds to `Frames`."""

    obs: UInt8[np.ndarray, "s new n *picture"]
    rows: int  # so far
    needed: int  # the last of them that the replay has


class Frames:
    """FOLDER/frames. `rows` is how many rows there have been; the last of those are in `files`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.rows, self._files = folder / KEY, 0, list[File]()

    def go_on_from(self, header: dict[str, Any]) -> None:
        """As a checkpoint with this header left it."""
        if KEY in header:
            self.rows, self._files = _parsed(header)

    def add(self, obs: UInt8[np.ndarray, "s rows n *picture"], rows: int, needed: int) -> tuple[dict[str, Any], int]:
        """Write the newest of `rows` rows; what a checkpoint says that needs the last `needed`; and the bytes.

        Of what is written already the rest of them must be there.
        """
        begin, size = rows - obs.shape[1], 0
        if obs.shape[1]:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = File(begin, rows, "")
            size = tree_file.write(self._folder / file.name, obs, {})
            file = file._replace(sha256=tree_file.digest_of(self._folder / file.name))
            self._files = [*(old for old in self._files if old.end <= begin), file]
        self.rows, self._files = rows, [file for file in self._files if file.end > rows - needed]
        return {KEY: {"rows": rows, "files": self._files}}, size

    def drop_others(self, checkpoints: Iterable[Path]) -> None:
        """Remove the files that none of these checkpoints names, unless one cannot be asked."""
        named = {file.name for file in self._files}
        try:
            for path in checkpoints:
                header = tree_file.read_header(path)
                named |= {file.name for file in _parsed(header)[1]} if KEY in header else set()
        except Mistake:
            return
        for path in self._folder.glob("rows-*"):
            if path.name not in named:
                with suppress(OSError):
                    path.unlink(missing_ok=True)


def with_frames(ring: Ring, like: Ring, folder: Path, header: dict[str, Any]) -> Ring:
    """A checkpoint's ring with its pictures, if it names files of them; `like` has shapes [S, -T, N, ...].

    Damaged, in one line, if a file is not what it was; Mistake if rows are missing.
    """
    if KEY not in header:
        return ring
    rows, files = _parsed(header)
    shape, dtype = like.obs.shape, like.obs.dtype
    pieces, at = [np.zeros((shape[0], 0, *shape[2:]), dtype)], rows - ring.columns.shape[1]
    for file in files:
        path = folder / KEY / file.name
        if not file.begin <= at < file.end <= rows:
            break
        if tree_file.digest_of(path) != file.sha256:
            raise tree_file.Damaged(f"{path} cannot be used: it is not the file that the checkpoint names")
        piece = tree_file.read(path, jax.ShapeDtypeStruct((shape[0], file.end - file.begin, *shape[2:]), dtype))
        pieces.append(piece[:, at - file.begin :])
        at = file.end
    if at != rows:
        raise Mistake(f"{folder / KEY} lacks the rows from {at} on of {rows}")
    return in_places(ring, np.concatenate(pieces, axis=1))


def _parsed(header: dict[str, Any]) -> tuple[int, list[File]]:
    """What a checkpoint says of its pictures. Mistake if that is nothing."""
    try:
        said = TypeAdapter(dict[str, Any]).validate_python(header.get(KEY))
        return (
            TypeAdapter(Whole).validate_python(said.get("rows")),
            TypeAdapter(list[File]).validate_python(said.get("files")),
        )
    except ValidationError as error:
        raise Mistake(f"its {KEY} are invalid ({error.errors(include_url=False)[0]['msg']})") from None
