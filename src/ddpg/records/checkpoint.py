"""Checkpoints: any tree of arrays, with what is said of it, in one safetensors file that is checked before it is used.

A file is whole or it is not there: it is written beside its place, flushed to the disk, and only then renamed. Its
header holds a SHA-256 over everything in it, so that one flipped bit is found; sizes are compared with the file's own
before anything is allocated; nothing is unpickled. The format is safetensors' (docs/files.md).
"""

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ddpg.mistake import Mistake
from ddpg.records.atomic import settle
from ddpg.types import PyTree

FORMAT, VERSION = "ddpg-checkpoint", 1
NAME = re.compile(r"step-(\d{12})\.safetensors")
OS_ERROR = re.compile(r"I/O error: (.*?) \(os error (\d+)\)")
HEADER = 2**20  # bytes of a header, at most: a hundred times what a run here writes
DTYPES = {"BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32"}
DTYPES |= {"U64": "uint64", "I64": "int64", "F16": "float16", "F32": "float32", "F64": "float64"}


class Damaged(Mistake):
    """A checkpoint that cannot be used: one line with its path and what is wrong."""


class Saved(NamedTuple):
    """A checkpoint that was written."""

    step: int
    size: int  # bytes
    seconds: float


def words(tree: PyTree) -> PyTree:
    """The same tree with random keys as the words they are."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def copied(tree: PyTree) -> PyTree:
    """The same tree in NumPy arrays of its own, random keys as words; what it was may be consumed then."""
    return jax.tree.map(np.array, words(tree))


def restored(tree: PyTree, like: PyTree) -> PyTree:
    """What `copied` made, with random keys where `like` has them."""

    def again(x: np.ndarray, kind: Any) -> Any:
        return jax.random.wrap_key_data(jnp.asarray(x), impl=_impl(kind)) if _is_key(kind) else x

    return jax.tree.map(again, tree, like)


def write(path: Path, tree: PyTree, said: Mapping[str, Any]) -> int:
    """The arrays of `tree` and the JSON object `said`, atomically; returns the bytes. OSError if it cannot be."""
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in _named(tree)}
    text = json.dumps(dict(said), allow_nan=False, sort_keys=True)
    partial = path.with_suffix(".partial")
    metadata = {"format": FORMAT, "version": str(VERSION), "said": text, "sha256": _digest(arrays, text)}
    try:
        try:
            save_file(arrays, partial, metadata)
        except SafetensorError as error:  # how it says that a disk is full
            why = OS_ERROR.search(str(error))
            raise (OSError(int(why[2]), why[1]) if why else OSError(str(error))) from None
        size = partial.stat().st_size
        partial.chmod(path.parent.stat().st_mode & 0o666)  # safetensors leaves it to its owner alone
        settle(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return size


def read_said(path: Path) -> dict[str, Any]:
    """The JSON object of a checkpoint, not compared with its digest. Damaged, in one line, if there is none."""

    def load(file: Any) -> dict[str, Any]:
        said = json.loads(_said(file), parse_constant=_refuse)
        if not isinstance(said, dict):
            raise Mistake("what it says of itself is no JSON object")
        return said

    return _guarded(path, load)


def read(path: Path, like: PyTree) -> PyTree:
    """The tree of a checkpoint, in NumPy, with the shapes and dtypes of `like`; -n there is any length up to n.

    Damaged, in one line, if it is not whole, has changed since it was written, or is one of something else.
    """

    def load(file: Any) -> PyTree:
        text = _said(file)
        expected = {name: (tuple(leaf.shape), np.dtype(leaf.dtype)) for name, leaf in _named(plain)}
        found = set(file.keys())
        if found != set(expected):
            odd = min(found ^ set(expected))
            raise Mistake(f"it {'has' if odd in found else 'lacks'} {odd[:60]!r}")
        for name, (shape, dtype) in expected.items():
            entry = file.get_slice(name)
            there, kind = tuple(entry.get_shape()), DTYPES.get(entry.get_dtype())
            fits = len(there) == len(shape) and all(a == b or a <= -b for a, b in zip(there, shape, strict=True))
            if not fits or kind != dtype.name:
                raise Mistake(f"{name} is {kind}{list(there)}, expected {dtype.name}{list(shape)}")
        # Where there is not as much memory, as for a file of holes, NumPy says so and safetensors panics.
        np.empty(
            2 * sum(math.prod(file.get_slice(name).get_shape()) * expected[name][1].itemsize for name in expected), "u1"
        )
        arrays = {name: file.get_tensor(name) for name in expected}
        if _digest(arrays, text) != file.metadata().get("sha256"):
            raise Mistake("its bytes are not those that were written")
        return jax.tree.unflatten(jax.tree.structure(plain), [arrays[name] for name, _ in _named(plain)])

    plain = jax.tree.map(lambda x: jax.eval_shape(jax.random.key_data, x) if _is_key(x) else x, like)
    return _guarded(path, load)


def _guarded(path: Path, load: Callable[[Any], Any]) -> Any:
    try:
        # Not through links, pipes and devices, which a folder from elsewhere could hold: they may have no end.
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise Mistake("it is no plain file")
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            return load(file)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, MemoryError, SafetensorError) as error:
        # Printable, since names in it may be a stranger's and drive a terminal.
        said = "".join(c if c.isprintable() else "?" for c in " ".join(str(error).split())[:200])
        said = f"it is cut off or damaged ({said})" if isinstance(error, SafetensorError) else said
        raise Damaged(f"checkpoint {path} cannot be used: {said}") from None


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if not 2 <= size <= min(HEADER, os.path.getsize(path) - 8):
        raise Mistake(f"it is cut off, or no safetensors file (a header of {size} bytes)")


def _said(file: Any) -> str:
    metadata = file.metadata() or {}
    found = [metadata.get("format"), metadata.get("version")]
    if found != [FORMAT, str(VERSION)]:
        raise Mistake(f"it says {found}, expected {[FORMAT, str(VERSION)]}")
    return metadata["said"]


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def _named(tree: PyTree) -> Iterator[tuple[str, Any]]:
    return ((jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree.leaves_with_path(tree))


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _impl(kind: Any) -> Any:
    """The generator of a random key of which there is only the type."""
    found = list[Any]()
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), kind)
    return found[0]


def _refuse(constant: str) -> float:
    raise Mistake(f"{constant} is not JSON")


class Checkpoints:
    """FOLDER/step-….safetensors, written by a thread of its own; the last `keep` stay, and the one of the best return.

    `tell` gets each that was written, or the OSError of one that could not be: those before it stay then.
    """

    def __init__(self, folder: Path, keep: int, tell: Callable[[int, Saved | OSError], None]) -> None:
        self._folder, self._keep, self._tell = folder, keep, tell
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._last: Future[None] | None = None
        with suppress(OSError):  # what a killed process left; where nothing can be removed, nothing can be saved either
            self._drop_old()

    def save(self, step: int, tree: PyTree, said: Mapping[str, Any], then: Callable[[], None]) -> None:
        """Write a tree of NumPy arrays that nobody changes any more, `then` do what else there is to write.

        Waits only for the one before, so that never more than two are in memory.
        """
        if self._last is not None:
            self._last.result()
        self._last = self._writer.submit(self._save, step, tree, said, then)

    def close(self) -> None:
        """Wait for what is being written."""
        self._writer.shutdown()
        if self._last is not None:
            self._last.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _save(self, step: int, tree: PyTree, said: Mapping[str, Any], then: Callable[[], None]) -> None:
        began = perf_counter()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            size = write(self._folder / f"step-{step:012d}.safetensors", tree, said)
            self._drop_old()
        except OSError as error:
            self._tell(step, error)
        else:
            self._tell(step, Saved(step, size, perf_counter() - began))
        then()

    def _drop_old(self) -> None:
        # Of a process that was killed while it wrote: ours, and before that safetensors' own.
        for partial in (*self._folder.glob("*.partial"), *self._folder.glob(".tmp*")):
            partial.unlink(missing_ok=True)
        paths = found(self._folder)
        best = max(paths, key=_return, default=None)
        for path in paths[self._keep :]:
            if path != best or _return(path) == -math.inf:
                with suppress(OSError):  # of a folder of that name
                    path.unlink(missing_ok=True)


def found(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    paths = [path for path in folder.glob("step-*") if NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(paths, reverse=True)


def best(folder: Path) -> Path | None:
    """The checkpoint whose policy earned most when it was last evaluated; None if none of them was."""
    path = max(found(folder), key=_return, default=None)
    return path if path is not None and _return(path) > -math.inf else None


def _return(path: Path) -> float:
    """The greedy return that a checkpoint says it had; lowest if it says none, or cannot be read."""
    try:
        said = read_said(path).get("returned")
    except ValueError:
        return -math.inf
    return float(said) if isinstance(said, int | float) and abs(said) < 1e300 else -math.inf  # NaN is not, either
