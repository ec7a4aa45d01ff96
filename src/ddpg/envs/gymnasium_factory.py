"""Gymnasium environments as recipes: from an id or a function, their spaces checked once."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

from ddpg.envs.gymnasium_edge import CheckedEnv, Misbehaved, brief_space, describe_error
from ddpg.mistake import Mistake
from ddpg.types import Spec

Maker = Callable[..., gymnasium.Env]
UNLIMITED = 10_000  # steps after which an evaluation truncates an episode without a time limit


@final
@dataclass(frozen=True)
class GymFactory:
    """The recipe of an environment that Python steps: `maker(render_mode=...)` makes one.

    Nested observations (Dict, Tuple) are flattened by Gymnasium, Dicts by sorted keys; uint8 stays uint8, every other
    dtype becomes float32. Each action is held for `repeat` steps, their rewards added.
    """

    id: str
    spec: Spec
    maker: Maker = field(compare=False)  # compiled programs depend on the rest alone
    repeat: int = 1
    limit: int | None = None  # the time limit, in steps of the environment
    changed: bool = False  # by arguments or by a user's function: the optimum known for the id does not hold

    @property
    def max_episode_steps(self) -> int:
        """Actions in the longest episode."""
        return -(-(self.limit or UNLIMITED) // self.repeat)

    def one(self, index: int = 0, seeds: Callable[[int], int] = int, render_mode: str | None = None) -> "CheckedEnv":
        """Environment `index`, whose episode i starts with the seed `seeds(i)`."""
        try:
            env = self.maker(render_mode=render_mode) if render_mode else self.maker()
        except (Exception, SystemExit) as error:  # a second environment may fail although the first did not
            raise Misbehaved(f"environment {index} of {self.id!r} cannot be made: {describe_error(error)}") from None
        return CheckedEnv(env, self.spec, index, seeds, self.repeat)


def by_id(id: str, args: Mapping[str, Any] | None = None, repeat: int = 1) -> GymFactory:
    """The recipe of `gymnasium.make(id, **args)`. Mistake if that fails or its spaces do not fit."""
    return replace(_recipe(id, partial(gymnasium.make, id, **dict(args or {})), repeat), changed=bool(args))


def by_callable(make: Maker, made: gymnasium.Env, repeat: int = 1) -> GymFactory:
    """The recipe of a user's function; `made` is an environment it returned."""
    # Not the id of its spec: `gymnasium.make` with that id would not give what the function gives.
    id = type(made.unwrapped).__name__
    return replace(_recipe(id, make, repeat, made), changed=True)


def _recipe(id: str, maker: Maker, repeat: int, made: gymnasium.Env | None = None) -> GymFactory:
    if made is None:
        try:
            with warnings.catch_warnings(action="ignore"):  # warnings of outdated versions are of no use here
                made = maker()
        except Exception as error:  # whatever the environment's own constructor raises
            raise Mistake(f"environment {id!r} cannot be made: {describe_error(error)}") from None
    try:
        spec = _spec(id, made.observation_space, made.action_space)
        return GymFactory(id, spec, maker, repeat, made.spec.max_episode_steps if made.spec else None)
    finally:
        made.close()


def _spec(id: str, obs: spaces.Space, action: spaces.Space) -> Spec:
    if not isinstance(action, spaces.Box):
        raise Mistake(f"environment {id!r} has the action space {action}, but ddpg controls continuous ones (a Box)")
    if not np.issubdtype(action.dtype, np.floating):
        raise Mistake(f"environment {id!r} has actions of dtype {action.dtype}, but ddpg controls floating ones")
    if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
        raise Mistake(
            f"environment {id!r} has actions without bounds ({brief_space(action)}), but a deterministic actor needs "
            f"them; give its action space finite low and high"
        )
    if action.low.size == 0 or not (action.low < action.high).all():
        raise Mistake(f"environment {id!r} has the action space {brief_space(action)}, of which some part cannot vary")
    flat = _flat_space(obs)
    if flat is None or 0 in flat.shape:
        raise Mistake(
            f"environment {id!r} has the observation space {brief_space(obs)}, of no fixed size; expected Box, "
            f"Discrete, MultiBinary or MultiDiscrete, or a Dict or Tuple of those"
        )
    low, high = (tuple(map(float, bound.ravel())) for bound in (action.low, action.high))
    return Spec(flat.shape, low, high, "uint8" if flat.dtype == np.uint8 else "float32")


def _flat_space(obs: spaces.Space) -> spaces.Box | None:
    """The space of what `CheckedEnv` answers: a Box as it is, any other flattened; None if that is impossible."""
    if isinstance(obs, spaces.Box) and obs.shape:
        return obs
    try:
        flat = spaces.flatten_space(obs) if obs.is_np_flattenable else None
    except ValueError:  # a Dict or Tuple of nothing
        return None
    return flat if isinstance(flat, spaces.Box) else None


def episode_seed(run: int, env: int, episode: int) -> int:
    """The seed of an episode of environment `env` in a run with seed `run`."""
    return int(np.random.SeedSequence([run, env, episode]).generate_state(1)[0])


def parse_args(items: Sequence[str]) -> dict[str, Any]:
    """["gravity=9.8", "mode=easy"] -> keyword arguments; values that are JSON are parsed."""
    args = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise Mistake(f"env-args {item!r}: expected key=value, such as gravity=9.8")
        try:
            args[name] = json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
        except (ValueError, RecursionError):
            args[name] = value
    return args
