"""Gymnasium environments as recipes: from an id or a function, their spaces checked once."""

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from ddpg.envs.camera import Camera
from ddpg.envs.foreign import EnvironmentFailure, Guard, close_quietly
from ddpg.envs.gymnasium_edge import IN_USE, CheckedEnv
from ddpg.envs.observations import observation_spec
from ddpg.envs.view import Drawn, View, has_pictures, seen_spec
from ddpg.mistake import Mistake
from ddpg.ranges import INT32_MAX
from ddpg.types import Spec

Maker = Callable[..., gymnasium.Env]
UNLIMITED = 1_000  # steps after which an evaluation truncates an episode without a time limit


@final
@dataclass(frozen=True)
class GymFactory:
    """The recipe of an environment that Python steps: `maker(render_mode=...)` makes one.

    Nested observations (Dict, Tuple) are flattened, Dicts by sorted keys; what is all of bytes stays uint8, everything
    else becomes float32. Each action is held for `repeat` steps, their rewards added.
    """

    id: str
    spec: Spec
    maker: Maker = field(compare=False)  # compiled programs depend on the rest alone
    repeat: int = 1
    limit: int | None = None  # the time limit, in steps of the environment
    seeding: str = "episode"  # how its seeds are given, as in the configuration's env_seeds
    log: tuple[str, ...] = ()  # keys of `info` whose numbers an episode ends with, as in the configuration's log
    view: View = View()  # how it is seen: `spec` is of that
    own: Spec | None = None  # of its own observations, if it is seen otherwise
    changed: bool = False  # by arguments or by a user's function: the optimum known for the id does not hold

    @property
    def max_episode_steps(self) -> int:
        """Actions in the longest episode."""
        return -(-(self.limit or UNLIMITED) // self.repeat)

    def make(self, index: int = 0, seeds: Callable[[int], int] = int, render_mode: str | None = None) -> "CheckedEnv":
        """Environment `index`, whose episode i starts with the seed `seeds(i)`."""
        with Guard(lambda: f"environment {index} of {self.id!r} cannot be made:"), silent_mujoco():  # the first could
            mode = render_mode or ("rgb_array" if self.drawn else None)
            env = self.maker(render_mode=mode) if mode else self.maker()
            if IN_USE.get(id(env)) is env:
                raise ValueError("it is in use already; its function must return a new one each time")
        camera = None
        if self.drawn is not None:
            with Guard(lambda: f"environment {index} of {self.id!r} cannot be drawn:"):
                camera = Camera(env, self.drawn)
        return CheckedEnv(
            env, self.own or self.spec, index, seeds, self.repeat, self.seeding, self.log, self.spec, camera
        )

    @property
    def drawn(self) -> Drawn | None:
        """How it is drawn, if pictures of it are observed."""
        pixels = self.view.pixels
        return pixels if isinstance(pixels, Drawn) and self.own is not None and not has_pictures(self.own) else None

    def seen(self, view: View) -> "GymFactory":
        """The same, seen otherwise. Raises Mistake if there is nothing to stack."""
        own = self.own or self.spec
        spec = seen_spec(own, view)
        return replace(self, spec=spec, view=view, own=None if spec == own else own)


@contextmanager
def silent_mujoco() -> Iterator[None]:
    """A context in which MuJoCo does not warn: of a model it did when the first environment was made."""
    mujoco: Any = sys.modules.get("mujoco")
    if not hasattr(mujoco, "set_mju_user_warning"):
        yield
        return
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def by_id(id: str, args: Mapping[str, Any] | None = None, repeat: int = 1) -> GymFactory:
    """The recipe of `gymnasium.make(id, **args)`. Raises Mistake if that fails or its spaces do not fit."""
    return replace(recipe(id, partial(gymnasium.make, id, **dict(args or {})), repeat), changed=bool(args))


def by_callable(make: Maker, made: gymnasium.Env, repeat: int = 1) -> GymFactory:
    """The recipe of a user's function; `made` is an environment it returned."""
    # Not the id of its spec: `gymnasium.make` with that id would not give what the function gives.
    id = type(made.unwrapped).__name__
    return replace(recipe(id, make, repeat, made), changed=True)


def recipe(id: str, maker: Maker, repeat: int = 1, made: gymnasium.Env | None = None) -> GymFactory:
    """The recipe of what `maker` makes; `made` is one already. Raises Mistake if it fails or its spaces do not fit."""
    if made is None:
        # Warnings of outdated versions are of no use here.
        with warnings.catch_warnings(action="ignore"), Guard(lambda: f"environment {id!r} cannot be made:"):
            made = maker()
    try:
        with Guard(lambda: f"environment {id!r} has no spaces:"):
            obs, action, limit = made.observation_space, made.action_space, _time_limit(made)
        return GymFactory(id, _spec(id, obs, action), maker, repeat, limit)
    finally:
        close_quietly(made)


def _time_limit(env: gymnasium.Env) -> int | None:
    """That of Gymnasium, if `spec` is its own: environments have other things of that name, and wrappers fail then."""
    spec = None
    with suppress(EnvironmentFailure), Guard(lambda: "spec raised"):
        spec = env.spec
    return spec.max_episode_steps if isinstance(spec, EnvSpec) else None


def _spec(id: str, obs: spaces.Space, action: spaces.Space) -> Spec:
    for space in (obs, action):
        if not isinstance(space, spaces.Space):
            kind = f"{type(space).__module__}.{type(space).__name__}"
            raise Mistake(
                f"environment {id!r} has the space {brief_space(space)}, a {kind}; expected one of gymnasium.spaces, "
                f"which replaced those of the old package gym"
            )
    if not isinstance(action, spaces.Box):
        raise Mistake(f"environment {id!r} has the action space {action}, but ddpg controls continuous ones (a Box)")
    if not np.issubdtype(action.dtype, np.floating):
        raise Mistake(f"environment {id!r} has actions of dtype {action.dtype}, but ddpg controls floating ones")
    if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
        raise Mistake(
            f"environment {id!r} has actions without bounds ({brief_space(action)}), but a deterministic actor needs "
            f"them; give its action space finite low and high, for example by gymnasium.wrappers.TransformAction"
        )
    if not (action.low <= action.high).all() or not (action.low < action.high).any():
        raise Mistake(f"environment {id!r} has the action space {brief_space(action)}, which leaves nothing to choose")
    try:
        shape, dtype, leaves = observation_spec(obs)
    except ValueError:
        raise Mistake(
            f"environment {id!r} has the observation space {brief_space(obs)}, of no fixed size; expected Box, "
            f"Discrete, MultiBinary or MultiDiscrete, or a Dict or Tuple of those; an ObservationWrapper can make one"
        ) from None
    low, high = (tuple(map(float, bound.ravel())) for bound in (action.low, action.high))
    return Spec(shape, low, high, dtype, leaves)


def brief_space(space: Any) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def episode_seed(run: int, env: int, episode: int) -> int:
    """The seed of an episode of environment `env` in a run with seed `run`: one that fits the int of C."""
    return int(np.random.SeedSequence([run, env, episode]).generate_state(1)[0] & INT32_MAX)


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
