"""The numbers of a flat observation have the names of their parts."""

import numpy as np
from gymnasium import spaces

from ddpg.doctor.advise import advise
from ddpg.doctor.components import Components, components_of
from tests.doctor.walk import findings_of, gym_of


def named(space: spaces.Space) -> Components:
    return components_of(gym_of(space=space).spec)


def test_numbers_of_one_array_are_counted() -> None:
    assert named(spaces.Box(-1.0, 1.0, (2, 2))).names == ("0", "1", "2", "3")
    assert named(spaces.MultiBinary(2)).names == ("0", "1")


def test_parts_have_their_names() -> None:
    parts = {
        "zones": spaces.Box(0.0, 50.0, (2,)),
        "battery": spaces.Box(0.0, 1.0, (1,)),
        "gear": spaces.Discrete(2, start=1),
        "robot": spaces.Dict({"joints": spaces.Box(-1.0, 1.0, (2, 1)), "mode": spaces.MultiDiscrete([2, 2])}),
        "pair": spaces.Tuple([spaces.Box(-1.0, 1.0, ()), spaces.MultiBinary(2)]),
    }
    assert named(spaces.Dict(parts)).names == (
        *("battery", "gear=1", "gear=2", "pair[0]", "pair[1][0]", "pair[1][1]"),
        *("robot.joints[0,0]", "robot.joints[1,0]"),
        *("robot.mode[0]=0", "robot.mode[0]=1", "robot.mode[1]=0", "robot.mode[1]=1"),
        *("zones[0]", "zones[1]"),
    )
    assert named(spaces.Discrete(2)).names == ("0=0", "0=1")


def test_bytes_are_divided_by_their_bounds_and_pictures_are_known() -> None:
    parts = {
        "a": spaces.Box(0, np.array([1, 9], np.uint8), (2,), np.uint8),
        "b": spaces.Box(0, 255, (16, 16, 1), np.uint8),
        "c": spaces.Box(0.0, 9.0, (1,)),
        "d": spaces.Box(0, 255, (1, 2), np.uint8),  # a board
    }
    components = named(spaces.Dict(parts))
    assert components.divisors == (1, 9, *[255] * 256, 1, 255, 255)
    assert components.flat == (True, True, *[False] * 256, True, True, True)


def test_advice_names_the_parts() -> None:
    findings = findings_of(
        space=spaces.Dict({"zones": spaces.Box(-9.0, 9.0, (2,)), "battery": spaces.Box(0.0, 1.0, (1,))}),
        obs=lambda self: {"zones": np.array([self.x, 7.0], np.float32), "battery": np.array([5.0], np.float32)},
    )
    reasons = [each.why for each in advise(findings)]
    assert reasons[0] == "observation battery, zones[1] never changed in 200 steps; leave it out to save weights"
