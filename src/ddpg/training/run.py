"""What `ddpg.train` returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpg.config.config import Config


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
        seeds, steps, iqm = self.config.seeds, self.summary["steps"], self.summary["iqm"]
        of_seeds = f"{seeds} seed{'' if seeds == 1 else 's'}"
        result = "unknown" if iqm is None else f"{iqm:.1f}"
        return f"Run({self.config.env}, {self.config.preset}, {steps} steps, {of_seeds}, IQM {result}, {self.path})"
