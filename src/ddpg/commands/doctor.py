"""`ddpg doctor`: examine an environment and print what follows."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.text import Text

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS, host_defaults
from ddpg.config.reading import override
from ddpg.doctor.advice import command_line, config_of, options_of
from ddpg.doctor.advise import advise
from ddpg.doctor.examine import examine
from ddpg.doctor.rehearse import rehearse
from ddpg.doctor.report import as_data, expectation, page
from ddpg.environment import gymnasium_version, resolve
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.view import View, seen_native
from ddpg.settings import own_settings
from ddpg.terminal import stdout_for_json
from ddpg.training.devices import prepare_jax


@own_settings()
def doctor(
    id: str,
    args: Sequence[str] = (),
    steps: int = 5_000,
    seed: int = 0,
    json: bool = False,
    env_seeds: str = "episode",
    pixels: bool = False,
) -> dict[str, Any]:
    """Examine the environment of an id, print the advice on stderr unless it is wanted as `json`, and return it all.

    With `pixels` it is seen as it draws itself. Raises Mistake if the environment cannot be made or misbehaves.
    """
    env_seeds = override(Config(), {"env_seeds": env_seeds}).env_seeds  # Mistake if it is none
    env = resolve(id, args, seeding=env_seeds)
    gym = replace(gymnasium_version(env), seeding=env_seeds)  # what is examined is what Python would step
    if pixels:
        gym = gym.seen(View(PRESETS["pixels"].pixels))
    findings = examine(gym, steps, seed)
    advice = advise(findings)
    config = config_of(advice)
    if isinstance(env, GymFactory):
        config, env = override(config, host_defaults(config, options_of(advice))), env.seen(config.view)
    else:
        env = seen_native(env, config.view)
    console = Console(stderr=True)
    if not json:
        console.print("timing the run that will be recommended …", style="dim")
    prepare_jax(config, env.spec)
    duration = rehearse(config, env, findings)
    command = command_line(id, args, advice)
    if env_seeds != "episode":
        command += f" --env-seeds {env_seeds}"
    if not json:
        console.print(page(findings, advice))
        console.print(Text(f"{expectation(config, duration)}:"), soft_wrap=True)
        console.print(Text(command, "bold"), soft_wrap=True)  # so that it can be pasted
    return as_data(findings) | {
        "advice": [{"why": each.why, "options": dict(each.options)} for each in advice],
        "seconds": asdict(duration) | {"total": duration.total},
        "command": command,
    }


def doctor_command(args: Namespace) -> int:
    with stdout_for_json() as print_json:
        result = doctor(args.ENV, args.env_args, args.steps, args.seed, args.json, args.env_seeds, args.pixels)
        if args.json:
            print_json(result)
    return 0
