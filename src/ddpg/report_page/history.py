"""What a run folder says of its run: every file may be a stranger's, or missing."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ddpg.config.config import Config
from ddpg.config.file import read_versions
from ddpg.records.log import Record, optimum_of, read_records
from ddpg.records.plot import Curve, curve_of
from ddpg.training.finish import median_seed
from ddpg.training.folder import RunFolder, RunStatus

LONGEST = 600  # characters of a text in summary.json that are shown


@dataclass(frozen=True)
class History:
    """A run as its folder has it; `summary` is empty if the run has not ended, or its end was not written."""

    folder: RunFolder
    config: Config
    versions: Mapping[str, str]
    records: Sequence[Record]
    summary: Mapping[str, Any]
    status: RunStatus

    @property
    def name(self) -> str:
        return self.folder.path.name

    @cached_property
    def steps(self) -> int:
        """Steps of each seed, as far as the folder tells."""
        logged = max((int(record["step"]) for record in self.records), default=0)
        done = self.summary.get("steps")
        return done if isinstance(done, int) and 0 <= done < 2**53 else logged

    @cached_property
    def networks_step(self) -> int:
        """The step of the last networks that were saved."""
        return self.steps if self.summary else self.folder.steps_done(self.config) or self.steps

    @property
    def optimum(self) -> float | None:
        return optimum_of(self.records)

    @property
    def seed(self) -> int:
        """The seed whose policies are shown: the median."""
        return median_seed(self.config, self.records)

    def curve(self, label: str, key: str = "return") -> Curve:
        return curve_of(self.records, label, key)

    def number(self, key: str) -> float | None:
        """A number of summary.json."""
        value = self.summary.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
            return None
        return float(value)

    def texts(self, key: str) -> list[str]:
        """The lines that summary.json has under a key: one, a list or a mapping of them."""
        value = self.summary.get(key)
        lines = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        return [line[:LONGEST] for line in lines if isinstance(line, str)]

    def best(self) -> list[tuple[int, float, int, float]]:
        """Of each seed: the best return and its step, and the last return; NaN if unknown. Empty without records."""
        if not self.records:
            return []
        curve, rows = self.curve(""), []
        for seed, returns in zip(self.seeds_logged, curve.returns, strict=True):
            known = np.flatnonzero(np.isfinite(returns))
            at = known[np.argmax(returns[known])] if known.size else 0
            rows.append((seed, float(returns[at]), int(curve.steps[at]), float(returns[-1])))
        return rows

    @property
    def seeds_logged(self) -> list[int]:
        return sorted({int(record["seed"]) for record in self.records})

    def return_at(self, step: int, seed: int) -> float | None:
        """The return that was logged for a seed at a step."""
        returns = [r.get("return", math.nan) for r in self.records if r["step"] == step and r["seed"] == seed]
        return returns[-1] if returns and math.isfinite(returns[-1]) else None


def read_history(run: str | Path) -> History:
    """Raise Mistake if the folder is no run, or a file of it cannot be read."""
    folder = RunFolder.at(run)
    config = folder.read_config()
    records = read_records(folder.metrics) if os.path.lexists(folder.metrics) else []
    return History(folder, config, read_versions(folder.config), records, folder.read_summary(), folder.state())
