"""A run under way: chunks, and between them log, evaluate and save."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from pydantic import TypeAdapter, ValidationError

from ddpg.envs.base import Environment, Vector
from ddpg.envs.gym import Gym, Misbehaved
from ddpg.envs.hosted import Hosted
from ddpg.records import checkpoint
from ddpg.records.checkpoint import Checkpoints, Saved
from ddpg.records.display import Display
from ddpg.records.log import Log, Record, read_metrics
from ddpg.training import config as configuration
from ddpg.training.conclusion import conclude, count, pictures, reason, save_networks, seeds
from ddpg.training.config import Config
from ddpg.training.divergence import Watch, nothing_seen, seen
from ddpg.training.evaluate import Evaluation, evaluator_of
from ddpg.training.host import Broken, Host
from ddpg.training.loop import Carry, Loop, Report
from ddpg.types import Metrics, NonNegative, PyTree, Whole

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


@dataclass
class Progress:
    """How far a run has come: what its checkpoints say in plain JSON."""

    iteration: Whole = 0  # of the loop, done
    logged: Whole = 0  # the step of the last log point
    learned: Whole = 0  # steps of one seed while learning
    learning_seconds: NonNegative = 0.0
    wall_seconds: NonNegative = 0.0
    returned: float | None = None  # greedily, over all seeds, when last evaluated
    lost: dict[int, str] = field(default_factory=dict)  # seeds that diverged, and how it shows


class State(NamedTuple):
    """And all of it that is arrays, of every seed."""

    driver: PyTree  # what `kept` of the loop or the host answers
    report: Report  # since the last log point, [pieces, S]
    weights: np.ndarray  # iterations in each piece
    watch: Watch


class Training:
    """One run under way."""

    def __init__(self, config: Config, env: Environment | Gym, folder: Path, resumed: bool = False) -> None:
        self.config, self.env, self.folder, self.resumed = config, env, folder, resumed
        chosen = config.collect
        self.loop = Loop(
            agent=config.agent,
            replay=config.replay,
            vector=Vector(env, chosen.envs),
            gamma=config.gamma,
            collect=chosen.steps,
            updates=chosen.updates,
            warmup=chosen.warmup,
            reward_scale=config.reward_scale,
            normalise=config.normalise,
        )
        self.seeds = seeds(config)
        self.keys = jax.numpy.stack([jax.random.key(seed) for seed in self.seeds])
        self.driver = self._driver(env)
        with ExitStack() as opened:
            opened.callback(self._close_driver)
            self.evaluator = evaluator_of(config, env, config.eval.episodes, config.eval.seed)
            opened.callback(self.evaluator.close)
            self.optimum = self.evaluator.optimum()
            self._opened = opened.pop_all()
        self.progress, self.watch = Progress(), nothing_seen(config.seeds)
        self.weights, self.report = np.zeros(0), nothing_reported(config.seeds)
        self._saved, self._saved_at = 0, time.monotonic()

    @property
    def step(self) -> int:
        """Environment steps of each seed, so far."""
        return self.progress.iteration * self.loop.stride

    def run(self, stopped: Callable[[], int]) -> Run:
        """The whole run, or what is left of it, or as much of it as there is time for until `stopped`.

        ValueError if an environment misbehaves or every seed diverges, a file cannot be written, or there is no
        checkpoint to go on from; the run so far is on disk then too.
        """
        began = time.perf_counter()
        try:
            with self._display() as display:
                carry = self._begin(display)
                before = self.progress.wall_seconds
                carry, failure = self._train(carry, display, stopped, lambda: before + time.perf_counter() - began)
                save_networks(self.folder, self.config, carry.agent, carry.stats, self.env.spec)
                display.note(f"networks saved in {self.folder / 'models'}")
                try:
                    if failure is None:
                        self.draw(display.note)
                finally:  # whatever an environment's own drawing does, the run is told to its end
                    said = self._said(before + time.perf_counter() - began, bool(stopped()), failure)
                    summary = conclude(self.folder, self.config, self.optimum, said)
        except OSError as error:
            raise ValueError(
                f"{error.filename or self.folder} cannot be written ({reason(error)}); what is there stays: "
                f"once it can, `ddpg resume {self.folder}` goes on from its last checkpoint"
            ) from None
        if failure is not None:
            raise ValueError(f"{failure}; the run until then is in {self.folder}")
        return Run(self.folder, self.config, summary, stopped())

    def close(self) -> None:
        """Close the environments, if Python steps them."""
        self._opened.close()

    def _begin(self, display: Display) -> Carry:
        """The state before the first step, or the newest that can be restored."""
        config = self.config
        if not self.resumed:
            display.note(f"replay: {config.replay.capacity:,} steps, {memory(config, self.env) / 1e6:,.1f} MB")
            return self.driver.start(self.keys)
        like = State(self.driver.like(self.keys), *self._arrays(any_pieces=True))
        paths = checkpoint.found(self.folder / "checkpoints")
        for path in paths:
            try:
                progress = self._progress(path)
                state: State = checkpoint.read(path, like)
                if len({len(leaf) for leaf in jax.tree.leaves((state.report, state.weights))}) > 1:
                    raise ValueError(f"checkpoint {path} cannot be used: its reports are of different lengths")
                carry, notes = self.driver.resume(state.driver, self.keys)
            except Misbehaved as error:
                raise ValueError(f"while episodes were played again up to where they stood, {error}") from None
            except ValueError as error:
                display.note(f"{error}{'; trying the one before' if path != paths[-1] else ''}")
                continue
            self.progress, self.watch = progress, state.watch
            self.weights, self.report = state.weights, state.report
            self._saved = self.step
            records = read_metrics(self.folder) if (self.folder / "metrics.jsonl").exists() else []
            display.recall(records, progress.logged)
            last = max((int(record["step"]) for record in records), default=0)
            again = f"; what had come after it, up to step {last:,}, is done again" if last > self.step else ""
            display.note(f"resumed at step {self.step:,} of {config.steps:,}{again}")
            if last < progress.logged:
                display.note(
                    f"metrics.jsonl ends at step {last:,}: what followed, to step {progress.logged:,}, is lost"
                )
            for note in (*notes, *_other_versions(checkpoint.read_said(path))):
                display.note(note)
            for newer in paths[: paths.index(path)]:  # so that they are not counted among those to keep
                newer.replace(newer.with_suffix(".damaged"))
            (self.folder / "summary.json").unlink(missing_ok=True)  # which is of a run that had ended
            return carry
        said = "none of its checkpoints can be used" if paths else "it has no checkpoint"
        raise ValueError(f"{self.folder} cannot be resumed: {said}; train again into another --run")

    def _progress(self, path: Path) -> Progress:
        """What a checkpoint says of itself. ValueError, in one line, if it is none of this run."""
        said = checkpoint.read_said(path)
        try:
            progress = TypeAdapter(Progress).validate_python(said)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"checkpoint {path} cannot be used: {where}: {first['msg']}") from None
        config = self.config
        try:
            found = configuration.from_data(said["config"]) if isinstance(said.get("config"), dict) else None
        except ValueError as error:
            raise ValueError(f"checkpoint {path} cannot be used: in its configuration, {error}") from None
        # A run may be made longer, and its checkpoints more or less frequent.
        if found is None:
            raise ValueError(f"checkpoint {path} cannot be used: it says no configuration")
        found = replace(found, steps=config.steps, checkpoint=config.checkpoint)
        if found != config:
            then, now = configuration.values(found), configuration.values(config)
            odd = min(name for name in {**then, **now} if then.get(name) != now.get(name))
            raise ValueError(
                f"checkpoint {path} is of a run with another configuration "
                f"({odd} {repr(then.get(odd))[:60]}, and config.json has {repr(now.get(odd))[:60]})"
            )
        if progress.iteration * self.loop.stride >= 2**31:
            raise ValueError(f"checkpoint {path} says it is after {progress.iteration} iterations")
        return progress

    def _train(
        self, carry: Carry, display: Display, stopped: Callable[[], int], wall: Callable[[], float]
    ) -> tuple[Carry, str | None]:
        """All chunks that are left; and what ended them early, if that was a failure."""
        if isinstance(self.driver, Host):
            self.driver.stopped = lambda: bool(stopped())
        resume_at = self.progress.logged if self.resumed else None
        with (
            Checkpoints(self.folder / "checkpoints", self.config.checkpoint.keep, self._tell(display)) as checkpoints,
            Log(self.folder, self.seeds, resume_at=resume_at) as log,
            ThreadPoolExecutor() as pool,
        ):
            display.note("compiling")
            like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=_sharding(x)), carry)
            programs = self._compile(like, pool)
            play = pool.submit(self.evaluator.compile, like.agent.online, like.stats)
            for name in PICTURES:
                pool.submit(import_module, name)
            failure, last = None, -(-self.config.steps // self.loop.stride)
            for first, iterations, learning, evaluate in self.chunks():
                program = programs[learning, iterations].result()
                carry, failure, rate = self._advance(program, carry, first, iterations, learning, display)
                # Of a chunk that was cut short the rest, and its evaluation, come when the run is resumed.
                reached = self.progress.iteration == first + iterations
                if evaluate and reached and failure is None:
                    failure = self._log(carry, log, display, rate, play.result())
                    self.progress.logged = self.step
                stopping = bool(stopped()) or failure is not None
                if failure is None and (stopping or self._due() or self.progress.iteration == last):
                    self.progress.wall_seconds = wall()
                    self._save(carry, checkpoints)
                if stopping:
                    display.note(f"stopped at step {self.step}; saving")
                    if len(self.weights):
                        failure = self._log(carry, log, display, rate, None if failure else play.result()) or failure
                    break
        return carry, failure

    def _compile(self, like: Carry, pool: ThreadPoolExecutor) -> Mapping[tuple[bool, int], Future]:
        """The few programs of a run, compiled side by side, and while the first of them already runs."""
        shapes = dict.fromkeys((learning, iterations) for _, iterations, learning, _ in self.chunks())
        return {
            (learning, n): pool.submit(self.driver.compile, like, iterations=n, learning=learning)
            for learning, n in sorted(shapes, reverse=True)  # the slowest to compile first
        }

    def _advance(
        self, program: Callable, carry: Carry, first: int, iterations: int, learning: bool, display: Display
    ) -> tuple[Carry, str | None, float]:
        """One chunk, what went wrong in it, and its steps per second."""
        started, failure, report = time.perf_counter(), None, None
        try:
            carry, report = jax.block_until_ready(program(carry, np.int32(first)))
        except Broken as cut:
            carry, iterations, report = cut.carry, cut.iterations, cut.report
            failure = None if cut.error is None else str(cut.error)
        seconds = time.perf_counter() - started
        self.progress.iteration = first + iterations
        if learning:  # random steps cost next to nothing and would flatter the speed
            self.progress.learned += iterations * self.loop.stride
            self.progress.learning_seconds += seconds
        if report is not None:
            # Of a host a report of every iteration, of the loop one of the chunk; some seeds only fill a device up.
            report = jax.tree.map(lambda x: np.atleast_2d(x)[:, : self.config.seeds], report)
            weights = np.full(len(report.episodes), iterations / len(report.episodes))
            failure = failure or self._look(together(weights, report), learning, display)
            self.weights = np.concatenate([self.weights, weights])
            self.report = jax.tree.map(lambda *both: np.concatenate(both), self.report, report)
        return carry, failure, iterations * self.loop.stride * self.config.seeds / seconds

    def _look(self, report: Report, learning: bool, display: Display) -> str | None:
        """Note which seeds have diverged; a failure if none is left."""
        scaled = report._replace(largest_reward=self.config.reward_scale * report.largest_reward)
        self.watch, lost = seen(self.watch, scaled, self.config.gamma, learning)
        hint = "use a smaller --critic.lr, --critic.clip 1, --normalise true or a smaller --reward_scale"
        for i, how in lost.items():
            seed = self.seeds[i]
            if seed not in self.progress.lost:
                self.progress.lost[seed] = f"seed {seed}: {how}; {hint}"
                if self.config.seeds > 1:
                    display.note(f"diverged: {self.progress.lost[seed]}")
        if len(self.progress.lost) < self.config.seeds:
            return None
        return f"training diverged by step {self.step}: {self.progress.lost[self.config.seed]}"

    def _log(
        self, carry: Carry, log: Log, display: Display, rate: float, play: Callable[..., Evaluation] | None
    ) -> str | None:
        """Evaluate, and say all that was since the last log point; what went wrong in it."""
        evaluation, failure = None, None
        if play is not None:
            try:
                evaluation = play(carry.agent.online, carry.stats)
                evaluation = jax.tree.map(lambda x: np.asarray(x)[: self.config.seeds], evaluation)
                returned = float(np.mean(evaluation.returns))
                self.progress.returned = returned if np.isfinite(returned) else None
            except Misbehaved as error:
                failure = f"in evaluation, {error}"
        records = self.records(rate, together(self.weights, self.report), evaluation)
        log.write(self.step, records, {} if evaluation is None else {"dq_da": np.asarray(evaluation.dq_da)})
        display.update(self.step, records)
        self.weights, self.report = np.zeros(0), nothing_reported(self.config.seeds)
        return failure

    def _due(self) -> bool:
        """Whether it is time for a checkpoint, by steps or by minutes of a clock that nobody can set."""
        every, minutes = self.config.checkpoint.every, self.config.checkpoint.minutes
        by_steps = every is not None and self.step // every > self._saved // every
        return by_steps or (minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes)

    def _save(self, carry: Carry, checkpoints: Checkpoints) -> None:
        """Copy everything; the rest is the writer's, while training goes on."""
        kept = self.driver.kept(carry, self.config.seeds)
        state = State(kept, self.report, self.weights, self.watch)
        said = {
            "config": configuration.to_data(self.config),
            "versions": configuration.versions(),
            "step": self.step,
            **asdict(self.progress),
        }
        learner = kept.carry if not isinstance(kept, Carry) else kept
        networks = learner.agent, learner.stats
        checkpoints.save(
            self.step, state, said, lambda: save_networks(self.folder, self.config, *networks, self.env.spec)
        )
        self._saved, self._saved_at = self.step, time.monotonic()

    def _tell(self, display: Display) -> Callable[[int, Saved | OSError], None]:
        def tell(step: int, said: Saved | OSError) -> None:
            if isinstance(said, Saved):
                display.note(f"checkpoint of step {step:,}: {said.size / 1e6:,.1f} MB in {said.seconds:.2f} s")
            else:
                why = reason(said)
                display.note(f"the checkpoint of step {step:,} could not be written ({why}); earlier ones stay")

        return tell

    def _close_driver(self) -> None:
        if isinstance(self.driver, Host) and isinstance(self.driver.environments, Hosted):
            self.driver.environments.close()

    def _driver(self, env: Environment | Gym) -> Loop | Host:
        """Who turns the iterations."""
        if not isinstance(env, Gym):
            return self.loop
        hosted = Hosted(env, self.seeds, self.config.collect.envs, self.config.collect.vector)
        try:
            return Host(self.loop, hosted)
        except BaseException:
            hosted.close()
            raise

    def chunks(self) -> Iterator[tuple[int, int, bool, bool]]:
        """(first iteration, iterations, whether to learn, whether to evaluate after), over what is left of the run.

        A chunk has at most LONGEST updates, and as many steps: Ctrl-C has to wait for its end, its random numbers for
        memory.
        """
        stride, config, done = self.loop.stride, self.config, self.progress.iteration
        total = -(-config.steps // stride)
        begin = -(-config.learning_starts // stride)
        every = max(1, round(config.eval.every / stride))
        evaluations = {*range(every, total, every), total}
        longest = max(1, LONGEST // max(config.collect.updates, stride))
        first = 0
        for end in sorted(evaluations | {begin}):
            while first < end:
                last = min(first + longest, end)
                if last > done:
                    yield max(first, done), last - max(first, done), first >= begin, last in evaluations
                first = last

    def records(self, rate: float, report: Report, evaluation: Evaluation | None) -> list[Record]:
        """One record a seed, in the contract's keys."""
        returns = bias = np.full(self.config.seeds, np.nan)
        if evaluation is not None:
            returns, bias = np.asarray(evaluation.returns).mean(axis=1), np.asarray(evaluation.q_bias).mean(axis=1)
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
        pictures(self.folder, self.config, self.env, self.optimum, note)

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

    def _arrays(self, any_pieces: bool) -> tuple[Report, np.ndarray, Watch]:
        """The shapes of what a checkpoint holds beside the driver's state."""
        report, weights = self.report, self.weights
        if any_pieces:
            report, weights = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct((-(2**31), *x.shape[1:]), x.dtype), (report, weights)
            )
        return report, weights, self.watch

    def _display(self) -> Display:
        config = self.config
        title = f"{config.preset} on {config.env} · {count(config.seeds, 'seed')} · {self.folder}"
        return Display(title, config.steps, self.optimum)


def nothing_reported(seeds: int) -> Report:
    """No pieces [0, S], in the dtypes that drivers report in."""
    none = np.zeros((0, seeds))
    return Report(Metrics(*[none] * len(Metrics._fields)), none, none, none)


def together(weights: np.ndarray, report: Report) -> Report:
    """What pieces [pieces, S] of so many iterations each say as one: means over those that know."""

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        weights = np.where(np.isnan(values), 0, weights)
        total = weights.sum(axis=0)
        return np.where(total > 0, np.nansum(weights * values, axis=0) / np.maximum(total, 1), np.nan)

    metrics = jax.tree.map(lambda values: mean(values, weights[:, None] * np.ones_like(values)), report.metrics)
    returns: Any = mean(report.episode_return, report.episodes)
    return Report(metrics, returns, report.episodes.sum(axis=0), report.largest_reward.max(axis=0))


def memory(config: Config, env: Environment | Gym) -> int:
    """Bytes of the replay of all seeds."""
    obs = env.spec.obs_size * np.dtype(env.spec.obs_dtype).itemsize
    return config.replay.capacity * config.seeds * (obs + 4 * (env.spec.action_dim + 4))


def _other_versions(said: Mapping[str, Any]) -> Iterator[str]:
    """What no longer is as it was, so that numbers may come out differently in their last bits."""
    then = said.get("versions")
    for name, now in configuration.versions().items():
        if isinstance(then, dict) and then.get(name) != now:
            was = " ".join(str(then.get(name)).split())[:40]
            yield f"the run was made with {name} {was}, this is {now}: it goes on, but perhaps not to the last bit"


def _sharding(x: Any) -> Any:
    return getattr(x, "sharding", None)
