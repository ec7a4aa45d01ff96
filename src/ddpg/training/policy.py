"""A trained policy on its own: observations in, greedy actions in the environment's units out."""

from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np

from ddpg.algorithm.agent import Nets
from ddpg.envs.base import to_units
from ddpg.records.export import load_models
from ddpg.records.video import RATE, check_gif, check_screen, film, play, screenless, write_gif
from ddpg.training.config import Config
from ddpg.training.config import load as load_config
from ddpg.types import Spec


class Policy:
    """mu(s) of one seed. `policy(obs)` takes one observation or a batch and answers alike, within the bounds."""

    def __init__(self, nets: Nets, spec: Spec) -> None:
        self.nets, self.spec = nets, spec
        self._act = jax.jit(lambda obs: to_units(nets.actor(obs), spec))

    def __call__(self, obs: Any) -> np.ndarray:
        """[*obs] -> [m], or [b, *obs] -> [b, m]. ValueError if the shape is neither."""
        obs, shape = np.asarray(obs, self.spec.obs_dtype), self.spec.obs_shape
        if obs.shape == shape:
            return np.asarray(self._act(obs[None]))[0]
        if obs.shape[1:] == shape:
            return np.asarray(self._act(obs))
        raise ValueError(f"an observation of shape {obs.shape}, expected {shape} or a batch of them")

    def predict(self, obs: Any, *_: Any, **__: Any) -> tuple[np.ndarray, None]:
        """(action, None): what tools made for Stable-Baselines3 call; state and episode starts are of no use here."""
        return self(obs), None


def load(run: str | Path, seed: int | None = None) -> Policy:
    """The greedy policy of one seed of a run folder, by default its first.

    ValueError, in one line, if the folder is no run, or has no such seed, or its files cannot be read.
    """
    run = Path(run)
    return Policy(*load_models(model_folder(run, load_config(run), seed)))


def model_folder(run: Path, config: Config, seed: int | None) -> Path:
    seeds = range(config.seed, config.seed + config.seeds)
    seed = config.seed if seed is None else seed
    if seed not in seeds:
        raise ValueError(f"seed {seed}: {run} holds seeds {seeds[0]} to {seeds[-1]}; choose one of them")
    return run / "models" / f"seed-{seed}"


def film_run(run: Path, path: Path, episode: int = 0, env: str | None = None, seed: int | None = None) -> None:
    """A GIF of one greedy episode (seed `episode`), drawn by Gymnasium's own renderer. ValueError if it cannot be."""
    check_gif(path)
    policy = load(run, seed)
    with screenless(), closing(_drawn(run, env, "rgb_array")) as drawn:
        rate = drawn.metadata.get("render_fps", 30)
        every = max(1, round(rate / RATE))
        try:
            shots = film(drawn, policy, episode, every)
        except ValueError:
            raise
        except Exception as error:  # whatever the environment's own drawing library raises, or the lack of it
            raise ValueError(f"Gymnasium cannot draw {drawn.spec and drawn.spec.id} ({error})") from None
    try:
        write_gif(shots, path, rate / every)
    except OSError as error:
        raise ValueError(f"film {path} cannot be written ({error.strerror or error}); choose another file") from None


def show_run(run: Path, episode: int = 0, env: str | None = None, seed: int | None = None) -> None:
    """One greedy episode in a window. ValueError if there is no screen to show it on."""
    check_screen()
    policy = load(run, seed)
    with closing(_drawn(run, env, "human")) as drawn:
        try:
            for _ in play(drawn, policy, episode):  # every step shows itself
                check_screen()
        except ValueError:
            raise
        except Exception as error:  # whatever the environment's own drawing library raises, or a window closed early
            raise ValueError(f"no window can be shown ({error}); use --video FILE instead of --render") from None


def _drawn(run: Path, env: str | None, mode: str) -> gymnasium.Env:
    name = (env or load_config(run).env).removeprefix("jax:")
    try:
        return gymnasium.make(name, render_mode=mode)
    except (gymnasium.error.Error, ValueError) as error:
        raise ValueError(f"Gymnasium cannot draw {name} ({str(error).splitlines()[0]})") from None
