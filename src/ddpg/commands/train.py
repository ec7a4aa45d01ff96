"""`ddpg train` and `ddpg resume`."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium

from ddpg.config.config import Config
from ddpg.config.file import load_config
from ddpg.config.presets import by_name, host_defaults
from ddpg.config.reading import override
from ddpg.environment import Known, _plain_id, environment_of, make
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.mistake import Mistake
from ddpg.records.observer import Observer
from ddpg.records.untrusted import check_within
from ddpg.training.devices import cache_programs, configure_jax
from ddpg.training.finish import count
from ddpg.training.folder import _ended, _steps_done, _unused, claim, held
from ddpg.training.memory import _memory_there, memory
from ddpg.training.run import Run
from ddpg.training.session import Session
from ddpg.training.signals import interruptible


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
    observers: Iterable[Observer] = (),
    quiet: bool = False,
) -> Run:
    """Train `seeds` independent agents and leave a complete run folder (docs/files.md).

    `env` is an id, a JAX-native environment or a function that makes one or a Gymnasium environment (it is called for
    each that is needed, and with `render_mode` for the film if it takes that), by default what the configuration says,
    which is Pendulum-v1; `config` replaces the preset; `options` changes single fields by path, such as
    {"actor.lr": 1e-4}. With a preset, what `suited` says is changed too for environments that Python steps.
    `run` is the folder, by default a new one under runs/. ValueError, in one line, for anything that cannot be;
    nothing is overwritten. Ctrl-C, in the main thread, ends the run early and leaves its folder complete.

    `observers` are called with every log point (`ddpg.LogPoint`): one that raises `ddpg.StopTraining` ends the run
    early and complete, and any other exception is raised here once the folder is complete. `quiet` shows no progress.
    """
    given = {"steps": steps, "seed": seed, "seeds": seeds}
    given = {name: value for name, value in given.items() if value is not None} | dict(options or {})
    config, own = (by_name(preset), False) if config is None else (config, True)
    env = config.env if env is None else env
    if isinstance(env, str):
        given["env"] = env
    asked = override(config, given)
    environment = make(env, asked)
    if isinstance(environment, GymFactory) and not own:
        asked = override(config, host_defaults(asked, given))
    # gym:ID is another environment than ID, where that is native here; jax:ID is the same.
    named = isinstance(env, str) and isinstance(environment, GymFactory)
    config = asked if named else replace(asked, env=environment.id)
    check_fit(config, environment)
    with ready(config, environment) as stopped:
        folder = Path(run) if run is not None else _unused(config)
        # The folder is claimed last: an environment that cannot be made, or begun, leaves nothing behind.
        with closing(Session(config, environment, folder, False, observers, quiet)) as training:
            claim(folder, config)
            with held(folder):
                return training.run(stopped)


def resume(
    run: str | Path,
    steps: int | None = None,
    env: Known | None = None,
    *,
    observers: Iterable[Observer] = (),
    quiet: bool = False,
) -> Run:
    """Go on with a run where its last checkpoint left it, up to `steps` if it is to be longer (or shorter) than it was.

    What follows is bit for bit what would have followed then: networks, optimisers, replay, metrics (docs/recovery.md
    says where a longer run is not quite the run of that length). `env` is needed for a run of a function or object, or
    of an id that imports a module, and must be what it was. ValueError, in one line, if there is nothing to go on from
    or to do, or another process is at it; nothing is lost then.
    """
    folder = Path(run)
    config = load_config(folder)
    check_within(folder)
    if steps is not None:
        config = override(config, {"steps": steps})
    try:
        environment = environment_of(config, env)
    except ValueError as error:
        own = env is None and ":" not in config.env
        hint = f"; a run of a function goes on from Python, ddpg.resume({str(folder)!r}, env=...)" if own else ""
        raise Mistake(f"{error}{hint}") from None
    asked = env if isinstance(env, str) else environment.id
    if _plain_id(asked) != _plain_id(config.env):
        raise Mistake(f"env {asked}: {folder} was trained in {config.env}, and can go on in that alone")
    check_fit(config, environment)
    with held(folder):
        done = _steps_done(folder, config)
        if steps is not None and steps < done:
            raise Mistake(f"steps {steps}: {folder} is at step {done} already; use --steps above that")
        if done >= config.steps and _ended(folder):
            raise Mistake(f"{folder} has had its {done} steps; use --steps above {done} to train on")
        with (
            ready(config, environment) as stopped,
            closing(Session(config, environment, folder, True, observers, quiet)) as training,
        ):
            return training.run(stopped)


@contextmanager
def ready(config: Config, env: Environment | GymFactory) -> Iterator[Callable[[], int]]:
    """JAX prepared, and signals turned into a question, while a run is under way."""
    largest = 2.0 * config.replay.batch * max(w * v for w, v in _layer_pairs(config, env))
    with interruptible() as stopped:
        configure_jax(config.seeds, largest)
        cache_programs(os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ddpg"))
        yield stopped


def check_fit(config: Config, env: Environment | GymFactory) -> None:
    """ValueError if there are not as many sigmas as action dimensions, or the replay would not fit into memory."""
    needed, there = memory(config, env), _memory_there()
    if 2 * needed > there:
        raise Mistake(
            f"replay.capacity {config.replay.capacity} is {1e-9 * needed:.1f} GB for {count(config.seeds, 'seed')}, "
            f"and as much again while a checkpoint is written, and this machine has {1e-9 * there:.1f}; "
            f"use a smaller --replay.capacity"
        )
    sigma, needed = config.agent.exploration.sigma, env.spec.action_dim
    if isinstance(sigma, tuple) and len(sigma) not in (1, needed):
        dimensions = count(needed, "action dimension")
        raise Mistake(
            f"exploration.sigma {','.join(map(str, sigma))}: {len(sigma)} values, but {env.id} has {dimensions}; "
            f"use one number, or one for each"
        )


def _layer_pairs(config: Config, env: Environment | GymFactory) -> Iterator[tuple[int, int]]:
    agent, obs, action = config.agent, env.spec.obs_size, env.spec.action_dim
    for network, inputs, outputs in ((agent.actor, obs, action), (agent.critic, obs + action, agent.value.outputs)):
        yield from pairwise([inputs, *network.block.hidden_sizes(network.widths), outputs])
