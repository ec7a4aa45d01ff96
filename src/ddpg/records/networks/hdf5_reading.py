"""Attributes and arrays of HDF5 files that anyone may have made: nothing is read before it is known to be plain."""

from itertools import accumulate
from math import prod
from typing import Any

import h5py
import jax.numpy as jnp

from ddpg.mistake import Mistake

LONGEST = 2**12  # bytes of an attribute

PLAIN = h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID | h5py.h5t.TypeStringID

FLOATS = (h5py.h5t.IEEE_F32LE, h5py.h5t.IEEE_F32BE, h5py.h5t.IEEE_F64LE, h5py.h5t.IEEE_F64BE)


def attributes(file: h5py.File, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Those asked for, each looked at before it is read: numbers or text, and short."""
    attrs: dict[str, Any] = {}
    for name in (*required, *(name for name in optional if h5py.h5a.exists(file.id, name.encode()))):
        found = h5py.h5a.open(file.id, name.encode())
        if not isinstance(found.get_type(), PLAIN) or found.get_storage_size() > LONGEST:
            raise Mistake(f"its {name} is no short list of numbers and no word")
        attrs[name] = file.attrs[name]
    return attrs


def array(file: h5py.File, name: str, shape: tuple[int, ...]) -> Any:
    """Its numbers in 32 bits, if there are as many as expected."""
    found = dataset(file, name)
    if found.shape != shape:
        raise Mistake(f"{name} has shape {found.shape}, expected {shape}")
    return jnp.asarray(found[()], jnp.float32)


def has(file: h5py.File, name: str) -> bool:
    """Whether there is something of that name; ValueError if it is behind a link, which nothing here follows."""
    for part in accumulate(name.split("/"), "{}/{}".format):  # in the order in which they would be followed
        if not file.id.links.exists(part.encode()):
            return False
        if file.id.links.get_info(part.encode()).type != h5py.h5g.LINK_HARD:
            raise Mistake(f"its {part} is only a link")
    return True


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset that is all there, in this file: one that is no more than its bytes cannot claim memory or lead away.

    What `save_models` writes is neither linked, chunked, filtered, virtual nor stored elsewhere, and nor is what is
    read here: HDF5 would open other files, load plugins, or make terabytes of a fill value.
    """
    if not has(file, name):
        raise Mistake(f"it has no {name}")
    found = h5py.h5d.open(file.id, name.encode())
    made, kind, start = found.get_create_plist(), found.get_type(), found.get_offset()
    if made.get_layout() != h5py.h5d.CONTIGUOUS or made.get_external_count() or start is None:
        raise Mistake(f"{name} is not stored in one piece; write it without chunks, filters and links")
    if not any(kind.equal(known) for known in FLOATS):
        raise Mistake(f"{name} is no array of floating-point numbers")
    whole = h5py.Dataset(found)
    if start + prod(whole.shape) * kind.get_size() > file.id.get_filesize():
        raise Mistake(f"{name} claims more than the file holds")
    return whole
