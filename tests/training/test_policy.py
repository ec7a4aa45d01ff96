"""A policy on its own: its actions are within the bounds, and it can be filmed."""

from pathlib import Path
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import ddpg
from ddpg.algorithm.encoders import FlatEmbedding
from ddpg.algorithm.layers import Dense
from ddpg.algorithm.nets import Nets
from ddpg.algorithm.networks import Actor, Critic
from ddpg.training.policy import Policy
from ddpg.types import Spec


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("push", [-100.0, 0.0, 100.0])
def test_actions_are_within_bounds_of_64_bits(push: float, dtype: Any) -> None:
    # As numbers of 32 bits 0.1 is above itself and -0.3 below.
    space = spaces.Box(np.array([-0.3, 0.1], dtype), np.array([0.1, 0.3], dtype), dtype=dtype)
    spec = Spec((1,), tuple(map(float, space.low)), tuple(map(float, space.high)))
    actor = Actor((Dense(jnp.zeros((1, 2)), jnp.full(2, push)),), "relu")
    critic = Critic((Dense(jnp.zeros((1, 3, 1)), jnp.zeros((1, 1))),), "relu", 0)
    policy = Policy(Nets(FlatEmbedding(), actor, critic), None, spec, 7)
    assert repr(policy) == "Policy(obs [1] -> action [2] in [-0.3, 0.1], [0.1, 0.3], seed 7)"
    action = policy(np.zeros(1))
    assert action.dtype == np.float32
    assert space.contains(action.astype(space.dtype))
    np.testing.assert_allclose(
        action, {-100.0: space.low, 0.0: (space.low + space.high) / 2, 100.0: space.high}[push], 1e-6
    )


class Painted(gymnasium.Wrapper):
    """Pendulum, drawn as `frame`."""

    frame: Any = None

    def render(self) -> Any:
        return self.frame


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_a_film_of_a_function_that_makes_environments(
    name: str, trained: ddpg.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.endswith("mp4"):
        pytest.importorskip("imageio_ffmpeg")

    def make(render_mode: str | None = None) -> gymnasium.Env:
        return Painted(gymnasium.make("Pendulum-v1", render_mode=render_mode, max_episode_steps=5))

    with pytest.raises(ValueError, match=r"render\(\) gave NoneType, expected uint8 \[h, w, 3\]$"):
        ddpg.film(trained.path, tmp_path / name, env=make)
    monkeypatch.setattr(Painted, "frame", np.zeros((5, 7, 3), np.uint8))
    ddpg.film(trained.path, tmp_path / name, env=make)
    assert (tmp_path / name).stat().st_size > 100
