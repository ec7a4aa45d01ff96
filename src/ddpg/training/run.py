"""A run under way: chunks, and between them log, evaluate and, at the end, save."""

import json
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddpg.algorithm.agent import AgentState
from ddpg.envs import catalogue
from ddpg.envs.base import Environment, Vector
from ddpg.envs.gym import Gym, Hosted, Misbehaved
from ddpg.records.display import Display
from ddpg.records.export import save_models
from ddpg.records.log import Log, Record, read_metrics
from ddpg.records.plot import curve_of, learning_curve, summary
from ddpg.records.video import screenless
from ddpg.training import config as configuration
from ddpg.training.config import Config
from ddpg.training.devices import padded
from ddpg.training.evaluate import Evaluation, evaluator_of
from ddpg.training.host import Broken, Host
from ddpg.training.loop import Carry, Loop, Report
from ddpg.training.policy import film_run

LONGEST = 1_000  # updates, or steps, of a chunk
# A second of imports, behind the first updates.
PICTURES = ("matplotlib.figure", "matplotlib.backends.backend_agg", "gymnasium", "pygame", "PIL.Image")
EXPLODED, GROWTH = 100.0, 3  # times the largest return there can be, and still growing for so many chunks: Q is lost


@dataclass(frozen=True)
class Run:
    """What training leaves behind: the run folder, its configuration and what summary.json says."""

    path: Path
    config: Config
    summary: dict[str, Any]

    @property
    def interrupted(self) -> bool:
        return bool(self.summary["interrupted"])


class Training:
    """One run under way."""

    def __init__(self, config: Config, env: Environment | Gym, folder: Path) -> None:
        self.config, self.env, self.folder = config, env, folder
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
        self.seeds = range(config.seed, config.seed + config.seeds)
        self.driver = self._driver(env)
        with ExitStack() as opened:
            opened.callback(self._close_driver)
            self.evaluator = evaluator_of(config, env, config.eval.episodes, config.eval.seed)
            opened.callback(self.evaluator.close)
            self.optimum = self.evaluator.optimum()
            self._opened = opened.pop_all()
        self.lost = dict[int, str]()  # seeds that diverged, and how it shows
        self.largest = np.zeros(config.seeds)  # reward of each seed so far, in size and as the update sees it
        self.before, self.growth = np.full(config.seeds, np.inf), np.zeros(config.seeds, int)  # |Q|, chunks it grew for

    def run(self, stopped: Callable[[], bool]) -> Run:
        """The whole run, or as much of it as there is time for until `stopped`.

        ValueError if an environment misbehaves or every seed diverges; the run so far is on disk then too.
        """
        began = time.perf_counter()
        config, display = self.config, self._display()
        step, learned, learning_seconds, reports = 0, 0, 0.0, list[tuple[int, Report]]()
        failure = None
        driver, seeds = self.driver, self.seeds
        if isinstance(driver, Host):
            driver.stopped = stopped
        else:  # seeds that only fill a device up start anew after the last one asked for, and are never shown
            seeds = range(config.seed, config.seed + padded(config.seeds))
        with Log(self.folder, self.seeds) as log, display, ThreadPoolExecutor() as pool:
            display.note(f"replay: {config.replay.capacity:,} steps, {memory(config, self.env) / 1e6:,.1f} MB")
            display.note("compiling")
            carry = driver.start(jax.numpy.stack([jax.random.key(seed) for seed in seeds]))
            # The few programs of a run are compiled side by side, and while the first of them already runs.
            shapes = dict.fromkeys((learning, iterations) for _, iterations, learning, _ in self.chunks())
            like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=_sharding(x)), carry)
            compiled = {
                (learning, n): pool.submit(driver.compile, like, iterations=n, learning=learning)
                for learning, n in sorted(shapes, reverse=True)  # the slowest to compile first
            }
            play = pool.submit(self.evaluator.compile, like.agent.online, like.stats)
            for name in PICTURES:
                pool.submit(import_module, name)
            for first, iterations, learning, evaluate in self.chunks():
                program = compiled[learning, iterations].result()
                started = time.perf_counter()
                try:
                    carry, report = jax.block_until_ready(program(carry, np.int32(first)))
                    reports.append((iterations, report))
                    rewards = self.config.reward_scale * np.asarray(report.largest_reward)[: config.seeds]
                    self.largest = np.maximum(self.largest, rewards)
                    if learning:
                        self._note_divergence(report, display)
                except Broken as cut:
                    carry, iterations = cut.carry, cut.iterations
                    failure = None if cut.error is None else str(cut.error)
                    reports += [(iterations, cut.report)] if cut.report else []
                seconds = time.perf_counter() - started
                if learning:  # random steps cost next to nothing and would flatter the speed
                    learned, learning_seconds = learned + iterations * self.loop.stride, learning_seconds + seconds
                step = (first + iterations) * self.loop.stride
                if len(self.lost) == config.seeds:
                    failure = f"training diverged by step {step}: {self.lost[config.seed]}"
                stopping = stopped() or failure is not None
                if reports and (evaluate or stopping):
                    rate = iterations * self.loop.stride * config.seeds / seconds
                    evaluation = None
                    if failure is None:
                        try:
                            evaluation = play.result()(carry.agent.online, carry.stats)
                        except Misbehaved as error:
                            failure, stopping = f"in evaluation, {error}", True
                    records = self.records(step, rate, together(reports), evaluation)
                    reports.clear()
                    samples = {} if evaluation is None else {"dq_da": np.asarray(evaluation.dq_da)[: config.seeds]}
                    log.write(step, records, samples)
                    display.update(step, records)
                if stopping:
                    display.note(f"stopped at step {step}; saving")
                    break
            self.save(carry)
            display.note(f"networks saved in {self.folder / 'models'}")
            rate = learned * config.seeds / learning_seconds if learned else None
            try:
                if failure is None:
                    self.draw(display)
            finally:  # whatever an environment's own drawing does, the run is told to its end
                run = self.conclude(step, rate, began, stopped(), failure)
        if failure is not None:
            raise ValueError(f"{failure}; the run until then is in {self.folder}")
        return run

    def close(self) -> None:
        """Close the environments, if Python steps them."""
        self._opened.close()

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
        """(first iteration, iterations, whether to learn, whether to evaluate after), over the whole run.

        A chunk has at most LONGEST updates, and as many steps: Ctrl-C has to wait for its end, its random numbers for
        memory.
        """
        stride, config = self.loop.stride, self.config
        total = -(-config.steps // stride)
        begin = -(-config.learning_starts // stride)
        every = max(1, round(config.eval.every / stride))
        evaluations = {*range(every, total, every), total}
        longest = max(1, LONGEST // max(config.collect.updates, stride))
        first = 0
        for end in sorted(evaluations | {begin}):
            while first < end:
                last = min(first + longest, end)
                yield first, last - first, first >= begin, last in evaluations
                first = last

    def _note_divergence(self, report: Report, display: Display) -> None:
        """Note which seeds have numbers from which none comes back."""
        for i, seed in enumerate(self.seeds):
            q, loss = (float(np.asarray(x)[i]) for x in (report.metrics.q, report.metrics.critic_loss))
            largest = float(self.largest[i])
            bound = EXPLODED * max(largest / max(1 - self.config.gamma, 1e-3), 1.0)
            # Large observations make large first values, which learning brings down: only growth is lost.
            beyond = abs(q) > max(bound, self.before[i])
            self.growth[i], self.before[i] = self.growth[i] + 1 if beyond else 0, abs(q)
            if seed in self.lost or (np.isfinite(q) and np.isfinite(loss) and self.growth[i] < GROWTH):
                continue
            said = f"Q is {q:.3g} and the critic's loss {loss:.3g}"
            if beyond:
                said += f", and growing, where rewards are at most {largest:.3g} in size"
            hint = "use a smaller --critic.lr, --critic.clip 1, --normalise true or a smaller --reward_scale"
            self.lost[seed] = f"seed {seed}: {said}; {hint}"
            if self.config.seeds > 1:
                display.note(f"diverged: {self.lost[seed]}")

    def records(self, step: int, rate: float, report: Report, evaluation: Evaluation | None) -> list[Record]:
        """One record a seed, in the contract's keys."""
        metrics = {name: np.asarray(values) for name, values in report.metrics._asdict().items()}
        returns = bias = np.full(self.config.seeds, np.nan)
        if evaluation is not None:
            returns, bias = np.asarray(evaluation.returns).mean(axis=1), np.asarray(evaluation.q_bias).mean(axis=1)
        exploration = self.config.agent.exploration
        noise = float(np.mean(exploration.sigma) * exploration.schedule(np.int64(step)))
        records = []
        for i, seed in enumerate(self.seeds):
            record = {"step": step, "seed": seed, "return": float(returns[i])}
            if self.optimum is not None:
                record["gap_to_optimum"] = self.optimum - record["return"]
            record["episode_return"] = float(np.asarray(report.episode_return)[i])
            record |= {name: float(values[i]) for name, values in metrics.items()}
            records.append(record | {"q_bias": float(bias[i]), "noise_scale": noise, "steps_per_second": rate})
        return records

    def save(self, carry: Carry) -> None:
        """The four networks of every seed."""
        states: AgentState = jax.device_get(carry.agent)
        for i, seed in enumerate(self.seeds):
            state = jax.tree.map(operator.itemgetter(i), states)
            stats = None if carry.stats is None else jax.tree.map(lambda x, i=i: np.asarray(x)[i], carry.stats)
            save_models(self.folder / "models" / f"seed-{seed}", state, self.env.spec, stats)

    def draw(self, display: Display) -> None:
        """The curve, and a film of the median seed; what cannot be drawn, as when learning diverged, is said."""
        config, records = self.config, read_metrics(self.folder)
        title = f"{config.env} · {count(config.seeds, 'seed')}"
        last = [record["return"] for record in records[-config.seeds :]]
        middle = self.seeds[int(np.argsort(last)[(len(last) - 1) // 2])]
        try:
            learning_curve([curve_of(records, config.preset)], self.folder / "learning_curve.png", title, self.optimum)
            if drawable(self.env):
                film_run(self.folder, self.folder / "policy.gif", env=self.env, seed=middle)
        except ValueError as error:
            display.note(str(error))

    def conclude(self, step: int, rate: float | None, began: float, interrupted: bool, failure: str | None) -> Run:
        """The summary."""
        config, records = self.config, read_metrics(self.folder)
        # Nothing is known of a run that ended before anything was logged.
        last = np.array([record["return"] for record in records[-config.seeds :]] or [np.nan] * config.seeds)
        said: dict[str, Any] = {
            "format": configuration.FORMAT,
            "env": config.env,
            "preset": config.preset,
            "seeds": list(self.seeds),
            "steps": step,
            "interrupted": interrupted,
            **summary(last),
        }
        if self.lost:
            said["diverged"] = {str(seed): why for seed, why in self.lost.items()}
        if failure is not None:
            said["failure"] = failure
        if self.optimum is not None:
            gap = None if said["iqm"] is None else self.optimum - said["iqm"]
            said |= {"optimum": self.optimum, "gap_to_optimum": gap}
        said |= {
            "steps_per_second": rate,
            "wall_seconds": time.perf_counter() - began,
        }
        (self.folder / "summary.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        return Run(self.folder, config, said)

    def _display(self) -> Display:
        config = self.config
        title = f"{config.preset} on {config.env} · {count(config.seeds, 'seed')} · {self.folder}"
        return Display(title, config.steps, self.optimum)


def together(reports: Sequence[tuple[int, Report]]) -> Report:
    """What chunks one after the other, with their numbers of iterations, say as one: means over those that know."""
    chunks = jax.tree.map(
        lambda *leaves: np.stack(leaves), *(report for _, report in reports)
    )  # leaves [chunks, seeds]
    iterations = np.array([iterations for iterations, _ in reports])[:, None]

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        weights = np.where(np.isnan(values), 0, weights)
        total = weights.sum(axis=0)
        return np.where(total > 0, np.nansum(weights * values, axis=0) / np.maximum(total, 1), np.nan)

    metrics = jax.tree.map(lambda values: mean(values, iterations * np.ones_like(chunks.episodes)), chunks.metrics)
    returns: Any = mean(chunks.episode_return, chunks.episodes)
    return Report(metrics, returns, chunks.episodes.sum(axis=0), chunks.largest_reward.max(axis=0))


def memory(config: Config, env: Environment | Gym) -> int:
    """Bytes of the replay of all seeds."""
    obs = env.spec.obs_size * np.dtype(env.spec.obs_dtype).itemsize
    return config.replay.capacity * config.seeds * (obs + 4 * (env.spec.action_dim + 4))


def drawable(env: Environment | Gym) -> bool:
    """Whether Gymnasium can draw it: its own environments that say so, and those of its ids that are native here."""
    if not isinstance(env, Gym):
        return isinstance(getattr(env, "env", env), type(catalogue.NATIVE.get(env.id)))
    try:
        with screenless(), closing(env.one(render_mode="rgb_array")) as one:
            return one.render_mode == "rgb_array"
    except Exception:  # of a maker of one's own that takes no render mode, or whatever else it raises
        return False


def _sharding(x: Any) -> Any:
    return getattr(x, "sharding", None)


def count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
