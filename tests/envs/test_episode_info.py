"""Numbers are found in whatever an environment calls `info`."""

from collections import UserDict
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.config.config import Config
from ddpg.config.reading import override
from ddpg.envs.episode_info import numbers_in, numbers_of


class Broken(UserDict[str, Any]):
    """A mapping that fails when it is asked."""

    def __contains__(self, key: object) -> bool:
        raise RuntimeError("closed")


@pytest.mark.parametrize("value", [True, 1, 1.0, np.bool_(True), np.float32(1), np.ones(1), np.array(1), jnp.ones(())])
def test_what_is_a_number(value: Any) -> None:
    assert numbers_of({"a": value}, ["a"]).tolist() == [1.0]
    assert list(numbers_in({"a": value})) == ["a"]


@pytest.mark.parametrize("value", ["1", None, [1.0], np.ones(2), 1j, np.nan, np.inf, 1e300, 10**400, {"b": 1}])
def test_what_is_none(value: Any) -> None:
    assert np.isnan(numbers_of({"a": value}, ["a"])).all()
    assert "a" not in list(numbers_in({"a": value}))


def test_keys_lead_into_mappings_unless_they_are_there_themselves() -> None:
    info = {"episode": {"r": np.float32(3), "by": {"day": 5}}, "a.b": 7, "text": "no"}
    numbers = numbers_of(info, ["episode.r", "episode.by.day", "a.b", "episode", "episode.r.x", "a", "b.c"])
    np.testing.assert_array_equal(numbers, [3, 5, 7, *[np.nan] * 4])
    assert list(numbers_in(info)) == ["episode.r", "episode.by.day", "a.b"]
    for other in (None, 5, Broken(a=1)):
        assert np.isnan(numbers_of(other, ["a"])).all()


@pytest.mark.parametrize("keys", ["", "a,,b", "a,a", ["a", 5], 5, ["a\nb"], "x" * 81, list(map(str, range(33)))])
def test_what_are_no_keys(keys: Any) -> None:
    with pytest.raises(ValueError, match=r"^log .*: expected keys of info, each once, such as is_success,episode\.r$"):
        override(Config(), {"log": keys})


def test_keys_as_they_are_typed_and_in_python() -> None:
    for keys in ("is_success, episode.r", ["is_success", "episode.r"]):
        changed = override(Config(), {"log": keys})
        assert changed.log == ("is_success", "episode.r")
        assert override(changed, {"log": "none"}).log == ()
