"""The file config.json of a run folder."""

import json
import os
from importlib.metadata import version
from pathlib import Path

from ddpg.config.config import Config
from ddpg.config.reading import (
    _brief,
    from_data,
    to_data,
)
from ddpg.mistake import Mistake
from ddpg.records.atomic import flush_folder, write_text
from ddpg.records.untrusted import check_plain

FORMAT = 2  # of everything in a run folder; raise it when an older reader would misread

READ = (1, FORMAT)  # formats that are understood; 1 had no checkpoints

LARGEST = 2**20  # bytes of a config.json, which has a few thousand


def versions() -> dict[str, str]:
    """Of the packages that a run's numbers depend on."""
    return {name: version(name) for name in ("ddpg", "jax", "jaxlib", "optax", "numpy", "gymnasium")}


def write_config(config: Config, path: Path) -> None:
    """FileExistsError if it is there: never over another run's, even one that begins at this moment."""
    with path.open("x", encoding="utf-8") as file:
        file.write(_text(config))
        file.flush()
        os.fsync(file.fileno())
    flush_folder(path.parent)


def rewrite_config(config: Config, path: Path) -> None:
    """Over that of the same run, atomically."""
    write_text(path, _text(config))


def _text(config: Config) -> str:
    return json.dumps({"format": FORMAT, "versions": versions(), **to_data(config)}, indent=2) + "\n"


def load_config(folder: Path) -> Config:
    """The configuration of a run folder. ValueError, in one line, if it holds none that can be read."""
    path = folder / "config.json"
    try:
        check_plain(path, LARGEST)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Mistake(f"{folder} is no run folder: cannot read {path.name} ({error.strerror})") from None
    except ValueError as error:  # not UTF-8, either
        raise Mistake(f"{path} is no run's configuration: {error}") from None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Mistake(f"{path} is no run's configuration: not JSON ({error})") from None
    if not isinstance(data, dict) or data.get("format") not in READ:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise Mistake(f"{path}: format {_brief(found)}, expected {FORMAT}; it is not a run of this version of ddpg")
    try:
        config = from_data({key: value for key, value in data.items() if key not in ("format", "versions")})
    except ValueError as error:
        raise Mistake(f"{path}: {error}") from None
    for name in ("env", "env_args", "preset"):  # which are shown, and must not drive the terminal that shows them
        if not "".join(getattr(config, name)).isprintable():
            raise Mistake(f"{path}: {name} {_brief(getattr(config, name))}: expected printable characters")
    return config
