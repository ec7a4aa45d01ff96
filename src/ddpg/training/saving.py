"""When a run saves its state, and what it saves."""

import time
from dataclasses import asdict

from ddpg.config.config import Config
from ddpg.config.file import versions
from ddpg.config.reading import to_data
from ddpg.records.checkpoint import Checkpoints, Saved
from ddpg.records.display import Display
from ddpg.terminal import reason
from ddpg.training.divergence import DivergenceState
from ddpg.training.driver import Driver
from ddpg.training.finish import save_networks
from ddpg.training.folder import RunFolder
from ddpg.training.reports import PendingReports
from ddpg.training.restore import CheckpointState, Progress
from ddpg.types import Spec


class Saver:
    """Writes checkpoints, and the networks beside them, in a thread; `step` is that of the last one."""

    def __init__(self, folder: RunFolder, config: Config, spec: Spec, display: Display, step: int) -> None:
        self._folder, self._config, self._spec, self._display = folder, config, spec, display
        self._saved, self._saved_at = step, time.monotonic()
        self._checkpoints = Checkpoints(folder.checkpoints, config.checkpoint.keep, self._report)

    def due(self, step: int) -> bool:
        """Whether it is time for a checkpoint, by steps or by minutes of a clock that nobody can set."""
        every, minutes = self._config.checkpoint.every, self._config.checkpoint.minutes
        by_steps = every is not None and step // every > self._saved // every
        return by_steps or (minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes)

    def save(
        self,
        step: int,
        driver: Driver,
        progress: Progress,
        pending: PendingReports,
        divergence: DivergenceState,
    ) -> None:
        """Copy everything; a thread writes it while training goes on."""
        learned = driver.read()
        header = {"config": to_data(self._config), "versions": versions(), "step": step, **asdict(progress)}

        def networks() -> None:
            try:
                save_networks(self._folder, self._config, learned, self._spec)
            except OSError as error:
                self._display.warn(f"the networks of step {step:,} could not be written ({reason(error)})")

        self._checkpoints.save(step, CheckpointState(driver.snapshot(), pending, divergence), header, networks)
        self._saved, self._saved_at = step, time.monotonic()

    def close(self) -> None:
        """Wait until everything is written."""
        self._checkpoints.close()

    def _report(self, step: int, result: Saved | OSError) -> None:
        name = f"checkpoint of step {step:,}"
        if isinstance(result, Saved):
            self._display.note(f"{name}: {result.size / 1e6:,.1f} MB in {result.seconds:.2f} s")
        else:
            self._display.warn(f"the {name} could not be written ({reason(result)}); earlier ones stay")
