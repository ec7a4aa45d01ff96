"""What `ddpg.train` and `ddpg.resume` do: a plan, a folder, and a run under way in it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ddpg.config.config import Config
from ddpg.config.reading import override
from ddpg.environment import (
    AnyEnvironment,
    EnvironmentLike,
    resolve_as,
    resolve_for,
    split_id,
)
from ddpg.mistake import Mistake
from ddpg.records.observer import Observer
from ddpg.records.untrusted import check_within
from ddpg.settings import own_settings
from ddpg.training.devices import prepare_jax
from ddpg.training.folder import RunFolder, absolute
from ddpg.training.memory import check_accelerator
from ddpg.training.plan import check_fit, planned
from ddpg.training.run import Run
from ddpg.training.session import Session
from ddpg.training.signals import interruptible


@own_settings()
def train(
    env: EnvironmentLike | None = None,
    config: Config | None = None,
    *,
    preset: str | Path | None = None,
    steps: int | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    run: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    from_run: str | Path | None = None,
    best: bool = False,
    small: bool = False,
    demonstrations: str | Path | Mapping[str, Any] | None = None,
    observers: Iterable[Observer] = (),
    quiet: bool = False,
) -> Run:
    """Train `seeds` independent agents and leave a complete run folder (docs/files.md).

    `env` is an id, a JAX-native environment or a function that makes one or a Gymnasium environment (it is called for
    each that is needed, and with `render_mode` for the film if it takes that), by default the configuration's, which
    is Pendulum-v1; `preset` is a name or a .json file, such as a sweep's or a run's own, by default `ddpg`, or `pixels`
    if observations are or have pictures, and `config` replaces it; `options` changes single fields by path, such as
    {"actor.lr": 1e-4}. For environments that Python steps a preset is changed by `host_defaults`, and if `small` for a
    small task by `small_options`. In compiled ones a short run has twenty evaluations. `run` is the folder, by default
    a new one under runs/. Mistake, in one line, for anything that cannot be; nothing is overwritten. Ctrl-C, in the
    main thread, ends the run early and leaves its folder complete.

    The agents begin with the last networks of `from_run`, or with `best` with those of its best evaluations; its
    configuration is the preset then, but without random actions at the beginning. `demonstrations`, an NPZ file or a
    mapping of the arrays that `ddpg.replay` gives, are in every agent's replay before the first step.

    `observers` are called with every log point (`ddpg.LogPoint`): one that raises `ddpg.StopTraining` ends the run
    early and complete, and any other exception is raised here once the folder is complete. `quiet` shows no progress.
    """
    # Before the constructor of an environment, which may change the working directory.
    folder, runs = None if run is None else RunFolder.at(run), absolute("runs")
    changes = {"steps": steps, "seed": seed, "seeds": seeds}
    changes = {name: value for name, value in changes.items() if value is not None} | dict(options or {})
    chosen, environment, start = planned(
        env,
        config,
        preset=preset,
        options=changes,
        from_run=from_run,
        best=best,
        small=small,
        demonstrations=demonstrations,
    )
    # The folder is claimed last: an environment that cannot be made, or begun, leaves nothing behind.
    with (
        prepared_jax(chosen, environment) as stopped,
        closing(Session(chosen, environment, False, observers, quiet, start)) as session,
    ):
        if folder is None:
            folder = RunFolder.claim_new(runs, chosen)
        else:
            folder.claim(chosen)
        with folder.locked():
            return session.run(folder, stopped)


@own_settings()
def resume(
    run: str | Path,
    steps: int | None = None,
    env: EnvironmentLike | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    observers: Iterable[Observer] = (),
    quiet: bool = False,
) -> Run:
    """Go on with a run from its last checkpoint, up to `steps` if it is to be longer (or shorter) than it was.

    The result is bit for bit that of a run that was never stopped: networks, optimisers, replay, metrics
    (docs/recovery.md says how a longer run may differ from a run of that length). `env` is needed for a run of a
    function or object, or of an id that imports a module, and must be what it was. Raises Mistake if there is
    no checkpoint or nothing to do, or another process trains there; nothing is lost then. With actors the result is
    not the same to the last bit (docs/cluster.md), and on another number of devices only up to rounding: `options` may
    change "devices", "actors.number" and "actors.address". `observers` and `quiet` are those of `train`.
    """
    folder = RunFolder.at(run)
    config = folder.read_config()
    check_within(folder.path)
    changes = dict(options or {}) | ({} if steps is None else {"steps": steps})
    if config.actors.address is not None and "actors.address" not in changes:
        address = config.actors.address
        raise Mistake(
            f"{folder}: its actors were in the cluster at {address}, which is not joined because a folder says so; "
            f"add --ray-address {address} if you trust it, or --ray-address local"
        )
    if changes:
        config = override(config, changes)
    environment = _own_environment(folder, config, env)
    check_fit(config, environment)
    with folder.locked():
        done = folder.steps_done(config)
        if steps is not None and steps < done:
            raise Mistake(f"steps {steps}: {folder} is at step {done} already; use --steps above that")
        if done >= config.steps and folder.finished():
            raise Mistake(f"{folder} has had its {done} steps; use --steps above {done} to train on")
        with (
            prepared_jax(config, environment) as stopped,
            closing(Session(config, environment, True, observers, quiet)) as session,
        ):
            return session.run(folder, stopped)


def _own_environment(folder: RunFolder, config: Config, env: EnvironmentLike | None) -> AnyEnvironment:
    """The run's own environment; `env` makes it, or permits that its id imports a module.

    Raises Mistake if it is another.
    """
    if env is None:
        try:
            return resolve_for(config)
        except Mistake as error:
            again = f"; a run of a function goes on from Python, ddpg.resume({str(folder)!r}, env=...)"
            raise Mistake(f"{error}{'' if ':' in config.env else again}") from error
    if isinstance(env, str):
        if split_id(env)[1] == split_id(config.env)[1]:
            return resolve_as(config, config.env)
    else:
        made = resolve_as(config, env, ())
        if made.id == config.env:
            return made
        env = made.id
    raise Mistake(f"env {env}: {folder} was trained in {config.env}, and can go on in that alone")


@contextmanager
def prepared_jax(config: Config, env: AnyEnvironment) -> Iterator[Callable[[], int]]:
    """JAX is configured for a run, and signals only ask it to stop."""
    with interruptible() as stopped:
        prepare_jax(config, env.spec)
        check_accelerator(config, env)
        yield stopped
