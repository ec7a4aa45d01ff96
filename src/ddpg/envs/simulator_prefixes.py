"""Environments of simulators by their ids, such as gymnax:Pendulum-v1; a package is imported if it is named."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any
from warnings import catch_warnings

import numpy as np
from jax import Array

from ddpg.envs.foreign import EnvironmentFailure, Guard
from ddpg.envs.gymnasium_factory import GymFactory, parse_args, recipe
from ddpg.envs.pools import PoolMaker
from ddpg.envs.simulator import Simulator, finite, simulator
from ddpg.mistake import Mistake
from ddpg.types import Key, PyTree


def from_gymnax(id: str, name: str, args: Mapping[str, Any]) -> Simulator:
    """One of gymnax (Lange 2022), version 1.0 or later; `args` are fields of its EnvParams, such as a time limit.

    Its `step_env` is the step that does not reset.
    """
    gymnax = imported(id, "gymnax", "'gymnax>=1.0'")
    known(id, name, gymnax.registered_envs)
    with Guard(lambda: f"environment {id!r} cannot be made:"):
        env, params = gymnax.make(name)
        params = params.replace(**args)
        space, limit = env.action_space(params), int(params.max_steps_in_episode)
    if not hasattr(env, "is_truncated"):
        raise Mistake(
            f"environment {id!r}: this gymnax is older than 1.0 and has one flag for true ends and time limits; "
            f"pip install 'gymnax>=1.0'"
        )
    if not hasattr(space, "low"):
        raise Mistake(f"environment {id!r} has the action space {space}, but ddpg controls continuous ones (a Box)")

    def start(key: Key) -> tuple[PyTree, PyTree]:
        obs, state = env.reset_env(key, params)
        return state, obs

    def move(key: Key, state: PyTree, action: Array) -> tuple[PyTree, PyTree, Any, Any, Any]:
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        return state, obs, reward, terminated, env.is_truncated(state, params)

    low, high = (np.broadcast_to(np.asarray(bound), space.shape).ravel().tolist() for bound in (space.low, space.high))
    return simulator(id, start, move, low, high, limit)


def from_playground(id: str, name: str, args: Mapping[str, Any]) -> Simulator:
    """One of MuJoCo Playground (Zakka et al. 2025); `args` change its default configuration.

    Actions are in [-1, 1], as its own trainers have them. Of several observations the policy's is `state`; others are
    for critics that know more. `done` is a true end: its time limit is `episode_length`. Where there is a choice MJX
    computes (impl jax), which runs everywhere.
    """
    registry = imported(id, "mujoco_playground", "playground").registry
    known(id, name, registry.ALL_ENVS)
    with Guard(lambda: f"environment {id!r} cannot be made:"):
        config = registry.get_default_config(name)
        own = {"impl": "jax"} if "impl" in config else {}
        env = registry.load(name, config_overrides={**own, **args})
        limit, actions = args.get("episode_length", config.get("episode_length")), int(env.action_size)

    def seen(obs: PyTree) -> PyTree:
        return obs["state"] if isinstance(obs, Mapping) and "state" in obs else obs

    def start(key: Key) -> tuple[PyTree, PyTree]:
        state = env.reset(key)
        return state, seen(state.obs)

    def move(key: Key, state: PyTree, action: Array) -> tuple[PyTree, PyTree, Any, Any, Any]:
        state = env.step(state, action)
        return state, finite(seen(state.obs)), finite(state.reward), state.done > 0, False

    return simulator(id, start, move, [-1.0] * actions, [1.0] * actions, limit)


def from_envpool(id: str, name: str, args: Mapping[str, Any]) -> GymFactory:
    """One of EnvPool (Weng et al. 2022), which Python steps; `args` are fields of its configuration.

    How many there are, and their seeds, are not theirs to say.
    """
    envpool = imported(id, "envpool", "envpool")
    known(id, name, envpool.list_all_envs())
    maker = PoolMaker(name, args)
    with catch_warnings(action="ignore"), Guard(lambda: f"environment {id!r} cannot be made:"):
        config = envpool.make_spec(name).config
    allowed = [each for each in config._fields if each not in OF_THE_RUN]
    if unknown := [each for each in args if each not in allowed]:
        raise Mistake(f"env-args {', '.join(unknown)}: {id} takes {', '.join(allowed)}")
    limit = args.get("max_episode_steps", config.max_episode_steps)
    return replace(recipe(id, maker), limit=limit, changed=bool(args))


OF_THE_RUN = ("num_envs", "batch_size", "max_num_players", "seed", "env_seed", "gym_reset_return_info")

PREFIXES: dict[str, Callable[[str, str, Mapping[str, Any]], Simulator | GymFactory]] = {
    "envpool": from_envpool,
    "gymnax": from_gymnax,
    "playground": from_playground,
}


def is_simulator(id: str) -> bool:
    """Whether an id has the prefix of a simulator."""
    prefix, colon, _ = id.partition(":")
    return bool(colon) and prefix in PREFIXES


def is_compiled_simulator(id: str) -> bool:
    """Whether it is one in JAX: EnvPool's are stepped by Python."""
    return is_simulator(id) and not id.startswith("envpool:")


@cache
def by_prefix(id: str, args: tuple[str, ...] = ()) -> Simulator | GymFactory:
    """The environment of an id such as gymnax:Pendulum-v1, and of arguments such as "g=5".

    It is always the same object, so that what is compiled for it is compiled once. Raises Mistake if
    its package is missing or there is no such environment.
    """
    prefix, _, name = id.partition(":")
    return PREFIXES[prefix](id, name, parse_args(args))


def imported(id: str, package: str, requirement: str) -> Any:
    """The package. Raises Mistake if it is not installed."""
    try:
        with Guard(lambda: f"environment {id!r}: importing {package} raised"):
            return import_module(package)
    except EnvironmentFailure as error:
        cause = error.__cause__
        if not isinstance(cause, ModuleNotFoundError):
            raise
        what, fix = f"{package}, which", requirement
        if cause.name and cause.name.partition(".")[0] != package:
            what, fix = f"{cause.name}, which {package} imports and", cause.name
        raise Mistake(f"environment {id!r} needs {what} is not installed: pip install {fix}") from error


def known(id: str, name: str, names: Iterable[str]) -> None:
    """Raise Mistake if the package has no such environment."""
    if name not in (names := list(names)):
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        prefix = id.partition(":")[0]
        hint = f"did you mean {' or '.join(f'{prefix}:{one}' for one in near)}?" if near else "see its own list"
        raise Mistake(f"unknown environment {id!r}; {hint}")
