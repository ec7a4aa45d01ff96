"""Films and windows of greedy episodes."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import registry

from ddpg.algorithm.normaliser import byte_scale, normalise
from ddpg.config.config import Config
from ddpg.environment import AnyEnvironment, EnvironmentLike, gymnasium_version, resolve_for
from ddpg.envs import catalogue
from ddpg.envs.as_gymnasium import spec_of
from ddpg.envs.camera import draw_plainly
from ddpg.envs.foreign import EnvironmentFailure, Guard
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.pools import is_pooled
from ddpg.envs.view import has_pictures, unseen
from ddpg.mistake import Mistake
from ddpg.pictures import Part, layout_of, picture_parts
from ddpg.records.video import (
    FilmPace,
    check_film,
    check_screen,
    film,
    fit_of,
    play,
    screenless,
    write_film,
)
from ddpg.settings import own_settings
from ddpg.terminal import one_line, reason
from ddpg.training.folder import RunFolder, absolute
from ddpg.training.policy import Policy, load_policy
from ddpg.types import Spec

LONGEST = 1_000  # steps of a film
DRAWING = 0.85  # of the seconds that a film may take; the file takes what is left


class Undrawable(Mistake):
    """An environment that does not draw itself."""


def silent(line: str) -> None:
    """Say nothing."""


@own_settings()
def film_run(
    run: str | Path,
    path: str | Path,
    episode: int = 0,
    env: EnvironmentLike | None = None,
    seed: int | None = None,
    env_args: Sequence[str] = (),
    best: bool = False,
    note: Callable[[str], None] = silent,
) -> None:
    """A film of one greedy episode (seed `episode`), drawn by Gymnasium's own renderer: `ddpg.film`.

    `env`, `env_args` and `best` as in `ddpg.evaluate`; a function must take `render_mode`. `note` is called with a line
    every few seconds. Raises Mistake if it cannot be drawn.
    """
    folder, path = RunFolder.at(run), absolute(path)
    check_film(path)
    config = folder.read_config()
    with screenless():
        policy, environment = load_policy(folder, config, seed, best), resolve_for(config, env, env_args)
        film_policy(policy, environment, config, path, episode, note=note)


def film_policy(
    policy: Policy,
    env: AnyEnvironment,
    config: Config,
    path: Path,
    episode: int = 0,
    seconds: float = math.inf,
    note: Callable[[str], None] = silent,
) -> None:
    """The same for a policy, and an environment made already.

    In so many seconds: if they are limited, MuJoCo draws plainly, fewer frames, and perhaps not the whole episode.
    """
    began = perf_counter()
    with screenless(), _stage(policy, env, config, "rgb_array") as (drawn, steps):
        if math.isfinite(seconds):
            with suppress(EnvironmentFailure), Guard(lambda: "its model raised"):
                draw_plainly(drawn)
        left = DRAWING * seconds - (perf_counter() - began)
        shown = Beside(drawn, policy.spec) if has_pictures(policy.spec) else drawn
        pace = FilmPace(float(drawn.metadata.get("render_fps") or 30), min(steps, LONGEST), left)
        frames = film(shown, _greedy(policy), episode, pace, note, fit_of(path))
    try:
        write_film(frames, path, pace.frames_per_second)
    except OSError as error:
        raise Mistake(f"film {path} cannot be written ({reason(error)}); choose another file") from error
    except Exception as error:  # of several types, by Pillow
        raise Mistake(f"film {path} cannot be made ({one_line(error)})") from error


@own_settings()
def show_run(
    run: Path,
    episode: int = 0,
    env: EnvironmentLike | None = None,
    seed: int | None = None,
    env_args: Sequence[str] = (),
    best: bool = False,
) -> None:
    """One greedy episode in a window. Raises Mistake if there is no screen to show it on."""
    check_screen()
    folder = RunFolder.at(run)
    config = folder.read_config()
    policy = load_policy(folder, config, seed, best)
    with _stage(policy, resolve_for(config, env, env_args), config, "human") as (drawn, _):
        for _ in play(drawn, _greedy(policy), episode):  # every step shows itself
            check_screen()


def in_gymnasium(env: AnyEnvironment) -> bool:
    """Whether Gymnasium has it, and so perhaps draws it: its own environments, and the native ones by their ids."""
    inner = env if isinstance(env, GymFactory) else unseen(env)
    native = isinstance(getattr(inner, "env", inner), type(catalogue.NATIVE.get(env.id))) and env.id in registry
    return native or (isinstance(env, GymFactory) and not is_pooled(env))


class Beside(gymnasium.Wrapper):
    """Draws the newest pictures that an agent sees beside what we see, as high as that, and bits in black and white."""

    def __init__(self, env: gymnasium.Env, spec: Spec) -> None:
        super().__init__(env)
        self._seen, self._stack, self._scale = np.zeros(spec.obs_shape, np.uint8), spec.stack, byte_scale(spec)
        self._parts = picture_parts(spec) if spec.nested else [Part(0, spec.obs_size, spec.obs_shape)]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._seen, info = self.env.reset(seed=seed)
        return self._seen, info

    def step(self, action: np.ndarray) -> Any:
        self._seen, *rest = self.env.step(action)
        return self._seen, *rest

    def render(self) -> Any:
        frame: Any = self.env.render()
        if not (isinstance(frame, np.ndarray) and frame.ndim == 3):
            return frame
        height, pictures = frame.shape[0], [frame[..., :3]]
        bright = np.rint(255 * normalise(np.asarray(self._seen)[None], self._scale)).reshape(1, -1)
        for begin, end, shape in self._parts:
            layout = layout_of(shape)
            assert layout is not None
            seen = layout(bright[:, begin:end].reshape(1, *shape))[0]
            channels = shape[layout.axes[3]] if len(shape) == 4 else seen.shape[2] // self._stack
            newest = seen[..., -channels:]
            colours = newest[..., :3] if channels >= 3 else np.repeat(newest[..., -1:], 3, axis=-1)
            width = max(1, height * seen.shape[1] // seen.shape[0])
            rows, columns = (np.arange(n) * of // n for n, of in zip((height, width), seen.shape, strict=False))
            pictures.append(colours[rows][:, columns].astype(frame.dtype))
        return np.concatenate(pictures, axis=1)


def _greedy(policy: Policy) -> Callable[[np.ndarray], np.ndarray]:
    """One observation -> its action in [-1, 1]^m, which the environment rescales."""
    return lambda obs: policy.unit(obs[None])[0]


@contextmanager
def _stage(policy: Policy, env: AnyEnvironment, config: Config, mode: str) -> Iterator[tuple[CheckedEnv, int]]:
    """An environment of the policy's spaces that draws itself, and its longest episode; Undrawable if there is none."""
    gym = gymnasium_version(env, config.action_repeat)
    if spec_of(gym) != policy.spec:
        raise Mistake(f"{gym.id} has other spaces than the run; choose an environment of the same")
    try:
        with warnings.catch_warnings(action="ignore"):  # of Gymnasium, about what is said below
            drawn = gym.make(render_mode=mode)
    except EnvironmentFailure as error:  # as a maker that takes no render mode
        raise Undrawable(str(error)) from error
    with closing(drawn):
        if drawn.render_mode != mode:
            raise Undrawable(f"Gymnasium cannot draw {gym.id}: it has no render mode {mode}")
        yield drawn, gym.max_episode_steps
