"""What a training is: from what a user asks for to a configuration, an environment, and what it begins with."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ddpg.algorithm.sale import Sale
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
    split_id,
    was_stepped,
)
from ddpg.envs.goals import HasGoals
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.view import has_pictures, is_picture
from ddpg.experience.relabel import goals_of
from ddpg.mistake import Mistake
from ddpg.terminal import count
from ddpg.training.folder import RunFolder
from ddpg.training.memory import check_memory
from ddpg.training.start import Start, start_from


class Plan(NamedTuple):
    """All that a run needs but a folder."""

    config: Config
    environment: AnyEnvironment
    start: Start


def planned(
    env: EnvironmentLike | None = None,
    config: Config | None = None,
    *,
    preset: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    from_run: str | Path | None = None,
    best: bool = False,
    small: bool = False,
    demonstrations: str | Path | Mapping[str, Any] | None = None,
) -> Plan:
    """What `ddpg.train` trains if it is asked for this; Mistake, in one line, for anything that cannot be."""
    if best and from_run is None:
        raise Mistake("best: of which run? It needs from_run (ddpg train --from RUN --best)")
    changes = dict(options or {})
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
    return Plan(chosen, environment, start)


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


def check_goals(config: Config, env: AnyEnvironment) -> None:
    """Raise Mistake if goals are to be relabelled and there are none, or no rewards for others can be computed."""
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
    """Raise Mistake if parts do not fit the environment or the machine.

    That is if networks do not fit the observations, sigmas not the actions, the replay buffer not the machine's memory,
    or there are no goals to relabel.
    """
    config.agent.encoder.sizes(env.spec)
    check_goals(config, env)
    if config.agent.augment.words and not has_pictures(env.spec):
        raise Mistake(f"augment shift: an observation of shape {env.spec.obs_shape} is no picture; use --augment none")
    if isinstance(config.agent.encoder, Sale) and has_pictures(env.spec):
        raise Mistake(
            f"encoder sale: it is for numbers, and {env.id} observes pictures; use --encoder patches, or conv"
        )
    check_memory(config, env)
    sigma, needed = config.agent.exploration.sigma, env.spec.action_dim
    if isinstance(sigma, tuple) and len(sigma) not in (1, needed):
        dimensions = count(needed, "action dimension")
        raise Mistake(
            f"exploration.sigma {','.join(map(str, sigma))}: {len(sigma)} values, but {env.id} has {dimensions}; "
            f"use one number, or one for each"
        )
