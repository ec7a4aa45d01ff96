"""Whatever a program has set in JAX and NumPy, runs are the same; and its environments keep what it has set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ddpg
from ddpg.envs.foreign import EnvironmentFailure, Guard
from ddpg.settings import own_settings
from tests.gym_worlds import GymStep, Puppet
from tests.tiny import PAIR, TINY

STRICT = {
    "jax_enable_x64": True,
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_numpy_rank_promotion": "raise",
    "jax_numpy_dtype_promotion": "strict",
    "jax_transfer_guard": "disallow",
}

SETTINGS: Any = jax.config


@pytest.fixture
def strict() -> Iterator[None]:
    """Everything set that could be in the way, for every thread."""
    before = {name: getattr(jax.config, name) for name in STRICT}
    with np.errstate(all="raise"):
        for name, value in STRICT.items():
            jax.config.update(name, value)
        yield
        for name, value in before.items():
            jax.config.update(name, "allow" if name == "jax_transfer_guard" else value)


def numbers(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "models").rglob("*.hdf5"))]


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    folder = tmp_path_factory.mktemp("usual")
    return {
        name: numbers(trained(name, folder / name.replace(":", "-"))) for name in ("Pendulum-v1", "gym:Pendulum-v1")
    }


def trained(env: str, folder: Path) -> Path:
    options: dict[str, Any] = (PAIR if env.startswith("gym:") else TINY) | {"normalise": True}
    ddpg.train(env, steps=300, run=folder, options=options, quiet=True)
    return ddpg.resume(folder, 400, quiet=True).path


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("env", ["Pendulum-v1", "gym:Pendulum-v1"])
def test_runs_are_the_same(env: str, usual: dict[str, list[bytes]], tmp_path: Path, strict: None) -> None:
    folder = trained(env, tmp_path / "run")
    assert numbers(folder) == usual[env]
    assert ddpg.evaluate(folder, 2)["episodes"] == 2
    assert ddpg.export(folder, "numpy").difference < 1e-5
    assert ddpg.load(folder)(np.zeros(3, np.float32)).dtype == np.float32
    assert SETTINGS.jax_enable_x64
    assert np.geterr()["under"] == "raise"


class Strict(Puppet):
    """Sets what is in our way when it is made, and checks that it is set whenever it runs."""

    def __init__(self) -> None:
        super().__init__()
        jax.config.update("jax_enable_x64", True)
        np.seterr(all="raise")
        self.check()

    def check(self) -> None:
        assert jnp.ones(2).dtype == np.float64
        assert np.geterr()["under"] == "raise"

    def step(self, action: np.ndarray) -> GymStep:
        self.check()
        return super().step(action)


@pytest.mark.usefixtures("no_pictures")
def test_an_environment_keeps_what_it_sets(tmp_path: Path) -> None:
    with np.errstate():
        try:
            run = ddpg.train(Strict, steps=200, run=tmp_path / "run", options=PAIR, quiet=True)
        finally:
            jax.config.update("jax_enable_x64", False)
    assert run.summary["returns"] == [5.0]


def test_ours_are_left_for_foreign_code_however_deep(strict: None) -> None:
    def ours() -> bool:
        return not SETTINGS.jax_enable_x64 and np.geterr()["over"] == "warn"

    assert not ours()
    with own_settings():
        assert ours()
        with Guard(lambda: "make raised"):
            assert not ours()
            with Guard(lambda: "spec raised"):
                assert not ours()
            assert not ours()
        assert ours()
        with Guard(lambda: "step raised", may_change=False):
            assert not ours()
        with pytest.raises(EnvironmentFailure, match="step raised FloatingPointError"), Guard(lambda: "step raised"):
            np.multiply(np.float32(1e-30), np.float32(1e-30))
        assert ours()
    assert not ours()
