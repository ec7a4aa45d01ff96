"""Training from the first step to the last picture: chunks, and between them log, evaluate and, at the end, save."""

import json
import math
import operator
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddpg.algorithm.agent import AgentState
from ddpg.envs import catalogue
from ddpg.envs.base import Environment, Vector
from ddpg.records.display import Display
from ddpg.records.export import save_models
from ddpg.records.log import Log, Record, read_metrics
from ddpg.records.plot import curve_of, learning_curve, summary
from ddpg.training import config as configuration
from ddpg.training.config import Config
from ddpg.training.devices import cache_programs, padded, place, prepare
from ddpg.training.evaluate import Evaluation, Evaluator
from ddpg.training.loop import Carry, Loop, Report
from ddpg.training.policy import film_run
from ddpg.training.presets import PRESETS

LONGEST = 1_000  # updates, or steps, of a chunk
PICTURES = ("matplotlib.figure", "matplotlib.backends.backend_agg", "gymnasium", "pygame", "PIL.Image")  # a second of imports, behind the first updates


@dataclass(frozen=True)
class Run:
    """What training leaves behind: the run folder, its configuration and what summary.json says."""

    path: Path
    config: Config
    summary: dict[str, Any]

    @property
    def interrupted(self) -> bool:
        return bool(self.summary["interrupted"])


def train(
    env: str | Environment | Callable[[], Environment] | None = None,
    config: Config | None = None,
    *,
    preset: str = "ddpg",
    steps: int | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    run: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Run:
    """Train `seeds` independent agents and leave a complete run folder (docs/files.md).

    `env` is an id, a JAX-native environment or what makes one, by default what the configuration says, which is
    Pendulum-v1; `config` replaces the preset; `options` changes single fields by path, such as {"actor.lr": 1e-4}.
    `run` is the folder, by default a new one under runs/. ValueError, in one line, for anything that cannot be;
    nothing is overwritten. Ctrl-C, in the main thread, ends the run early and leaves its folder complete.
    """
    if config is None:
        config = by_name(preset)
    given = {"steps": steps, "seed": seed, "seeds": seeds}
    config = configuration.override(config, {k: v for k, v in given.items() if v is not None} | dict(options or {}))
    env = config.env if env is None else env
    environment = catalogue.make(env) if isinstance(env, str) else env() if callable(env) else env
    if not isinstance(environment, Environment):
        raise ValueError(f"env {environment!r}: expected an id or an environment as ddpg.envs.base describes it")
    if type(environment).__hash__ is None:
        raise ValueError(f"env {environment!r} is not hashable; make its class a frozen dataclass of hashable fields")
    config = replace(config, env=environment.id)
    check_fit(config, environment)
    largest = 2.0 * config.replay.batch * max(w * v for w, v in _layer_pairs(config, environment))
    with interruptible() as stopped:
        folder = claim(Path(run) if run is not None else _unused(config), config)
        prepare(config.seeds, largest)
        cache_programs(os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ddpg"))
        return Training(config, environment, folder).run(stopped)


def by_name(preset: str) -> Config:
    if preset not in PRESETS:
        near = get_close_matches(preset, PRESETS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "see `ddpg presets`"
        raise ValueError(f"unknown preset {preset!r}; available: {', '.join(PRESETS)}; {hint}")
    return PRESETS[preset]


def check_fit(config: Config, env: Environment) -> None:
    """ValueError if there are not as many sigmas as action dimensions, or the replay would not fit into memory."""
    floats = config.replay.capacity * config.seeds * (env.spec.obs_size + env.spec.action_dim + 4)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else math.inf
    if 4 * floats > memory:
        raise ValueError(
            f"replay.capacity {config.replay.capacity} is {4e-9 * floats:.1f} GB for {_count(config.seeds, 'seed')}, "
            f"and this machine has {1e-9 * memory:.1f}; use a smaller --replay.capacity"
        )
    sigma, needed = config.agent.exploration.sigma, env.spec.action_dim
    if isinstance(sigma, tuple) and len(sigma) not in (1, needed):
        dimensions = _count(needed, "action dimension")
        raise ValueError(
            f"exploration.sigma {','.join(map(str, sigma))}: {len(sigma)} values, but {env.id} has {dimensions}; "
            f"use one number, or one for each"
        )


def claim(folder: Path, config: Config) -> Path:
    """Make the folder this run's own. ValueError if it holds anything or cannot be written."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            held = "another run" if (folder / "config.json").exists() else "other files"
            raise ValueError(f"run folder {folder} already holds {held}; choose another --run or move it away")
        folder.mkdir(parents=True, exist_ok=True)
        configuration.write(config, folder / "config.json")
    except OSError as error:
        raise ValueError(f"run folder {folder} cannot be written ({error.strerror}); choose another --run") from None
    return folder


def _unused(config: Config) -> Path:
    stem = f"{config.env.replace(':', '-').replace('/', '-')}-{config.preset}"
    numbers = (n for n in range(1, 10**9) if not (Path("runs") / f"{stem}-{n}").exists())
    return Path("runs") / f"{stem}-{next(numbers)}"


def _layer_pairs(config: Config, env: Environment) -> Iterator[tuple[int, int]]:
    for network in (config.agent.actor, config.agent.critic):
        widths = [env.spec.obs_size, *network.widths]
        yield from pairwise(widths)


class Training:
    """One run under way."""

    def __init__(self, config: Config, env: Environment, folder: Path) -> None:
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
        )
        self.evaluator = Evaluator(env, config.agent, config.gamma, config.eval.episodes, config.eval.seed)
        self.optimum = self.evaluator.optimum()
        self.seeds = range(config.seed, config.seed + config.seeds)

    def run(self, stopped: Callable[[], bool]) -> Run:
        """The whole run, or as much of it as there is time for until `stopped`."""
        began = time.perf_counter()
        config, display = self.config, self._display()
        # Seeds that only fill a device up start anew after the last one asked for, and are never shown.
        every_seed = range(config.seed, config.seed + padded(config.seeds))
        keys = jax.numpy.stack([jax.random.key(seed) for seed in every_seed])
        step, learned, learning_seconds, reports = 0, 0, 0.0, list[tuple[int, Report]]()
        with Log(self.folder, self.seeds) as log, display, ThreadPoolExecutor() as pool:
            display.note("compiling")
            carry = self.loop.start(place(keys))
            # The few programs of a run are compiled side by side, and while the first of them already runs.
            shapes = dict.fromkeys((learning, iterations) for _, iterations, learning, _ in self.chunks())
            like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), carry)
            compiled = {
                (learning, n): pool.submit(self.loop.compile, like, iterations=n, learning=learning)
                for learning, n in sorted(shapes, reverse=True)  # the slowest to compile first
            }
            play = pool.submit(self.evaluator.compile, like.agent.online)
            for name in PICTURES:
                pool.submit(import_module, name)
            for first, iterations, learning, evaluate in self.chunks():
                program = compiled[learning, iterations].result()
                started = time.perf_counter()
                carry, report = jax.block_until_ready(program(carry, np.int32(first)))
                seconds = time.perf_counter() - started
                if learning:  # random steps cost next to nothing and would flatter the speed
                    learned, learning_seconds = learned + iterations * self.loop.stride, learning_seconds + seconds
                reports.append((iterations, report))
                step, stopping = (first + iterations) * self.loop.stride, stopped()
                if evaluate or stopping:
                    rate = iterations * self.loop.stride * config.seeds / seconds
                    evaluation = play.result()(carry.agent.online)
                    records = self.records(step, rate, together(reports), evaluation)
                    reports.clear()
                    log.write(step, records, {"dq_da": np.asarray(evaluation.dq_da)[: config.seeds]})
                    display.update(step, records)
                if stopping:
                    display.note(f"stopped at step {step}; saving")
                    break
            self.save(carry)
            display.note(f"networks saved in {self.folder / 'models'}")
            rate = learned * config.seeds / learning_seconds if learned else None
            self.draw(display)
            return self.conclude(step, rate, began, stopped())

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

    def records(self, step: int, rate: float, report: Report, evaluation: Evaluation) -> list[Record]:
        """One record a seed, in the contract's keys."""
        metrics = {name: np.asarray(values) for name, values in report.metrics._asdict().items()}
        returns, bias = np.asarray(evaluation.returns).mean(axis=1), np.asarray(evaluation.q_bias).mean(axis=1)
        exploration = self.config.agent.exploration
        noise = float(np.mean(exploration.sigma) * exploration.schedule(step))
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
            save_models(self.folder / "models" / f"seed-{seed}", state, self.env.spec)

    def draw(self, display: Display) -> None:
        """The curve, and a film of the median seed; what cannot be drawn, as when learning diverged, is said."""
        config, records = self.config, read_metrics(self.folder)
        title = f"{config.env} · {_count(config.seeds, 'seed')}"
        last = [record["return"] for record in records[-config.seeds :]]
        middle = self.seeds[int(np.argsort(last)[(len(last) - 1) // 2])]
        try:
            learning_curve([curve_of(records, config.preset)], self.folder / "learning_curve.png", title, self.optimum)
            if isinstance(self.env, type(catalogue.NATIVE.get(self.env.id))):  # Gymnasium draws only what it has itself
                film_run(self.folder, self.folder / "policy.gif", seed=middle)
        except ValueError as error:
            display.note(str(error))

    def conclude(self, step: int, rate: float | None, began: float, interrupted: bool) -> Run:
        """The summary."""
        config, records = self.config, read_metrics(self.folder)
        last = np.array([record["return"] for record in records[-config.seeds :]])
        said: dict[str, Any] = {
            "format": configuration.FORMAT,
            "env": config.env,
            "preset": config.preset,
            "seeds": list(self.seeds),
            "steps": step,
            "interrupted": interrupted,
            **summary(last),
        }
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
        title = f"{config.preset} on {config.env} · {_count(config.seeds, 'seed')} · {self.folder}"
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
    return Report(metrics, returns, chunks.episodes.sum(axis=0))


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Within it Ctrl-C only asks to stop, however often, so that neither a chunk nor a file is torn."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield asked.is_set
        return
    before = signal.signal(signal.SIGINT, lambda signum, frame: asked.set())
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)
