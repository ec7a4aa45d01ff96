"""Films and windows of greedy episodes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from ddpg.config.config import Config
from ddpg.environment import AnyEnvironment, EnvironmentLike, gymnasium_version, resolve_for
from ddpg.envs import catalogue
from ddpg.envs.foreign import Misbehaved
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.mistake import Mistake
from ddpg.records.video import RATE, check_film, check_screen, film, fit_of, play, screenless, write_film
from ddpg.settings import own_settings
from ddpg.terminal import one_line, reason
from ddpg.training.folder import RunFolder, absolute
from ddpg.training.policy import Policy, load_policy


@own_settings()
def film_run(
    run: str | Path,
    path: str | Path,
    episode: int = 0,
    env: EnvironmentLike | None = None,
    seed: int | None = None,
    env_args: Sequence[str] = (),
    best: bool = False,
) -> None:
    """A film of one greedy episode (seed `episode`), drawn by Gymnasium's own renderer: `ddpg.film`.

    `env`, `env_args` and `best` as in `ddpg.evaluate`; a function must take `render_mode`. Mistake if it cannot be
    drawn.
    """
    folder, path = RunFolder.at(run), absolute(path)
    check_film(path)
    config = folder.read_config()
    with screenless():
        policy, environment = load_policy(folder, config, seed, best), resolve_for(config, env, env_args)
        film_policy(policy, environment, config, path, episode)


def film_policy(policy: Policy, env: AnyEnvironment, config: Config, path: Path, episode: int = 0) -> None:
    """The same for a policy, and an environment made already."""
    with screenless(), _stage(policy, env, config, "rgb_array") as drawn:
        rate = float(drawn.metadata.get("render_fps") or 30)
        every = max(1, round(rate / RATE))
        frames = film(drawn, _greedy(policy), episode, every, fit_of(path))
    try:
        write_film(frames, path, rate / every)
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
    """One greedy episode in a window. Mistake if there is no screen to show it on."""
    check_screen()
    folder = RunFolder.at(run)
    config = folder.read_config()
    policy = load_policy(folder, config, seed, best)
    with _stage(policy, resolve_for(config, env, env_args), config, "human") as drawn:
        for _ in play(drawn, _greedy(policy), episode):  # every step shows itself
            check_screen()


def can_film(env: AnyEnvironment) -> bool:
    """Whether Gymnasium can draw it: its own environments with such a render mode, and the native ones by their ids."""
    if not isinstance(env, GymFactory):
        return isinstance(getattr(env, "env", env), type(catalogue.NATIVE.get(env.id)))
    try:
        with screenless(), _opened(env, "rgb_array") as drawn:
            return drawn.render_mode == "rgb_array"
    except Misbehaved:  # as a maker that takes no render mode
        return False


def _greedy(policy: Policy) -> Callable[[np.ndarray], np.ndarray]:
    """One observation -> its action in [-1, 1]^m, which the environment rescales."""
    return lambda obs: policy.unit(obs[None])[0]


@contextmanager
def _stage(policy: Policy, env: AnyEnvironment, config: Config, mode: str) -> Iterator[CheckedEnv]:
    """An environment of the policy's spaces that draws itself."""
    gym = gymnasium_version(env, config.action_repeat)
    if gym.spec != policy.spec:
        raise Mistake(f"{gym.id} has other spaces than the run; choose an environment of the same")
    with _opened(gym, mode) as drawn:
        if drawn.render_mode != mode:
            raise Mistake(f"Gymnasium cannot draw {gym.id}: it has no render mode {mode}")
        yield drawn


@contextmanager
def _opened(gym: GymFactory, mode: str) -> Iterator[CheckedEnv]:
    with closing(gym.one(render_mode=mode)) as drawn:
        yield drawn
