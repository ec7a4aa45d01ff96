"""Recipes of Gymnasium's environments: the spaces that ddpg takes and refuses, and arguments of ids."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from ddpg.envs.gymnasium_factory import by_id, episode_seed, parse_args
from tests.gym_worlds import PLANE, UNIT, Puppet, factory_of


class Old:
    """As a space of the old package gym."""

    shape, dtype = (1,), np.dtype("float32")

    def __repr__(self) -> str:
        return "Box(-1, 1)"


Old.__module__, Old.__qualname__, Old.__name__ = "gym.spaces.box", "Box", "Box"


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (spaces.Discrete(3), r"the action space Discrete\(3\), but ddpg controls continuous ones \(a Box\)"),
        (spaces.MultiBinary(2), r"the action space MultiBinary\(2\), but"),
        (spaces.Dict(a=UNIT), r"the action space Dict.*, but ddpg controls continuous ones"),
        (spaces.Box(-np.inf, np.inf, (2,)), r"actions without bounds \(Box\(-inf, inf.*give its action space finite"),
        (spaces.Box(np.zeros(2), np.array([1, np.inf]), dtype=np.float64), "actions without bounds"),
        (spaces.Box(0, 5, (2,), np.int64), "actions of dtype int64, but ddpg controls floating ones"),
        (spaces.Box(np.ones(2), np.ones(2), dtype=np.float64), "which leaves nothing to choose"),
        (spaces.Box(0, 1, (0,)), "which leaves nothing to choose"),
        (Old(), r"the space Box\(-1, 1\), a gym.spaces.box.Box; expected one of gymnasium.spaces"),
    ],
)
def test_actions_that_ddpg_does_not_control(action: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"environment 'Puppet' has .*{said}") as caught:
        factory_of(lambda: Puppet(action=action))
    assert "\n" not in str(caught.value)


def test_observations_of_the_old_package() -> None:
    old: Any = Old()
    with pytest.raises(ValueError, match=r"has the space Box\(-1, 1\), a gym.spaces.box.Box; expected one of"):
        factory_of(lambda: Puppet(obs=old))


def test_seeds_fit_an_int_of_c() -> None:
    seeds = [episode_seed(run, env, episode) for run in (0, 7) for env in (0, 1) for episode in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 0
    assert 2**30 < max(seeds) < 2**31


@pytest.mark.parametrize(
    "obs",
    [
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Dict(a=PLANE, b=spaces.Sequence(PLANE)),
        spaces.Graph(PLANE, None),
        spaces.Box(0, 1, (0,)),
        spaces.Dict({}),
        spaces.Tuple(()),
    ],
)
def test_observations_of_no_fixed_size(obs: spaces.Space) -> None:
    with pytest.raises(ValueError, match="of no fixed size; expected Box, Discrete, MultiBinary or") as caught:
        factory_of(lambda: Puppet(obs=obs))
    assert "\n" not in str(caught.value)


def test_arguments_are_json_where_they_can_be() -> None:
    given = ["a=9.8", "b=3", "c=true", "d=False", "e=None", "f=[1, 2]", 'g={"x": 1}', "h=easy", "i=", "j=a=b", 'k="3"']
    said = {"a": 9.8, "b": 3, "c": True, "d": False, "e": None, "f": [1, 2], "g": {"x": 1}, "h": "easy", "i": ""}
    assert parse_args(given) == said | {"j": "a=b", "k": "3"}
    for bad in ("gravity", "=3", "9x=3", "a-b=3", ""):
        with pytest.raises(ValueError, match=f"env-args '{bad}': expected key=value"):
            parse_args([bad])


def test_mujoco_warns_of_a_model_once(capfd: pytest.CaptureFixture[str]) -> None:
    mujoco = pytest.importorskip("mujoco")
    gym = by_id("HalfCheetah-v5")
    capfd.readouterr()
    before = mujoco.get_mju_user_warning()
    for index in range(2):
        gym.make(index).close()
    assert capfd.readouterr() == ("", "")
    assert mujoco.get_mju_user_warning() is before
