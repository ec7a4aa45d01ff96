"""Any tree of arrays, with a header of plain data, in one safetensors file that is checked before it is used.

A file is whole or missing: it is written beside its place, flushed to the disk, and only then renamed. Its metadata
hold a SHA-256 over everything in it, so that one flipped bit is noticed; sizes are compared with the file's own
before anything is allocated; nothing is unpickled. The format is safetensors' (docs/files.md).
"""

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ddpg.mistake import Mistake
from ddpg.records.atomic import replace_atomically
from ddpg.records.untrusted import check_plain
from ddpg.terminal import one_line
from ddpg.types import PyTree

CHECKPOINT_FORMAT, VERSION, KEY = "ddpg-checkpoint", "1", "ddpg"
OS_ERROR = re.compile(r"I/O error: (.*?) \(os error (\d+)\)")
LARGEST_HEADER = 2**20  # bytes, a hundred times what a run here writes
DTYPES = {"BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32"}
DTYPES |= {"U64": "uint64", "I64": "int64", "F16": "float16", "F32": "float32", "F64": "float64"}


class Damaged(Mistake):
    """A file that cannot be used: one line with its path and what is wrong."""


class TooLarge(Mistake):
    """A file for which there is not enough memory now, which says nothing of the file."""


def keys_to_data(tree: PyTree) -> PyTree:
    """The same tree with random keys as arrays of words."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def to_numpy(tree: PyTree) -> PyTree:
    """The same tree in NumPy arrays of its own, random keys as words; the original may be consumed afterwards."""
    return jax.tree.map(np.array, keys_to_data(tree))


def from_numpy(tree: PyTree, like: PyTree) -> PyTree:
    """The inverse of `to_numpy`: random keys again where `like` has them."""

    def key_or_array(x: np.ndarray, kind: Any) -> Any:
        return jax.random.wrap_key_data(jnp.asarray(x), impl=_impl(kind)) if _is_key(kind) else x

    return jax.tree.map(key_or_array, tree, like)


class Written(NamedTuple):
    """A file: its bytes, and the SHA-256 that it says it has."""

    size: int
    sha256: str


def write(path: Path, tree: PyTree, header: Mapping[str, Any]) -> Written:
    """The arrays of `tree` and the JSON object `header`, atomically. OSError if that fails."""
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in _named(tree)}
    text = json.dumps(dict(header), allow_nan=False, sort_keys=True)
    partial = path.with_suffix(".partial")
    digest = _digest(arrays, text)
    about = {"format": CHECKPOINT_FORMAT, "version": VERSION, "header": text, "sha256": digest}
    try:
        try:
            save_file(arrays, partial, {KEY: json.dumps(about)})  # one entry: safetensors writes several in any order
        except SafetensorError as error:  # as on a full disk
            system = OS_ERROR.search(str(error))
            raise (OSError(int(system[2]), system[1]) if system else OSError(str(error))) from None
        size = partial.stat().st_size
        partial.chmod(path.parent.stat().st_mode & 0o666)  # safetensors leaves it to its owner alone
        replace_atomically(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return Written(size, digest)


def read_header(path: Path) -> dict[str, Any]:
    """The JSON object of a file, not compared with its digest. Raises Damaged if it has none."""
    with _opened(path) as (_, about):
        return _object(about["header"])


def digest_of(path: Path) -> str:
    """The SHA-256 that a file says it has; `read` compares it. Raises Damaged if it says none."""
    with _opened(path) as (_, about):
        return str(about.get("sha256"))


def read(path: Path, like: PyTree, within: str = "") -> PyTree:
    """The tree of a file, in NumPy, with the shapes and dtypes of `like`; -n there is any length up to n.

    `within` is the path of a part, such as ".driver.learner.ring", to read that alone. Raises Damaged if it
    is not whole, has changed since it was written, or holds another tree.
    """
    plain = jax.tree.map(lambda x: jax.eval_shape(jax.random.key_data, x) if _is_key(x) else x, like)
    expected = {within + name: (tuple(leaf.shape), np.dtype(leaf.dtype)) for name, leaf in _named(plain)}
    with _opened(path) as (file, about):
        names = {name for name in file.keys() if name.startswith(within)}  # noqa: SIM118
        _check_tree(file, names, expected)
        arrays = {name: file.get_tensor(name) for name in (file.keys() if within else expected)}
        if _digest(arrays, about["header"]) != about.get("sha256"):
            raise Mistake("its bytes are not those that were written")
    return jax.tree.unflatten(jax.tree.structure(plain), [arrays[name] for name in expected])


def _check_tree(file: Any, names: set[str], expected: Mapping[str, tuple[tuple[int, ...], np.dtype]]) -> None:
    """Raise Mistake unless the file has the names, shapes and dtypes expected; MemoryError if they would not fit."""
    size = 0
    if names != set(expected):
        odd = min(names ^ set(expected))
        raise Mistake(f"it {'has' if odd in names else 'lacks'} {odd[:60]!r}")
    for name, (shape, dtype) in expected.items():
        entry = file.get_slice(name)
        found, kind = tuple(entry.get_shape()), DTYPES.get(entry.get_dtype())
        fits = len(found) == len(shape) and all(a == b or a <= -b for a, b in zip(found, shape, strict=True))
        if not fits or kind != dtype.name:
            raise Mistake(f"{name} is {kind}{list(found)}, expected {dtype.name}{list(shape)}")
        size += 2 * math.prod(found) * dtype.itemsize
    # If there is not as much memory, as for a file of holes, NumPy raises and safetensors would panic.
    np.empty(min(size, sys.maxsize), "u1")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A file that `write` wrote, and what its metadata say. Damaged, for whatever is wrong with it until it is closed;
    TooLarge if there is not enough memory.

    Only what a file from elsewhere can cause is caught: any other exception is a bug of ours, and no damage.
    """
    try:
        check_plain(path)  # a folder from elsewhere could hold links, pipes and devices, which may have no end
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            about = _object((file.metadata() or {}).get(KEY, "{}"))
            found = [about.get("format"), about.get("version")]
            if found != [CHECKPOINT_FORMAT, VERSION] or not isinstance(about.get("header"), str):
                raise Mistake(f"its format is {found}, expected {[CHECKPOINT_FORMAT, VERSION]} and a header")
            yield file, about
    except MemoryError:
        raise TooLarge(f"{path} needs more memory than there is; nothing was changed") from None
    except (OSError, SafetensorError, Mistake) as error:
        # Printable, since names in it may be a stranger's and drive a terminal.
        text = "".join(c if c.isprintable() else "?" for c in one_line(error))
        text = f"it is cut off or damaged ({text})" if isinstance(error, SafetensorError) else text
        raise Damaged(f"{path} cannot be used: {text}") from None


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if not 2 <= size <= min(LARGEST_HEADER, os.path.getsize(path) - 8):
        raise Mistake(f"it is cut off, or no safetensors file (a header of {size} bytes)")


def _object(text: str) -> dict[str, Any]:
    """A JSON object. Raises Mistake if it is none."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Mistake(f"its header is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Mistake("its header is no JSON object")
    return value


def _digest(arrays: Mapping[str, np.ndarray], header: str) -> str:
    digest = hashlib.sha256(header.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def _named(tree: PyTree) -> Iterator[tuple[str, Any]]:
    return ((jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree.leaves_with_path(tree))


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _impl(kind: Any) -> Any:
    """The generator of a random key of which only the type is there."""
    impl = list[Any]()
    jax.eval_shape(lambda key: impl.append(jax.random.key_impl(key)), kind)
    return impl[0]


def _refuse(constant: str) -> float:
    raise ValueError(constant)
