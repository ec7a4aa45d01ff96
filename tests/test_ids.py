"""Ids choose between JAX-native environments and Gymnasium's; unknown ones have neighbours."""

from typing import Any

import pytest

from ddpg.environment import resolve
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.pendulum import Pendulum

STROLL = "tests.gym_worlds:Stroll-v3"


def made(*args: Any, **kwargs: Any) -> GymFactory:
    found = resolve(*args, **kwargs)
    assert isinstance(found, GymFactory)
    return found


def test_ids_choose_between_native_and_gymnasium() -> None:
    assert resolve("Pendulum-v1") == resolve("jax:Pendulum-v1") == Pendulum()
    gym = made("gym:Pendulum-v1")
    assert (gym.id, gym.spec, gym.max_episode_steps, gym.changed) == ("Pendulum-v1", Pendulum.spec, 200, False)
    assert made("Pendulum-v1", ["g=5"]).changed
    with pytest.raises(
        ValueError, match=r"JAX-native environment 'Hopper-v5' does not exist; available: Pendulum-v1; use gym:"
    ):
        resolve("jax:Hopper-v5")
    with pytest.raises(ValueError, match="'Pendulum-v1' takes no env-args; use gym:Pendulum-v1"):
        resolve("jax:Pendulum-v1", ["g=5"])


@pytest.mark.parametrize("id", [STROLL, f"gym:{STROLL}"])
def test_a_module_of_ones_own(id: str) -> None:
    gym = made(id, ["limit=9", "mode=hard"], repeat=2)
    assert (gym.id, gym.spec.obs_shape, gym.spec.action_high, gym.repeat) == (STROLL, (2,), (3.0,), 2)
    env: Any = gym.one().unwrapped
    assert (env.limit, env.mode) == (9, "hard")


def test_what_cannot_be_made_is_said_on_one_line() -> None:
    with pytest.raises(ValueError, match=r"cannot be made: OSError: no such robot$"):
        resolve(STROLL, ["mode=broken"])
    with pytest.raises(ValueError, match=r"cannot be made: TypeError: .*unexpected keyword argument 'weight'"):
        resolve(STROLL, ["weight=3"])
    for id in ("no_module_of_this_name:Walk-v3", "tests.gym_worlds:Strol-v3"):
        with pytest.raises(ValueError, match=f"environment '{id}' cannot be made: .*(No module|Strol|Error)") as caught:
            resolve(id)
        assert "\n" not in str(caught.value)


def test_unknown_ids_have_neighbours() -> None:
    with pytest.raises(ValueError, match=r"unknown environment 'Pendulum-v7'; did you mean .*Pendulum-v1"):
        resolve("Pendulum-v7")
    with pytest.raises(ValueError, match=r"unknown environment 'gym:Pendulun'; did you mean .*Pendulum-v1"):
        resolve("gym:Pendulun")
    with pytest.raises(ValueError, match=r"unknown environment 'zzz'; expected an id that gymnasium.make takes"):
        resolve("zzz")
