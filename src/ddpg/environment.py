"""Which environment is meant: an id, an object or a function."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import gymnasium

from ddpg.config.config import Config
from ddpg.envs import catalogue
from ddpg.envs.gymnasium_factory import GymFactory, Maker, by_callable
from ddpg.envs.protocol import Environment
from ddpg.envs.repeat import Repeat
from ddpg.mistake import Mistake


def _plain_id(env: str) -> str:
    return env.removeprefix("gym:").removeprefix("jax:")


def make(
    env: str | Environment | Callable[[], Environment | gymnasium.Env], config: Config
) -> Environment | GymFactory:
    """The environment that a run of this configuration acts in. ValueError, in one line, if it cannot be."""
    args, repeat = config.env_args, config.action_repeat
    if isinstance(env, str):
        return catalogue.make(env, args, repeat)
    if args:
        raise Mistake(f"env_args {', '.join(args)}: an environment that is no id takes none; give them to its maker")
    made = env() if callable(env) else env
    if isinstance(made, gymnasium.Env) and callable(env):
        return by_callable(cast(Maker, env), made, repeat)
    if not isinstance(made, Environment):
        raise Mistake(
            f"env {made!r}: expected an id, a ddpg.envs.protocol.Environment, or a function that makes one or a "
            f"Gymnasium environment"
        )
    if type(made).__hash__ is None:
        raise Mistake(f"env {made!r} is not hashable; make its class a frozen dataclass of hashable fields")
    return Repeat(made, repeat) if repeat > 1 else made


Known = str | Environment | GymFactory | Callable[[], Any]  # ways to say what environment is meant


def environment_of(config: Config, env: Known | None = None, args: Sequence[str] = ()) -> Environment | GymFactory:
    """The environment of a run, or another one: an id, one that is made, or a function as `ddpg.train` takes it.

    `args` are keyword arguments as key=value, after those of the run where it is the run's own id. ValueError if the
    run's own id imports a module: what a folder says is never imported unless the user says it too.
    """
    if isinstance(env, GymFactory | Repeat):  # which repeats already
        return env
    if env is None and ":" in re.sub("^(gym|jax):", "", config.env):  # one of them: "gym:jax:X" imports jax
        raise Mistake(
            f"the run's environment {config.env} imports a module, which is not done because a folder says so; "
            f"add --env {config.env} if you trust it"
        )
    if env is not None and not isinstance(env, str):
        return make(env, replace(config, env_args=tuple(args)))
    env = config.env if env is None else env
    own = config.env_args if env.removeprefix("gym:") == config.env.removeprefix("gym:") else ()
    return catalogue.make(env, (*own, *args), config.action_repeat)
