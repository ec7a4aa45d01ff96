"""Gymnasium's environments at the edge: actions in [-1, 1]^m go in, one array of a known shape and dtype comes out."""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple, final
from weakref import WeakValueDictionary

import gymnasium
import numpy as np
from gymnasium import spaces

from ddpg.envs.camera import Camera, context_of
from ddpg.envs.episode_info import numbers_of
from ddpg.envs.foreign import EnvironmentFailure, Guard, brief_value, close_quietly
from ddpg.envs.observations import flatten, opaque_parts
from ddpg.envs.view import Eye, View, arrangement, seen_spec
from ddpg.mistake import Mistake
from ddpg.ranges import FLOAT32_MAX
from ddpg.types import Spec

OWN = "own"  # under which a step that ends an episode answers the numbers of `CheckedEnv.log`

IN_USE = WeakValueDictionary[int, gymnasium.Env]()  # environments behind an edge that is open, by their id()


class EpisodeHistory(NamedTuple):
    """How to bring an environment back: the actions of its open episode, and where they had led."""

    episodes: int  # begun
    steps: int  # of the environment
    actions: np.ndarray  # [t, m], since the last reset
    obs: np.ndarray
    done: bool  # the episode has ended: its actions need not be replayed


@final
class CheckedEnv(gymnasium.Wrapper):
    """One environment between its own units and ours; whatever violates its spaces raises EnvironmentFailure.

    With a `history`, the next reset answers zeros and the next step replays the open episode, whatever its action: so a
    vector environment, in worker processes too, is brought back by one reset and one step. `log` are keys of `info`,
    whose numbers the last step of an episode answers. `spec` is of its own observations, `seen` of what is seen of it
    by a `camera`, or of several of its pictures in a row.
    """

    history: EpisodeHistory | None = None

    def __init__(
        self,
        env: gymnasium.Env,
        spec: Spec,
        index: int,
        seeds: Callable[[int], int],
        repeat: int = 1,
        seeding: str = "episode",
        log: tuple[str, ...] = (),
        seen: Spec | None = None,
        camera: Camera | None = None,
    ) -> None:
        super().__init__(env)
        self._seeding, self._seeded = seeding, False
        self._log, self.last_info = log, None
        IN_USE[id(env)] = env
        self._spec, self._index, self._seeds, self._repeat = spec, index, seeds, repeat
        self._episode = self._step = 0
        self._dtype, self._shape = np.dtype(spec.obs_dtype), None if spec.nested else spec.obs_shape
        self._seen, self._camera = seen or spec, camera
        own = spec if camera is None else seen_spec(spec, View(camera.pixels))
        self._eye = Eye(self._seen.stack, arrangement(own)) if self._seen.stack > 1 else None
        low, high = (0, 255) if self._seen.obs_dtype == "uint8" else (-np.inf, np.inf)
        self.observation_space = spaces.Box(low, high, self._seen.obs_shape, np.dtype(self._seen.obs_dtype).type)
        self.action_space = spaces.Box(-1.0, 1.0, (spec.action_dim,))
        self._opaque = opaque_parts(env.observation_space, spec.leaves)
        units = env.action_space
        assert isinstance(units, spaces.Box)
        with Guard(lambda: f"environment {index}: metadata raised", may_change=False):
            self.metadata = _metadata(env)
        (self._low, self._high), (self._middle, self._half) = spec.bounds, spec.middle_and_half
        self._units = units
        self._calls = {
            name: Guard(lambda name=name: self._at(f"{name} raised"), may_change=name == "reset")
            for name in ("reset", "step", "render")
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of the next episode; without `seed`, the seed is that of `seeds`."""
        if self.history is not None:
            return np.zeros_like(self.history.obs), {}
        seed = self._seeds(self._episode) if seed is None else seed
        self._episode += 1
        with self._calls["reset"]:
            answer = self.env.reset(**self._reset_options(seed))
        if not (isinstance(answer, tuple | list) and len(answer) == 2 and isinstance(answer[1], Mapping | None)):
            raise self._failure(f"reset answered {brief_value(answer)}, expected (observation, info)")
        return self._observed(answer[0], first=True), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.history is not None:
            return self._replay(self.history)
        # `Spec.to_units`, in 64 bits, so that 1 becomes exactly the bound and nothing lies beyond it. NaN, from a
        # diverged network, is not the environment's fault: fmin and fmax turn it into a bound.
        units = np.fmin(np.fmax(self._middle + action * self._half, self._low), self._high)
        units = units.astype(self._units.dtype).reshape(self._units.shape)
        obs, total, terminated, truncated = None, 0.0, False, False
        for _ in range(self._repeat):
            self._step += 1
            with self._calls["step"]:
                answer = self.env.step(units if self._repeat == 1 else units.copy())
            obs, reward, terminated, truncated, self.last_info = self._parts(answer)
            total += reward
            if terminated or truncated:
                break
        if not abs(total) <= FLOAT32_MAX:
            raise self._failure(f"reward {total}, expected a finite number of 32 bits")
        own = {OWN: self.own_numbers()} if self._log and (terminated or truncated) else {}
        return self._observed(obs), total, terminated, truncated, own

    def own_numbers(self) -> np.ndarray:
        """The numbers under the keys of `log` [k] in the `info` of the last step; NaN where it has none."""
        return numbers_of(self.last_info, self._log)

    def render(self) -> Any:
        with self._calls["render"]:
            context_of(self.env).make_current()
            return self.env.render()

    @property
    def render_mode(self) -> str | None:
        with Guard(lambda: "render_mode raised", may_change=False):
            return self.env.render_mode

    def close(self) -> None:
        """It never raises: what an environment does when it is closed changes nothing any more."""
        IN_USE.pop(id(self.env), None)
        if self._camera is not None:
            close_quietly(self._camera)
        close_quietly(context_of(self.env))
        close_quietly(self.env)

    def beside(self, index: int) -> "CheckedEnv":
        """Another edge of the same environment, which counts its own steps: using it ends the other's episode."""
        counts = (index, int, self._repeat, self._seeding, self._log)
        other = CheckedEnv(self.env, self._spec, *counts, self._seen, self._camera)
        other._seeded = True
        return other

    def _reset_options(self, seed: int) -> dict[str, Any]:
        """What a reset gets: a seed if it is to have one, and no `options`, which some do not take."""
        low, is_range, high = self._seeding.partition(":")
        if is_range:
            return {"seed": int(low) + seed % (int(high) - int(low))}
        if self._seeding == "never" or (self._seeding == "once" and self._seeded):
            return {}
        self._seeded = True
        return {"seed": seed % 2**31}

    def _parts(self, answer: Any) -> tuple[Any, float, bool, bool, Any]:
        """Observation, reward, ends and info in what a step answered."""
        try:
            obs, reward, terminated, truncated, info = answer
        except (TypeError, ValueError) as error:
            expected = "five things: (observation, reward, terminated, truncated, info)"
            raise self._failure(f"step answered {brief_value(answer)}, expected {expected}") from error
        try:
            total = reward if type(reward) is float else float(np.asarray(reward).item())
        except Exception as error:  # several numbers, or none; a tensor on another device raises what it likes
            raise self._failure(f"reward {brief_value(reward)}, expected one number") from error
        try:
            return obs, total, bool(terminated), bool(truncated), info
        except Exception as error:  # an array of several
            ends = f"{brief_value(terminated)} and {brief_value(truncated)}"
            raise self._failure(f"terminated and truncated {ends}, expected two booleans") from error

    def _replay(self, history: EpisodeHistory) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Replay the open episode; if it goes differently, it is truncated where it stood."""
        self.history, self._episode = None, history.episodes - (not history.done)
        truncated_here = history.obs, 0.0, False, True, {}
        if history.done:
            self._step = history.steps
            return truncated_here
        obs, _ = self.reset()
        result = obs, 0.0, False, False, {}
        for action in history.actions:
            result = self.step(action)
            if result[2] or result[3]:
                break
        self._step = history.steps
        return result if np.array_equal(result[0], history.obs) and not (result[2] or result[3]) else truncated_here

    def _observed(self, obs: Any, first: bool = False) -> np.ndarray:
        """What the agent sees: the observation, or a picture; perhaps with those before it."""
        if self._camera is None:
            picture = self._checked(obs)
        else:
            with self._calls["render"]:
                picture = self._camera()
        return picture if self._eye is None else self._eye(picture, first)

    def _checked(self, obs: Any) -> np.ndarray:
        """The observation as one array of the spec's shape and dtype, of its own: simulators fill theirs again."""
        if type(obs) is np.ndarray and obs.dtype == self._dtype and obs.shape == self._shape:
            array = obs.copy()
        else:
            try:
                array = flatten(self._spec, obs, self._opaque)
            except Mistake as error:
                raise self._failure(str(error)) from error
        if array.dtype.kind == "f" and 0 in np.isfinite(array).tobytes():  # of few numbers `all` takes longer
            raise self._failure(f"{not_finite(self._spec, obs, array)}, expected finite numbers of 32 bits")
        return array

    def _at(self, what: str) -> str:
        return f"environment {self._index} at its step {self._step} (episode {self._episode}): {what}"

    def _failure(self, what: str) -> EnvironmentFailure:
        return EnvironmentFailure(self._at(what))


def _metadata(env: gymnasium.Env) -> dict[str, Any]:
    """What Gymnasium reads of how an environment is drawn, if it is of the right kind."""
    kinds = {"render_fps": Real, "render_modes": list | tuple | set}
    known = dict(env.metadata) if isinstance(env.metadata, Mapping) else {}
    known = {name: value for name, value in known.items() if isinstance(value, kinds.get(name, object))}
    return known if 0 < known.get("render_fps", 1) < 1e6 else known | {"render_fps": 30}


def not_finite(spec: Spec, obs: Any, array: np.ndarray) -> str:
    """The first number of an observation that is not finite, and its place."""
    where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
    if not spec.nested:
        return f"observation {np.asarray(obs)[where]} at index {where[0] if len(where) == 1 else where}"
    leaf, end = next(pair for pair in zip(spec.leaves, spec.ends, strict=True) if where[0] < pair[1])
    return f"{leaf.at} {array[where]} at index {where[0] - end + leaf.size}"
