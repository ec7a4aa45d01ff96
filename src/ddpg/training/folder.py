"""The run folder: names of its files, lock, claim and state."""

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal, Self

from filelock import FileLock, Timeout

from ddpg.config.config import Config
from ddpg.config.file import read_config, write_config
from ddpg.environment import has_id, imports_module
from ddpg.mistake import Mistake
from ddpg.records import log
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.tree_file import Damaged, read_header
from ddpg.records.untrusted import check_plain
from ddpg.terminal import reason

RunStatus = Literal["empty", "foreign", "running", "started", "interrupted", "finished"]

# What a folder already holds, by its state and by how its run differs from the one that is to begin there.
HOLDS = {
    "foreign": "other files; choose another --run or move them away",
    "running": "a run that another process is training; choose another --run, or wait for its end",
    "started": "this very run, stopped before its first checkpoint; choose another --run or remove it",
    "interrupted": "this very run, not at its end; go on with `{resume}`",
    "finished": "this very run, at its end after {steps} steps; choose another --run, or more --steps",
    "shorter": "this run, of {steps} steps; train on with `{resume}`",
    "other": "another run; choose another --run or move it away",
}
LARGEST_SUMMARY = 2**20  # bytes


@dataclass(frozen=True)
class RunFolder:
    """The files of a run: where each lies, which process may write them, and how far the run is.

    `path` is absolute, since an environment may change the working directory; `name` is what the user wrote.
    """

    path: Path
    name: str = field(compare=False)

    @classmethod
    def at(cls, run: str | Path) -> Self:
        return cls(absolute(run), str(run))

    @classmethod
    def claim_new(cls, runs: Path, config: Config) -> Self:
        """A new numbered folder in `runs`, for this run alone: of several that begin at once, each gets its own."""
        stem, numbers = f"{config.env.replace(':', '-').replace('/', '-')}-{config.preset}", count(1)
        try:
            runs.mkdir(parents=True, exist_ok=True)
            while True:
                name = f"{stem}-{next(numbers)}"
                with suppress(FileExistsError):
                    (runs / name).mkdir()
                    break
        except OSError as error:
            raise Mistake(f"run folder {runs} cannot be written ({reason(error)}); choose another --run") from None
        folder = cls(runs / name, f"{runs.name}/{name}")
        folder.claim(config)
        return folder

    def __str__(self) -> str:
        return self.name

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def curve(self) -> Path:
        return self.path / "learning_curve.png"

    @property
    def film(self) -> Path:
        return self.path / "policy.gif"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    def networks(self, seed: int) -> Path:
        return self.models / f"seed-{seed}"

    def exported(self, suffix: str) -> Path:
        return self.path / f"policy{suffix}"

    def read_config(self) -> Config:
        """Raise Mistake if there is none that can be read."""
        return read_config(self.config)

    def claim(self, config: Config) -> None:
        """Make the folder this run's own. Raises Mistake if it holds anything or cannot be written."""
        try:
            if (state := self.state()) != "empty":
                raise Mistake(f"run folder {self} already holds {self._content(state, config)}")
            self.path.mkdir(parents=True, exist_ok=True)
            write_config(config, self.config)
        except OSError as error:
            raise Mistake(f"run folder {self} cannot be written ({reason(error)}); choose another --run") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For this process alone. Raises Mistake if another one trains there; a lock of a process that died is free."""
        lock = FileLock(self._lock)
        try:
            self.checkpoints.mkdir(exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            raise Mistake(f"another process is training in {self}; wait for its end, or stop it") from None
        except OSError as error:
            raise Mistake(f"{self} cannot be written ({reason(error)}); what is there stays as it is") from None
        try:
            yield
        finally:
            lock.release()

    def state(self) -> RunStatus:
        """How far the run is. OSError if that cannot be read."""
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return "empty"
        if not self.config.exists():
            return "foreign"
        if self._in_use():
            return "running"
        if self.finished():
            return "finished"
        return "interrupted" if list_checkpoints(self.checkpoints) else "started"

    def own_state(self) -> RunStatus:
        """`state` of a folder that is trained in again and again.

        Raises Mistake if it holds what nothing here may touch.
        """
        state = self.state()
        if state == "running":
            raise Mistake(f"another process is training in {self}; wait for its end, or stop it")
        if state == "foreign":
            raise Mistake(f"{self} holds other files than a run; move them away, and do it again")
        return state

    def finished(self) -> bool:
        """Whether a run came to its end, and its summary says so."""
        summary = self.read_summary()
        return summary.get("interrupted") is False and "failure" not in summary

    def failed(self) -> bool:
        """Whether all its seeds diverged or its environment misbehaved, and its summary says so."""
        return "failure" in self.read_summary()

    def read_summary(self) -> Mapping[str, Any]:
        """What summary.json says; nothing if it is missing, damaged, or no JSON."""
        try:
            check_plain(self.summary, LARGEST_SUMMARY)
            summary = json.loads(self.summary.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return summary if isinstance(summary, dict) else {}

    def steps_done(self, config: Config) -> int:
        """Steps of the newest checkpoint whose header can be read; 0 if there is none."""
        for path in list_checkpoints(self.checkpoints):
            with suppress(Damaged):
                iterations = read_header(path).get("iteration")
                if isinstance(iterations, int):
                    return iterations * config.steps_per_iteration
        return 0

    def resume_command(self, config: Config, steps: int | None = None) -> str:
        """What goes on with this run, as it is typed: in Python if its environment has no id."""
        address = config.actors.address
        if not has_id(config.env):
            more = "" if steps is None else f", steps={steps}"
            more += "" if address is None else f', options={{"actors.address": "{address}"}}'
            return f"ddpg.resume({str(self)!r}, env=...{more})"
        options = [] if steps is None else ["--steps", str(steps)]
        return self.command("resume", config, *options, *([] if address is None else ["--ray-address", address]))

    def command(self, name: str, config: Config, *options: str) -> str:
        """`ddpg NAME` of this run, as it is typed."""
        env = ["--env", config.env] if imports_module(config.env) else []
        return shlex.join(["ddpg", name, str(self), *options, *env])

    @property
    def _lock(self) -> Path:
        return self.checkpoints / "lock"

    def _in_use(self) -> bool:
        """Whether another process trains there now."""
        try:
            with FileLock(self._lock, timeout=0) if self._lock.exists() else nullcontext():
                return False
        except Timeout:
            return True
        except OSError:  # a folder that cannot be written
            return False

    def _content(self, state: RunStatus, config: Config) -> str:
        """What the folder holds, and what to do instead of training there."""
        found, steps = str(state), 0
        if state not in ("foreign", "running"):
            found = "other"
            with suppress(Mistake):
                there = self.read_config()
                steps = there.steps
                # It follows from the steps, unless it is chosen.
                evaluation = replace(there.eval, every=config.eval.every)
                if replace(there, steps=config.steps, checkpoint=config.checkpoint, eval=evaluation) == config:
                    found = "shorter" if steps < config.steps else state
        longer = config.steps if found == "shorter" else None
        return HOLDS[found].format(steps=steps, resume=self.resume_command(config, longer))


def absolute(path: str | Path) -> Path:
    """The same place whatever working directory an environment changes to.

    Raises Mistake if there is none to start from.
    """
    try:
        return Path(path).absolute()
    except OSError as error:
        raise Mistake(f"{path}: the working directory is lost ({reason(error)}); change to another") from None


def load_config(run: str | Path) -> Config:
    """The configuration of a run: `ddpg.load_config`. Raises Mistake if the folder has none to read."""
    return RunFolder.at(run).read_config()


def read_metrics(run: str | Path) -> list[log.Record]:
    """The records of a run, NaN for null, in the order written: `ddpg.read_metrics`.

    Raises Mistake if they cannot be read.
    """
    return log.read_records(RunFolder.at(run).metrics)
