"""What a session follows beside its driver: reports, divergence, warnings, the best policies."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ddpg.config.config import Config
from ddpg.records.display import Display
from ddpg.training.best import Best, BestPolicies, no_best
from ddpg.training.divergence import DivergenceState, check_divergence, init_divergence
from ddpg.training.driver import Learned, Report, reward_range
from ddpg.training.evaluation import Evaluation
from ddpg.training.folder import RunFolder
from ddpg.training.health import HealthState, check_health, init_health
from ddpg.training.reports import PendingReports, no_reports
from ddpg.types import Row, Spec


class WatchState(NamedTuple):
    """All that is followed, of every seed: a part of each checkpoint."""

    pending: PendingReports
    divergence: DivergenceState
    health: HealthState
    best: Best


def init_watch(config: Config) -> WatchState:
    """Before the first iteration of a run."""
    seeds = config.seeds
    return WatchState(no_reports(config), init_divergence(seeds), init_health(seeds), no_best(seeds))


class Watch:
    """Follows a run from `state` on; `diverged` and `warnings`, by seed and by kind, are filled in place."""

    def __init__(
        self,
        state: WatchState,
        diverged: dict[int, str],
        warnings: dict[str, str],
        config: Config,
        spec: Spec,
        folder: RunFolder,
        display: Display,
    ) -> None:
        self.state, self._diverged, self._warnings = state, diverged, warnings
        self._config, self._spec, self._display = config, spec, display
        self._keep_best = BestPolicies(folder, config, spec, display)

    def know(self, block: Row) -> None:
        """What the replay begins with: its rewards may come again."""
        low, high = (float(x) for x in reward_range(block))
        health, divergence = self.state.health, self.state.divergence
        health = health._replace(
            lowest_reward=np.fmin(health.lowest_reward, low), highest_reward=np.fmax(health.highest_reward, high)
        )
        largest = np.maximum(divergence.largest_reward, self._config.reward_scale * max(abs(low), abs(high)))
        self.state = self.state._replace(health=health, divergence=divergence._replace(largest_reward=largest))

    def add(self, report: Report) -> None:
        """Add what some iterations reported."""
        self.state = self.state._replace(pending=self.state.pending.add(report))

    def clear(self) -> None:
        """A log point has taken the reports."""
        self.state = self.state._replace(pending=no_reports(self._config))

    def end_chunk(self, iterations: int, learning: bool) -> bool:
        """Note the seeds that diverged in the chunk that ends now; whether no other is left."""
        pending, report = self.state.pending.end_chunk(iterations)
        state, diverged = check_divergence(
            self.state.divergence,
            report,
            gamma=self._config.gamma,
            reward_scale=self._config.reward_scale,
            learning=learning,
        )
        self.state = self.state._replace(divergence=state, pending=pending)
        for i, how in diverged.items():
            seed = self._config.seed_range[i]
            if seed not in self._diverged:
                self._diverged[seed] = f"seed {seed}: {how}"
                if self._config.seeds > 1:
                    self._display.warn(f"diverged: {self._diverged[seed]}")
        return len(self._diverged) == self._config.seeds

    def evaluated(self, step: int, report: Report, evaluation: Evaluation, learned: Learned) -> None:
        """Keep the policies that are the best so far, and give the warnings that were not given yet."""
        best = self._keep_best(self.state.best, step, evaluation.mean_returns(), learned)
        health, lines = check_health(
            self.state.health, self._config, self._spec, report, evaluation, learned, best, step
        )
        self.state = self.state._replace(health=health, best=best)
        self.warn(lines)

    def warn(self, lines: Mapping[str, str]) -> None:
        """Give the warnings, by their kind, that were not given yet."""
        for kind, line in lines.items():
            if kind not in self._warnings:
                self._warnings[kind] = line
                self._display.warn(f"warning: {line}")
