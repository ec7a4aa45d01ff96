"""A tree is read as it was written or its file is refused in one line; a bug of ours is neither."""

import errno
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.records.tree_file import Damaged, from_numpy, read, read_header, to_numpy, write


class Part(NamedTuple):
    flags: Any
    empty: Any
    nothing: None = None


def tree(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    part = Part(rng.normal(size=(4, 2)) > 0, np.zeros((3, 0, 2), np.float32))
    return {
        "rows": rng.normal(size=(5, 3)).astype(np.float32),
        "parts": [part, (np.int32(7) + np.zeros((), np.int32), np.array([np.nan, -0.0, np.inf]))],
        "pixels": rng.integers(0, 256, (2, 3, 3), np.uint8),
    }


def like(whole: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((-9, *x.shape[1:]) if x.shape else (), x.dtype), whole)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "step-000000000005.safetensors"
    write(path, tree(), {"step": 5, "return": -1.5})
    return path


def test_what_is_read_is_what_was_written(path: Path, assert_identical: Callable[[Any, Any], None]) -> None:
    assert_identical(read(path, like(tree())), tree())
    assert_identical(read(path, tree()), tree())
    assert read_header(path) == {"step": 5, "return": -1.5}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_random_keys_are_kept_as_words_and_restored_as_keys(
    tmp_path: Path, assert_identical: Callable[[Any, Any], None]
) -> None:
    keys = {
        "one": jax.random.key(3),
        "two": jax.random.split(jax.random.key(4, impl="rbg"), (2, 3)),
        "x": jnp.arange(3.0),
    }
    kept = to_numpy(keys)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(kept))
    path = tmp_path / "step-000000000001.safetensors"
    write(path, kept, {})
    again = from_numpy(read(path, jax.eval_shape(lambda: keys)), jax.eval_shape(lambda: keys))
    assert_identical(again, keys)
    for name in ("one", "two"):
        assert jax.random.key_impl(again[name]) == jax.random.key_impl(keys[name])


def test_copies_are_nobody_elses(path: Path) -> None:
    array = np.zeros(3)
    copy = to_numpy({"x": array})
    array[:] = 1
    assert copy["x"].sum() == 0


def test_every_flipped_bit_is_found(path: Path) -> None:
    whole, refused = path.read_bytes(), 0
    rng = np.random.default_rng(0)
    places = [*range(200), *rng.integers(0, len(whole), 300).tolist(), *range(len(whole) - 50, len(whole))]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(Damaged) as error:
            read(path, like(tree()))
        assert len(str(error.value).splitlines()) == 1
        refused += 1
    assert refused == len(places)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100, -200, -1])
def test_what_is_cut_off_is_refused(size: int, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(Damaged, match=r"^/\S+ cannot be used: "):
        read(path, like(tree()))
    with pytest.raises(Damaged, match=r"^/\S+ cannot be used: "):
        read_header(path)


def change(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(header: dict[str, Any]) -> None:
        header["['rows']"][field] = value

    return apply


def drop(header: dict[str, Any]) -> None:
    del header["['pixels']"]


def other_format(header: dict[str, Any]) -> None:
    tell(header, format="somebody else's")


def later_version(header: dict[str, Any]) -> None:
    tell(header, version="99")


def tell(header: dict[str, Any], **changes: str) -> None:
    about = json.loads(header["__metadata__"]["ddpg"])
    header["__metadata__"]["ddpg"] = json.dumps(about | changes)


@pytest.mark.parametrize(
    "damage",
    [
        change("shape", [3, 5]),
        change("shape", [2**40, 2**20]),
        change("shape", [-1, 3]),
        change("dtype", "I32"),
        change("dtype", "F99"),
        change("data_offsets", [0, 2**62]),
        change("data_offsets", "all"),
        drop,
        other_format,
        later_version,
    ],
)
def test_a_header_that_lies_is_refused(damage: Callable[[dict[str, Any]], None], path: Path) -> None:
    whole = path.read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    damage(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + size :])
    with pytest.raises(Damaged, match=r"^/\S+ cannot be used: "):
        read(path, like(tree()))


def test_headers_beyond_all_measure_are_not_read(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**60) + b"{" * 100)
    with pytest.raises(Damaged, match=r"a header of 1152921504606846976 bytes"):
        read_header(path)
    with path.open("wb") as file:  # sparse: it takes no room
        file.write(struct.pack("<Q", 2**28))
        file.truncate(2**30)
    with pytest.raises(Damaged, match=r"a header of 268435456 bytes"):
        read_header(path)


def test_only_plain_files_are_opened(path: Path) -> None:
    link, pipe, folder = (path.with_name(f"step-00000000000{i}.safetensors") for i in (6, 7, 8))
    link.symlink_to(path)
    os.mkfifo(pipe)
    folder.mkdir()
    for odd in (link, pipe, folder, path.with_name("step-000000000009.safetensors")):
        with pytest.raises(Damaged):
            read_header(odd)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"rows": np.zeros((5, 3), np.float32)}, "it has"),
        (tree() | {"more": np.zeros(2)}, r"it lacks \"\['more'\]\""),
        (tree() | {"rows": np.zeros((5, 4), np.float32)}, r"\['rows'\] is float32\[5, 3\], expected float32\[5, 4\]"),
        (tree() | {"rows": np.zeros((5, 3))}, r"\['rows'\] is float32\[5, 3\], expected float64\[5, 3\]"),
        (
            like(tree()) | {"rows": jax.ShapeDtypeStruct((-4, 3), np.float32)},
            r"\['rows'\] is float32\[5, 3\], expected float32\[-4, 3\]",
        ),
        (tree() | {"rows": np.zeros(15, np.float32)}, r"\['rows'\] is float32\[5, 3\], expected float32\[15\]"),
    ],
)
def test_another_tree_is_refused(other: Any, said: str, path: Path) -> None:
    with pytest.raises(Damaged, match=said):
        read(path, other)


def test_a_failing_write_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write(path, tree(1), {})
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
