"""When a run saves its state, and what it saves."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ddpg.config.config import Config
from ddpg.config.file import versions
from ddpg.config.reading import to_data
from ddpg.experience.ring import outside_columns
from ddpg.records.checkpoint import Checkpoints, Saved
from ddpg.records.display import Display
from ddpg.records.frames import KEY, NewPictures
from ddpg.terminal import reason
from ddpg.training.backend import learner_for
from ddpg.training.driver import Driver
from ddpg.training.finish import save_networks
from ddpg.training.folder import RunFolder
from ddpg.training.restore import CheckpointState, Progress, with_ring
from ddpg.training.watch import WatchState
from ddpg.types import PyTree, Spec


class Saver:
    """Writes checkpoints, and the networks beside them, in a thread; `step` and `header` are of the last one."""

    def __init__(
        self, folder: RunFolder, config: Config, spec: Spec, display: Display, step: int, header: Mapping[str, Any]
    ) -> None:
        self._folder, self._config, self._spec, self._display = folder, config, spec, display
        self._saved, self._ended, self._cost = step, time.monotonic(), 0.0
        self._silent, self._written = False, 0.0
        self._block = learner_for(config, spec).rows
        self._checkpoints = Checkpoints(folder.checkpoints, config.checkpoint.keep, self._report)
        self._base: tuple[int, int] | None = None  # a step, and how many rows there had been then
        if KEY in header:
            self._checkpoints.frames.go_on_from(header)
            self._base = step, self._checkpoints.frames.rows

    def due(self, step: int, evaluated: bool) -> bool:
        """Whether it is time for a checkpoint: by steps, after the first evaluation, or by what the last one cost."""
        share = self._config.checkpoint.share
        if self._chosen(step):
            return True
        if share is None or not evaluated:
            return False
        # Of a clock that nobody can set; while one is written, the end of the last is not known.
        return not self._saved or (self._ended > 0 and time.monotonic() - self._ended >= self._cost / share)

    def _chosen(self, step: int) -> bool:
        """Whether the user wants one by now, after so many steps."""
        every = self._config.checkpoint.every
        return every is not None and step // every > self._saved // every

    def save(self, step: int, driver: Driver, progress: Progress, watch: WatchState, last: bool) -> None:
        """Copy everything; a thread writes it while training goes on. The first is awaited: from then on one exists."""
        self._checkpoints.wait()
        began, first = time.monotonic(), not self._saved
        self._silent, self._saved, self._ended = not (first or last or self._chosen(step)), step, 0.0
        learned = driver.read()
        header = {"config": to_data(self._config), "versions": versions(), "step": step, **asdict(progress)}

        def networks() -> None:
            try:
                save_networks(self._folder, self._config, learned, self._spec)
            except OSError as error:
                self._display.warn(f"the networks of step {step:,} could not be written ({reason(error)})")
            self._ended = time.monotonic()
            self._cost = self._written if first else self._ended - began  # the first also waits for imports

        snapshot, pictures = self._snapshot(step, driver, last)
        self._checkpoints.save(step, CheckpointState(snapshot, watch), header, networks, pictures)
        if first:
            self._checkpoints.wait()

    def unsaved(self, step: int) -> int | None:
        """How many rows of pictures will be in no file yet after so many steps; None for all."""
        return None if self._base is None else self._rows(step) - self._checkpoints.frames.rows

    def _snapshot(self, step: int, driver: Driver, last: bool) -> tuple[PyTree, NewPictures | None]:
        """The driver's state; and, apart from it, the pictures that are in no file yet, if there are some."""
        if not outside_columns(self._spec):
            return driver.snapshot(), None
        many = self._checkpoints.frames.many and not last  # after which no more come
        snapshot = driver.snapshot(newest=self._config.replay.capacity if many else self.unsaved(step))
        ring = snapshot.learner.ring
        if self._base is None:
            self._base = step, ring.columns.shape[1]
        new = NewPictures(ring.obs, self._rows(step), ring.columns.shape[1])
        return with_ring(snapshot, ring._replace(obs=ring.obs[:, :0])), new

    def _rows(self, step: int) -> int:
        """How many rows there have been by then."""
        assert self._base is not None, "a snapshot, or a checkpoint, says from where they count"
        first, rows = self._base
        return rows - (first - step) // self._config.steps_per_iteration * self._block

    def close(self) -> None:
        """Wait until everything is written."""
        self._checkpoints.close()

    def _report(self, step: int, result: Saved | OSError) -> None:
        name = f"checkpoint of step {step:,}"
        if isinstance(result, OSError):
            self._display.warn(f"the {name} could not be written ({reason(result)}); earlier ones stay")
            return
        self._written = result.seconds
        if not self._silent:
            self._display.note(f"{name}: {result.size / 1e6:,.1f} MB in {result.seconds:.2f} s")
