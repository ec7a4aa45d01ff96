"""The ids by which environments are known."""

import warnings
from difflib import get_close_matches

from ddpg.envs.base import Environment
from ddpg.envs.pendulum import Pendulum

NATIVE: dict[str, Environment] = {"Pendulum-v1": Pendulum()}


def make(id: str) -> Environment:
    """The environment of an id such as `Pendulum-v1` or `jax:Pendulum-v1`.

    ValueError, in one line, if there is none: with the nearest ids, or with what Gymnasium's one of that name lacks.
    """
    name = id.removeprefix("jax:")
    if name in NATIVE:
        return NATIVE[name]
    from gymnasium.envs.registration import registry  # half a second, and only to say what is wrong

    if name not in registry:
        near = get_close_matches(name, {**NATIVE, **registry}, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(f"unknown environment {id!r}; {hint}available: {', '.join(NATIVE)}")
    raise ValueError(f"environment {id!r} {_lack(name)}; available: {', '.join(NATIVE)}")


def _lack(name: str) -> str:
    import gymnasium

    try:
        with warnings.catch_warnings(action="ignore"):  # that it is out of date is not what is wrong
            env = gymnasium.make(name)
    except Exception as error:  # whatever an environment's own constructor raises
        return f"cannot be made by Gymnasium ({' '.join(str(error).split())})"
    space = env.action_space
    env.close()
    if not isinstance(space, gymnasium.spaces.Box):
        return f"has the action space {space}, but ddpg controls continuous actions (a Box)"
    return "has no JAX-native version here"
