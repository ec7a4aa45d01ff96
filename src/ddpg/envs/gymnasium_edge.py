"""Gymnasium's environments at the edge: actions in [-1, 1]^m go in, one array of a known shape and dtype comes out."""

from collections.abc import Callable
from typing import Any, NamedTuple, final

import gymnasium
import numpy as np
from gymnasium import spaces

from ddpg.mistake import Mistake
from ddpg.terminal import one_line
from ddpg.types import Spec

LARGEST = float(np.finfo(np.float32).max)


class Misbehaved(Mistake):
    """An environment violated Gymnasium's API: one line with its index, its step, and what was wrong."""


class EpisodeHistory(NamedTuple):
    """How to bring an environment back: the actions of its open episode, and where they had led."""

    episodes: int  # begun
    steps: int  # of the environment
    actions: np.ndarray  # [t, m], since the last reset
    obs: np.ndarray
    over: bool  # the episode has ended: its actions need not be replayed


@final
class CheckedEnv(gymnasium.Wrapper):
    """One environment between its own units and ours; whatever violates its spaces raises Misbehaved.

    With a `past`, the next reset answers zeros and the next step replays the open episode, whatever its action: so a
    vector environment, in worker processes too, is brought back by one reset and one step.
    """

    past: EpisodeHistory | None = None

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
        (self._low, self._high), (self._middle, self._half) = spec.bounds, spec.middle_and_half
        self._units, self._usual = units, np.dtype(spec.obs_dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of the next episode; without `seed`, the seed is that of `seeds`."""
        if self.past is not None:
            return np.zeros_like(self.past.obs), {}
        seed = self._seeds(self._episode) if seed is None else seed
        self._episode += 1
        try:
            obs, _ = self.env.reset(seed=seed, options=options)
        except (Exception, SystemExit) as error:  # closing a simulator's window may exit
            raise self._misbehaved(f"reset raised {describe_error(error)}") from error
        return self._checked(obs), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.past is not None:
            return self._replay(self.past)
        # `Spec.to_units`, in 64 bits, so that 1 becomes exactly the bound and nothing lies beyond it. NaN, from a
        # diverged network, is not the environment's fault: fmin and fmax turn it into a bound.
        units = np.fmin(np.fmax(self._middle + action * self._half, self._low), self._high)
        units = units.astype(self._units.dtype).reshape(self._units.shape)
        obs, total, over, cut = None, 0.0, False, False
        for _ in range(self._repeat):
            self._step += 1
            try:
                obs, reward, terminated, truncated, _ = self.env.step(units if self._repeat == 1 else units.copy())
            except (Exception, SystemExit) as error:
                raise self._misbehaved(f"step raised {describe_error(error)}") from error
            try:
                total += float(reward)
            except (TypeError, ValueError):
                raise self._misbehaved(f"reward {brief_value(reward)}, expected a number") from None
            try:
                over, cut = bool(terminated), bool(truncated)
            except ValueError:  # an array of several
                ends = f"{brief_value(terminated)} and {brief_value(truncated)}"
                raise self._misbehaved(f"terminated and truncated {ends}, expected two booleans") from None
            if over or cut:
                break
        if not abs(total) <= LARGEST:
            raise self._misbehaved(f"reward {total}, expected a finite number of 32 bits")
        return self._checked(obs), total, over, cut, {}

    def _replay(self, past: EpisodeHistory) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Replay the open episode; if it goes differently, it is truncated where it stood."""
        self.past, self._episode = None, past.episodes - (not past.over)
        cut = past.obs, 0.0, False, True, {}
        if past.over:
            self._step = past.steps
            return cut
        obs, _ = self.reset()
        result = obs, 0.0, False, False, {}
        for action in past.actions:
            result = self.step(action)
            if result[2] or result[3]:
                break
        self._step = past.steps
        return result if np.array_equal(result[0], past.obs) and not (result[2] or result[3]) else cut

    def _checked(self, obs: Any) -> np.ndarray:
        """The observation as one array of the spec's shape and dtype."""
        if not self._plain:
            try:
                misfit = _misfit(self._inside, obs)
                obs = obs if misfit else spaces.flatten(self._inside, obs)
            except Exception as error:
                misfit = f"observation {brief_value(obs)} is outside its space ({describe_error(error)})"
            if misfit:
                raise self._misbehaved(misfit)
        try:
            array = np.asarray(obs)
        except ValueError as error:  # lists of different lengths
            raise self._misbehaved(
                f"observation {brief_value(obs)} is not an array ({describe_error(error)})"
            ) from None
        if array.shape != self._spec.obs_shape:
            raise self._misbehaved(f"observation of shape {array.shape}, expected {self._spec.obs_shape}")
        # Precision may differ from what the space says, as in many environments, but not the kind of number.
        checked = array
        if array.dtype != self._usual:
            self._check_dtype(array)
            with np.errstate(over="ignore"):  # the next check reports it
                checked = array.astype(self._usual)
        if not np.isfinite(checked).all():
            where = np.argwhere(~np.isfinite(checked))[0]
            raise self._misbehaved(
                f"observation {array[tuple(where)]} at index {_index(where)}, expected finite numbers"
            )
        return checked

    def _check_dtype(self, array: np.ndarray) -> None:
        wanted = self.env.observation_space.dtype if self._plain else np.float64
        if array.dtype.kind not in "fiub" or not np.can_cast(array.dtype, wanted or np.float64, "same_kind"):
            raise self._misbehaved(f"observation of dtype {array.dtype}, expected {wanted}")

    def _misbehaved(self, what: str) -> Misbehaved:
        return Misbehaved(f"environment {self._index} at its step {self._step} (episode {self._episode}): {what}")


def _misfit(space: spaces.Space, obs: Any, path: str = "") -> str | None:
    """The first part of an observation that is outside its space; flattening alone would let it pass.

    A Box part may exceed its bounds or have another precision, as in many environments, but not another shape.
    """
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        return next(filter(None, (_misfit(part, obs[key], f"{path}[{key!r}]") for key, part in parts)), None)
    if isinstance(space, spaces.Box):
        array = np.asarray(obs)
        fits = array.shape == space.shape and array.dtype.kind in "fiub"
    else:
        fits = space.contains(obs)
    return None if fits else f"observation{path} {brief_value(obs)} is outside its space {brief_space(space)}"


def in_order(space: spaces.Space) -> spaces.Space:
    """The same space with Dicts in the order of their sorted keys, so that a policy can read observations without it.

    Gymnasium sorts Dict({"b": ..., "a": ...}), but not Dict(b=..., a=...).
    """
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: in_order(part) for key, part in sorted(space.spaces.items())})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([in_order(part) for part in space.spaces])
    return space


def _index(where: np.ndarray) -> str:
    return str(int(where[0])) if len(where) == 1 else str(tuple(map(int, where)))


def brief_space(space: spaces.Space) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def brief_value(value: Any) -> str:
    """A value of an environment, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def describe_error(error: BaseException) -> str:
    """An exception on one line."""
    text = one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
