"""Search spaces: their files, what they refuse, and the built-in ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.hyperparameters import split
from ddpg.mistake import Mistake
from ddpg.sweeps.built_in import SPACES, built_in
from ddpg.sweeps.space import Choices, Range, Space, read_space

FILE = """
"critic.lr" = {low = 1e-4, high = 1e-2, log = true}
"replay.n_step" = {low = 1, high = 5}
tau = {low = 1, high = 0x2}
exploration = ["gaussian", "ou"]
"exploration.theta" = {low = 0.05, high = 0.5}
"actor.widths" = "8,8"
"""


class Last:
    """Suggests the upper end, or the last choice."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(high)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return high

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return choices[-1]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "space.toml"
    path.write_text(text)
    return path


def test_file_is_read(tmp_path: Path) -> None:
    space = read_space(written(tmp_path, FILE))
    assert space.varied["critic.lr"] == Range(1e-4, 1e-2, log=True)
    assert space.varied["exploration"] == Choices(("gaussian", "ou"))
    assert space.fixed == {"actor.widths": "8,8"}
    assert space.described()["replay.n_step"] == "1 to 5, whole"
    assert space.described()["critic.lr"] == "0.0001 to 0.01, log"


def test_fields_of_a_kind_are_suggested_with_that_kind(tmp_path: Path) -> None:
    space, base = read_space(written(tmp_path, FILE.replace("tau", "#"))), PRESETS["ddpg"]
    space.check(base)
    chosen = space.suggest(Last(), base)
    assert chosen == {"exploration": "ou", "critic.lr": 1e-2, "replay.n_step": 5, "exploration.theta": 0.5}
    assert isinstance(chosen["replay.n_step"], int)
    gaussian = read_space(written(tmp_path, FILE.replace("tau", "#").replace('"gaussian", "ou"', '"ou", "gaussian"')))
    assert "exploration.theta" not in gaussian.suggest(Last(), base)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tau = {low = 0.1}", ["tau", "low, high"]),
        ("tau = {low = 0.2, high = 0.1}", ["tau", "low below high"]),
        ("tau = {low = 0.0, high = 0.1, log = true}", ["tau", "above 0"]),
        ("tau = {low = 0.1, high = 0.2, log = 1}", ["tau"]),
        ('tau = {low = "a", high = "b"}', ["tau", "low below high"]),
        ("tau = [0.1]", ["tau", "two choices"]),
        ("critic.lr = {low = 1e-4, high = 1e-2}", ["critic", "quotes", '"critic.lr"']),
        ("tau = 0.1", ["varies no option", "critic.lr"]),
        ("tau = ", ["no TOML"]),
    ],
)
def test_what_is_no_space_is_one_line(text: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(Mistake) as error:
        read_space(written(tmp_path, text))
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (Space({"tau": Range(0.1, 2.0)}), ["tau 2.0", "at most 1"]),
        (Space({"taU": Range(0.1, 0.2)}), ["unknown option taU", "tau"]),
        (Space({"exploration.theta": Range(0.1, 0.2)}), ["exploration.theta belongs to ou"]),
        (Space({"tau": Range(0.1, 0.2)}, {"critics": 0}), ["critics 0"]),
    ],
)
def test_options_are_checked_before_the_first_trial(space: Space, words: list[str]) -> None:
    with pytest.raises(Mistake) as error:
        space.check(PRESETS["ddpg"])
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_a_space_of_one_program(preset: str) -> None:
    """Whatever is suggested, what is compiled is the same."""
    space, base = built_in(preset), PRESETS[preset]
    space.check(base)
    tried = [{path: within(domain)[i] for path, domain in space.varied.items()} for i in (0, 1)]
    one, other = (split(override(base, each)) for each in tried)
    assert one[0] == other[0]
    assert np.sum(one[1] != other[1]) == len(space.varied)


def within(domain: Range | Choices) -> tuple[Any, Any]:
    """Two values; the very ends may be 1, which a trial does not meet."""
    if isinstance(domain, Range):
        return domain.low + (domain.high - domain.low) / 3, domain.low + (domain.high - domain.low) / 2
    return domain.ends[0], domain.ends[1]


def test_unknown_space_is_one_line() -> None:
    with pytest.raises(Mistake, match=r"space 'sac': neither a .toml file nor one of ddpg"):
        built_in("sac")
    assert set(SPACES) == set(PRESETS)
