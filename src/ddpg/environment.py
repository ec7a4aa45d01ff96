"""Which environment is meant: an id, an object or a function."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, cast

import gymnasium
from gymnasium.envs.registration import find_highest_version, parse_env_id, registry

from ddpg.config.config import Config
from ddpg.config.presets import host_defaults
from ddpg.envs.as_gymnasium import as_gymnasium
from ddpg.envs.catalogue import NATIVE
from ddpg.envs.foreign import Guard, brief_value
from ddpg.envs.gymnasium_factory import GymFactory, Maker, by_callable, by_id, parse_args
from ddpg.envs.protocol import Environment
from ddpg.envs.repeat import Repeat
from ddpg.envs.simulator_prefixes import by_prefix, is_compiled_simulator, is_simulator
from ddpg.envs.view import View, seen_native, unseen, view_of
from ddpg.mistake import Mistake

OWN = View()

AnyEnvironment = Environment | GymFactory
EnvironmentLike = str | AnyEnvironment | Callable[[], Any]  # an id, an environment, or a function that makes one


def resolve(
    env: EnvironmentLike,
    args: Sequence[str] = (),
    repeat: int = 1,
    seeding: str = "episode",
    view: View = OWN,
) -> AnyEnvironment:
    """The environment that is meant, every action repeated, seeded as `seeding` says (the configuration's env_seeds).

    What is observed of it is as `view` says.

    An id is one that `gymnasium.make` takes, with keyword arguments such as "gravity=9.8". A JAX-native version with
    the same dynamics is used if there is one, except with arguments; `gym:ID` and `jax:ID` choose. With the prefix of
    a simulator, such as `gymnax:ID`, it is one of its environments. Raises Mistake if it cannot be made.
    """
    made = _resolved(env, args, repeat)
    if isinstance(made, GymFactory):
        made = made if seeding in ("episode", made.seeding) else replace(made, seeding=seeding)
        return made if view == OWN else made.seen(view)
    if seeding != "episode":
        raise Mistake(f"env_seeds {seeding}: {made.id} is compiled, and seeded at every episode; use gym:{made.id}")
    return seen_native(made, view)


def resolve_as(config: Config, env: EnvironmentLike, args: Sequence[str] | None = None) -> AnyEnvironment:
    """`resolve` with what a configuration says, its keyword arguments too if there are no `args`."""
    args = config.env_args if args is None else args
    return resolve(env, args, config.action_repeat, config.env_seeds, config.view)


def _resolved(env: EnvironmentLike, args: Sequence[str], repeat: int) -> AnyEnvironment:
    if isinstance(env, str):
        return _from_id(env, args, repeat)
    if args:
        raise Mistake(f"env_args {', '.join(args)}: an environment that is no id takes none; give them to its maker")
    if isinstance(env, GymFactory | Repeat):  # which repeats already
        return env
    made = env
    if callable(env):
        name = getattr(env, "__name__", type(env).__name__)
        with Guard(lambda: f"environment {name!r} cannot be made:"):
            made = env()
    if isinstance(made, gymnasium.Env) and callable(env):
        return by_callable(cast(Maker, env), made, repeat)
    if isinstance(made, gymnasium.Env):
        raise Mistake(
            f"env {brief_value(made)}: expected a function that makes a new one, such as its class or "
            f"lambda: MyEnv(gravity=9.8); training and evaluation have their own"
        )
    if not isinstance(made, Environment):
        raise Mistake(
            f"env {brief_value(made)}: expected an id, an environment as ddpg.envs.protocol describes it, or a "
            f"function that makes one or a Gymnasium environment"
        )
    if type(made).__hash__ is None:
        raise Mistake(f"env {made!r} is not hashable; make its class a frozen dataclass of hashable fields")
    return Repeat(made, repeat) if repeat > 1 else made


def resolve_for(config: Config, env: EnvironmentLike | None = None, args: Sequence[str] = ()) -> AnyEnvironment:
    """The environment of a run, or another one for its policies.

    `args` come after those of the run if the id is the run's own. Raises Mistake if the run's own id imports a module:
    what a folder says is never imported unless the user says it too.
    """
    _, own = split_id(config.env)
    if env is None and imports_module(config.env):
        raise Mistake(
            f"the run's environment {config.env} imports a module, which is not done because a folder says so; "
            f"add --env {config.env} if you trust it"
        )
    env = config.env if env is None else env
    if isinstance(env, str) and split_id(env)[1] == own:
        args = (*config.env_args, *args)
    return resolve_as(config, env, args)


def split_id(id: str) -> tuple[str, str]:
    """Prefix and name: "gym:Pendulum-v1" -> ("gym", "Pendulum-v1"). One prefix alone: "gym:jax:X" imports jax."""
    prefix, colon, name = id.partition(":")
    return (prefix, name) if colon and prefix in ("gym", "jax") else ("", id)


def imports_module(id: str) -> bool:
    """Whether it names a module, which `gymnasium.make` imports first; that of a simulator is known."""
    return not is_simulator(id) and ":" in split_id(id)[1]


def gymnasium_version(env: AnyEnvironment, repeat: int = 1) -> GymFactory:
    """The same environment as Python steps it; for a native one Gymnasium's of that id, which draws itself, if any."""
    if isinstance(env, GymFactory):
        return env
    own = unseen(env)
    inner = own.env if isinstance(own, Repeat) else own
    if not _registered(inner.id):
        return as_gymnasium(inner, repeat).seen(view_of(env))
    return _from_gymnasium(env.id, (), repeat).seen(view_of(env))


def _from_id(id: str, args: Sequence[str], repeat: int) -> AnyEnvironment:
    if is_simulator(id):
        made = by_prefix(id, tuple(args))
        return replace(made, repeat=repeat) if isinstance(made, GymFactory) else _resolved(made, (), repeat)
    prefix, name = split_id(id)
    if prefix == "jax" and (name not in NATIVE or args):
        lack = "takes no env-args" if name in NATIVE else f"does not exist; available: {', '.join(NATIVE)}"
        raise Mistake(f"the JAX-native environment {name!r} {lack}; use gym:{name} for Gymnasium's")
    if prefix != "gym" and name in NATIVE and not args:
        return _resolved(NATIVE[name], (), repeat)
    return _from_gymnasium(id, args, repeat)


def _from_gymnasium(id: str, args: Sequence[str], repeat: int) -> GymFactory:
    _, name = split_id(id)
    keywords = parse_args(args)
    if name in NATIVE and not _registered(name):
        raise Mistake(
            f"environment {id!r}: {name} exists in JAX alone, so it has no arguments and Gymnasium cannot step it; "
            f"train it as jax:{name}"
        )
    if ":" not in name and not _registered(name):  # a module is imported first, and may register what it likes
        near = get_close_matches(name, {**NATIVE, **registry}, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "expected an id that gymnasium.make takes"
        raise Mistake(f"unknown environment {id!r}; {hint}")
    return by_id(name, keywords, repeat)


def has_id(id: str) -> bool:
    """Whether `resolve` takes it: a run of a function or an object has the name of its class instead."""
    _, name = split_id(id)
    return ":" in name or name in NATIVE or _registered(name)


def was_stepped(config: Config) -> bool:
    """Whether Python stepped the run's environment, so that `host_defaults` changed its preset."""
    if is_simulator(config.env):
        return not is_compiled_simulator(config.env)
    if config.env_args or config.env.startswith("gym:"):
        return True
    if config.env in NATIVE:
        return False
    # A class of one's own may be compiled or not. A run folder does not say so, but its evaluations differ.
    return (
        ":" in config.env
        or config.env in registry
        or config.eval.episodes == host_defaults(config, {})["eval.episodes"]
    )


def _registered(name: str) -> bool:
    try:
        space, base, number = parse_env_id(name)
    except (gymnasium.error.Error, ValueError):  # a version of thousands of digits
        return False
    return name in registry or (number is None and find_highest_version(space, base) is not None)
