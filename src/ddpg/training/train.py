"""What `ddpg.train` and `ddpg.resume` do: from what a user asks for to a run under way."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ddpg.config.config import Config
from ddpg.config.file import is_file, read_preset
from ddpg.config.presets import PRESETS, by_name, host_defaults, picture_options
from ddpg.config.reading import override, values
from ddpg.config.small import small_options
from ddpg.environment import (
    AnyEnvironment,
    EnvironmentLike,
    imports_module,
    resolve_as,
    resolve_for,
    split_id,
    was_stepped,
)
from ddpg.envs.goals import HasGoals
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.view import has_pictures, is_picture
from ddpg.experience.relabel import goals_of
from ddpg.mistake import Mistake
from ddpg.records.observer import Observer
from ddpg.records.untrusted import check_within
from ddpg.settings import own_settings
from ddpg.terminal import count
from ddpg.training.devices import prepare_jax
from ddpg.training.folder import RunFolder, absolute
from ddpg.training.memory import check_memory
from ddpg.training.run import Run
from ddpg.training.session import Session
from ddpg.training.signals import interruptible
from ddpg.training.start import start_from


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
    if best and from_run is None:
        raise Mistake("best: of which run? It needs from_run (ddpg train --from RUN --best)")
    # Before the constructor of an environment, which may change the working directory.
    folder, runs = None if run is None else RunFolder.at(run), absolute("runs")
    changes = {"steps": steps, "seed": seed, "seeds": seeds}
    changes = {name: value for name, value in changes.items() if value is not None} | dict(options or {})
    source = None if from_run is None else RunFolder.at(from_run)
    base, inherited = config, False
    if base is None and source is not None and preset is None:
        base, inherited = _fine_tuned(_in(env, source.read_config())), True
    if base is None and preset is not None:
        base, inherited = _in(env, read_preset(preset)), is_file(preset)
    if env is None and inherited and base is not None and imports_module(base.env):
        file, option = (source, "--from") if preset is None else (preset, "--preset")
        raise Mistake(
            f"{file}: its environment {base.env} imports a module, which is not done because a file says so; "
            f"if you trust it, say so: ddpg train {base.env} {option} {file}"
        )
    if env is None:
        env = (base or by_name("ddpg")).env
    if isinstance(env, str):
        changes["env"] = env
    environment, pictures = None, False
    if base is None:
        environment = resolved_alone(env, changes)
        pictures = has_pictures(environment.spec)
        base = by_name("pixels" if pictures else "ddpg")
        changes = (picture_options(environment.spec) if pictures else {}) | changes
    if small:
        changes = {**small_options(base), **changes}
    asked = override(base, changes)
    again = isinstance(environment, GymFactory)  # an environment is not made once more
    environment = environment.seen(asked.view) if again else resolve_as(asked, env)
    in_python = isinstance(environment, GymFactory)
    if in_python and config is None and not (inherited and was_stepped(base)):
        own = _differing(base) if inherited else {}
        asked = override(base, host_defaults(asked, own | changes))
    elif not in_python and config is None and "eval.every" not in changes and not _chose_evaluations(base):
        asked = replace(asked, eval=replace(asked.eval, every=_evaluated_every(base, asked.steps)))
    # gym:ID is another environment than ID, if that is native here; jax:ID is the same.
    chosen = asked if in_python and isinstance(env, str) else replace(asked, env=environment.id)
    check_fit(chosen, environment)
    start = start_from(chosen, environment.spec, source, best, demonstrations)
    if pictures:
        have = "are" if is_picture(environment.spec) else "have"
        start = start._replace(notes=(f"observations {have} pictures: preset pixels", *start.notes))
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


def resolved_alone(env: EnvironmentLike, options: Mapping[str, Any]) -> AnyEnvironment:
    """The environment of the options that are about it, before any preset."""
    looks = ("env", "env_args", "env_seeds", "action_repeat", "pixels", "stack")
    chosen = {path: value for path, value in options.items() if path.split(".")[0] in looks}
    return resolve_as(override(Config(), chosen), env)


def _in(env: EnvironmentLike | None, config: Config) -> Config:
    """The configuration of a file or a folder, for this environment: in another it has none of its keyword arguments.

    No Ray cluster is joined because a file names it: a cluster can run code here.
    """
    same = env is None or (isinstance(env, str) and split_id(env)[1] == split_id(config.env)[1])
    return replace(config, env_args=config.env_args if same else (), actors=replace(config.actors, address=None))


def _fine_tuned(config: Config) -> Config:
    """The configuration of a run that goes on from another's networks: it acts with them from its first step."""
    return replace(config, collect=replace(config.collect, warmup=0, learning_starts=config.learning_starts))


def _evaluated_every(config: Config, steps: int) -> int:
    """Steps between the evaluations of a run of so many: the preset's, or fewer, so that a short run has twenty."""
    return min(PRESETS.get(config.preset, config).eval.every, max(1, steps // 20))


def _chose_evaluations(config: Config) -> bool:
    """Whether a run's `eval.every` neither is its preset's nor follows from its steps."""
    usual = PRESETS.get(config.preset, config).eval.every
    return config.eval.every not in (usual, _evaluated_every(config, config.steps))


def _differing(config: Config) -> dict[str, Any]:
    """What of its iterations and evaluations was chosen, other than its preset has it."""
    usual, chosen = values(PRESETS.get(config.preset, config)), values(config)
    paths = [
        "collect.steps",
        "collect.updates",
        "eval.episodes",
        *(["eval.every"] if _chose_evaluations(config) else []),
    ]
    return {path: chosen[path] for path in paths if chosen[path] != usual[path]}


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
    function or object, or of an id that imports a module, and must be what it was. Mistake, in one line, if there is
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
    """The run's own environment; `env` makes it, or permits that its id imports a module. Mistake if it is another."""
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
        yield stopped


def check_goals(config: Config, env: AnyEnvironment) -> None:
    """Mistake if goals are to be relabelled and there are none, or a compiled environment cannot judge others."""
    if not config.replay.relabels:
        return
    option, none = f"replay.relabel {config.replay.relabel.kind}", "use --replay.relabel none"
    preset = f", or another preset than {config.preset}" if PRESETS.get(config.preset, config).replay.relabels else ""
    if goals_of(env.spec) is None:
        raise Mistake(
            f"{option}: {env.id} has no goals, that is a Dict observation with achieved_goal and desired_goal, "
            f"numbers of one shape; {none}{preset}"
        )
    if not isinstance(env, GymFactory | HasGoals):
        raise Mistake(
            f"{option}: {env.id} has no method compute_reward(achieved_goal, desired_goal, info); "
            f"give it one, or {none}"
        )


def check_fit(config: Config, env: AnyEnvironment) -> None:
    """Mistake if the networks do not fit the observations, the sigmas not the actions, or the replay not the memory.

    Also if there are no goals to relabel.
    """
    config.agent.encoder.sizes(env.spec)
    check_goals(config, env)
    if config.agent.augment.words and not has_pictures(env.spec):
        raise Mistake(f"augment shift: an observation of shape {env.spec.obs_shape} is no picture; use --augment none")
    check_memory(config, env)
    sigma, needed = config.agent.exploration.sigma, env.spec.action_dim
    if isinstance(sigma, tuple) and len(sigma) not in (1, needed):
        dimensions = count(needed, "action dimension")
        raise Mistake(
            f"exploration.sigma {','.join(map(str, sigma))}: {len(sigma)} values, but {env.id} has {dimensions}; "
            f"use one number, or one for each"
        )
