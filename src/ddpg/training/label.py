"""What a run is called beside others, in figures and tables."""

from ddpg.config.config import Config
from ddpg.config.differences import differences
from ddpg.config.presets import PRESETS
from ddpg.environment import split_id, was_stepped
from ddpg.envs import catalogue


def label_of(config: Config) -> str:
    """The preset, and the options in which the run differs from it."""
    if config.preset not in PRESETS:
        return config.preset
    differing = differences(config, was_stepped(config))
    beside = ("env", "steps", "seed", "seeds", "devices")
    shown = [f"{path} {value.own}" for path, value in differing.items() if path not in beside and path[:5] != "eval."]
    return ", ".join([config.preset, *shown])


def environment_of(config: Config) -> str:
    """The run's environment, with `gym:` only if there is a native one too."""
    _, name = split_id(config.env)
    return config.env if name in catalogue.NATIVE else name
