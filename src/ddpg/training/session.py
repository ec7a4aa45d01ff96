"""One run under way: begin, advance, observe, save, end."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from importlib import import_module
from typing import Any

import jax
import numpy as np

from ddpg.config.config import Config
from ddpg.config.file import rewrite_config
from ddpg.environment import AnyEnvironment
from ddpg.envs.gymnasium_edge import Misbehaved
from ddpg.mistake import Mistake
from ddpg.records import tensorboard
from ddpg.records.display import Display
from ddpg.records.log import Log, read_records
from ddpg.records.observer import Observer, Observers
from ddpg.terminal import count, reason
from ddpg.training.backend import driver_for, evaluator_for
from ddpg.training.divergence import check_divergence, init_divergence
from ddpg.training.driver import ChunkInterrupted, Report
from ddpg.training.evaluation import Evaluation
from ddpg.training.finish import draw_pictures, save_networks, write_summary
from ddpg.training.folder import RunFolder
from ddpg.training.memory import replay_bytes
from ddpg.training.programs import Programs
from ddpg.training.reports import chunk_report, log_point, mean_report, no_reports, support_warning
from ddpg.training.restore import Progress, restore
from ddpg.training.run import Run
from ddpg.training.saving import Saver
from ddpg.training.schedule import Chunk, chunks

# A second of imports, during the first updates.
LATER = (*tensorboard.MODULES, "matplotlib.figure", "matplotlib.backends.backend_agg", "pygame", "PIL.Image")


class Session:
    """One run under way; the log, the display and then `observers` are called with every log point."""

    def __init__(
        self,
        config: Config,
        env: AnyEnvironment,
        resumed: bool = False,
        observers: Iterable[Observer] = (),
        quiet: bool = False,
    ) -> None:
        self.config, self.env, self.resumed, self._quiet = config, env, resumed, quiet
        self.keys = jax.numpy.stack([jax.random.key(seed) for seed in config.seed_range])
        self.driver = driver_for(config, env)
        with ExitStack() as opened:
            opened.callback(self.driver.close)
            self.evaluator = evaluator_for(config, env, config.eval.episodes, config.eval.seed)
            opened.callback(self.evaluator.close)
            self.optimum = self.evaluator.optimum()
            self._opened = opened.pop_all()
        self.progress, self.pending, self.observers = Progress(), no_reports(config.seeds), Observers(observers)
        self.divergence = init_divergence(config.seeds)
        self.failure: str | None = None  # an environment misbehaved, or training diverged
        self._rate, self._warned = np.nan, False

    @property
    def step(self) -> int:
        """Environment steps of each seed, so far."""
        return self.progress.iteration * self.config.steps_per_iteration

    @property
    def finished(self) -> bool:
        return self.step >= self.config.steps

    def run(self, folder: RunFolder, stopped: Callable[[], int]) -> Run:
        """The whole run, or the rest of it; until `stopped` gives a signal, or an observer stops it.

        `folder` is locked by this process.
        Mistake if an environment misbehaves or every seed diverges, a file cannot be written, or there is no
        checkpoint to go on from; the run so far is on disk then too, and if an observer raises anything else.
        """
        self.folder, self._signal, self._began = folder, stopped, time.perf_counter()
        title = f"{self.config.preset} on {self.config.env} · {count(self.config.seeds, 'seed')} · {folder}"
        self.display = Display(title, self.config.steps, self.optimum, quiet=self._quiet)
        try:
            with self.display:
                self._begin()
                self._began -= self.progress.wall_seconds
                self._train()
                summary = self._end()
        except OSError as error:
            raise Mistake(
                f"{error.filename or self.folder} cannot be written ({reason(error)}); what is there stays: "
                f"once it can, `ddpg resume {self.folder}` goes on from its last checkpoint"
            ) from None
        if self.observers.error is not None:
            raise self.observers.error
        if self.failure is not None:
            raise Mistake(f"{self.failure}; the run until then is in {self.folder}")
        return Run(folder.path, self.config, summary, stopped())

    def close(self) -> None:
        """Close the environments, if Python steps them."""
        self._opened.close()

    def chunks(self) -> Iterator[Chunk]:
        """The whole run, from its first iteration."""
        run, updates = self.config, self.config.collect.updates
        return chunks(run.steps, run.learning_starts, run.eval.every, run.steps_per_iteration, updates)

    def _begin(self) -> None:
        """Go to the first step, or to the newest checkpoint that can be restored."""
        config, note = self.config, self.display.note
        if not self.resumed:
            note(f"replay: {config.replay.capacity:,} steps, {replay_bytes(config, self.env) / 1e6:,.1f} MB")
            self.driver.start(self.keys)
            return
        self.progress, self.pending, self.divergence, notes = restore(
            self.folder, config, self.driver, self.keys, self.display.warn
        )
        logged = self.progress.logged
        records = read_records(self.folder.metrics) if self.folder.metrics.exists() else []
        self.display.recall(records, logged)
        last = max((int(record["step"]) for record in records), default=0)
        again = f"; what had come after it, up to step {last:,}, is done again" if last > self.step else ""
        note(f"resumed at step {self.step:,} of {config.steps:,}{again}")
        if last < logged:
            self.display.warn(f"metrics.jsonl ends at step {last:,}: what followed, to step {logged:,}, is lost")
        for line in notes:
            self.display.warn(line)
        rewrite_config(config, self.folder.config)  # which may be longer now
        self.folder.summary.unlink(missing_ok=True)  # which is of a run that had ended

    def _train(self) -> None:
        """All iterations that are left, until something stops the run."""
        resume_at = self.progress.logged if self.resumed else None
        with (
            closing(Saver(self.folder, self.config, self.env.spec, self.display, self.step)) as saver,
            Log(self.folder.metrics, self.folder.tensorboard, resume_at=resume_at) as log,
            ThreadPoolExecutor() as pool,
        ):
            self.driver.stop_when(lambda: bool(self._signal()) or saver.due(self.step))
            self.display.note("compiling")
            programs, done, stopping = Programs(self.driver, pool), self.progress.iteration, False
            programs.prepare({(c.learning, c.end - max(c.first, done)) for c in self.chunks() if c.end > done})
            evaluate = pool.submit(self.evaluator.compile, *self.driver.read().evaluation_inputs)
            pool.submit(lambda: [import_module(name) for name in LATER])  # in one thread: some import each other
            for chunk in self.chunks():
                # Once, unless a host was cut short, to stop or for a checkpoint.
                while self.progress.iteration < chunk.end and not stopping:
                    self._advance(programs[chunk.learning, chunk.end - self.progress.iteration], chunk)
                    if self.progress.iteration == chunk.end and self.failure is None:
                        self._check_divergence(chunk)
                        if chunk.log and self.failure is None:
                            self._observe(log, evaluate.result())
                            self.progress.logged = self.step
                    stopping = bool(self.failure or self.observers.stopped or self._signal())
                    if self.failure is None and (stopping or saver.due(self.step) or self.finished):
                        log.fsync()
                        self.progress.wall_seconds = time.perf_counter() - self._began
                        saver.save(self.step, self.driver, self.progress, self.pending, self.divergence)
            if stopping:
                self.display.note(f"stopped at step {self.step}{'' if self.failure else '; saving'}")
            # The last log point of a run that ends between two: no checkpoint has it, so a resumed run drops it.
            if len(self.pending.weights):
                self._observe(log, None if self.failure else evaluate.result())

    def _advance(self, program: Callable[[np.int32], Report], chunk: Chunk) -> None:
        """Do what is left of a chunk, or less if an environment fails or a host is to stop."""
        first, end, started, report = self.progress.iteration, chunk.end, time.perf_counter(), None
        try:
            report = program(np.int32(first))
        except ChunkInterrupted as cut:
            report, end = cut.report, first + cut.iterations
            self.failure = None if cut.error is None else str(cut.error)
        seconds, iterations = time.perf_counter() - started, end - first
        steps = iterations * self.config.steps_per_iteration
        self.progress.iteration, self._rate = end, steps * self.config.seeds / seconds
        if chunk.learning:  # random steps cost next to nothing and would flatter the speed
            self.progress.learning_steps += steps
            self.progress.learning_seconds += seconds
        if report is not None:
            self.pending = self.pending.add(report, iterations)

    def _check_divergence(self, chunk: Chunk) -> None:
        """Note the seeds that diverged in a chunk; a failure if no other is left."""
        self.divergence, diverged = check_divergence(
            self.divergence,
            chunk_report(self.pending, chunk.end - chunk.first),
            gamma=self.config.gamma,
            reward_scale=self.config.reward_scale,
            learning=chunk.learning,
        )
        known = self.progress.diverged
        for i, how in diverged.items():
            seed = self.config.seed_range[i]
            if seed not in known:
                known[seed] = f"seed {seed}: {how}"
                if self.config.seeds > 1:
                    self.display.warn(f"diverged: {known[seed]}")
        if len(known) == self.config.seeds:
            self.failure = f"training diverged by step {self.step}: {known[self.config.seed]}"

    def _observe(self, log: Log, evaluate: Callable[..., Evaluation] | None) -> None:
        """Evaluate, and call all observers with the means since the last log point."""
        evaluation = None
        if evaluate is not None:
            try:
                evaluation = evaluate(*self.driver.read().evaluation_inputs)
            except Misbehaved as error:
                self.failure = f"in evaluation, {error}"
            else:
                last_return = float(np.mean(evaluation.returns))
                self.progress.last_return = last_return if np.isfinite(last_return) else None
                if not self._warned and (warning := support_warning(self.config, np.asarray(evaluation.discounted))):
                    self._warned = True  # once per process
                    self.display.warn(warning)
        report = mean_report(self.pending)
        point = log_point(self.config, self.folder.path, self.step, report, evaluation, self.optimum, self._rate)
        for observer in (log, self.display, self.observers):
            observer(point)
        self.pending = no_reports(self.config.seeds)

    def _end(self) -> dict[str, Any]:
        """Write the networks, the pictures and the summary, which is returned."""
        save_networks(self.folder, self.config, self.driver.read(), self.env.spec)
        self.display.note(f"networks saved in {self.folder.models}")
        try:
            if self.failure is None:
                self.draw(self.display.warn)
        finally:  # whatever an environment's own drawing raises, the run has its summary
            summary = write_summary(self.folder, self.config, self.optimum, self._summary_fields())
        self.display.show(self.folder.curve)
        return summary

    def draw(self, note: Callable[[str], None]) -> None:
        draw_pictures(self.folder, self.config, self.env, self.optimum, note)

    def _summary_fields(self) -> dict[str, Any]:
        """What the summary has beside the returns."""
        done, stopped = self.progress, self.observers.stopped
        interrupted = bool(self._signal()) or (stopped is not None and not self.finished)
        diverged = {str(seed): how for seed, how in done.diverged.items()} or None
        exceptional = {"stopped": stopped, "diverged": diverged, "failure": self.failure}
        fields = {"steps": self.step, "interrupted": interrupted}
        fields |= {name: value for name, value in exceptional.items() if value is not None}
        rate = done.learning_steps * self.config.seeds / done.learning_seconds if done.learning_steps else None
        return fields | {"steps_per_second": rate, "wall_seconds": time.perf_counter() - self._began}
