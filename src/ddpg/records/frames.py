"""The pictures of a replay beside its checkpoints: files of the rows that came since the last one, written once.

A checkpoint names the files that hold its pictures. Those that no checkpoint names any more are removed.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8
from pydantic import TypeAdapter, ValidationError

from ddpg.experience.ring import Ring, put
from ddpg.mistake import Mistake
from ddpg.ranges import Whole
from ddpg.records import tree_file

KEY = "frames"  # in the header of a checkpoint, and the name of the folder

MOST = 1_000  # files that one checkpoint names


class File(NamedTuple):
    """The rows from `begin` to `end`, and the digest of all that its file holds.

    Rows are counted from those that the replay had at the first checkpoint.
    """

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
    """The files in FOLDER/frames. `rows` is how many rows have been written."""

    def __init__(self, checkpoints: Path) -> None:
        self.folder, self.rows, self._files = checkpoints / KEY, 0, list[File]()

    @property
    def many(self) -> bool:
        """Whether it is time for one file instead: a checkpoint's header names each, and must stay small."""
        return len(self._files) >= MOST

    def go_on_from(self, header: Mapping[str, Any]) -> None:
        """As the checkpoint with this header left them."""
        if KEY in header:
            self.rows, self._files = _parsed(self.folder, header)

    def add(self, obs: UInt8[np.ndarray, "s rows n *picture"], rows: int, needed: int) -> tuple[dict[str, Any], int]:
        """Write the newest of `rows` rows; returns what the header of a checkpoint says of them, and the bytes.

        The checkpoint's replay has the last `needed` rows: those that are not in `obs` are in earlier files.
        """
        begin, size = rows - obs.shape[1], 0
        if obs.shape[1]:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = File(begin, rows, "")
            size, sha256 = tree_file.write(self.folder / file.name, obs, {})
            self._files = [*(old for old in self._files if old.end <= begin), file._replace(sha256=sha256)]
        self.rows, self._files = rows, [file for file in self._files if file.end > rows - needed]
        return {KEY: {"rows": rows, "files": self._files}}, size

    def drop_others(self, checkpoints: Iterable[Path]) -> None:
        """Remove the files that none of these checkpoints names, unless one cannot be asked."""
        if not self.folder.is_dir():
            return
        named = {file.name for file in self._files}
        try:
            for path in checkpoints:
                header = tree_file.read_header(path)
                named |= {file.name for file in _parsed(path, header)[1]} if KEY in header else set()
        except Mistake:
            return
        for path in self.folder.glob("rows-*"):
            if path.name not in named:
                with suppress(OSError):
                    path.unlink(missing_ok=True)


def with_frames(ring: Ring, like: Ring, checkpoint: Path, header: Mapping[str, Any]) -> Ring:
    """A checkpoint's `trimmed` ring with its pictures in their places, if it names files of them.

    `like` has the shapes [S, -T, N, ...]. Raises Damaged if a file is not what it was, or rows are missing.
    """
    filled, (seeds, _, *shape), dtype = ring.columns.shape[1], like.obs.shape, like.obs.dtype
    if KEY not in header:
        if ring.obs.shape[1] != filled:
            raise tree_file.Damaged(f"{checkpoint} cannot be used: it names no {KEY}")
        return ring
    rows, files = _parsed(checkpoint, header)
    obs = np.empty((seeds, filled, *shape), dtype)
    first = at = rows - filled
    for file in files:
        if not (file.begin <= at < file.end <= rows) or (at > first and file.begin != at):
            break
        path = checkpoint.parent / KEY / file.name
        if tree_file.digest_of(path) != file.sha256:
            raise tree_file.Damaged(f"{path} cannot be used: it is not the file that the checkpoint names")
        new = tree_file.read(path, jax.ShapeDtypeStruct((seeds, file.end - file.begin, *shape), dtype))
        put(obs, ring, at - first, new[:, at - file.begin :])
        at = file.end
    if at != rows:
        raise tree_file.Damaged(f"{checkpoint} cannot be used: of its {KEY}, rows from {at} to {rows} are missing")
    return ring._replace(obs=obs)


def _parsed(path: Path, header: Mapping[str, Any]) -> tuple[int, list[File]]:
    """What the header of a checkpoint says of its pictures. Damaged if that is nothing."""
    try:
        about = TypeAdapter(dict[str, Any]).validate_python(header.get(KEY))
        return (
            TypeAdapter(Whole).validate_python(about.get("rows")),
            TypeAdapter(list[File]).validate_python(about.get("files")),
        )
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"]
        raise tree_file.Damaged(f"{path} cannot be used: its {KEY} are invalid ({why})") from None
