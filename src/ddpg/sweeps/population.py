"""Several trials as one compiled program, in which every seed has the hyperparameters of its trial.

That is for accelerators, where many small networks cost little more than one, and for all cores of a processor.
"""

import shutil
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from ddpg.config.config import Config
from ddpg.config.reading import values
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.hyperparameters import split
from ddpg.mistake import Mistake
from ddpg.records.display import Display
from ddpg.records.log import Log
from ddpg.records.statistics import iqm
from ddpg.sweeps.trial import PRUNED, Outcome, Task, has_ended, outcome_of, run_trial
from ddpg.sweeps.workers import Ended
from ddpg.training.backend import evaluation_plan, loop_for, with_log
from ddpg.training.driver import ChunkInterrupted, Learned, Report
from ddpg.training.evaluate import CompiledEvaluator
from ddpg.training.evaluation import Evaluation
from ddpg.training.finish import save_networks, write_summary
from ddpg.training.folder import RunFolder
from ddpg.training.loop import Loop
from ddpg.training.plan import check_fit, planned
from ddpg.training.reports import log_point, mean_report
from ddpg.training.scan import Scan
from ddpg.training.schedule import Chunk
from ddpg.training.session import chunks_of
from ddpg.training.signals import Stop
from ddpg.training.train import prepared_jax
from ddpg.training.watch import Watch, init_watch
from ddpg.types import PyTree


class Population:
    """Workers that train up to `number` trials as one program: those that differ in nothing but its inputs.

    Trials have no checkpoints, so those that a kill interrupts begin again.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._waiting, self._ended = deque[tuple[int, Task]](), deque[Ended]()

    def begin(self, index: int, task: Task) -> None:
        if has_ended(task):  # before the sweep was killed
            self._ended.append(Ended(index, run_trial(task), 0.0))
        else:
            self._waiting.append((index, task))

    def take(self) -> Ended | int:
        if not self._ended and (signal := self._train_together()):
            return signal
        return self._ended.popleft()

    def close(self) -> None:
        pass

    def _train_together(self) -> int:
        """The first that waits, and those after it that share its program. The signal that ended it early, or 0."""
        first = TrialPlan.of(self._waiting[0][1])
        batch = [(index, task, plan) for index, task in self._waiting if (plan := _alike(first, task)) is not None]
        batch, began = batch[: self._number], time.perf_counter()
        outcomes = train_together(
            [task for _, task, _ in batch], [plan for *_, plan in batch], self._number * first.config.seeds
        )
        if isinstance(outcomes, int):
            return outcomes
        seconds = (time.perf_counter() - began) / len(batch)
        for (index, task, _), outcome in zip(batch, outcomes, strict=True):
            self._waiting.remove((index, task))
            self._ended.append(Ended(index, outcome, seconds))
        return 0


class TrialPlan(NamedTuple):
    """A trial's configuration and environment, and what of them is compiled."""

    config: Config
    env: Environment
    loop: Loop

    @classmethod
    def of(cls, task: Task) -> "TrialPlan":
        """The plan of a task. Raises Mistake if it cannot be compiled, or cannot be one of several."""
        config, env, _ = planned(task.env, preset=task.preset, options=task.options)
        if isinstance(env, GymFactory):
            raise Mistake(f"--population: Python steps {env.id}, which no program can; use --jobs")
        if config.actors.number or config.devices > 1:
            option = "actors.number" if config.actors.number else "devices"
            raise Mistake(f"{option}: the trials of a population are of one process and device; use --jobs")
        with_log(env, config.log)
        return cls(config, env, loop_for(config, env))

    @property
    def structure(self) -> tuple[Config, Loop]:
        return split(self.config)[0], split(self.loop)[0]


def _alike(first: TrialPlan, task: Task) -> TrialPlan | None:
    """The plan of a trial that shares the program of the first one. Another's mistakes are for its own turn."""
    try:
        plan = TrialPlan.of(task)
    except Mistake:
        return None
    return plan if plan.structure == first.structure else None


class _Member:
    """One trial of a population: what its seeds, those in `own`, do is observed like a run."""

    def __init__(
        self,
        task: Task,
        plan: TrialPlan,
        folder: RunFolder,
        own: slice,
        optimum: float | None,
        opened: ExitStack,
    ) -> None:
        self._task, self._config, self._spec, self._own, self._optimum = task, plan.config, plan.env.spec, own, optimum
        self._folder, self._began = folder, time.perf_counter()
        self._folder.claim(plan.config)
        opened.enter_context(self._folder.locked())
        self._diverged, self._warnings, self._curve = dict[int, str](), dict[str, str](), dict[int, float]()
        self._watch = Watch(
            init_watch(plan.config),
            self._diverged,
            self._warnings,
            plan.config,
            self._spec,
            self._folder,
            Display(str(self._folder), plan.config.steps, quiet=True),
        )
        log = Log(self._folder.metrics, self._folder.tensorboard, values(plan.config))
        self._log = opened.enter_context(log)
        self.outcome: Outcome | None = None

    def end_chunk(self, chunk: Chunk, step: int, report: Report, learned: Learned) -> None:
        """Look for divergence, which ends the trial if no seed is left."""
        if self.outcome is not None:
            return
        self._watch.add(self._mine(report))
        if self._watch.end_chunk(chunk.end - chunk.first, chunk.learning):
            self._observe(step, None, learned, np.nan)
            failure = f"training diverged by step {step}: {self._diverged[self._config.seed]}"
            self._end(step, learned, failure=failure)

    def evaluated(self, step: int, evaluation: Evaluation, learned: Learned, rate: float) -> None:
        """Log an evaluation; the trial ends if its best return does not reach its bar, or these were all steps."""
        if self.outcome is None:
            self._observe(step, evaluation, learned, rate)
            if max(self._curve.values()) < self._task.bar.get(step, -np.inf):
                self._end(step, learned, stopped=PRUNED)
            elif step >= self._config.steps:
                self._end(step, learned)

    def _observe(self, step: int, evaluation: Evaluation | None, learned: Learned, rate: float) -> None:
        report = mean_report(self._watch.state.pending)
        mine = None if evaluation is None else self._mine(evaluation)
        if mine is not None:
            self._watch.evaluated(step, report, mine, self._mine(learned))
        point = log_point(self._config, self._folder.path, step, report, mine, self._optimum, rate)
        self._log(point)
        self._watch.clear()
        mean = float(iqm(point["return"]))
        self._curve[step] = mean if np.isfinite(mean) else -np.inf

    def _end(self, step: int, learned: Learned, stopped: str | None = None, failure: str | None = None) -> None:
        save_networks(self._folder, self._config, self._mine(learned), self._spec)
        diverged = {str(seed): how for seed, how in self._diverged.items()}
        exceptional = {"stopped": stopped, "diverged": diverged, "failure": failure}
        exceptional["warnings"] = list(self._warnings.values())
        interrupted = stopped is not None and step < self._config.steps
        fields = {"steps": step, "interrupted": interrupted} | {k: v for k, v in exceptional.items() if v}
        fields |= {"wall_seconds": time.perf_counter() - self._began}
        write_summary(self._folder, self._config, self._optimum, self._watch.state.best, fields)
        self.outcome = outcome_of(self._folder, self._curve, pruned=stopped == PRUNED)

    def _mine(self, tree: PyTree) -> PyTree:
        """Of leaves [S, ...], or [n, S] in the reports of n iterations."""
        at = np.s_[:, self._own] if isinstance(tree, Report) else self._own
        return jax.tree.map(itemgetter(at), tree)


def train_together(tasks: Sequence[Task], plans: Sequence[TrialPlan], most_seeds: int) -> list[Outcome] | int:
    """Train trials that share a program, and leave a run folder of each, without checkpoints and pictures.

    The signal that ended it early. No later batch has more than `most_seeds`. Raises Mistake if a folder is not the
    trial's own, or the replays do not fit into the memory together.
    """
    (first, env, loop), seeds = plans[0], plans[0].config.seeds
    population = replace(first, seeds=len(plans) * seeds)
    try:
        check_fit(population, env)
    except Mistake as error:
        raise Mistake(f"--population, {len(plans)} trials: {error}, or a smaller --population") from None
    with prepared_jax(replace(first, seeds=most_seeds), env) as stopped, ExitStack() as opened:
        folders = [_emptied(task) for task in tasks]
        driver = Scan(loop, _numbers([plan.loop for plan in plans], seeds))
        driver.start(jax.numpy.stack([jax.random.key(seed) for plan in plans for seed in plan.config.seed_range]))
        driver.stop_when(lambda: bool(stopped()), Stop(stopped).now, lambda: 0)
        run = list(chunks_of(population))
        longest = {learning: _longest(run, learning) for learning in {chunk.learning for chunk in run}}
        programs = {learning: driver.compile(longest=most, learning=learning) for learning, most in longest.items()}
        evaluators = [_evaluator(plan, driver) for plan in plans]
        numbers = _numbers(evaluators, seeds)
        play = evaluators[0].compile_for(numbers, *driver.read().evaluation_inputs)
        optimum = evaluators[0].optimum()
        members = [
            _Member(task, plan, folder, slice(i * seeds, (i + 1) * seeds), optimum, opened)
            for i, (task, plan, folder) in enumerate(zip(tasks, plans, folders, strict=True))
        ]
        for chunk in run:
            began, iterations = time.perf_counter(), chunk.end - chunk.first
            try:
                report = programs[chunk.learning](np.int32(chunk.first), iterations)
            except ChunkInterrupted:
                report = None
            if report is None or stopped():
                return stopped()
            step, steps = (count * population.steps_per_iteration for count in (chunk.end, iterations))
            rate, learned = steps * population.seeds / (time.perf_counter() - began), driver.read()
            for member in members:
                member.end_chunk(chunk, step, report, learned)
            if chunk.log or chunk is run[-1]:
                evaluation = play(*learned.evaluation_inputs)
                for member in members:
                    member.evaluated(step, evaluation, learned, rate)
            if all(member.outcome for member in members):
                break
    return [member.outcome for member in members if member.outcome is not None]


def _emptied(task: Task) -> RunFolder:
    """The folder of a trial that begins. Raises Mistake if it holds what nothing here may touch."""
    folder = RunFolder.at(task.folder)
    if folder.own_state() != "empty":
        shutil.rmtree(folder.path)
    return folder


def _evaluator(plan: TrialPlan, driver: Scan) -> CompiledEvaluator:
    evaluator = evaluation_plan(plan.config, plan.env, driver).evaluator
    assert isinstance(evaluator, CompiledEvaluator)
    return evaluator


def _numbers(parts: Sequence[Any], seeds: int) -> Float[np.ndarray, "S n"]:
    """The hyperparameters of all seeds, if each part has so many."""
    return np.repeat([split(part)[1] for part in parts], seeds, axis=0)


def _longest(run: Sequence[Chunk], learning: bool) -> int:
    return max(chunk.end - chunk.first for chunk in run if chunk.learning == learning)
