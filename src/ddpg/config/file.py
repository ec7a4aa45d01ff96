"""The file config.json of a run folder, which is a preset for other runs, too."""

import json
import os
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ddpg.config.config import Config
from ddpg.config.presets import by_name
from ddpg.config.reading import brief, from_data, to_data
from ddpg.mistake import Mistake
from ddpg.records.atomic import flush_folder, write_text
from ddpg.records.untrusted import check_plain
from ddpg.terminal import reason
from ddpg.version import __version__

RUN_FORMAT = 3  # of everything in a run folder; raise it when an older reader would misread

SIMULATORS = {  # modules, and the packages that they are of
    "mujoco": "mujoco",
    "gymnax": "gymnax",
    "mujoco_playground": "playground",
    "envpool": "envpool",
}

LARGEST_CONFIG = 2**20  # bytes of a config.json; a real one has a few thousand


def versions() -> dict[str, str]:
    """The versions of the packages that a run's numbers depend on."""
    others = {name: version(name) for name in ("jax", "jaxlib", "optax", "numpy", "gymnasium")}
    for package in (package for module, package in SIMULATORS.items() if module in sys.modules):
        with suppress(PackageNotFoundError):
            others[package] = version(package)
    return {"ddpg": __version__, **others}


def write_config(config: Config, path: Path) -> None:
    """Write a new file; FileExistsError if there is one, even from a run that begins at the same moment."""
    with path.open("x", encoding="utf-8") as file:
        file.write(_text(config))
        file.flush()
        os.fsync(file.fileno())
    flush_folder(path.parent)


def rewrite_config(config: Config, path: Path) -> None:
    """Replace the same run's file, atomically."""
    write_text(path, _text(config))


def _text(config: Config) -> str:
    return json.dumps({"format": RUN_FORMAT, "versions": versions(), **to_data(config)}, indent=2) + "\n"


def read_config(path: Path) -> Config:
    """The configuration in a run's config.json. Raises Mistake if it cannot be read."""
    try:
        return _read(path)
    except OSError as error:
        raise Mistake(f"{path.parent} is no run folder: cannot read {path.name} ({reason(error)})") from None


def read_preset(preset: str | Path) -> Config:
    """A preset by its name, or from a file: a sweep's preset.json, a run's config.json.

    Raises Mistake if there is none.
    """
    if not is_file(preset):
        return by_name(str(preset))
    try:
        return _read(Path(preset))
    except OSError as error:
        raise Mistake(f"preset {preset} cannot be read ({reason(error)})") from None


def is_file(preset: str | Path) -> bool:
    """Whether a preset is meant by its file, not by its name."""
    return str(preset).endswith(".json")


def _read(path: Path) -> Config:
    """The configuration in a file. Raises OSError if it cannot be read, and Mistake if it has none."""
    try:
        check_plain(path, LARGEST_CONFIG)
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, Mistake) as error:
        raise Mistake(f"{path} is no run's configuration: {error}") from None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Mistake(f"{path} is no run's configuration: not JSON ({error})") from None
    if not isinstance(data, dict) or data.get("format") != RUN_FORMAT:
        format = brief(data.get("format") if isinstance(data, dict) else type(data).__name__)
        raise Mistake(f"{path}: format {format}, expected {RUN_FORMAT}; it is not a run of this version of ddpg")
    try:
        config = from_data({key: value for key, value in data.items() if key not in ("format", "versions")})
    except Mistake as error:
        raise Mistake(f"{path}: {error}") from None
    for name in ("env", "env_args", "preset"):  # they are printed, and must not control the terminal
        if not "".join(getattr(config, name)).isprintable():
            raise Mistake(f"{path}: {name} {brief(getattr(config, name))}: expected printable characters")
    return config


def read_versions(path: Path) -> dict[str, str]:
    """The package versions in a run's config.json that `read_config` has read; without what is no version."""
    recorded = json.loads(path.read_text(encoding="utf-8")).get("versions")
    pairs = recorded.items() if isinstance(recorded, dict) else ()
    return {brief(name).strip("'\""): text[:40] for name, text in pairs if isinstance(text, str)}
