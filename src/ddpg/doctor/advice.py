"""What is advised: reasons, the options that follow from them, and the command with all of them."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override


class Advice(NamedTuple):
    """A reason and the options that follow from it; a warning if there are none."""

    why: str
    options: tuple[tuple[str, str], ...] = ()


def config_of(advice: Sequence[Advice]) -> Config:
    """What is trained if all of it is followed."""
    chosen = options_of(advice)
    base = PRESETS[chosen.pop("preset", "ddpg")]
    args = {"env_args": tuple(chosen.pop("env_args").split())} if "env_args" in chosen else {}
    return override(base, chosen | args)


def options_of(advice: Sequence[Advice]) -> dict[str, str]:
    """Every option that is advised; of two values for one option the later counts."""
    return {path: value for each in advice for path, value in each.options}


FLAGS = {"collect.envs": "envs", "env_args": "env-args", "eval.every": "eval-every", "eval.episodes": "eval-episodes"}


def command_line(id: str, args: Sequence[str], advice: Sequence[Advice]) -> str:
    """The command to type."""
    options = options_of(advice)
    args = [*args, *([options.pop("env_args")] if "env_args" in options else [])]
    words = ["ddpg", "train", id, *(["--env-args", *args] if args else [])]
    for path, value in options.items():
        words += [f"--{FLAGS.get(path, path)}", value]
    return shlex.join(words)


def options_text(advice: Advice) -> str:
    """The options of one advice as they are typed."""
    return " ".join(f"--{FLAGS.get(path, path)} {value}" for path, value in advice.options)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
