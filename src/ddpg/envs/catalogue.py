"""Environments by their ids."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ddpg.envs.pendulum import Pendulum
from ddpg.envs.protocol import Environment, HasOptimum
from ddpg.envs.repeat import Repeat
from ddpg.mistake import Mistake

if TYPE_CHECKING:
    from ddpg.envs.gymnasium_factory import GymFactory

NATIVE: dict[str, Environment] = {"Pendulum-v1": Pendulum()}


def make(id: str, args: Sequence[str] = (), repeat: int = 1) -> "Environment | GymFactory":
    """The environment of an id that `gymnasium.make` takes, with keyword arguments such as "gravity=9.8".

    A JAX-native version with the same dynamics is used if there is one, except with arguments; `gym:ID` and `jax:ID`
    choose. Mistake if there is no such environment, with the nearest ids, or if it cannot be made.
    """
    kind, name = ("jax", id[4:]) if id.startswith("jax:") else ("gym", id[4:]) if id.startswith("gym:") else ("", id)
    if kind == "jax" and (name not in NATIVE or args):
        lack = "takes no env-args" if args and name in NATIVE else f"does not exist; available: {', '.join(NATIVE)}"
        raise Mistake(f"the JAX-native environment {name!r} {lack}; use gym:{name} for Gymnasium's")
    if kind != "gym" and name in NATIVE and not args:
        return Repeat(NATIVE[name], repeat) if repeat > 1 else NATIVE[name]

    from ddpg.envs import gymnasium_factory  # half a second, and only where it is needed

    kwargs = gymnasium_factory.parse_args(args)
    if ":" not in name:  # a module is imported first, and may register what it likes
        _refuse_unknown(id, name)
    return gymnasium_factory.by_id(name, kwargs, repeat)


def solved(env: "Environment | GymFactory") -> HasOptimum | None:
    """The object that can compute the optimal returns of this environment, or None."""
    if isinstance(env, HasOptimum):
        return env
    native = NATIVE.get(env.id)
    same = getattr(env, "repeat", 1) == 1 and not getattr(env, "changed", False) and not isinstance(env, Repeat)
    return native if isinstance(native, HasOptimum) and same else None


def _refuse_unknown(id: str, name: str) -> None:
    from gymnasium.envs.registration import find_highest_version, parse_env_id, registry

    try:
        space, base, number = parse_env_id(name)
        known = name in registry or (number is None and find_highest_version(space, base) is not None)
    except Exception:  # Gymnasium's own errors are several, and name parts of its registry
        known = False
    if not known:
        near = get_close_matches(name, {**NATIVE, **registry}, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "expected an id that gymnasium.make takes"
        raise Mistake(f"unknown environment {id!r}; {hint}")
