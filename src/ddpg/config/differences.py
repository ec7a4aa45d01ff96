"""In which options a configuration differs from its preset."""

from typing import Any, NamedTuple

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS, host_defaults
from ddpg.config.reading import override, values


class Difference(NamedTuple):
    """An option of a configuration, and what it would be without anybody's choice; None also if it would not exist."""

    own: Any
    usual: Any


def differences(config: Config, stepped: bool) -> dict[str, Difference]:
    """By path, the kinds of parts first. `stepped` says that Python stepped the environment (`was_stepped`).

    A part of another kind is compared with the defaults of that kind. KeyError if the preset is none of ours.
    """
    own, preset = values(config), PRESETS[config.preset]
    parts = [path for path in own if any(other.startswith(f"{path}.") for other in (*own, *values(preset)))]
    kinds = {path: own[path] for path in parts if values(preset).get(path) not in (None, own[path])}
    usual = values(override(preset, kinds))
    if stepped:
        usual |= host_defaults(config, {})
        usual["collect.updates"] = host_defaults(config, {"collect.steps": config.collect.steps})["collect.updates"]
    of_parts = {path: Difference(value, values(preset)[path]) for path, value in kinds.items()}
    rest = {path: Difference(value, usual.get(path)) for path, value in own.items() if usual.get(path) != value}
    return of_parts | rest
