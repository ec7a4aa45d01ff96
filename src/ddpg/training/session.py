"""One run under way: begin, advance, observe, save, end."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any

import jax
import numpy as np

from ddpg.config.config import Config
from ddpg.config.reading import values
from ddpg.environment import AnyEnvironment
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.mistake import Mistake
from ddpg.records.display import Display
from ddpg.records.log import Log
from ddpg.records.observer import Observer, Observers
from ddpg.terminal import count, reason
from ddpg.training.backend import driver_for, evaluation_plan
from ddpg.training.driver import ChunkInterrupted
from ddpg.training.finish import draw_pictures, film_seconds, save_networks, write_summary
from ddpg.training.folder import RunFolder
from ddpg.training.interruption import Cancelled
from ddpg.training.memory import replay_bytes
from ddpg.training.moments import Moments
from ddpg.training.programs import Programs
from ddpg.training.reports import log_point, mean_report
from ddpg.training.restore import Progress, recall, restore
from ddpg.training.run import Run
from ddpg.training.saving import Saver
from ddpg.training.schedule import MAX_CHUNK, Chunk, chunks
from ddpg.training.signals import Stop
from ddpg.training.start import Start, begin
from ddpg.training.watch import Watch, init_watch


def chunks_of(run: Config) -> Iterator[Chunk]:
    """A whole run, from its first iteration."""
    return chunks(run.steps, run.learning_starts, run.eval.every, run.steps_per_iteration, run.collect.updates)


class Session:
    """One run under way; the log, the display and then `observers` are called with every log point."""

    def __init__(
        self,
        config: Config,
        env: AnyEnvironment,
        resumed: bool = False,
        observers: Iterable[Observer] = (),
        quiet: bool = False,
        start: Start | None = None,
    ) -> None:
        self.config, self.env, self.resumed, self._quiet = config, env, resumed, quiet
        self._start = start or Start()
        self.keys = jax.numpy.stack([jax.random.key(seed) for seed in config.seed_range])
        self.driver = driver_for(config, env)
        with ExitStack() as opened:
            opened.callback(self.driver.close)
            self.evaluator = evaluation_plan(config, env, self.driver)
            opened.callback(self.evaluator.close)
            self.optimum = self.evaluator.optimum()
            self._opened = opened.pop_all()
        self.progress, self.observers = Progress(), Observers(observers)
        self._restored: Mapping[str, Any] = {}  # the header of the checkpoint from which it goes on
        self.failure: str | None = None  # an environment misbehaved, or training diverged
        self._cause: EnvironmentFailure | None = None  # with the environment's own exception
        self._rate = np.nan

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
        Raises Mistake if an environment misbehaves or every seed diverges, a file cannot be written, or there is no
        checkpoint to go on from. In each case, and if an observer raises another exception, what could be written of
        the run up to then is on disk.
        """
        self.folder, self._stop, self._began = folder, Stop(stopped), time.perf_counter()
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
                f"once it can, `{self.folder.resume_command(self.config)}` goes on from its last checkpoint"
            ) from None
        if self.observers.error is not None:
            raise self.observers.error
        if self.failure is not None:
            raise Mistake(f"{self.failure}; the run until then is in {self.folder}") from self._cause
        return Run(folder.path, self.config, summary, stopped())

    def close(self) -> None:
        """Close the environments, if Python steps them."""
        self._opened.close()

    def _begin(self) -> None:
        """Go to the first step, or to the newest checkpoint that can be restored."""
        config, note = self.config, self.display.note
        watched = init_watch(config)
        self.moments = Moments(self.folder, config, self.env.spec, self.display)
        if self.resumed:
            restored = restore(self.folder, config, self.driver, self.keys, self.display.warn)
            self.progress, watched, notes, self._restored = restored
            recall(self.folder, config, self.progress, self.display, notes)
        else:
            note(f"replay: {config.replay.capacity:,} steps, {replay_bytes(config, self.env) / 1e6:,.1f} MB")
            begin(self.driver, self.keys, config, self.env.spec, self._start)
            self.progress.start = list(self._start.notes)
            for line in self._start.notes:
                note(line)
            self.moments.write(0, self.driver.read())
        for line in (*self.driver.notes, *self.evaluator.notes):
            (self.display.warn if line.startswith("warning") else note)(line)
        known = self.progress.diverged, self.progress.warnings
        self.watch = Watch(watched, *known, config, self.env.spec, self.folder, self.display)
        if self._start.block is not None:
            self.watch.know(self._start.block)

    def _train(self) -> None:
        """All iterations that are left, until something stops the run."""
        resume_at = self.progress.logged if self.resumed else None
        with (
            closing(Saver(self.folder, self.config, self.env.spec, self.display, self.step, self._restored)) as saver,
            Log(self.folder.metrics, self.folder.tensorboard, values(self.config), resume_at=resume_at) as log,
            ExitStack() as ending,
        ):

            def due() -> bool:
                return saver.due(self.step, self.progress.logged > 0)

            longest = max(MAX_CHUNK, self.config.steps_per_iteration)
            self.driver.stop_when(
                lambda: self._stop.soon() or due(), self._stop.now, lambda: saver.unsaved(self.step + longest)
            )
            self.evaluator.stop_when(self._stop.now)
            self.display.note("compiling")
            self._programs = Programs(self.driver, self.evaluator, chunks_of(self.config), self._stop.now)
            ending.callback(lambda: self._programs.close(wait=not self._stop.soon()))
            stopping = False
            for chunk in chunks_of(self.config):
                # Once, unless it is cut short, to stop or for a checkpoint.
                while self._unfinished(chunk) and not stopping:
                    self._advance(chunk)
                    if self.progress.iteration == chunk.end and self.failure is None:
                        self._end_chunk(chunk, log)
                    stopping = bool(self.failure or self.observers.stopped) or self._stop.soon()
                    last = stopping or self.finished
                    if stopping:
                        self.display.note(f"stopped at step {self.step}{'' if self.failure else '; saving'}")
                    if self.failure is None and (last or due()):
                        log.fsync()
                        self.progress.wall_seconds = time.perf_counter() - self._began
                        saver.save(self.step, self.driver, self.progress, self.watch.state, last)
            # A run that ends between two log points gets one more. No checkpoint has it, so a resumed run drops it.
            if len(self.watch.state.pending.weights):
                self._observe(log, evaluate=self.failure is None, stopped=not self.finished)

    def _unfinished(self, chunk: Chunk) -> bool:
        """Whether iterations of a chunk are left, or the log point after it, since its evaluation was cut short."""
        done, step = self.progress.iteration, chunk.end * self.config.steps_per_iteration
        return done < chunk.end or (done == chunk.end and chunk.log and self.progress.logged < step)

    def _advance(self, chunk: Chunk) -> None:
        """Do what is left of a chunk, or less if an environment fails or the driver is to stop."""
        first, end = self.progress.iteration, chunk.end
        if first == end:
            return
        try:
            program = self._programs.iterations(chunk.learning)
        except Cancelled:
            return
        if self._stop.noticed:  # while it was compiled
            return
        if chunk.learning:
            self.display.begin_learning(self.step)
        started = time.perf_counter()
        try:
            report = program(np.int32(first), end - first)
        except ChunkInterrupted as interrupted:
            report, end = interrupted.report, first + interrupted.iterations
            self.failure, self._cause = None if interrupted.error is None else str(interrupted.error), interrupted.error
        seconds, iterations = time.perf_counter() - started, end - first
        steps = iterations * self.config.steps_per_iteration
        self.progress.iteration, self._rate = end, steps * self.config.seeds / seconds
        if chunk.learning:  # random steps cost next to nothing and would flatter the speed
            self.progress.learning_steps += steps
            self.progress.learning_seconds += seconds
        if report is not None:
            self.watch.add(report)

    def _end_chunk(self, chunk: Chunk, log: Log) -> None:
        """Check for divergence; if the chunk ends at a log point, evaluate.

        If a signal cut the chunk or the evaluation short, a resumed run does both again.
        """
        before = self.watch.state
        if self.watch.end_chunk(chunk.end - chunk.first, chunk.learning):
            diverged = self.progress.diverged[self.config.seed]
            self.failure = f"training diverged by step {self.step}: {diverged}"
        elif chunk.log and self._observe(log):
            self.moments.keep(self.step, self.driver.read)
            self.progress.logged = self.step
        elif chunk.log or not chunk.whole:
            self.watch.state = before

    def _observe(self, log: Log, evaluate: bool = True, stopped: bool = False) -> bool:
        """Evaluate, and call all observers with the means since the last log point.

        False if a signal cut the evaluation short. The extra evaluation of a `stopped` run never becomes its best,
        because an uninterrupted run has no evaluation at that step.
        """
        report, evaluation = mean_report(self.watch.state.pending), None
        try:
            if evaluate and (play := self._programs.evaluation()) is not None:
                learned = self.driver.read()
                evaluation = play(*learned.evaluation_inputs)
                if not stopped:
                    self.watch.evaluated(self.step, report, evaluation, learned)
                self.watch.warn(self.evaluator.warnings())
        except EnvironmentFailure as error:
            self.failure, self._cause = f"in evaluation, {error}", error
        except Cancelled:
            return False
        point = log_point(self.config, self.folder.path, self.step, report, evaluation, self.optimum, self._rate)
        for observer in (log, self.display, self.observers):
            observer(point)
        self.watch.clear()
        return True

    def _end(self) -> dict[str, Any]:
        """Write the networks, the pictures and the summary, which is returned."""
        save_networks(self.folder, self.config, self.driver.read(), self.env.spec)
        self.display.note(f"networks saved in {self.folder.models}")
        try:
            if self.failure is None:
                self.draw(self.display.warn)
        finally:  # whatever an environment's own drawing raises, the run has its summary
            summary = write_summary(
                self.folder, self.config, self.optimum, self.watch.state.best, self._summary_fields()
            )
        self.display.show(self.folder.curve)
        return summary

    def draw(self, warn: Callable[[str], None]) -> None:
        seconds = film_seconds(time.perf_counter() - self._began, hurried=self._stop.soon())
        filmed = self.env if self.evaluator.film else None
        draw_pictures(self.folder, self.config, filmed, self.optimum, seconds, self.display.note, warn)

    def _summary_fields(self) -> dict[str, Any]:
        """What the summary has beside the returns."""
        done, stopped = self.progress, self.observers.stopped
        interrupted = self._stop.soon() or (stopped is not None and not self.finished)
        diverged = {str(seed): how for seed, how in done.diverged.items()} or None
        exceptional = {"stopped": stopped, "diverged": diverged, "failure": self.failure}
        exceptional |= {"warnings": list(done.warnings.values()) or None, "start": done.start or None}
        fields = {"steps": self.step, "interrupted": interrupted}
        fields |= {name: value for name, value in exceptional.items() if value is not None}
        rate = done.learning_steps * self.config.seeds / done.learning_seconds if done.learning_steps else None
        return fields | {"steps_per_second": rate, "wall_seconds": time.perf_counter() - self._began}
