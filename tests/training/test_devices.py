"""Seeds in groups: each by itself on a CPU, side by side on what takes the place of an accelerator here."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from ddpg.training.devices import cache_programs, compiled, gathered, jit_group, numbers_of_each, place_on_devices

SEEDS = 5
TREE: dict[str, Any] = {
    "x": np.arange(SEEDS * 3, dtype=np.float32).reshape(SEEDS, 3),
    "n": np.arange(SEEDS),
    "no": None,
}


def powers(tree: dict[str, Any], numbers: Array, at: Array) -> dict[str, Any]:
    """Of one seed."""
    assert tree["x"].shape == (3,)
    assert numbers.shape == (2,)
    return {"x": tree["x"] ** at, "sum": jnp.sum(tree["x"]), "n": tree["n"] + 1, "own": numbers[1] * at}


def sizes(groups: list[Any]) -> list[int]:
    return [np.size(group["n"]) for group in groups]


def placed(groups: list[Any]) -> list[int]:
    return [next(iter(group["n"].devices())).id for group in groups]


def test_on_a_cpu_every_seed_is_by_itself_and_devices_take_turns() -> None:
    groups = place_on_devices(TREE)
    assert [group["n"].shape for group in groups] == [()] * SEEDS
    assert placed(groups) == [0, 1, 0, 1, 0]
    assert len(place_on_devices({"n": np.arange(1)})) == 1


def test_on_an_accelerator_the_seeds_of_a_device_are_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    groups = place_on_devices(TREE)
    assert sizes(groups) == [2, 3]
    assert placed(groups) == [0, 1]
    assert sizes(place_on_devices({"n": np.arange(1)})) == [1]


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_what_is_computed_in_groups_is_in_the_order_of_the_seeds(
    backend: str, monkeypatch: pytest.MonkeyPatch, assert_identical: Callable[[Any, Any], None]
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    groups, own = place_on_devices(TREE), np.arange(2 * SEEDS, dtype=np.float32).reshape(SEEDS, 2)
    assert_identical(gathered(groups)["x"], TREE["x"])
    common = numbers_of_each(own[0], SEEDS)
    assert [part.shape for part in common] == [part.shape for part in numbers_of_each(own, SEEDS)]
    np.testing.assert_array_equal(gathered(common), np.tile(own[0], (SEEDS, 1)))
    program, numbers = jit_group(powers), numbers_of_each(own, SEEDS)
    ahead = compiled(program, groups, numbers, np.float32(2))
    x = TREE["x"]
    for at in (2, 3):
        said = gathered(ahead(groups, numbers, np.float32(at)))
        np.testing.assert_array_equal(said["own"], at * own[:, 1])
        np.testing.assert_allclose(said["x"], x**at, rtol=1e-6)
        np.testing.assert_allclose(said["sum"], x.sum(axis=1))
        np.testing.assert_array_equal(said["n"], np.arange(1, SEEDS + 1))
        pairs = zip(groups, numbers, strict=True)
        assert_identical(said, gathered([program(*pair, np.float32(at)) for pair in pairs]))


def test_the_cache_of_programs_is_locked_and_half_written_entries_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set(jax.config.values)
    settings: dict[str, Any] = {"jax_compilation_cache_dir": None}
    monkeypatch.setattr(jax, "config", SimpleNamespace(values=settings, update=settings.__setitem__))
    for name in ("whole-1f-cache", "whole-1f-atime", "half-2e-cache", "half-cache-3d-cache"):
        (tmp_path / name).touch()
    cache_programs(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"whole-1f-cache", "whole-1f-atime"}
    assert settings["jax_compilation_cache_dir"] == str(tmp_path)
    assert settings["jax_compilation_cache_max_size"] > 0  # without a size JAX does not lock
    assert settings.keys() <= names
    cache_programs(str(tmp_path / "other"))  # a folder that is set already
    assert settings["jax_compilation_cache_dir"] == str(tmp_path)
