"""Gymnasium's environments at the edge: actions in [-1, 1]^m go in, one array of a known shape and dtype comes out."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, final

import gymnasium
import numpy as np
from gymnasium import spaces

from ddpg.types import Spec

Maker = Callable[..., gymnasium.Env]
LARGEST = float(np.finfo(np.float32).max)
UNLIMITED = 10_000  # steps after which an evaluation cuts an episode that no time limit ends


class Misbehaved(ValueError):
    """An environment did what none may do: one line with its index, the step, and what was wrong."""


@final
@dataclass(frozen=True)
class Gym:
    """An environment that Python steps, as a recipe: `maker(render_mode=...)` makes one of it.

    Nested observations (Dict, Tuple) are flattened by Gymnasium, Dicts by sorted keys; uint8 stays what it is, every
    other dtype becomes float32. `repeat` steps are done with every action, their rewards added.
    """

    id: str
    spec: Spec
    maker: Maker = field(compare=False)  # what is compiled knows only the rest
    repeat: int = 1
    limit: int | None = None  # the time limit, in steps of the environment
    changed: bool = False  # by arguments, or a maker of one's own, so that nothing is known of the id's own best return

    @property
    def max_episode_steps(self) -> int:
        """Actions in the longest episode."""
        return -(-(self.limit or UNLIMITED) // self.repeat)

    def one(self, index: int = 0, seeds: Callable[[int], int] = int, render_mode: str | None = None) -> "Edge":
        """Environment `index`, whose episode i starts with the seed `seeds(i)`."""
        try:
            env = self.maker(render_mode=render_mode) if render_mode else self.maker()
        except (Exception, SystemExit) as error:  # whatever a second one raises where the first did not
            raise Misbehaved(f"environment {index} of {self.id!r} cannot be made: {_said(error)}") from None
        return Edge(env, self.spec, index, seeds, self.repeat)


def by_id(id: str, args: Mapping[str, Any] | None = None, repeat: int = 1) -> Gym:
    """What `gymnasium.make(id, **args)` makes. ValueError, in one line, if it cannot or its spaces do not fit."""
    return replace(_recipe(id, partial(gymnasium.make, id, **dict(args or {})), repeat), changed=bool(args))


def by_callable(make: Maker, made: gymnasium.Env, repeat: int = 1) -> Gym:
    """What a function of one's own makes; `made` is one of it."""
    # Not the id that it may have: what a function made of it nobody can make again by that.
    id = type(made.unwrapped).__name__
    return replace(_recipe(id, make, repeat, made), changed=True)


def _recipe(id: str, maker: Maker, repeat: int, made: gymnasium.Env | None = None) -> Gym:
    if made is None:
        try:
            with warnings.catch_warnings(action="ignore"):  # that a version is out of date is not what is asked
                made = maker()
        except Exception as error:  # whatever the environment's own constructor raises
            raise ValueError(f"environment {id!r} cannot be made: {_said(error)}") from None
    try:
        spec = _spec(id, made.observation_space, made.action_space)
        return Gym(id, spec, maker, repeat, made.spec.max_episode_steps if made.spec else None)
    finally:
        made.close()


def _spec(id: str, obs: spaces.Space, action: spaces.Space) -> Spec:
    if not isinstance(action, spaces.Box):
        raise ValueError(f"environment {id!r} has the action space {action}, but ddpg controls continuous ones (a Box)")
    if not np.issubdtype(action.dtype, np.floating):
        raise ValueError(f"environment {id!r} has actions of dtype {action.dtype}, but ddpg controls floating ones")
    if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
        raise ValueError(
            f"environment {id!r} has actions without bounds ({_brief(action)}), but a deterministic actor needs them; "
            f"give its action space finite low and high"
        )
    if action.low.size == 0 or not (action.low < action.high).all():
        raise ValueError(f"environment {id!r} has the action space {_brief(action)}, of which some part cannot vary")
    flat = _flat_space(obs)
    if flat is None or 0 in flat.shape:
        raise ValueError(
            f"environment {id!r} has the observation space {_brief(obs)}, of no fixed size; expected Box, Discrete, "
            f"MultiBinary or MultiDiscrete, or a Dict or Tuple of those"
        )
    low, high = (tuple(map(float, bound.ravel())) for bound in (action.low, action.high))
    return Spec(flat.shape, low, high, "uint8" if flat.dtype == np.uint8 else "float32")


def _flat_space(obs: spaces.Space) -> spaces.Box | None:
    """The space of what `Edge` answers: a Box as it is, anything else flattened; None if that cannot be."""
    if isinstance(obs, spaces.Box) and obs.shape:
        return obs
    try:
        flat = spaces.flatten_space(obs) if obs.is_np_flattenable else None
    except ValueError:  # a Dict or Tuple of nothing
        return None
    return flat if isinstance(flat, spaces.Box) else None


class Past(NamedTuple):
    """Where an environment stood: what it had done, and what its episode under way (or just over) had come to."""

    episodes: int  # begun
    steps: int  # of the environment
    actions: np.ndarray  # [t, m], since the last reset
    obs: np.ndarray
    over: bool


@final
class Edge(gymnasium.Wrapper):
    """One environment between its own units and ours; nothing passes that is not what its spaces promise.

    With a `past` the next reset answers nothing, and the next step where the environment stood then, whatever its
    action: a vector environment, also one of worker processes, is brought back by one reset and one step.
    """

    past: Past | None = None

    def __init__(
        self, env: gymnasium.Env, spec: Spec, index: int, seeds: Callable[[int], int], repeat: int = 1
    ) -> None:
        super().__init__(env)
        self._spec, self._index, self._seeds, self._repeat = spec, index, seeds, repeat
        self._episode = self._step = 0
        dtype = np.dtype(spec.obs_dtype)
        low, high = (0, 255) if dtype == np.uint8 else (-np.inf, np.inf)
        self.observation_space = spaces.Box(low, high, spec.obs_shape, dtype.type)
        self.action_space = spaces.Box(-1.0, 1.0, (spec.action_dim,))
        inside, units = env.observation_space, env.action_space
        assert isinstance(units, spaces.Box)
        self._plain = isinstance(inside, spaces.Box) and bool(inside.shape)
        self._inside = in_order(inside)
        self._low, self._high = np.float64(units.low.ravel()), np.float64(units.high.ravel())
        self._middle, self._half = self._low / 2 + self._high / 2, self._high / 2 - self._low / 2
        self._units, self._usual = units, np.dtype(spec.obs_dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of the next episode, whose seed is known."""
        if self.past is not None:
            return np.zeros_like(self.past.obs), {}
        seed = self._seeds(self._episode) if seed is None else seed
        self._episode += 1
        try:
            obs, _ = self.env.reset(seed=seed, options=options)
        except (Exception, SystemExit) as error:  # a simulator's window that is closed may exit
            raise self._wrong(f"reset raised {_said(error)}") from error
        return self._seen(obs), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.past is not None:
            return self._again(self.past)
        # In 64 bits, so that 1 becomes exactly the bound, and nothing is beyond it. For what a diverged network
        # answers, NaN, which is not the environment's fault, fmin and fmax answer a bound.
        units = np.fmin(np.fmax(self._middle + action * self._half, self._low), self._high)
        units = units.astype(self._units.dtype).reshape(self._units.shape)
        obs, total, over, cut = None, 0.0, False, False
        for _ in range(self._repeat):
            self._step += 1
            try:
                obs, reward, terminated, truncated, _ = self.env.step(units if self._repeat == 1 else units.copy())
            except (Exception, SystemExit) as error:
                raise self._wrong(f"step raised {_said(error)}") from error
            try:
                total += float(reward)
            except (TypeError, ValueError):
                raise self._wrong(f"reward {_shown(reward)}, expected a number") from None
            try:
                over, cut = bool(terminated), bool(truncated)
            except ValueError:  # an array of several
                ends = f"{_shown(terminated)} and {_shown(truncated)}"
                raise self._wrong(f"terminated and truncated {ends}, expected two booleans") from None
            if over or cut:
                break
        if not abs(total) <= LARGEST:
            raise self._wrong(f"reward {total}, expected a finite number of 32 bits")
        return self._seen(obs), total, over, cut, {}

    def _again(self, past: Past) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play the open episode once more. If it comes out differently, it is cut where it stood."""
        self.past, self._episode = None, past.episodes - (not past.over)
        cut = past.obs, 0.0, False, True, {}
        if past.over:
            self._step = past.steps
            return cut
        obs, _ = self.reset()
        said = obs, 0.0, False, False, {}
        for action in past.actions:
            said = self.step(action)
            if said[2] or said[3]:
                break
        self._step = past.steps
        return said if np.array_equal(said[0], past.obs) and not (said[2] or said[3]) else cut

    def _seen(self, obs: Any) -> np.ndarray:
        """The observation as the spec says it is."""
        if not self._plain:
            try:
                misfit = _misfit(self._inside, obs)
                obs = obs if misfit else spaces.flatten(self._inside, obs)
            except Exception as error:
                misfit = f"observation {_shown(obs)} is none of its space ({_said(error)})"
            if misfit:
                raise self._wrong(misfit)
        try:
            found = np.asarray(obs)
        except ValueError as error:  # lists of different lengths
            raise self._wrong(f"observation {_shown(obs)} is no array ({_said(error)})") from None
        if found.shape != self._spec.obs_shape:
            raise self._wrong(f"observation of shape {found.shape}, expected {self._spec.obs_shape}")
        # Precision may differ from what the space says, as in many environments, but not the kind of number.
        seen = found
        if found.dtype != self._usual:
            self._check_dtype(found)
            with np.errstate(over="ignore"):  # which is found out next
                seen = found.astype(self._usual)
        if not np.isfinite(seen).all():
            where = np.argwhere(~np.isfinite(seen))[0]
            raise self._wrong(f"observation {found[tuple(where)]} at index {_index(where)}, expected finite numbers")
        return seen

    def _check_dtype(self, found: np.ndarray) -> None:
        wanted = self.env.observation_space.dtype if self._plain else np.float64
        if found.dtype.kind not in "fiub" or not np.can_cast(found.dtype, wanted or np.float64, "same_kind"):
            raise self._wrong(f"observation of dtype {found.dtype}, expected {wanted}")

    def _wrong(self, what: str) -> Misbehaved:
        return Misbehaved(f"environment {self._index} at its step {self._step} (episode {self._episode}): {what}")


def episode_seed(run: int, env: int, episode: int) -> int:
    return int(np.random.SeedSequence([run, env, episode]).generate_state(1)[0])


def parse_args(given: Sequence[str]) -> dict[str, Any]:
    """["gravity=9.8", "mode=easy"] -> keyword arguments, values read as JSON where they are."""
    args = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"env-args {item!r}: expected key=value, such as gravity=9.8")
        try:
            args[name] = json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
        except (ValueError, RecursionError):
            args[name] = value
    return args


def _misfit(space: spaces.Space, obs: Any, path: str = "") -> str | None:
    """The first part of an observation that is none of its space, which flattening would let pass.

    A Box may be left, and have another precision, as in many environments, but it has its shape and real numbers.
    """
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        return next(filter(None, (_misfit(part, obs[key], f"{path}[{key!r}]") for key, part in parts)), None)
    if isinstance(space, spaces.Box):
        found = np.asarray(obs)
        fits = found.shape == space.shape and found.dtype.kind in "fiub"
    else:
        fits = space.contains(obs)
    return None if fits else f"observation{path} {_shown(obs)} is none of its space {_brief(space)}"


def in_order(space: spaces.Space) -> spaces.Space:
    """The same space, Dicts in the order of their sorted keys, so that a policy needs no space to read observations.

    Gymnasium sorts only some: Dict({"b": ..., "a": ...}), but not Dict(b=..., a=...).
    """
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: in_order(part) for key, part in sorted(space.spaces.items())})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([in_order(part) for part in space.spaces])
    return space


def _index(where: np.ndarray) -> str:
    return str(int(where[0])) if len(where) == 1 else str(tuple(map(int, where)))


def _brief(space: spaces.Space) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def _shown(value: Any) -> str:
    """What an environment gave, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _said(error: BaseException) -> str:
    """What an exception says, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
