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
from typing import NamedTuple

import jax
import numpy as np

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
from ddpg.sweeps.workers import CLOSED, Ended
from ddpg.training.backend import evaluator_for, loop_for
from ddpg.training.driver import ChunkInterrupted, Learned, Report
from ddpg.training.evaluate import CompiledEvaluator
from ddpg.training.evaluation import Evaluation
from ddpg.training.finish import save_networks, write_summary
from ddpg.training.folder import RunFolder
from ddpg.training.plan import check_fit, planned
from ddpg.training.reports import log_point, mean_report
from ddpg.training.scan import Scan
from ddpg.training.schedule import Chunk, chunks
from ddpg.training.signals import Stop
from ddpg.training.train import prepared_jax
from ddpg.training.watch import Watch, init_watch
from ddpg.types import PyTree


class Population:
    """Workers that train up to `number` trials as one program: those that differ in nothing but its inputs.

    Trials have no checkpoints, so those that a kill interrupts begin again.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._waiting, self._ended = deque[tuple[int, Task]](), deque[Ended]()

    def begin(self, index: int, task: Task) -> None:
        self._waiting.append((index, task))

    def take(self) -> Ended:
        while not self._ended:
            index, task = self._waiting[0]
            if has_ended(task):  # before the sweep was killed
                self._waiting.popleft()
                return Ended(index, run_trial(task), 0.0)
            self._train_together()
        return self._ended.popleft()

    def close(self) -> None:
        pass

    def _train_together(self) -> None:
        """The first that waits, and those after it that share its program."""
        plans = {index: _planned(task) for index, task in self._waiting}
        alike = plans[self._waiting[0][0]].structure
        batch = [(index, task) for index, task in self._waiting if plans[index].structure == alike][: self.number]
        self._waiting = deque(each for each in self._waiting if each not in batch)
        began = time.perf_counter()
        outcomes = train_together([task for _, task in batch], [plans[index] for index, _ in batch])
        seconds = (time.perf_counter() - began) / len(batch)
        self._ended.extend(Ended(index, outcome, seconds) for (index, _), outcome in zip(batch, outcomes, strict=True))


class TrialPlan(NamedTuple):
    """A trial's configuration and environment, and what of them is compiled."""

    config: Config
    env: Environment
    structure: Config


def _planned(task: Task) -> TrialPlan:
    """Mistake if it cannot be compiled."""
    config, env, _ = planned(task.env, preset=task.preset, options=task.options)
    if isinstance(env, GymFactory):
        raise Mistake(f"--population: Python steps {env.id}, which no program can; use --jobs")
    return TrialPlan(config, env, split(config)[0])


class _Member:
    """One trial of a population: what its seeds, those in `own`, do is observed like a run."""

    def __init__(self, task: Task, plan: TrialPlan, own: slice, optimum: float | None, opened: ExitStack) -> None:
        self._task, self._config, self._spec, self._own, self._optimum = task, plan.config, plan.env.spec, own, optimum
        self._folder, self._began = RunFolder.at(task.folder), time.perf_counter()
        self._folder.claim(plan.config)
        opened.enter_context(self._folder.locked())
        self._diverged, self._warnings, self._curve = dict[int, str](), dict[str, str](), dict[int, float]()
        known = self._diverged, self._warnings, plan.config, self._spec, self._folder
        self._watch = Watch(init_watch(plan.config), *known, Display(str(self._folder), plan.config.steps, quiet=True))
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
        fields = {"steps": step, "interrupted": stopped is not None} | {k: v for k, v in exceptional.items() if v}
        fields |= {"wall_seconds": time.perf_counter() - self._began}
        write_summary(self._folder, self._config, self._optimum, self._watch.state.best, fields)
        self.outcome = outcome_of(self._folder, self._curve, pruned=stopped == PRUNED)

    def _mine(self, tree: PyTree) -> PyTree:
        """Of leaves [S, ...], or [n, S] in the reports of n iterations."""
        at = np.s_[:, self._own] if isinstance(tree, Report) else self._own
        return jax.tree.map(itemgetter(at), tree)


def _evaluator(plan: TrialPlan) -> CompiledEvaluator:
    evaluator = evaluator_for(plan.config, plan.env, plan.config.eval.episodes, plan.config.eval.seed)
    assert isinstance(evaluator, CompiledEvaluator)
    return evaluator


def train_together(tasks: Sequence[Task], plans: Sequence[TrialPlan]) -> list[Outcome]:
    """Train trials whose structure is the same, and leave a run folder of each, without checkpoints and pictures.

    If a signal ends it early, every outcome has that. Mistake if their replays do not fit into the memory together.
    """
    (first, env, _), seeds = plans[0], plans[0].config.seeds
    whole = replace(first, seeds=len(plans) * seeds)
    check_fit(whole, env)
    with prepared_jax(whole, env) as stopped, ExitStack() as opened:
        loops, evaluators = [loop_for(config, env) for config, *_ in plans], [_evaluator(plan) for plan in plans]
        keys = jax.numpy.stack([jax.random.key(seed) for config, *_ in plans for seed in config.seed_range])
        driver = Scan(loops[0], np.repeat([split(loop)[1] for loop in loops], seeds, axis=0))
        driver.start(keys)
        driver.stop_when(lambda: bool(stopped()), Stop(stopped).now, lambda: None)
        every = whole.learning_starts, whole.eval.every, whole.steps_per_iteration, whole.collect.updates
        run, longest = list(chunks(whole.steps, *every)), dict[bool, int]()
        for chunk in run:
            longest[chunk.learning] = max(chunk.end - chunk.first, longest.get(chunk.learning, 0))
        programs = {learning: driver.compile(longest=most, learning=learning) for learning, most in longest.items()}
        judged = np.repeat([split(evaluator)[1] for evaluator in evaluators], seeds, axis=0)
        play, optimum = evaluators[0].compile_for(judged, *driver.read().evaluation_inputs), evaluators[0].optimum()
        owns = [slice(i * seeds, (i + 1) * seeds) for i in range(len(plans))]
        for task in tasks:
            shutil.rmtree(task.folder, ignore_errors=True)
        members = [_Member(*each, optimum, opened) for each in zip(tasks, plans, owns, strict=True)]
        for chunk in run:
            began = time.perf_counter()
            try:
                report = programs[chunk.learning](np.int32(chunk.first), chunk.end - chunk.first)
            except ChunkInterrupted:
                report = None
            if report is None or stopped():
                return [CLOSED._replace(signal=stopped())] * len(tasks)
            step, learned = chunk.end * whole.steps_per_iteration, driver.read()
            rate = (chunk.end - chunk.first) * whole.steps_per_iteration * whole.seeds / (time.perf_counter() - began)
            for member in members:
                member.end_chunk(chunk, step, report, learned)
            if chunk.log or chunk is run[-1]:
                evaluation = play(*learned.evaluation_inputs)
                for member in members:
                    member.evaluated(step, evaluation, learned, rate)
            if all(member.outcome for member in members):
                break
    return [member.outcome for member in members if member.outcome is not None]
