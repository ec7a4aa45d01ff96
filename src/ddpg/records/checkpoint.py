"""The checkpoints of a run: written by a thread, the last ones stay."""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, NamedTuple, Self

from ddpg.records import tree_file
from ddpg.records.frames import Frames, NewPictures
from ddpg.types import PyTree

NAME = re.compile(r"step-(\d{12})\.safetensors")


class Saved(NamedTuple):
    """A checkpoint that was written."""

    step: int
    size: int  # bytes
    seconds: float


class Checkpoints:
    """FOLDER/step-….safetensors, written by a thread of its own; the last `keep` stay.

    `report` is called with each that was written, or with the OSError of one that failed: those before it stay then.
    """

    def __init__(self, folder: Path, keep: int, report: Callable[[int, Saved | OSError], None]) -> None:
        self._folder, self._keep, self._report, self.frames = folder, keep, report, Frames(folder)
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._last: Future[None] | None = None
        with suppress(OSError):  # left by a killed process; if nothing can be removed, nothing can be saved either
            self._drop_old()

    def save(
        self,
        step: int,
        tree: PyTree,
        header: Mapping[str, Any],
        then: Callable[[], None],
        pictures: NewPictures | None = None,
    ) -> None:
        """Write a tree of NumPy arrays that nobody changes any more, and afterwards call `then`.

        Waits for the one before.
        """
        self.wait()
        self._last = self._writer.submit(self._save, step, tree, header, then, pictures)

    def wait(self) -> None:
        """Wait until everything is written."""
        if self._last is not None:
            self._last.result()

    def close(self) -> None:
        """The same, and write no more."""
        self._writer.shutdown()
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _save(
        self,
        step: int,
        tree: PyTree,
        header: Mapping[str, Any],
        then: Callable[[], None],
        pictures: NewPictures | None,
    ) -> None:
        began = perf_counter()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            named, size = ({}, 0) if pictures is None else self.frames.add(*pictures)
            path = self._folder / f"step-{step:012d}.safetensors"
            size += tree_file.write(path, tree, {**header, **named}).size
            self._drop_old()
        except OSError as error:
            self._report(step, error)
        else:
            self._report(step, Saved(step, size, perf_counter() - began))
        then()

    def _drop_old(self) -> None:
        # Partial files of a process that was killed while it wrote: ours, and before that safetensors' own.
        for folder in (self._folder, self.frames.folder):
            for partial in (*folder.glob("*.partial"), *folder.glob(".tmp*")):
                partial.unlink(missing_ok=True)
        for path in list_checkpoints(self._folder)[self._keep :]:
            with suppress(OSError):  # of a folder of that name
                path.unlink(missing_ok=True)
        self.frames.drop_others(list_checkpoints(self._folder))


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    paths = [path for path in folder.glob("step-*") if NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(paths, reverse=True)
