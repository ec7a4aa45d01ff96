"""A trained policy on its own: observations in, greedy actions in the environment's units out."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Shaped

from ddpg.algorithm.agent import Nets
from ddpg.algorithm.normaliser import Stats, normalised
from ddpg.envs import catalogue
from ddpg.envs.base import Environment, Repeat
from ddpg.envs.gym import Gym
from ddpg.records.export import load_models
from ddpg.records.video import RATE, check_film, check_screen, film, fit_of, play, screenless, write_film
from ddpg.training.config import Config
from ddpg.training.config import load as load_config
from ddpg.types import Spec

Known = str | Environment | Gym | Callable[[], Any]  # ways to say what environment is meant


class Policy:
    """mu(s) of one seed, in NumPy. `policy(obs)` takes one observation or a batch and answers alike, within the bounds.

    Observations of Dict and Tuple spaces are taken as they come, one at a time, if their parts are numbers.
    """

    def __init__(self, nets: Nets, stats: Stats | None, spec: Spec) -> None:
        self.nets, self.spec = nets, spec
        self._actor, self._stats = jax.tree.map(np.asarray, (nets.actor, stats))
        self._low, self._high = np.array([spec.action_low, spec.action_high], np.float64)

    def unit(self, obs: Shaped[np.ndarray, "b *obs"]) -> Float[np.ndarray, "b m"]:
        """mu(s) in [-1, 1]^m."""
        return self._actor(normalised(obs, self._stats))

    def __call__(self, obs: Any) -> np.ndarray:
        """[*obs] -> [m], or [b, *obs] -> [b, m], in float32. ValueError if the shape is neither."""
        if isinstance(obs, Mapping | tuple):
            obs = np.concatenate([np.ravel(part) for part in _parts(obs)])
        obs, shape = np.asarray(obs, self.spec.obs_dtype), self.spec.obs_shape
        if obs.shape != shape and obs.shape[1:] != shape:
            raise ValueError(f"an observation of shape {obs.shape}, expected {shape} or a batch of them")
        low, high = self._low, self._high
        exact = np.clip(
            low / 2 + high / 2 + np.float64(self.unit(obs.reshape(-1, *shape))) * (high / 2 - low / 2), low, high
        )
        # The nearest number of 32 bits may be beyond a bound of 64, as of 0.1; the next one is not.
        action = exact.astype(np.float32)
        action = np.where(action < low, np.nextafter(action, np.float32(np.inf)), action)
        action = np.where(action > high, np.nextafter(action, np.float32(-np.inf)), action)
        return action[0] if obs.shape == shape else action

    def predict(self, obs: Any, *_: Any, **__: Any) -> tuple[np.ndarray, None]:
        """(action, None): what tools made for Stable-Baselines3 call; state and episode starts are of no use here."""
        return self(obs), None


def load(run: str | Path, seed: int | None = None) -> Policy:
    """The greedy policy of one seed of a run folder, by default its first.

    ValueError, in one line, if the folder is no run, or has no such seed, or its files cannot be read.
    """
    run = Path(run)
    return Policy(*load_models(model_folder(run, load_config(run), seed)))


def _parts(obs: Any) -> Iterator[Any]:
    """The parts of a nested observation in the order in which envs/gym.py flattens them."""
    if isinstance(obs, Mapping):
        obs = [obs[key] for key in sorted(obs)]
    if isinstance(obs, tuple | list):
        for part in obs:
            yield from _parts(part)
    else:
        yield obs


def environment_of(config: Config, env: Known | None = None, args: Sequence[str] = ()) -> Environment | Gym:
    """The environment of a run, or another one: an id, one that is made, or a function as `ddpg.train` takes it.

    `args` are keyword arguments as key=value, after those of the run where it is the run's own id. ValueError if the
    run's own id imports a module: what a folder says is never imported unless the user says it too.
    """
    if isinstance(env, Gym | Repeat):  # which repeats already
        return env
    if env is None and ":" in re.sub("^(gym|jax):", "", config.env):  # one of them: "gym:jax:X" imports jax
        raise ValueError(
            f"the run's environment {config.env} imports a module, which is not done because a folder says so; "
            f"add --env {config.env} if you trust it"
        )
    if env is not None and not isinstance(env, str):
        from ddpg.training.train import make  # which needs this room for its films

        return make(env, replace(config, env_args=tuple(args)))
    env = config.env if env is None else env
    own = config.env_args if env.removeprefix("gym:") == config.env.removeprefix("gym:") else ()
    return catalogue.make(env, (*own, *args), config.action_repeat)


def model_folder(run: Path, config: Config, seed: int | None) -> Path:
    seeds = range(config.seed, config.seed + config.seeds)
    seed = config.seed if seed is None else seed
    if seed not in seeds:
        raise ValueError(f"seed {seed}: {run} holds seeds {seeds[0]} to {seeds[-1]}; choose one of them")
    return run / "models" / f"seed-{seed}"


def film_run(
    run: str | Path,
    path: str | Path,
    episode: int = 0,
    env: Known | None = None,
    seed: int | None = None,
    env_args: Sequence[str] = (),
) -> None:
    """A film of one greedy episode (seed `episode`), drawn by Gymnasium's own renderer: `ddpg.film`.

    `env` and `env_args` as in `ddpg.evaluate`; a function must take `render_mode`. ValueError if it cannot be.
    """
    run, path = Path(run), Path(path)
    check_film(path)
    with (
        screenless(),
        _stage(run, environment_of(load_config(run), env, env_args), seed, "rgb_array") as (drawn, policy),
    ):
        rate = float(drawn.metadata.get("render_fps") or 30)
        every = max(1, round(rate / RATE))
        shots = film(drawn, policy, episode, every, fit_of(path))
    try:
        write_film(shots, path, rate / every)
    except OSError as error:
        raise ValueError(f"film {path} cannot be written ({error.strerror or error}); choose another file") from None
    except Exception as error:  # whatever Pillow raises
        raise ValueError(f"film {path} cannot be made ({' '.join(str(error).split())[:200]})") from None


def show_run(
    run: Path, episode: int = 0, env: Known | None = None, seed: int | None = None, env_args: Sequence[str] = ()
) -> None:
    """One greedy episode in a window. ValueError if there is no screen to show it on."""
    check_screen()
    with _stage(run, environment_of(load_config(run), env, env_args), seed, "human") as (drawn, policy):
        for _ in play(drawn, policy, episode):  # every step shows itself
            check_screen()


@contextmanager
def _stage(run: Path, env: Environment | Gym, seed: int | None, mode: str) -> Iterator[tuple]:
    """An environment that draws itself, and what acts in it; what drawing raises becomes one line."""
    config, policy = load_config(run), load(run, seed)
    if not isinstance(env, Gym):  # Gymnasium's own of that name draws for it
        env = catalogue.make(f"gym:{env.id}", (), config.action_repeat)
    assert isinstance(env, Gym)
    if env.spec != policy.spec:
        raise ValueError(f"{env.id} has other spaces than the run in {run}; choose an environment of the same")
    try:
        with closing(env.one(render_mode=mode)) as drawn:
            if drawn.render_mode != mode:
                raise ValueError(f"Gymnasium cannot draw {env.id}: it has no render mode {mode}")
            yield drawn, lambda obs: policy.unit(obs[None])[0]
    except Exception as error:
        if isinstance(error, ValueError) and "\n" not in str(error):  # which says what is wrong by itself
            raise
        # Whatever the environment's own drawing library raises, or a window closed early.
        raise ValueError(f"Gymnasium cannot draw {env.id} ({' '.join(str(error).split())[:200]})") from None
