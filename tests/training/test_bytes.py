"""What is of bytes is learned from as if its numbers had been divided before, alone and beside other parts."""

from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import ddpg
from tests.gym_worlds import UNIT, GymReset, GymStep
from tests.tiny import PAIR

STATE = spaces.Box(-1, 1, (2,))


class Sights(gymnasium.Env):
    """Random observations of `space`, in which `divide` makes the numbers of what would be bytes."""

    action_space = UNIT

    def __init__(self, high: int, beside: bool, divide: bool) -> None:
        part = spaces.Box(0, 1, (4,)) if divide else spaces.Box(0, high, (4,), np.uint8)
        self.observation_space = spaces.Dict(a=part, b=STATE) if beside else part
        self.high, self.beside, self.divide = high, beside, divide

    def see(self) -> Any:
        seen = self.np_random.integers(0, self.high + 1, 4).astype(np.uint8)
        part = seen.astype(np.float32) / self.high if self.divide else seen
        return {"a": part, "b": self.np_random.uniform(-1, 1, 2)} if self.beside else part

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        super().reset(seed=seed)
        self.t = 0
        return self.see(), {}

    def step(self, action: np.ndarray) -> GymStep:
        self.t += 1
        return self.see(), float(action[0]), False, self.t >= 10, {}


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("high", "beside"), [(1, False), (1, True), (255, True)])
def test_bytes_are_as_good_as_shares(high: int, beside: bool, tmp_path: Path) -> None:
    def trained(divide: bool) -> ddpg.Policy:
        folder = tmp_path / str(divide)
        run = ddpg.train(lambda: Sights(high, beside, divide), steps=300, run=folder, options=PAIR, quiet=True)
        return ddpg.load(run.path)

    as_bytes, as_shares = trained(False), trained(True)
    leaves = zip(jax.tree.leaves(as_bytes.nets), jax.tree.leaves(as_shares.nets), strict=True)
    for one, other in leaves:
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    env = Sights(high, beside, False)
    obs, _ = env.reset(seed=0)
    shares = obs | {"a": obs["a"] / high} if beside else obs / high
    np.testing.assert_allclose(as_bytes(obs), as_shares(shares), atol=1e-4)
    with pytest.raises(ValueError, match="expected bytes from 0 to 255"):
        as_bytes(shares)
