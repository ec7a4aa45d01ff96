"""`ddpg doctor`: examine an environment and print what follows."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

from rich.console import Console
from rich.text import Text

from ddpg.doctor.advise import advise, command_line
from ddpg.doctor.examine import examine
from ddpg.doctor.report import as_data, page
from ddpg.envs import catalogue
from ddpg.envs.gymnasium_factory import GymFactory


def doctor(id: str, args: Sequence[str] = (), steps: int = 5_000, seed: int = 0, json: bool = False) -> dict[str, Any]:
    """Examine the environment of an id, print what follows on stderr unless it is wanted as `json`, and answer it all.

    ValueError, in one line, if the environment cannot be made or misbehaves.
    """
    gym = catalogue.make(id, args)
    if not isinstance(gym, GymFactory):  # what is examined is what Python would step
        gym = catalogue.make(f"gym:{id.removeprefix('jax:')}", args)
    assert isinstance(gym, GymFactory)
    with redirect_stdout(sys.stderr):  # an environment that prints spoils no JSON
        found = examine(gym, steps, seed)
    advice = advise(found)
    command = command_line(id, args, advice)
    if not json:
        console = Console(stderr=True)
        console.print(page(found, advice))
        console.print(Text(command, "bold"), soft_wrap=True)  # so that it can be pasted
    return as_data(found) | {
        "advice": [{"why": each.why, "options": dict(each.options)} for each in advice],
        "command": command,
    }
