"""The run folder: names, lock, claim and state."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from ddpg.config.config import Config
from ddpg.config.file import load_config, write_config
from ddpg.mistake import Mistake
from ddpg.records import checkpoint
from ddpg.records.untrusted import check_plain


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder for this process alone. ValueError if another one trains in it; the system frees what dies."""
    lock = FileLock(folder / "checkpoints" / "lock")
    try:
        (folder / "checkpoints").mkdir(exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise Mistake(f"another process is training in {folder}; wait for its end, or stop it") from None
    except OSError as error:
        raise Mistake(f"{folder} cannot be written ({error.strerror}); what is there stays as it is") from None
    try:
        yield
    finally:
        lock.release()


def _steps_done(folder: Path, config: Config) -> int:
    """Steps of the newest checkpoint that says how many; 0 if none does."""
    for path in checkpoint.found(folder / "checkpoints"):
        with suppress(ValueError):
            said = checkpoint.read_said(path).get("iteration")
            if isinstance(said, int):
                return said * config.collect.steps * config.collect.envs
    return 0


def _ended(folder: Path) -> bool:
    """Whether a run came to its end, and said so."""
    try:
        check_plain(folder / "summary.json", 2**20)
        said = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("interrupted") is False and "failure" not in said


def claim(folder: Path, config: Config) -> Path:
    """Make the folder this run's own. ValueError if it holds anything or cannot be written."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Mistake(f"run folder {folder} already holds {_content(folder, config)}")
        folder.mkdir(parents=True, exist_ok=True)
        write_config(config, folder / "config.json")
    except OSError as error:
        raise Mistake(f"run folder {folder} cannot be written ({error.strerror}); choose another --run") from None
    return folder


def _content(folder: Path, config: Config) -> str:
    """What is in a folder that is not empty, and what to do instead of training there."""
    if not (folder / "config.json").exists():
        return "other files; choose another --run or move them away"
    if _in_use(folder):
        return "a run that another process is at; choose another --run, or wait for its end"
    with suppress(ValueError):
        there = load_config(folder)
        every = replace(there.eval, every=config.eval.every)  # which follows from the steps, unless it is chosen
        if replace(there, steps=config.steps, checkpoint=config.checkpoint, eval=every) == config:
            if config.steps > there.steps:
                return f"this run, of {there.steps} steps; train on with `ddpg resume {folder} --steps {config.steps}`"
            if not _ended(folder) and not checkpoint.found(folder / "checkpoints"):
                return "this very run, stopped before its first checkpoint; choose another --run or remove it"
            if not _ended(folder):
                return f"this very run, not at its end; go on with `ddpg resume {folder}`"
            return f"this very run, at its end after {there.steps} steps; choose another --run, or more --steps"
    return "another run; choose another --run or move it away"


def _in_use(folder: Path) -> bool:
    """Whether another process trains there now."""
    lock = folder / "checkpoints" / "lock"
    try:
        with FileLock(lock, timeout=0) if lock.exists() else nullcontext():
            return False
    except Timeout:
        return True
    except OSError:  # a folder that cannot be written
        return False


def _unused(config: Config) -> Path:
    stem = f"{config.env.replace(':', '-').replace('/', '-')}-{config.preset}"
    numbers = (n for n in range(1, 10**9) if not (Path("runs") / f"{stem}-{n}").exists())
    return Path("runs") / f"{stem}-{next(numbers)}"
