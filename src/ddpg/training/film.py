"""Films and windows of greedy episodes."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from ddpg.config.file import load_config
from ddpg.environment import Known, environment_of
from ddpg.envs import catalogue
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.mistake import Mistake
from ddpg.records.video import RATE, check_film, check_screen, film, fit_of, play, screenless, write_film
from ddpg.training.policy import load


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
        raise Mistake(f"film {path} cannot be written ({error.strerror or error}); choose another file") from None
    except Exception as error:  # whatever Pillow raises
        raise Mistake(f"film {path} cannot be made ({' '.join(str(error).split())[:200]})") from None


def show_run(
    run: Path, episode: int = 0, env: Known | None = None, seed: int | None = None, env_args: Sequence[str] = ()
) -> None:
    """One greedy episode in a window. ValueError if there is no screen to show it on."""
    check_screen()
    with _stage(run, environment_of(load_config(run), env, env_args), seed, "human") as (drawn, policy):
        for _ in play(drawn, policy, episode):  # every step shows itself
            check_screen()


@contextmanager
def _stage(run: Path, env: Environment | GymFactory, seed: int | None, mode: str) -> Iterator[tuple]:
    """An environment that draws itself, and what acts in it; what drawing raises becomes one line."""
    config, policy = load_config(run), load(run, seed)
    if not isinstance(env, GymFactory):  # Gymnasium's own of that name draws for it
        env = catalogue.make(f"gym:{env.id}", (), config.action_repeat)
    assert isinstance(env, GymFactory)
    if env.spec != policy.spec:
        raise Mistake(f"{env.id} has other spaces than the run in {run}; choose an environment of the same")
    try:
        with closing(env.one(render_mode=mode)) as drawn:
            if drawn.render_mode != mode:
                raise Mistake(f"Gymnasium cannot draw {env.id}: it has no render mode {mode}")
            yield drawn, lambda obs: policy.unit(obs[None])[0]
    except Exception as error:
        if isinstance(error, ValueError) and "\n" not in str(error):  # which says what is wrong by itself
            raise
        # Whatever the environment's own drawing library raises, or a window closed early.
        raise Mistake(f"Gymnasium cannot draw {env.id} ({' '.join(str(error).split())[:200]})") from None
