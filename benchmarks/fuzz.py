"""Files as a stranger could hand them over, damaged in thousands of ways, read by processes that watch themselves.

    python benchmarks/fuzz.py [--inputs 12000] [--seed 0] [--targets NAME ...] [--out benchmarks/results/fuzz.json]
    python benchmarks/fuzz.py --replay TARGET:N

Each target is a reader of ddpg and a good folder. An input is that folder with something done to one of its files: to
its text or bytes, to its structure, or to what it is (a link, a pipe, a device, a folder, terabytes of holes). Seed,
target and number determine it. Right is what was loaded, or refused by a Mistake of one short printable line. Wrong
is any other exception, a message of several lines, a crash, more than LIMIT_SECONDS, more memory than LIMIT_BYTES
beyond twice what the files hold, a word on stdout or stderr, a file opened beside the folder, anything written, and
code that is compiled, run or imported.

Linux only: memory is the peak of resident bytes that /proc says, and files opened by libraries are seen by inotify.
"""

import argparse
import ctypes
import json
import os
import platform
import random
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

LIMIT_SECONDS, LIMIT_BYTES, LIMIT_MESSAGE = 10, 2**28, 1_000
ADDRESS_SPACE = 2**33  # beyond what is mapped before; more would be a MemoryError, which counts as too much memory
SPARSE = 2**40

Rng = random.Random
Damage = Callable[[Path, Rng], None]


@dataclass(frozen=True)
class Target:
    """`good` makes a folder, `damage` harms it, `read` must load or refuse it; `share` of all inputs are its own."""

    share: int
    good: Callable[[Path], None]
    damage: Damage
    read: Callable[[Path], None]
    imports: frozenset[str] = frozenset()  # packages that it may load beside those loaded before


# --- What can be done to any file ------------------------------------------------------------------------------------

OUTSIDE = "outside"  # the folder beside the run's, in which nothing may be opened


def beside(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.name == "run").parent / OUTSIDE


def tricks(path: Path, rng: Rng) -> None:
    """Something else in the place of a file."""
    outside = beside(path)
    content = path.read_bytes()
    path.unlink()
    twin = outside / path.name
    match rng.randrange(10):
        case 0:
            twin.write_bytes(content)
            path.symlink_to(twin)
        case 1:
            path.symlink_to(rng.choice(["/dev/zero", "/dev/random", "/dev/stdin", "/proc/self/mem", "/dev/full"]))
        case 2:
            path.symlink_to(path.name)  # a link to itself
        case 3:
            path.symlink_to(outside / "nothing")
        case 4:
            os.mkfifo(path)
        case 5:
            path.mkdir()
        case 6:
            sparse(path, content, rng)
        case 7:
            with socket.socket(socket.AF_UNIX) as end:
                here = Path.cwd()
                os.chdir(path.parent)  # a socket's address is short
                end.bind(path.name)
                os.chdir(here)
        case 8:
            os.mkfifo(twin)
            path.symlink_to(twin)
        case 9:
            path.write_bytes(b"")


def sparse(path: Path, content: bytes, rng: Rng) -> None:
    """The file, and then nothing for terabytes."""
    path.write_bytes(content if rng.random() < 0.5 else b"")
    os.truncate(path, rng.choice([SPARSE, 2**33, 2**31 + 7]))


INTERESTING = [0, 1, 2, 7, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63]
INTERESTING += [2**64 - 1, 2**64 - 2, 2**64 - 8]


def damaged_bytes(content: bytes, rng: Rng) -> bytes:
    """Flips, cuts, splices, holes, numbers at the edges, and offsets exchanged for each other."""
    data = bytearray(content)
    reach = rng.choice([64, 512, 2048, len(data)])  # what a file says of itself is mostly in front
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16, 64])):
        if not data:
            break
        at = rng.randrange(min(reach, len(data)))
        size = rng.choice([1, 2, 4, 8])
        match rng.randrange(12):
            case 0 | 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at] = rng.randrange(256)
            case 3 | 4 | 5:
                at -= at % size
                number = rng.choice([*INTERESTING, at, len(data), rng.getrandbits(64)]) % 256**size
                data[at : at + size] = number.to_bytes(size, rng.choice(["little", "little", "big"]))
            case 6 | 7:  # such as an address that then points elsewhere in the file, or to itself
                other = rng.randrange(min(reach, len(data)))
                data[at - at % 8 : at - at % 8 + 8] = data[other - other % 8 : other - other % 8 + 8]
            case 8:
                length = rng.choice([8, 64, 512])
                data[at : at + length] = bytes([rng.choice([0, 255, 65])]) * len(data[at : at + length])
            case 9:
                if rng.random() < 0.3:
                    del data[rng.randrange(len(data)) :]
            case 10:
                other, length = rng.randrange(len(data)), rng.choice([1, 8, 64, 512])
                piece = data[other : other + length]
                if rng.random() < 0.5:
                    data[at:at] = piece
                else:
                    data[at : at + len(piece)] = piece
            case 11:
                if rng.random() < 0.3:
                    del data[at : at + rng.choice([1, 8, 64])]
                elif rng.random() < 0.2:
                    data += rng.randbytes(rng.choice([1, 100, 10_000]))
    return bytes(data) if rng.random() < 0.995 else rng.randbytes(rng.choice([1, 8, 100, 5_000]))


def in_bytes(path: Path, rng: Rng) -> None:
    path.write_bytes(damaged_bytes(path.read_bytes(), rng))


# --- JSON ------------------------------------------------------------------------------------------------------------


class Raw(str):
    """Text that stands in the file as it is."""


class Again(str):
    """A key that an object may have twice."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


CANARY = "stranger_module"  # what must never be imported
EVIL = [
    f"{CANARY}:Env-v0",
    f"__import__('{CANARY}')",
    f"__import__('os').system('touch {OUTSIDE}/ran')",
    "!!python/object/apply:os.system ['true']",
    "cos\nsystem\n(S'true'\ntR.",
    "../../../../etc/passwd",
    "/dev/zero",
    "$(touch ran)",
    "\x1b]0;title\x07\x1b[31mred",
    "one\ntwo\r\nthree",
    "Pendulum-v1\x00",
    "{0.__class__.__mro__}",
    "%s%s%n",
    "\u202egnp.exe",
    "\ud800",
    "\U0001f642" * 50,
]


def junk(rng: Rng, level: int = 0) -> Any:
    """A JSON value that no schema expects."""
    match rng.randrange(14 if level < 3 else 9):
        case 0:
            return rng.choice([None, True, False])
        case 1:
            return rng.choice([0, -1, 1, 2, 0.5, -0.5, 1e-320, 1e308, -1e308, 2**31 - 1, 2**31, 2**53, 2**63, 2**64])
        case 2:
            return rng.choice([10**20, -(10**400), 10**4000, Raw("9" * 5000), Raw("-" + "8" * 100_000), Raw("1e999")])
        case 3:
            return Raw(rng.choice(["NaN", "Infinity", "-Infinity", "-0", "00", "1.", ".5", "+1", "1e", "0x10", "1_0"]))
        case 4 | 5:
            return rng.choice(EVIL)
        case 6:
            words = ["", " ", "nan", "inf", "1e400", "0x10", "1_000", "none", "None", "true", "64,64", "1,2,x", "[1]"]
            return rng.choice(words)
        case 7:
            return rng.choice(["a", "\x00", "é", "\\", '"', "1", "[", "1,"]) * rng.choice([60, 5_000, 300_000])
        case 8:
            return Raw('"' + rng.choice(["\\ud800", "\\udfff\\ud800", "\\u0000", "\\x", "\\", "\t", "\x00"]) + '"')
        case 9:
            return [junk(rng, level + 1) for _ in range(rng.randrange(4))]
        case 10:
            return [rng.choice([0, "a", [], {}])] * rng.choice([10, 1_000, 100_000])
        case 11:
            return {rng.choice(["kind", "", "a", *EVIL]): junk(rng, level + 1) for _ in range(rng.randrange(4))}
        case 12:
            return {str(i): i for i in range(rng.choice([10, 1_000, 50_000]))}
        case _:
            return deep(rng)


def deep(rng: Rng) -> Raw:
    """Nested, near the depths at which parsers and printers give up, and beyond."""
    depth = rng.choice([100, 400, rng.randrange(800, 1_000), rng.randrange(900, 1_000), 2_000, 100_000])
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}"), ('[{"kind":', "}]"), ("[", "")])
    return Raw(opening * depth + "1" + closing * depth)


def text_of(value: Any) -> str:
    """JSON, with what JSON does not allow."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))}: {text_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    return str(value) if type(value) is int else json.dumps(value)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a document with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from places(inner)


def damaged_data(data: Any, rng: Rng, junk: Callable[[Rng], Any] = junk) -> Any:
    """Values replaced, exchanged, wrapped, left out, misspelt, said twice, or added."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        everywhere = list(places(data))
        if not everywhere:
            return junk(rng)
        place, key = rng.choice(everywhere)
        match rng.randrange(12):
            case 0 | 1 | 2 | 3:
                place[key] = junk(rng)
            case 4:
                other, theirs = rng.choice(everywhere)
                place[key] = json.loads(json.dumps(other[theirs], default=str))
            case 5:
                place[key] = rng.choice([[place[key]], {key: place[key]}, {"kind": place[key]}, str(place[key])])
            case 6:
                del place[key]
            case 7 if isinstance(place, dict):
                place[rng.choice([f"{key}s", str(key).upper(), f"{key}.{key}", *EVIL])] = place.pop(key)
            case 8 if isinstance(place, dict):
                place[Again(key)] = junk(rng)
            case 9 if isinstance(place[key], int | float):
                place[key] = rng.choice([-1, 0, 2, 2**31]) * place[key]
            case 10 if isinstance(place, dict):
                place[rng.choice(["__class__", "__dict__", "kind", "format", "x" * 10_000, "", *EVIL])] = junk(rng)
            case _:
                return junk(rng) if rng.random() < 0.1 else data
    return data


def damaged_text(text: str, rng: Rng) -> bytes:
    """What else can be wrong with a text."""
    encoded = text.encode("utf-8", "surrogatepass")
    match rng.randrange(24):
        case 0:
            return text.encode(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7"]), "surrogatepass")
        case 1:
            return encoded + rng.choice([b"\x00", b"}", b"{}", b"null", b" " * 10**6, b"\xff", b"// a word", b"\n" * 9])
        case 2:
            return rng.choice([b"\x00", b" " * 10**6, b"\xef\xbb\xbf" * 2, b")]}',\n"]) + encoded
        case 3:
            return encoded[: rng.randrange(len(encoded))]
        case 4 | 5:
            return damaged_bytes(encoded, rng)
        case 6:
            return encoded.replace(b",", rng.choice([b",,", b";", b"", b", ,", b",\x00"]), rng.choice([1, 5, -1]))
        case 7:
            return encoded.replace(b'"', rng.choice([b"'", b"", b'""']), rng.choice([1, 5, -1]))
        case 8:
            return text_of(deep(rng)).encode()
        case 9:
            return text_of(junk(rng)).encode("utf-8", "surrogatepass")
        case _:
            return encoded


# --- config.json -----------------------------------------------------------------------------------------------------


def good_config(folder: Path) -> None:
    from ddpg.config import presets
    from ddpg.config.file import write_config

    folder.mkdir(parents=True)
    names = sorted(presets.PRESETS)
    for name in names:
        write_config(presets.PRESETS[name], folder / f"{name}.json")
    (folder / f"{names[0]}.json").replace(folder / "config.json")


def damage_config(folder: Path, rng: Rng) -> None:
    path = folder / "config.json"
    others = sorted(folder.glob("*.json"))
    content = rng.choice(others).read_bytes()
    for other in others:
        other.unlink()
    path.write_bytes(content)
    if rng.random() < 0.05:
        tricks(path, rng)
        return
    data = json.loads(content)
    path.write_bytes(damaged_text(text_of(damaged_data(data, rng) if rng.random() < 0.9 else data), rng))


def read_config(folder: Path) -> None:
    from ddpg import load_config
    from ddpg.config.reading import from_data, to_data

    found = load_config(folder)
    again = from_data(json.loads(json.dumps(to_data(found))))
    assert again == found, "it is another when written and read again"


# --- The environment that a config.json names ------------------------------------------------------------------------

IDS = ["Pendulum-v1", "MountainCarContinuous-v0", "CartPole-v1", "Acrobot-v1", "Pendulum", "pendulum-v1", "Nothing-v3"]
HOOKS = [CANARY, "this", "antigravity", "__main__", "os", "jax", f"{CANARY}.inner", f".{CANARY}", f"{CANARY}\u200b"]


def damage_environment(folder: Path, rng: Rng) -> None:
    damage_args = [
        "g=9.8",
        "g=1e999",
        "g=" + "[" * 10_000,
        "g",
        "=",
        "__class__=1",
        "id=1",
        "render_mode=human_",
        "a=b",
    ]
    damage_args += ['vector_kwargs={"a": 1}', "disable_env_checker=1", "max_episode_steps=-1", "spec=1", "self=0"]
    data = json.loads((folder / "config.json").read_text())
    module, plain = rng.choice([*HOOKS, *EVIL]), rng.choice(IDS)
    front = "".join(rng.choices(["gym:", "jax:", "", " ", "GYM:", "gym/", "\uff1a"], k=rng.randrange(4)))
    colon = rng.choice([":", "\uff1a", "::", "/", ".", "\ua789", ":\n", "%3a"])
    data["env"] = front + (f"{module}{colon}{plain}" if rng.random() < 0.7 else plain)
    data["env_args"] = rng.choices(damage_args, k=rng.choice([0, 0, 1, 2]))
    (folder / "config.json").write_bytes(text_of(data).encode("utf-8", "surrogatepass"))


def read_environment(folder: Path) -> None:
    from ddpg import load_config
    from ddpg.environment import resolve_for

    resolve_for(load_config(folder))


# --- metrics.jsonl ---------------------------------------------------------------------------------------------------


def good_metrics(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = Rng(0)
    keys = ["return", "episode_return", "q", "critic_loss", "dq_da", "noise_scale", "steps_per_second"]
    records = [
        {"step": step, "seed": seed} | {key: rng.choice([None, rng.gauss(0, 100), 1.0, 3]) for key in keys}
        for step in range(1_000, 9_000, 1_000)
        for seed in range(2)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def damage_metrics(folder: Path, rng: Rng) -> None:
    path = folder / "metrics.jsonl"
    if rng.random() < 0.05:
        tricks(path, rng)
        return
    lines = path.read_text().splitlines()
    for at in rng.sample(range(len(lines)), rng.choice([0, 1, 1, 2])):
        lines[at] = text_of(damaged_data(json.loads(lines[at]), rng))
    for _ in range(rng.choice([0, 0, 1, 3])):
        at = rng.randrange(len(lines))
        match rng.randrange(5):
            case 0:
                lines[at] = rng.choice(["", " ", "null", "[]", "\x00" * 1_000, "\u2028", "{}" * 1_000])
            case 1:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case 2:
                lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
            case 3:
                lines[at] = lines[at] + rng.choice(["\r", "\x0b", "\x85", ",", "\x00"])
            case 4:
                lines[at] = " " * rng.choice([10, 10**6, 10**7]) + lines[at]
        lines[at] = lines[at] or "0"
    end = rng.choice(["\n", "\n", "\n", "\r\n", "\r", "", "\n\n"])
    path.write_bytes(damaged_text(end.join(lines) + end, rng))


def read_metrics(folder: Path) -> None:
    from ddpg import read_metrics

    for record in read_metrics(folder):
        assert all(type(value) in (int, float) for value in record.values()), "a value that is no number"


# --- networks.safetensors ---------------------------------------------------------------------------------------------


def good_networks(folder: Path) -> None:
    from ddpg.records.networks.safetensors import save_networks
    from ddpg.types import Spec

    save_networks(folder, networks(), Spec((2, 3), (-1.0, 0.0), (3.0, 0.5)))


@cache
def networks() -> Any:
    """Small ones, so that most of a file is its header."""
    import jax
    import numpy as np

    from ddpg.algorithm.normaliser import RunningStats
    from ddpg.records.networks.safetensors import SavedNetworks
    from ddpg.types import Spec

    state = agent().init(jax.random.key(0), Spec((2, 3), (-1.0, 0.0), (3.0, 0.5)))
    stats = RunningStats(np.float32(1000), np.ones((2, 3), "f4"), np.ones((2, 3), "f4"))
    return jax.tree.map(np.asarray, SavedNetworks(state.online, state.target, stats))


def agent() -> Any:
    from ddpg.algorithm.agent import DPG
    from ddpg.algorithm.networks import NetworkConfig, Plain, Residual
    from ddpg.algorithm.values import Categorical

    actor, critic = NetworkConfig(widths=(5, 4), block=Plain("batch")), NetworkConfig(widths=(4, 4), block=Residual(2))
    return DPG(actor=actor, critic=critic, critics=2, value=Categorical(atoms=5))


def damage_networks(folder: Path, rng: Rng) -> None:
    path = folder / "networks.safetensors"
    choice = rng.random()
    if choice < 0.05:
        tricks(path, rng)
    elif choice < 0.35:
        in_bytes(path, rng)
    elif choice < 0.6:
        _header(path, rng)
    else:
        _other_spec(path, rng)


def _other_spec(path: Path, rng: Rng) -> None:
    """A whole file whose numbers are a stranger's, of an environment that there is not."""
    import jax
    import numpy as np

    from ddpg.records.tree_file import write

    spec: Any = {"obs_shape": [2, 3], "obs_dtype": "float32", "action_low": [-1.0, 0.0], "action_high": [3.0, 0.5]}
    odd: dict[str, list[Any]] = {
        "obs_shape": [[2**31, 2**31], [-2, -3], [], [6], [3, 2], [2**62] * 4, [1] * 2_000, 6, [0], [[2, 3]], [2.5, 3]],
        "obs_dtype": ["O", "object", "V8", "(2,3)f8", "float64", "<f4", "float32\n", "complex64", "uint8", "int8", "g"],
        "action_low": [[-1e308, -1e308], [0] * 1_000, [], -1.0, [-1], [[-1, 0]], ["a", "b"], [-(10**400), 0]],
        "action_high": [[1e308, 1e308], [1] * 1_000, [], 3.0, [3], [[3, 1]], [None, None], [True, True]],
    }
    for name in rng.sample(sorted(odd), rng.choice([0, 1, 1, 2])):
        spec[name] = rng.choice(odd[name])
    if rng.random() < 0.2:
        spec = damaged_data(spec, rng, lambda rng: json_only(junk(rng)))
    leaves, structure = jax.tree.flatten(networks())
    for at in rng.sample(range(len(leaves)), rng.choice([0, 0, 1, 3])):
        leaves[at] = np.full_like(leaves[at], rng.choice([np.nan, np.inf, -1.0, 3e38, 1e-45]))
    path.unlink()
    try:
        write(path, jax.tree.unflatten(structure, leaves), {"spec": spec})
    except (ValueError, TypeError, UnicodeError, OverflowError, RecursionError, OSError):
        path.write_bytes(b"")


def read_networks(folder: Path) -> None:
    import numpy as np

    from ddpg.records.networks.safetensors import load_networks
    from ddpg.training.policy import Policy

    saved, spec = load_networks(folder, agent(), True)
    with np.errstate(all="ignore"):  # numbers of a stranger may overflow
        Policy(saved.online, saved.stats, spec)(np.zeros((2, *spec.obs_shape), spec.obs_dtype))


# --- Checkpoints -----------------------------------------------------------------------------------------------------

CHECKPOINT = "step-000000001000.safetensors"


def tree(rows: int, rng: Rng) -> dict[str, Any]:
    """A tree as a checkpoint holds: networks, a count, flags, a random key's words, and a ring of any length."""
    import numpy as np

    numbers = np.random.default_rng(rng.getrandbits(32))
    return {
        "nets": [{"weight": numbers.normal(size=(1, 3, 4)).astype("f4"), "bias": np.zeros((1, 4), "f4")}] * 2,
        "count": np.array([7], "i4"),
        "boundary": np.array([[True, False]]),
        "key": np.array([[1, 2]], "u4"),
        "ring": {"rest": numbers.normal(size=(1, rows, 2, 3)).astype("f4"), "obs": np.zeros((1, rows, 2, 0), "f4")},
    }


def like() -> dict[str, Any]:
    import jax
    import numpy as np

    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree(5, Rng(0)))
    any_rows = {name: jax.ShapeDtypeStruct((1, -64, *x.shape[2:]), np.float32) for name, x in shapes["ring"].items()}
    return shapes | {"ring": any_rows}


def good_checkpoints(folder: Path) -> None:
    from ddpg.records.tree_file import write

    folder.mkdir(parents=True)
    said = {"step": 1_000, "iteration": 10, "last_return": -150.0, "config": {"env": "Pendulum-v1"}}
    for step in (1_000, 2_000):
        write(folder / f"step-{step:012d}.safetensors", tree(5, Rng(step)), said)


def damage_checkpoints(folder: Path, rng: Rng) -> None:
    path = folder / CHECKPOINT
    choice = rng.random()
    if choice < 0.05:
        tricks(path, rng)
    elif choice < 0.4:
        in_bytes(path, rng)
    elif choice < 0.75:
        _header(path, rng)
        if rng.random() < 0.2:
            in_bytes(path, rng)
    elif choice < 0.78:
        _holes(path, rng)
    else:
        _other_tree(path, rng)


def _other_tree(path: Path, rng: Rng) -> None:
    """Whole, and said to be so, but of something else."""
    import numpy as np

    from ddpg.records.tree_file import write

    arrays = tree(rng.choice([0, 1, 5, 1_000]), rng)
    said: Any = {"step": 1_000, "iteration": 10, "last_return": -150.0, "config": {"env": "Pendulum-v1"}}
    match rng.randrange(6):
        case 0:
            odd: list[Any] = [0, 1, (2, 2)]
            arrays[rng.choice([*arrays, *EVIL, "x" * 100_000])] = np.zeros(rng.choice(odd), rng.choice(["f4", "i8"]))
        case 1:
            del arrays[rng.choice(list(arrays))]
        case 2:
            arrays["count"] = arrays["count"].astype(rng.choice(["i8", "f4", "?", "u1", "f8"]))
        case 3:
            shapes: list[Any] = [(2, 1), (2,), (1, 2, 1), (1, 1, 2)]
            arrays["key"] = arrays["key"].reshape(rng.choice(shapes))
        case 4:
            said["last_return"] = rng.choice([10**400, -(10**4000), True, "1", None, [1], 1e308, 2**63])
        case _:
            said = damaged_data(said, rng, lambda rng: json_only(junk(rng)))
    said = said if isinstance(said, dict) else {"last_return": said}
    path.unlink()
    try:
        write(path, arrays, said)
    except (ValueError, TypeError, UnicodeError, OverflowError, RecursionError, OSError):
        path.write_bytes(b"")


def json_only(value: Any) -> Any:
    """What the writer would write too."""
    if isinstance(value, Raw):
        return str(value)[:100]
    return value


def _header(path: Path, rng: Rng) -> None:
    """Names, shapes, types and offsets that do not fit, or no JSON at all."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    data = json.loads(content[8 : 8 + size])
    numbers = [0, 1, -1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1, 2**64, 10**30, 0.5, "1", None, [], True]
    for _ in range(rng.choice([0, 1, 1, 2])):
        entries = [entry for entry in data.values() if isinstance(entry, dict)] or [{}]
        entry = rng.choice([*entries, *entries[:1] * 3])  # first what the checkpoint says of itself
        match rng.randrange(8):
            case 0 if "shape" in entry:
                entry["shape"] = rng.choice([[1, 2], [1, 5, 2, 3, 1], [rng.choice(numbers)] * 3, []])
            case 1 if isinstance(entry.get("shape"), list) and entry["shape"]:
                entry["shape"][rng.randrange(len(entry["shape"]))] = rng.choice(numbers)
            case 2 if "dtype" in entry:
                entry["dtype"] = rng.choice(
                    ["F64", "BF16", "F8_E4M3", "C64", "I8", "f32", "O", "", 7, None, "F4", "BOOL"]
                )
            case 3 if "data_offsets" in entry:
                offsets = [*numbers, 24, 48, len(content), 2**33]
                entry["data_offsets"] = [rng.choice(offsets) for _ in range(rng.choice([2, 2, 3]))]
            case 4:
                data[rng.choice([*EVIL, "__metadata__", "['count']"])] = rng.choice([entry, junk(rng)])
            case 5 | 6 if "ddpg" in entry:
                texts = [text_of(junk(rng)), text_of(deep(rng)), "", "NaN", '{"last_return": 1e999}']
                about: Any = {}
                with suppress(ValueError, TypeError, RecursionError):  # of what was damaged before
                    about = json.loads(entry["ddpg"])
                about = (about if isinstance(about, dict) else {}) | {"header": rng.choice(texts)}
                entry["ddpg"] = rng.choice([json.dumps(about), json.dumps(about), *texts])
            case _:
                data = damaged_data(data, rng)
                if not isinstance(data, dict):
                    break
    header = damaged_text(text_of(data), rng) if rng.random() < 0.3 else text_of(data).encode("utf-8", "surrogatepass")
    size = len(header) if rng.random() < 0.85 else rng.choice([*INTERESTING, len(header) + 1, len(header) - 1])
    path.write_bytes(
        (size % 2**64).to_bytes(8, "little") + header + content[8 + int.from_bytes(content[:8], "little") :]
    )


def _holes(path: Path, rng: Rng) -> None:
    """A ring of gigabytes, all there as far as the file says, of which the disk holds nothing."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    data = json.loads(content[8 : 8 + size])
    rows = rng.choice([2**25, 2**34])
    ring = data["['ring']['rest']"]
    begin = max(entry["data_offsets"][1] for entry in data.values() if "data_offsets" in entry)
    first, last = ring["data_offsets"]
    for entry in data.values():  # the ring goes to the end
        if "data_offsets" in entry and entry is not ring and entry["data_offsets"][0] >= last:
            entry["data_offsets"] = [offset - (last - first) for offset in entry["data_offsets"]]
    ring["shape"][1] = rows
    begin -= last - first
    ring["data_offsets"] = [begin, begin + rows * 24]
    header = json.dumps(data).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(path, 8 + len(header) + begin + rows * 24)


def read_checkpoints(folder: Path) -> None:
    from ddpg.records.checkpoint import list_checkpoints
    from ddpg.records.tree_file import read, read_header

    assert folder / CHECKPOINT in list_checkpoints(folder), "it was overlooked"
    header = read_header(folder / CHECKPOINT)
    assert isinstance(header, dict), f"its header is {type(header)}"
    read(folder / CHECKPOINT, like())


# --- All of them -----------------------------------------------------------------------------------------------------

ENVIRONMENTS = frozenset({"pygame", "mujoco", "Box2D", "cloudpickle"})  # what Gymnasium's own may load
TARGETS = {
    "config": Target(3, good_config, damage_config, read_config),
    "environment": Target(1, good_config, damage_environment, read_environment, ENVIRONMENTS),
    "metrics": Target(3, good_metrics, damage_metrics, read_metrics),
    "networks": Target(6, good_networks, damage_networks, read_networks),
    "checkpoint": Target(4, good_checkpoints, damage_checkpoints, read_checkpoints),
}


@cache
def home() -> Path:
    """Where this process makes its inputs; the run's folder and the one outside are side by side in it."""
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def made(target: str, number: int, seed: int) -> Path:
    """The folder of an input."""
    here = home()
    good = here / f"good-{target}"
    if not good.exists():
        TARGETS[target].good(good)
    for name in ("run", OUTSIDE):
        shutil.rmtree(here / name, ignore_errors=True)
    shutil.copytree(good, here / "run")
    (here / OUTSIDE).mkdir()
    (here / OUTSIDE / f"{CANARY}.py").write_text("print('imported')\n")
    TARGETS[target].damage(here / "run", Rng(f"{seed}:{target}:{number}"))
    return here / "run"


# --- The watch -------------------------------------------------------------------------------------------------------

RUNS_CODE = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.", "pickle.", "ctypes.dlopen")
WRITES = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "shutil.",
    "os.chmod",
)
SPEAKS = ("socket.", "urllib.", "webbrowser.", "ftplib.", "http.")


class DivergenceState:
    """What Python says of itself while a file is read. Modules of trusted places may load each other lazily."""

    def __init__(self, imports: frozenset[str]) -> None:
        self.on, self.seen, self.imports = False, [], imports
        self.folder = ""
        package = Path(sys.modules["ddpg"].__file__ or "").parent
        places = {sys.prefix, sys.base_prefix, str(package), os.path.dirname(os.__file__), "<frozen"}
        self.trusted = tuple(places)
        self.loaded: set[str] = set()
        sys.addaudithook(self.hook)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = args
            if isinstance(path, int) or (self._is_trusted(path) and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
            self.on = False  # realpath is none of theirs
            real = os.path.realpath(os.fsdecode(path))
            self.on = True
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.seen.append(f"written: {path}")
            elif not real.startswith(self.folder + os.sep):
                self.seen.append(f"outside: {path}")
        elif event == "import":
            top = str(args[0]).split(".")[0]
            known = top in self.loaded or top in self.imports or (args[1] and self._is_trusted(args[1]))
            if not known and top not in sys.builtin_module_names:
                self.seen.append(f"import: {args[0]}")
        elif event == "exec":
            if not self._is_trusted(getattr(args[0], "co_filename", "")):
                self.seen.append(f"code: {args[0]}")
        elif event == "compile":
            if args[0] is not None and not self._is_trusted(args[1] or ""):
                self.seen.append(f"code: {str(args[0])[:60]!r} as {args[1]}")
        elif event.startswith(RUNS_CODE):
            self.seen.append(f"code: {event} {args!r}"[:200])
        elif event.startswith(WRITES):
            self.seen.append(f"written: {event} {args!r}"[:200])
        elif event.startswith(SPEAKS):
            self.seen.append(f"outside: {event} {args!r}"[:200])

    def _is_trusted(self, path: Any) -> bool:
        return os.fsdecode(path).startswith(self.trusted)


class Outside:
    """Whether any file in a folder was opened, by whatever library: inotify."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK)
        assert self.fd >= 0, "no inotify here"

    def begin(self, folder: Path) -> None:
        self.mark = self.libc.inotify_add_watch(self.fd, os.fsencode(folder), 0x20 | 0x1 | 0x2 | 0x100 | 0x200)
        assert self.mark >= 0, folder

    def end(self) -> bool:
        try:
            found = len(os.read(self.fd, 65_536)) > 0
        except BlockingIOError:
            found = False
        self.libc.inotify_rm_watch(self.fd, self.mark)
        with suppress(BlockingIOError):
            os.read(self.fd, 65_536)  # that the watch has ended is an event too
        return found


def resident(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key + ":"))
    return int(line.split()[1]) * 1024


def held(folder: Path) -> int:
    """Bytes that the files of a folder say they have."""
    found = [path.lstat() for path in folder.rglob("*")]
    return sum(each.st_size for each in found if stat.S_ISREG(each.st_mode))


def verdict(read: Callable[[Path], None], folder: Path) -> tuple[str, str]:
    """(loaded, refused or wrong; what was said)."""
    from ddpg.mistake import Mistake

    try:
        read(folder)
    except ValueError as error:
        said, cause = str(error).replace(str(folder), "RUN"), error.__context__
        while cause is not None:
            if isinstance(cause, MemoryError) and held(folder) < ADDRESS_SPACE:
                return "wrong", f"memory: {cause!r}"
            cause = cause.__context__
        if not isinstance(error, Mistake):
            return "wrong", f"exception: {type(error).__name__}: {said[:300]}"
        if len(said.splitlines()) != 1 or not said.isprintable():
            return "wrong", f"lines: {said[:300]!r}"
        if len(said) > LIMIT_MESSAGE:
            return "wrong", f"lines: {len(said)} characters: {said[:300]!r}"
        return "refused", said[:300]
    except BaseException as error:
        return "wrong", f"exception: {type(error).__name__}: {str(error)[:300]}"
    return "loaded", ""


def worker(target: str, seed: int) -> None:
    """Numbers in, one JSON line out for each."""
    here = TARGETS[target]
    answers = os.fdopen(os.dup(1), "w")
    noise = os.open(home() / "noise", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(noise, 1)
    os.dup2(noise, 2)
    sys.path.insert(0, str(home() / OUTSIDE))  # as for somebody who unpacked all of it where they work
    made(target, 0, seed)
    for _ in range(2):
        here.read(home() / f"good-{target}")
    import warnings

    warnings.simplefilter("ignore")  # what NumPy finds odd is no answer; what it raises is
    os.chdir(home())
    watch, outside = DivergenceState(here.imports), Outside()
    watch.loaded = {name.split(".")[0] for name in sys.modules}
    most = resident("VmSize") + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        try:
            folder = made(target, int(line), seed)
        except Exception:  # a mistake here and no finding
            answers.write(json.dumps({"outcome": "unmade", "said": traceback.format_exc()}) + "\n")
            answers.flush()
            continue
        os.ftruncate(noise, 0)
        outside.begin(home() / OUTSIDE)
        watch.seen, watch.folder = [], os.path.realpath(folder)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        before, began = resident("VmHWM"), perf_counter()
        signal.alarm(LIMIT_SECONDS)
        watch.on = True
        outcome, said = verdict(here.read, folder)
        watch.on = False
        signal.alarm(0)
        seconds, growth = perf_counter() - began, resident("VmHWM") - before
        if outside.end():
            watch.seen.append("outside: a file beside the folder was opened")
        if size := os.fstat(noise).st_size:
            watch.seen.append(f"noise: {os.pread(noise, min(size, 300), 0)!r}")
        if growth > LIMIT_BYTES + 2 * held(folder):
            watch.seen.append(f"memory: {growth} bytes more")
        if watch.seen:
            outcome, said = "wrong", " | ".join(dict.fromkeys(watch.seen)) + (f" | {said}" if said else "")
        answer = {"outcome": outcome, "said": said, "bytes": growth, "seconds": seconds}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    shutil.rmtree(home(), ignore_errors=True)


def run(target: str, numbers: list[int], seed: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The answers of workers, a new one after each that did not survive its input."""
    command = [sys.executable, __file__, "--worker", target, "--seed", str(seed)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-all-"))
    process: subprocess.Popen[str] | None = None
    for number in numbers:
        if process is None:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment | {"TMPDIR": str(scratch)},
            )
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if line:
            yield number, json.loads(line)
            continue
        code = process.wait()
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        kind = "timeout" if name == "SIGALRM" else "crash"
        yield number, {"outcome": "wrong", "said": f"{kind}: {name}", "bytes": 0, "seconds": LIMIT_SECONDS}
        process = None
    if process is not None:
        assert process.stdin
        process.stdin.close()
        process.wait()
    shutil.rmtree(scratch, ignore_errors=True)


def figures(target: str, inputs: int, seed: int) -> dict[str, Any]:
    began, outcomes, wrong = perf_counter(), Counter[str](), dict[str, list[dict[str, Any]]]()
    peak, slowest = 0, 0.0
    for number, answer in run(target, list(range(inputs)), seed):
        assert answer["outcome"] != "unmade", f"{target}:{number}\n{answer['said']}"
        outcomes[answer["outcome"]] += 1
        peak, slowest = max(peak, answer["bytes"]), max(slowest, answer["seconds"])
        if answer["outcome"] == "wrong":
            wrong.setdefault(answer["said"].split(":")[0], []).append({"input": f"{target}:{number}", **answer})
            print(f"{target}:{number} {answer['said'][:300]}", file=sys.stderr, flush=True)
    return {
        "inputs": inputs,
        "loaded": outcomes["loaded"],
        "refused": outcomes["refused"],
        "wrong": outcomes["wrong"],
        "wrong_by_kind": {kind: len(found) for kind, found in wrong.items()},
        "wrong_examples": [example for found in wrong.values() for example in found[:5]],
        "largest_growth_mib": round(peak / 2**20, 1),
        "slowest_read_seconds": round(slowest, 3),
        "seconds": round(perf_counter() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--inputs", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fuzz.json"))
    parser.add_argument("--replay", metavar="TARGET:N", help="make and read one input again, and keep it")
    parser.add_argument("--worker", choices=TARGETS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.seed)
        return
    if args.replay:
        target, _, number = args.replay.partition(":")
        for _, answer in run(target, [int(number)], args.seed):
            print(json.dumps(answer, indent=2))
        print(f"the input: {made(target, int(number), args.seed)}")
        return
    shares = sum(TARGETS[name].share for name in args.targets)
    found = {name: figures(name, -(-args.inputs * TARGETS[name].share // shares), args.seed) for name in args.targets}
    said = {
        "command": f"python benchmarks/fuzz.py --inputs {args.inputs} --seed {args.seed}",
        "limits": {"seconds": LIMIT_SECONDS, "bytes": LIMIT_BYTES, "message": LIMIT_MESSAGE},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in ("numpy", "pydantic", "safetensors")},
        "inputs": sum(of["inputs"] for of in found.values()),
        "wrong": sum(of["wrong"] for of in found.values()),
        "targets": found,
    }
    args.out.write_text(json.dumps(said, indent=2) + "\n")
    print(
        json.dumps(
            {name: {k: v for k, v in of.items() if k != "wrong_examples"} for name, of in found.items()}, indent=2
        )
    )


if __name__ == "__main__":
    main()
