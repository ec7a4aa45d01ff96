"""What `ddpg.train` returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpg.config.config import Config
from ddpg.terminal import count, one_decimal


@dataclass(frozen=True, repr=False)
class Run:
    """A run that ended: its folder, its configuration and summary.json."""

    path: Path
    config: Config
    summary: dict[str, Any]
    signal: int = 0  # that ended it early, as Ctrl-C does

    @property
    def interrupted(self) -> bool:
        """Whether a signal or an observer ended it before its last step; `ddpg.resume` goes on."""
        return bool(self.summary["interrupted"])

    def __repr__(self) -> str:
        config, seeds, iqm = self.config, count(self.config.seeds, "seed"), one_decimal(self.summary["iqm"])
        return f"Run({config.env}, {config.preset}, {self.summary['steps']} steps, {seeds}, IQM {iqm}, {self.path})"
