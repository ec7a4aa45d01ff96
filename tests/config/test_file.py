"""config.json survives a round trip, is never overwritten by another run, and is refused in one line if invalid."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ddpg.config.config import Config
from ddpg.config.file import RUN_FORMAT, read_config, read_preset, write_config
from ddpg.config.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_its_file(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    write_config(preset, tmp_path / "config.json")
    assert read_config(tmp_path / "config.json") == preset
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["format"] == RUN_FORMAT == 3
    assert written["versions"].keys() >= {"ddpg", "jax", "numpy"}
    with pytest.raises(FileExistsError):
        write_config(preset, tmp_path / "config.json")


def test_a_file_of_another_format_is_named_as_such(tmp_path: Path) -> None:
    write_config(Config(), tmp_path / "config.json")
    data = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(data | {"format": 2}))
    with pytest.raises(ValueError, match=r"format 2, expected 3; it is not a run of this version of ddpg"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "3", "null", '{"format": 1, "env": 5}', '{"format": "1"}', "[" * 100_000, '{"a":' * 50_000]
)
def test_an_invalid_file_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json") as error:
        read_config(tmp_path / "config.json")
    assert len(str(error.value).splitlines()) == 1


def test_a_preset_is_a_name_or_a_file(tmp_path: Path) -> None:
    assert read_preset("td3") == PRESETS["td3"]
    write_config(found := replace(PRESETS["td3"], gamma=0.9, seeds=3), tmp_path / "preset.json")
    assert read_preset(tmp_path / "preset.json") == found
    with pytest.raises(ValueError, match=r"preset .*missing\.json cannot be read"):
        read_preset(tmp_path / "missing.json")
    (tmp_path / "preset.json").write_text("[]")
    with pytest.raises(ValueError, match=r"preset\.json: format 'list', expected 3"):
        read_preset(str(tmp_path / "preset.json"))
