"""What a run begins with, or goes on: its configuration and environment checked, its folder claimed, JAX prepared."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, cast

import gymnasium
from filelock import FileLock, Timeout

from ddpg.envs import catalogue
from ddpg.envs.base import Environment, Repeat
from ddpg.envs.gym import Gym, Maker, by_callable
from ddpg.records import checkpoint
from ddpg.records.given import check_plain, check_within
from ddpg.training import config as configuration
from ddpg.training.conclusion import count
from ddpg.training.config import Config
from ddpg.training.devices import cache_programs, prepare
from ddpg.training.policy import Known, environment_of
from ddpg.training.presets import PRESETS
from ddpg.training.run import Run, Training, memory

INSISTED = 3  # times that Ctrl-C is pressed by who does not want to wait
TURN = 100  # steps, and updates, of an iteration with environments that Python steps


def train(
    env: str | Environment | Callable[[], Environment | gymnasium.Env] | None = None,
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

    `env` is an id, a JAX-native environment or a function that makes one or a Gymnasium environment (it is called for
    each that is needed, and with `render_mode` for the film if it takes that), by default what the configuration says,
    which is Pendulum-v1; `config` replaces the preset; `options` changes single fields by path, such as
    {"actor.lr": 1e-4}. With a preset, what `suited` says is changed too for environments that Python steps.
    `run` is the folder, by default a new one under runs/. ValueError, in one line, for anything that cannot be;
    nothing is overwritten. Ctrl-C, in the main thread, ends the run early and leaves its folder complete.
    """
    given = {"steps": steps, "seed": seed, "seeds": seeds}
    given = {name: value for name, value in given.items() if value is not None} | dict(options or {})
    config, own = (by_name(preset), False) if config is None else (config, True)
    env = config.env if env is None else env
    if isinstance(env, str):
        given["env"] = env
    asked = configuration.override(config, given)
    environment = make(env, asked)
    if isinstance(environment, Gym) and not own:
        asked = configuration.override(config, suited(asked, given))
    # gym:ID is another environment than ID, where that is native here; jax:ID is the same.
    named = isinstance(env, str) and isinstance(environment, Gym)
    config = asked if named else replace(asked, env=environment.id)
    check_fit(config, environment)
    with ready(config, environment) as stopped:
        folder = Path(run) if run is not None else _unused(config)
        # The folder is claimed last: an environment that cannot be made, or begun, leaves nothing behind.
        with closing(Training(config, environment, folder)) as training:
            claim(folder, config)
            with held(folder):
                return training.run(stopped)


def resume(run: str | Path, steps: int | None = None, env: Known | None = None) -> Run:
    """Go on with a run where its last checkpoint left it, up to `steps` if it is to be longer (or shorter) than it was.

    What follows is bit for bit what would have followed then: networks, optimisers, replay, metrics (docs/recovery.md
    says where a longer run is not quite the run of that length). `env` is needed for a run of a function or object, or
    of an id that imports a module, and must be what it was. ValueError, in one line, if there is nothing to go on from
    or to do, or another process is at it; nothing is lost then.
    """
    folder = Path(run)
    config = configuration.load(folder)
    check_within(folder)
    if steps is not None:
        config = configuration.override(config, {"steps": steps})
    try:
        environment = environment_of(config, env)
    except ValueError as error:
        own = env is None and ":" not in config.env
        hint = f"; a run of a function goes on from Python, ddpg.resume({str(folder)!r}, env=...)" if own else ""
        raise ValueError(f"{error}{hint}") from None
    asked = env if isinstance(env, str) else environment.id
    if _plain_id(asked) != _plain_id(config.env):
        raise ValueError(f"env {asked}: {folder} was trained in {config.env}, and can go on in that alone")
    check_fit(config, environment)
    with held(folder):
        done = _steps_done(folder, config)
        if steps is not None and steps < done:
            raise ValueError(f"steps {steps}: {folder} is at step {done} already; use --steps above that")
        if done >= config.steps and _ended(folder):
            raise ValueError(f"{folder} has had its {done} steps; use --steps above {done} to train on")
        with ready(config, environment) as stopped, closing(Training(config, environment, folder, True)) as training:
            return training.run(stopped)


@contextmanager
def ready(config: Config, env: Environment | Gym) -> Iterator[Callable[[], int]]:
    """JAX prepared, and signals turned into a question, while a run is under way."""
    largest = 2.0 * config.replay.batch * max(w * v for w, v in _layer_pairs(config, env))
    with interruptible() as stopped:
        prepare(config.seeds, largest)
        cache_programs(os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ddpg"))
        yield stopped


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder for this process alone. ValueError if another one trains in it; the system frees what dies."""
    lock = FileLock(folder / "checkpoints" / "lock")
    try:
        (folder / "checkpoints").mkdir(exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another process is training in {folder}; wait for its end, or stop it") from None
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error.strerror}); what is there stays as it is") from None
    try:
        yield
    finally:
        lock.release()


def _plain_id(env: str) -> str:
    return env.removeprefix("gym:").removeprefix("jax:")


def _steps_done(folder: Path, config: Config) -> int:
    """Steps of the newest checkpoint that says how many; 0 if none does."""
    for path in checkpoint.found(folder / "checkpoints"):
        with suppress(ValueError):
            said = checkpoint.read_said(path).get("iteration")
            if isinstance(said, int):
                return said * config.collect.steps * config.collect.envs
    return 0


def _ended(folder: Path) -> bool:
    """Whether a run came to its end, and said so."""
    try:
        check_plain(folder / "summary.json", 2**20)
        said = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("interrupted") is False and "failure" not in said


def make(env: str | Environment | Callable[[], Environment | gymnasium.Env], config: Config) -> Environment | Gym:
    """The environment that a run of this configuration acts in. ValueError, in one line, if it cannot be."""
    args, repeat = config.env_args, config.action_repeat
    if isinstance(env, str):
        return catalogue.make(env, args, repeat)
    if args:
        raise ValueError(f"env_args {', '.join(args)}: an environment that is no id takes none; give them to its maker")
    made = env() if callable(env) else env
    if isinstance(made, gymnasium.Env) and callable(env):
        return by_callable(cast(Maker, env), made, repeat)
    if not isinstance(made, Environment):
        raise ValueError(
            f"env {made!r}: expected an id, an environment as ddpg.envs.base describes it, or a function that makes "
            f"one or a Gymnasium environment"
        )
    if type(made).__hash__ is None:
        raise ValueError(f"env {made!r} is not hashable; make its class a frozen dataclass of hashable fields")
    return Repeat(made, repeat) if repeat > 1 else made


def suited(config: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, and what a preset, written for compiled environments, leaves better otherwise with Python's.

    Turns of 100 steps, or of `collect.steps`, since the learner is dispatched once a turn, and as many updates a step
    as the compiled loop would make with `collect.updates`, or as the preset has; ten episodes an evaluation, twenty
    times a run.
    """
    envs, usual = config.collect.envs, PRESETS.get(config.preset, config).collect
    steps = config.collect.steps if "collect.steps" in given else max(1, TURN // envs)
    asked = config.collect if "collect.updates" in given else usual
    ratio = asked.updates / (asked.steps * asked.envs)
    turn = {"collect.steps": steps, "collect.updates": max(1, round(steps * envs * ratio))}
    return {"eval.every": max(1, config.steps // 20), "eval.episodes": 10, **given, **turn}


def by_name(preset: str) -> Config:
    if preset not in PRESETS:
        near = get_close_matches(preset, PRESETS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "see `ddpg presets`"
        raise ValueError(f"unknown preset {preset!r}; available: {', '.join(PRESETS)}; {hint}")
    return PRESETS[preset]


def check_fit(config: Config, env: Environment | Gym) -> None:
    """ValueError if there are not as many sigmas as action dimensions, or the replay would not fit into memory."""
    needed, there = memory(config, env), _memory_there()
    if 2 * needed > there:
        raise ValueError(
            f"replay.capacity {config.replay.capacity} is {1e-9 * needed:.1f} GB for {count(config.seeds, 'seed')}, "
            f"and as much again while a checkpoint is written, and this machine has {1e-9 * there:.1f}; "
            f"use a smaller --replay.capacity"
        )
    sigma, needed = config.agent.exploration.sigma, env.spec.action_dim
    if isinstance(sigma, tuple) and len(sigma) not in (1, needed):
        dimensions = count(needed, "action dimension")
        raise ValueError(
            f"exploration.sigma {','.join(map(str, sigma))}: {len(sigma)} values, but {env.id} has {dimensions}; "
            f"use one number, or one for each"
        )


def _memory_there() -> float:
    """Bytes of this machine, or of the container it is."""
    there = float("inf")
    if hasattr(os, "sysconf"):
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else ""
    return min(there, int(text)) if text.isdecimal() else there


def claim(folder: Path, config: Config) -> Path:
    """Make the folder this run's own. ValueError if it holds anything or cannot be written."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"run folder {folder} already holds {_content(folder, config)}")
        folder.mkdir(parents=True, exist_ok=True)
        configuration.write(config, folder / "config.json")
    except OSError as error:
        raise ValueError(f"run folder {folder} cannot be written ({error.strerror}); choose another --run") from None
    return folder


def _content(folder: Path, config: Config) -> str:
    """What is in a folder that is not empty, and what to do instead of training there."""
    if not (folder / "config.json").exists():
        return "other files; choose another --run or move them away"
    if _in_use(folder):
        return "a run that another process is at; choose another --run, or wait for its end"
    with suppress(ValueError):
        there = configuration.load(folder)
        every = replace(there.eval, every=config.eval.every)  # which follows from the steps, unless it is chosen
        if replace(there, steps=config.steps, checkpoint=config.checkpoint, eval=every) == config:
            if config.steps > there.steps:
                return f"this run, of {there.steps} steps; train on with `ddpg resume {folder} --steps {config.steps}`"
            if not _ended(folder) and not checkpoint.found(folder / "checkpoints"):
                return "this very run, stopped before its first checkpoint; choose another --run or remove it"
            if not _ended(folder):
                return f"this very run, not at its end; go on with `ddpg resume {folder}`"
            return f"this very run, at its end after {there.steps} steps; choose another --run, or more --steps"
    return "another run; choose another --run or move it away"


def _in_use(folder: Path) -> bool:
    """Whether another process trains there now."""
    lock = folder / "checkpoints" / "lock"
    try:
        with FileLock(lock, timeout=0) if lock.exists() else nullcontext():
            return False
    except Timeout:
        return True
    except OSError:  # a folder that cannot be written
        return False


def _unused(config: Config) -> Path:
    stem = f"{config.env.replace(':', '-').replace('/', '-')}-{config.preset}"
    numbers = (n for n in range(1, 10**9) if not (Path("runs") / f"{stem}-{n}").exists())
    return Path("runs") / f"{stem}-{next(numbers)}"


def _layer_pairs(config: Config, env: Environment | Gym) -> Iterator[tuple[int, int]]:
    agent, obs, action = config.agent, env.spec.obs_size, env.spec.action_dim
    for network, inputs, outputs in ((agent.actor, obs, action), (agent.critic, obs + action, agent.value.size)):
        yield from pairwise([inputs, *network.block.sizes(network.widths), outputs])


@contextmanager
def interruptible() -> Iterator[Callable[[], int]]:
    """Within it Ctrl-C, and what asks a process to end, only ask to stop, so that neither a chunk nor a file is torn.

    What is yielded answers which signal did, 0 if none. The third Ctrl-C is heard at once, as where an environment
    hangs: what is lost then is what came after the last checkpoint.
    """
    asked = list[int]()
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield lambda: 0
        return

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if asked.count(signal.SIGINT) >= INSISTED:
            raise KeyboardInterrupt

    names = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        names.append(signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in names}
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for number, handler in before.items():
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default if handler is None else handler)
