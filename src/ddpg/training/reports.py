"""Reports since the last log point, their means, and the log point that they become."""

from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ddpg.config.config import Config
from ddpg.records.observer import LogPoint
from ddpg.training.driver import ActorsReport, OwnMean, Report
from ddpg.training.evaluation import Evaluation
from ddpg.types import Metrics

SUCCESS = "is_success"  # the key of `info` whose mean over episodes is the success rate


class PendingReports(NamedTuple):
    """Reports since the last log point: leaves [pieces, S], and how many iterations each piece covers [pieces].

    A piece is one iteration, or a chunk that has ended, so that means do not depend on how a chunk was cut.
    """

    report: Report
    weights: np.ndarray

    def add(self, report: Report) -> "PendingReports":
        """With the report of each of several iterations [iterations, S]."""
        more = PendingReports(report, np.ones(len(report.episodes)))
        return jax.tree.map(lambda *both: np.concatenate(both), self, more)

    def end_chunk(self, iterations: int) -> tuple["PendingReports", Report]:
        """With the last chunk, of so many iterations, as one piece; and its report [S].

        Its q and critic_loss are NaN if any iteration's are: within one chunk these are lost numbers, not unknown ones.
        """
        before, chunk = (jax.tree.map(itemgetter(part), self) for part in np.s_[:-iterations, -iterations:])
        report, (q, loss, *_) = mean_report(chunk), chunk.report.metrics
        metrics = report.metrics._replace(q=q.mean(axis=0), critic_loss=loss.mean(axis=0))
        report = report._replace(metrics=metrics)
        piece = PendingReports(jax.tree.map(lambda x: x[None], report), np.array([float(iterations)]))
        return jax.tree.map(lambda *both: np.concatenate(both), before, piece), report


def no_reports(config: Config) -> PendingReports:
    """Nothing yet."""
    none = np.zeros((0, config.seeds))
    metrics, own = Metrics(*[none] * len(Metrics._fields)), (OwnMean(none, none),) * len(config.log)
    actors = ActorsReport(none, none, none) if config.actors.number else None
    return PendingReports(Report(metrics, none, none, none, none, own, actors), np.zeros(0))


def mean_report(pending: PendingReports) -> Report:
    """Means over the iterations, or episodes, of which a number is known [S]."""
    report, weights = pending

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        weights = np.where(np.isnan(values), 0, weights)
        total = weights.sum(axis=0)
        return np.where(total > 0, np.nansum(weights * values, axis=0) / np.maximum(total, 1), np.nan)

    metrics = jax.tree.map(lambda values: mean(values, weights[:, None] * np.ones_like(values)), report.metrics)
    returns: Any = mean(report.episode_return, report.episodes)
    low = report.lowest_reward.min(axis=0, initial=np.inf)
    high = report.highest_reward.max(axis=0, initial=-np.inf)
    own = tuple(OwnMean(mean(each.mean, each.episodes), each.episodes.sum(axis=0)) for each in report.own)
    actors = None
    if report.actors is not None:
        staleness, waiting, replaced = report.actors
        own_weights = weights[:, None] * np.ones_like(staleness)
        actors = ActorsReport(mean(staleness, own_weights), mean(waiting, own_weights), replaced.sum(axis=0))
    return Report(metrics, returns, report.episodes.sum(axis=0), low, high, own, actors)


def log_point(
    config: Config,
    folder: Path,
    step: int,
    report: Report,
    evaluation: Evaluation | None,
    optimum: float | None,
    steps_per_second: float,
) -> LogPoint:
    """The log point of a report [S]; what an evaluation would have measured is NaN without one."""
    if evaluation is None:
        nan: Any = np.full((config.seeds, 1), np.nan)
        evaluation = Evaluation(*[nan] * 5, own=(nan,) * len(config.log))
    returns, exploration = evaluation.mean_returns(), config.agent.exploration
    point: LogPoint = {
        "run": folder,
        "step": step,
        "seeds": tuple(config.seed_range),
        "return": returns,
        "episode_return": np.asarray(report.episode_return),
        "q": np.asarray(report.metrics.q),
        "critic_loss": np.asarray(report.metrics.critic_loss),
        "actor_loss": np.asarray(report.metrics.actor_loss),
        "dq_da": np.asarray(report.metrics.dq_da),
        "saturation": np.asarray(report.metrics.saturation),
        "stuck": np.asarray(report.metrics.stuck),
        "q_bias": np.asarray(evaluation.q_bias.mean(axis=1)),
        "noise_scale": float(np.mean(exploration.sigma) * exploration.schedule(np.int64(step))),
        "steps_per_second": steps_per_second,
        "dq_da_at_starts": np.asarray(evaluation.dq_da),
    }
    if optimum is not None:
        point["gap_to_optimum"] = optimum - returns
    if report.actors is not None:
        point["staleness"], point["waiting"], point["replaced"] = map(np.asarray, report.actors)
    if config.log:
        point["info"] = dict(zip(config.log, evaluation.mean_own(), strict=True))
        point["episode_info"] = {key: np.asarray(own.mean) for key, own in zip(config.log, report.own, strict=True)}
        if SUCCESS in config.log:
            point["success_rate"], point["episode_success_rate"] = (
                point["info"][SUCCESS],
                point["episode_info"][SUCCESS],
            )
    return point
