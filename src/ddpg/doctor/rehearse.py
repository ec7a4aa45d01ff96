"""How long a run would take on this machine: its iterations in small, with an environment that answers at once."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import ceil
from statistics import median
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from ddpg.config.config import Config
from ddpg.doctor.examine import Findings
from ddpg.environment import AnyEnvironment
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.envs.python_vector import History, PythonStepResult
from ddpg.training.backend import behaviour_for, driver_for, evaluator_for, goal_reward_of, learner_for
from ddpg.training.devices import cores
from ddpg.training.host import Host
from ddpg.training.memory import replay_bytes
from ddpg.training.python_evaluate import PARALLEL_EPISODES
from ddpg.training.schedule import MAX_CHUNK
from ddpg.types import Spec

START = 4.0  # seconds of a run's imports and first programs

PASSING = 2e-4  # seconds in which an action and its answer pass between processes

REPEATS, PATIENCE, CALL = 5, 1.0, 0.5  # how often something is timed at most, for how long in all, and each time

SMALL, SMALL_BYTES = 100_000, 2e8  # steps of a replay that is large enough to be timed, and its bytes at most


@dataclass(frozen=True)
class Duration:
    """Expected seconds of a run."""

    training: float
    evaluation: float
    waits_for: str  # the slower of "learning" and "the environment", if they run side by side

    @property
    def total(self) -> float:
        return START + self.training + self.evaluation


class Instant:
    """N environments of one seed that answer zeros at once."""

    why_cut = ""

    def __init__(self, spec: Spec, n: int) -> None:
        self._actions = spec.action_dim
        self._obs, self._reward = np.zeros((1, n, *spec.obs_shape), spec.obs_dtype), np.zeros((1, n), np.float32)

    def reset(self) -> np.ndarray:
        return self._obs

    def step(self, action: Float[np.ndarray, "s n m"]) -> PythonStepResult:
        no = np.zeros(self._reward.shape, bool)
        return PythonStepResult(self._obs, self._reward, no, no)

    def history(self) -> History:
        none = np.zeros(self._reward.size, np.int64)
        return History(none, none, none, np.zeros((0, self._actions), np.float32))

    def replay_history(self, history: History, obs: np.ndarray, done: Bool[np.ndarray, "s n"]) -> PythonStepResult:
        no = np.zeros_like(done)
        return PythonStepResult(obs, np.zeros(done.shape, np.float32), no, no)

    def lent(self) -> Sequence[CheckedEnv]:
        return ()

    def truncate(self, mask: Bool[np.ndarray, "s n"]) -> None:
        """No episode is open."""

    def close(self) -> None:
        """Nothing is open."""


def rehearse(config: Config, env: AnyEnvironment, findings: Findings) -> Duration:
    """The expected duration of a run of one seed, without its film."""
    fit = int(config.replay.capacity * min(1, SMALL_BYTES / replay_bytes(config, env)))
    capacity = max(min(config.replay.capacity, SMALL, fit), config.replay.batch, 2 * config.steps_per_iteration)
    small = replace(config, replay=replace(config.replay, capacity=capacity))
    return _in_python(small, env, findings) if isinstance(env, GymFactory) else _compiled(small, env)


def _in_python(config: Config, env: GymFactory, findings: Findings) -> Duration:
    """Learning beside the steps of an iteration, as long as there is a second core."""
    collect, episodes = config.collect, config.eval.episodes
    instant, learner = Instant(env.spec, collect.envs), learner_for(config, env.spec)
    host = Host(learner, behaviour_for(config, env.spec), instant, goal_reward=goal_reward_of(env, instant, learner))
    with closing(host):
        host.start(_keys(config))
        acting, both = (seconds_of(host.compile(longest=1, learning=learning)) for learning in (False, True))
    several, step = cores(), 1 / findings.steps_per_second
    if collect.vector == "async":
        environment = collect.steps * (PASSING + step * ceil(collect.envs / several))
    else:
        environment = collect.steps * collect.envs * step
    waited = max(both, acting + environment) if several > 1 else both + environment
    played = (findings.length + findings.longest) / 2 * episodes * _evaluations(config)
    evaluation = played * (step + acting / collect.steps / min(episodes, PARALLEL_EPISODES))
    limit = "learning" if both > acting + environment else "the environment"
    return Duration(_training(config, acting + environment, waited), evaluation, limit)


def _compiled(config: Config, env: Environment) -> Duration:
    driver = driver_for(config, env)
    driver.start(_keys(config))
    iterations = max(1, MAX_CHUNK // max(config.collect.updates, config.steps_per_iteration))
    learning = seconds_of(driver.compile(longest=iterations, learning=True), iterations)
    inputs = driver.read().evaluation_inputs
    play = evaluator_for(config, env, config.eval.episodes, config.eval.seed).compile(*inputs)
    evaluation = _evaluations(config) * seconds_of(lambda *_: play(*inputs))
    return Duration(_training(config, 0.0, learning), evaluation, "learning")


def _training(config: Config, acting: float, learning: float) -> float:
    """Seconds of all iterations, from those of one before learning starts and one after."""
    total = ceil(config.steps / config.steps_per_iteration)
    before = min(total, ceil(config.learning_starts / config.steps_per_iteration))
    return before * acting + (total - before) * learning


def _evaluations(config: Config) -> int:
    return max(1, config.steps // config.eval.every)


def _keys(config: Config) -> Any:
    return jax.numpy.stack([jax.random.key(config.seed)])


def seconds_of(program: Callable[[np.int32, int], Any], longest: int = 1) -> float:
    """The median time of an iteration, in calls of at most `longest` that take about CALL seconds."""

    def timed(first: int, iterations: int) -> float:
        began = time.perf_counter()
        jax.block_until_ready(program(np.int32(first), iterations))
        return time.perf_counter() - began

    timed(0, 1)
    iterations = max(1, min(longest, int(CALL / timed(1, 1))))
    times = list[float]()
    while len(times) < REPEATS and sum(times) < PATIENCE:
        times.append(timed(len(times) + 2, iterations))
    return median(times) / iterations


def roughly(seconds: float) -> str:
    """A duration in the largest unit that has more than one and a half of it, to two digits."""
    units = ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s"))
    size, name = next(((size, name) for size, name in units if seconds >= 1.5 * size), units[-1])
    return f"{float(f'{max(seconds / size, 1):.2g}'):g} {name}"
