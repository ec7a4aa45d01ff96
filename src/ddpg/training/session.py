"""A run under way: chunks, and between them log, evaluate and save."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddpg.algorithm.agent import Nets
from ddpg.algorithm.normaliser import RunningStats
from ddpg.algorithm.values import Categorical
from ddpg.config.config import Config
from ddpg.config.file import rewrite_config, versions
from ddpg.config.reading import to_data
from ddpg.environment import AnyEnvironment
from ddpg.envs.gymnasium_edge import Misbehaved
from ddpg.experience.return_scale import ReturnScale
from ddpg.mistake import Mistake
from ddpg.records.checkpoint import Checkpoints, Saved
from ddpg.records.display import Display
from ddpg.records.log import Log, Record, read_records
from ddpg.terminal import count, reason
from ddpg.training.backend import driver_for, evaluator_for
from ddpg.training.divergence import init_divergence, seen
from ddpg.training.driver import ChunkInterrupted, Driver, Report
from ddpg.training.evaluation import Evaluation
from ddpg.training.finish import draw_pictures, save_networks, write_summary
from ddpg.training.folder import RunFolder
from ddpg.training.memory import replay_bytes
from ddpg.training.programs import Programs
from ddpg.training.reports import PendingReports, no_reports, together
from ddpg.training.restore import Progress, State, restore

LONGEST = 1_000  # updates, or steps, of a chunk

# A second of imports, behind the first updates.
PICTURES = ("matplotlib.figure", "matplotlib.backends.backend_agg", "gymnasium", "pygame", "PIL.Image")


@dataclass(frozen=True)
class Run:
    """What training leaves behind: the run folder, its configuration and what summary.json says."""

    path: Path
    config: Config
    summary: dict[str, Any]
    signal: int = 0  # which asked the run to stop, as Ctrl-C does

    @property
    def interrupted(self) -> bool:
        return bool(self.summary["interrupted"])


class Session:
    """One run under way."""

    def __init__(self, config: Config, env: AnyEnvironment, resumed: bool = False) -> None:
        self.config, self.env, self.resumed = config, env, resumed
        self.seeds = config.seed_range
        self.keys = jax.numpy.stack([jax.random.key(seed) for seed in self.seeds])
        self.driver = driver_for(config, env)
        with ExitStack() as opened:
            opened.callback(self.driver.close)
            self.evaluator = evaluator_for(config, env, config.eval.episodes, config.eval.seed)
            opened.callback(self.evaluator.close)
            self.optimum = self.evaluator.optimum()
            self._opened = opened.pop_all()
        self.progress, self.pieces, self.watch = Progress(), no_reports(config.seeds), init_divergence(config.seeds)
        self._saved, self._saved_at, self._doubted = 0, time.monotonic(), False

    @property
    def steps_per_iteration(self) -> int:
        return self.config.collect.steps * self.config.collect.envs

    @property
    def step(self) -> int:
        """Environment steps of each seed, so far."""
        return self.progress.iteration * self.steps_per_iteration

    def run(self, folder: RunFolder, stopped: Callable[[], int]) -> Run:
        """The whole run, or what is left of it, or as much of it as there is time for until `stopped`.

        The folder is this process's alone.

        ValueError if an environment misbehaves or every seed diverges, a file cannot be written, or there is no
        checkpoint to go on from; the run so far is on disk then too.
        """
        self.folder, began = folder, time.perf_counter()
        try:
            with self._display() as display:
                self._begin(display)
                before = self.progress.wall_seconds
                failure = self._train(display, stopped, lambda: before + time.perf_counter() - began)
                save_networks(self.folder, self.config, self.driver.read(), self.env.spec)
                display.note(f"networks saved in {self.folder.models}")
                try:
                    if failure is None:
                        self.draw(display.note)
                finally:  # whatever an environment's own drawing does, the run is told to its end
                    said = self._said(before + time.perf_counter() - began, bool(stopped()), failure)
                    summary = write_summary(self.folder, self.config, self.optimum, said)
        except OSError as error:
            raise Mistake(
                f"{error.filename or self.folder} cannot be written ({reason(error)}); what is there stays: "
                f"once it can, `ddpg resume {self.folder}` goes on from its last checkpoint"
            ) from None
        if failure is not None:
            raise Mistake(f"{failure}; the run until then is in {self.folder}")
        return Run(self.folder.path, self.config, summary, stopped())

    def close(self) -> None:
        """Close the environments, if Python steps them."""
        self._opened.close()

    def _begin(self, display: Display) -> None:
        """At the first step, or where the newest checkpoint is that can be restored."""
        config = self.config
        if not self.resumed:
            display.note(f"replay: {config.replay.capacity:,} steps, {replay_bytes(config, self.env) / 1e6:,.1f} MB")
            self.driver.start(self.keys)
            return
        self.progress, self.pieces, self.watch, notes = restore(
            self.folder, config, self.driver, self.keys, display.note
        )
        self._saved, logged = self.step, self.progress.logged
        records = read_records(self.folder.metrics) if self.folder.metrics.exists() else []
        display.recall(records, logged)
        last = max((int(record["step"]) for record in records), default=0)
        again = f"; what had come after it, up to step {last:,}, is done again" if last > self.step else ""
        display.note(f"resumed at step {self.step:,} of {config.steps:,}{again}")
        if last < logged:
            display.note(f"metrics.jsonl ends at step {last:,}: what followed, to step {logged:,}, is lost")
        for note in notes:
            display.note(note)
        rewrite_config(config, self.folder.config)  # which may be longer now
        self.folder.summary.unlink(missing_ok=True)  # which is of a run that had ended

    def _train(self, display: Display, stopped: Callable[[], int], wall: Callable[[], float]) -> str | None:
        """All that is left; and what ended it early, if that was a failure."""
        self.driver.stop_when(lambda: bool(stopped()) or self._due())
        resume_at = self.progress.logged if self.resumed else None
        with (
            Checkpoints(self.folder.checkpoints, self.config.checkpoint.keep, self._tell(display)) as checkpoints,
            Log(self.folder.metrics, self.folder.tensorboard, self.seeds, resume_at=resume_at) as log,
            ThreadPoolExecutor() as pool,
        ):
            display.note("compiling")
            programs = Programs(self.driver, pool)
            programs.prepare({(learning, end - self._from(first)) for first, end, learning, _ in self.chunks()})
            play = pool.submit(self.evaluator.compile, *learned(self.driver))
            for name in PICTURES:
                pool.submit(import_module, name)
            failure, stopping, rate, last = None, False, np.nan, -(-self.config.steps // self.steps_per_iteration)
            for first, end, learning, evaluate in self.chunks():
                # Once, but where a host was cut short, to stop or for a checkpoint.
                while self.progress.iteration < end and not stopping:
                    program = programs[learning, end - self.progress.iteration]
                    failure, rate = self._advance(program, end, learning)
                    if self.progress.iteration == end and failure is None:
                        failure = self._look(first, learning, display)
                        if evaluate and failure is None:
                            failure = self._log(log, display, rate, play.result())
                            self.progress.logged = self.step
                    stopping = failure is not None or bool(stopped())
                    if failure is None and (stopping or self._due() or self.progress.iteration == last):
                        self.progress.wall_seconds = wall()
                        log.fsync()
                        self._save(checkpoints, display)
            if stopping:
                display.note(f"stopped at step {self.step}{'' if failure else '; saving'}")
            # The last log point of a run that ends between two: when it goes on, it is as if it had not been.
            if len(self.pieces.weights):
                failure = self._log(log, display, rate, None if failure else play.result()) or failure
        return failure

    def _advance(self, program: Callable[[np.int32], Report], end: int, learning: bool) -> tuple[str | None, float]:
        """What is left of a chunk, what went wrong in it, and its steps per second."""
        first, started, failure, report = self.progress.iteration, time.perf_counter(), None, None
        try:
            report = program(np.int32(first))
        except ChunkInterrupted as cut:
            report, end = cut.report, first + cut.iterations
            failure = None if cut.error is None else str(cut.error)
        seconds, iterations = time.perf_counter() - started, end - first
        self.progress.iteration = end
        if learning:  # random steps cost next to nothing and would flatter the speed
            self.progress.learned += iterations * self.steps_per_iteration
            self.progress.learning_seconds += seconds
        if report is not None:
            # Of a host a report of every iteration, of a scan one of the chunk.
            report = jax.tree.map(np.atleast_2d, report)
            weights = np.full(len(report.episodes), iterations / len(report.episodes))
            self.pieces = jax.tree.map(lambda *both: np.concatenate(both), self.pieces, PendingReports(report, weights))
        return failure, iterations * self.steps_per_iteration * self.config.seeds / seconds

    def _look(self, first: int, learning: bool, display: Display) -> str | None:
        """Note which seeds have diverged in the chunk that began at iteration `first`; a failure if none is left."""
        since = np.cumsum(self.pieces.weights[::-1])[::-1]  # iterations from the beginning of each piece on
        chunk = jax.tree.map(itemgetter(since < self.progress.iteration - first + 0.5), self.pieces)
        report = together(chunk)
        if learning:  # where the critic's numbers are missing they are lost, and not unknown
            q, loss = (chunk.weights @ x / chunk.weights.sum() for x in chunk.report.metrics[:2])
            report = report._replace(metrics=report.metrics._replace(q=q, critic_loss=loss))
        scaled = report._replace(largest_reward=self.config.reward_scale * report.largest_reward)
        self.watch, lost = seen(self.watch, scaled, self.config.gamma, learning)
        hint = "use a smaller --critic.lr, --critic.max_grad_norm 1, --normalise true or a smaller --reward_scale"
        for i, how in lost.items():
            seed = self.seeds[i]
            if seed not in self.progress.lost:
                self.progress.lost[seed] = f"seed {seed}: {how}; {hint}"
                if self.config.seeds > 1:
                    display.note(f"diverged: {self.progress.lost[seed]}")
        if len(self.progress.lost) < self.config.seeds:
            return None
        return f"training diverged by step {self.step}: {self.progress.lost[self.config.seed]}"

    def _log(self, log: Log, display: Display, rate: float, play: Callable[..., Evaluation] | None) -> str | None:
        """Evaluate, and say all that was since the last log point; what went wrong in it."""
        evaluation, failure = None, None
        if play is not None:
            try:
                evaluation = play(*learned(self.driver))
                returned = float(np.mean(evaluation.returns))
                self.progress.returned = returned if np.isfinite(returned) else None
            except Misbehaved as error:
                failure = f"in evaluation, {error}"
        records = self.records(rate, together(self.pieces), evaluation)
        log.write(self.step, records, {} if evaluation is None else {"dq_da": np.asarray(evaluation.dq_da)})
        display.update(self.step, records)
        if evaluation is not None:
            self._doubt(evaluation, display)
        self.pieces = no_reports(self.config.seeds)
        return failure

    def _doubt(self, evaluation: Evaluation, display: Display) -> None:
        """Say once a process that a support that was set does not hold the returns."""
        value = self.config.agent.value
        if self._doubted or not isinstance(value, Categorical) or value.scales_returns:
            return
        (low, high), returns = value.support[[0, -1]], evaluation.discounted
        if (beyond := returns[(returns < low) | (returns > high)]).size:
            self._doubted = True
            far = beyond[np.argmax(np.abs(beyond - (low + high) / 2))]
            unscaled = "" if self.config.reward_scale == 1 else " --reward_scale 1"
            display.note(
                f"a discounted return of {far:.4g} lies outside the support from {low:g} to {high:g} and is cut; "
                f"use a wider one, or --value.low none --value.high none{unscaled} to have it found"
            )

    def _due(self) -> bool:
        """Whether it is time for a checkpoint, by steps or by minutes of a clock that nobody can set."""
        every, minutes = self.config.checkpoint.every, self.config.checkpoint.minutes
        by_steps = every is not None and self.step // every > self._saved // every
        return by_steps or (minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes)

    def _save(self, checkpoints: Checkpoints, display: Display) -> None:
        """Copy everything; the rest is the writer's, while training goes on."""
        networks_now = self.driver.read()
        said = {
            "config": to_data(self.config),
            "versions": versions(),
            "step": self.step,
            **asdict(self.progress),
        }

        def networks(step: int = self.step) -> None:
            try:
                save_networks(self.folder, self.config, networks_now, self.env.spec)
            except OSError as error:
                display.note(f"the networks of step {step:,} could not be written ({reason(error)})")

        checkpoints.save(self.step, State(self.driver.snapshot(), self.pieces, self.watch), said, networks)
        self._saved, self._saved_at = self.step, time.monotonic()

    def _tell(self, display: Display) -> Callable[[int, Saved | OSError], None]:
        def tell(step: int, said: Saved | OSError) -> None:
            if isinstance(said, Saved):
                display.note(f"checkpoint of step {step:,}: {said.size / 1e6:,.1f} MB in {said.seconds:.2f} s")
            else:
                why = reason(said)
                display.note(f"the checkpoint of step {step:,} could not be written ({why}); earlier ones stay")

        return tell

    def chunks(self) -> Iterator[tuple[int, int, bool, bool]]:
        """(first iteration, the one after the last, whether to learn, whether it is a log point), over the whole run.

        A chunk has at most LONGEST updates, and as many steps: Ctrl-C has to wait for its end, its random numbers for
        memory.
        """
        steps_per_iteration, config = self.steps_per_iteration, self.config
        total = -(-config.steps // steps_per_iteration)
        begin = -(-config.learning_starts // steps_per_iteration)
        every = max(1, round(config.eval.every / steps_per_iteration))
        longest = max(1, LONGEST // max(config.collect.updates, steps_per_iteration))
        first = 0
        for end in sorted({*range(every, total, every), begin, total}):
            while first < end:
                last = min(first + longest, end)
                yield first, last, first >= begin, last % every == 0
                first = last

    def _from(self, first: int) -> int:
        """Where a chunk is taken up."""
        return max(first, self.progress.iteration)

    def records(self, rate: float, report: Report, evaluation: Evaluation | None) -> list[Record]:
        """One record a seed, in the contract's keys."""
        returns = bias = np.full(self.config.seeds, np.nan)
        if evaluation is not None:
            returns, bias = evaluation.returns.mean(axis=1), evaluation.q_bias.mean(axis=1)
        exploration = self.config.agent.exploration
        noise = float(np.mean(exploration.sigma) * exploration.schedule(np.int64(self.step)))
        records = []
        for i, seed in enumerate(self.seeds):
            record = {"step": self.step, "seed": seed, "return": float(returns[i])}
            if self.optimum is not None:
                record["gap_to_optimum"] = self.optimum - record["return"]
            record["episode_return"] = float(report.episode_return[i])
            record |= {name: float(values[i]) for name, values in report.metrics._asdict().items()}
            records.append(record | {"q_bias": float(bias[i]), "noise_scale": noise, "steps_per_second": rate})
        return records

    def draw(self, note: Callable[[str], None]) -> None:
        draw_pictures(self.folder, self.config, self.env, self.optimum, note)

    def _said(self, wall: float, interrupted: bool, failure: str | None) -> dict[str, Any]:
        """What the summary has beside the returns."""
        done = self.progress
        said: dict[str, Any] = {"steps": self.step, "interrupted": interrupted}
        if done.lost:
            said["diverged"] = {str(seed): why for seed, why in done.lost.items()}
        if failure is not None:
            said["failure"] = failure
        rate = done.learned * self.config.seeds / done.learning_seconds if done.learned else None
        return said | {"steps_per_second": rate, "wall_seconds": wall}

    def _display(self) -> Display:
        config = self.config
        title = f"{config.preset} on {config.env} · {count(config.seeds, 'seed')} · {self.folder}"
        return Display(title, config.steps, self.optimum)


def learned(driver: Driver) -> tuple[Nets, RunningStats | None, ReturnScale | None]:
    """What an evaluation asks for, of every seed [S, ...]."""
    now = driver.read()
    return now.online, now.stats, now.return_scale
