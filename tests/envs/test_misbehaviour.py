"""Every way in which an environment can misbehave is one line that names it, its step and what was wrong."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from ddpg.envs.gymnasium_edge import Misbehaved
from ddpg.envs.python_vector import PythonVector
from tests.gym_worlds import PLANE, Puppet, answer, checked, factory_of, play


def raises() -> Any:
    raise RuntimeError("out of\n   fuel")


BAD = [
    (raises, "{} raised RuntimeError: out of fuel"),
    ([0.5, np.nan], "observation nan at index 1, expected finite numbers"),
    (np.array([np.inf, 0], np.float32), "observation inf at index 0, expected finite numbers"),
    ([-np.inf, 0], "observation -inf at index 0, expected finite numbers"),
    ([0.0, 1e300], r"observation 1e\+300 at index 1, expected finite numbers"),
    (np.zeros(3), r"observation of shape \(3,\), expected \(2,\)"),
    (np.zeros((1, 2)), r"observation of shape \(1, 2\), expected \(2,\)"),
    (3.0, r"observation of shape \(\), expected \(2,\)"),
    (None, r"observation of shape \(\), expected \(2,\)"),
    ([[1.0], [1.0, 2.0]], r"observation \[\[1.0\], \[1.0, 2.0\]\] is not an array"),
    (np.zeros(2, np.complex64), "observation of dtype complex64, expected float32"),
    (["a", "b"], "observation of dtype <U1, expected float32"),
    (np.array([1, None]), "observation of dtype object, expected float32"),
]
BAD_IMAGES = [
    (np.zeros((2, 2, 1), np.float32), "observation of dtype float32, expected uint8"),
    (np.zeros((2, 2, 1), np.int64), "observation of dtype int64, expected uint8"),
    (np.zeros((1, 2, 2), np.uint8), r"observation of shape \(1, 2, 2\), expected \(2, 2, 1\)"),
]
PARTS = spaces.Dict(a=PLANE, b=spaces.Discrete(3), c=spaces.Tuple((spaces.MultiDiscrete([2, 3]),)))
GOOD = {"a": np.zeros(2, np.float32), "b": 1, "c": (np.array([1, 2]),)}
BAD_PARTS = [
    ({"a": GOOD["a"]}, r"observation .* is outside its space \(KeyError"),
    (GOOD | {"b": 7}, r"observation\['b'\] 7 is outside its space Discrete\(3\)"),
    (GOOD | {"b": -1}, r"observation\['b'\] -1 is outside its space Discrete\(3\)"),
    (GOOD | {"b": 1.0}, r"observation\['b'\] 1.0 is outside its space Discrete\(3\)"),
    (
        GOOD | {"c": (np.array([2, 0]),)},
        r"observation\['c'\]\[0\] array\(\[2, 0\]\) is outside its space MultiDiscrete",
    ),
    (GOOD | {"c": ()}, r"observation .* is outside its space \(IndexError"),
    (GOOD | {"a": np.array(["x", "y"])}, r"observation\['a'\] array.* is outside its space Box"),
    (GOOD | {"a": np.zeros(2, np.complex64)}, r"observation\['a'\] array.* is outside its space Box"),
    (GOOD | {"a": np.zeros(3, np.float32)}, r"observation\['a'\] array.* is outside its space Box"),
    (GOOD | {"a": np.zeros((2, 1), np.float32)}, r"observation\['a'\] array.* is outside its space Box"),
    (GOOD | {"a": np.array([0, np.nan])}, "observation nan at index 1, expected finite numbers"),
    (np.zeros(5), r"observation .* is outside its space"),
    (None, r"observation .* is outside its space"),
]
IMAGE = spaces.Box(0, 255, (2, 2, 1), np.uint8)
CASES = [
    *((PLANE, (0.0, 0.0), *case) for case in BAD),
    *((IMAGE, np.zeros((2, 2, 1), np.uint8), *case) for case in BAD_IMAGES),
    *((PARTS, GOOD, *case) for case in BAD_PARTS),
]


def but(number: int, good: Any, bad: Any) -> Callable[[], Any]:
    """Says what is good, but the bad thing once, after `number` times."""
    count = iter(range(100))
    return lambda: answer(bad if next(count) == number else good)


def third_of_four(bad: dict[str, Any], good: dict[str, Any]) -> PythonVector:
    """Two seeds with two environments each, whose episodes have 2 steps; number 2 says other things."""
    count = iter(range(100))

    def make() -> Puppet:  # the first is the one whose spaces are read
        fields: dict[str, Any] = good | (bad if next(count) == 3 else {})
        return Puppet(length=2, **fields)

    return PythonVector(factory_of(make), [0, 1], 2)


def caught(hosted: PythonVector) -> str:
    with pytest.raises(Misbehaved) as error:
        play(hosted, 10)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("space", "good", "bad", "line"), CASES)
def test_bad_observations_of_steps(space: spaces.Space, good: Any, bad: Any, line: str) -> None:
    says = but(4, good, bad)  # reset, step, step, reset, step
    message = caught(third_of_four({"says": says}, {"obs": space, "says": good}))
    assert re.match(rf"environment 2 at its step 3 \(episode 2\): {line.format('step')}", message)


@pytest.mark.parametrize(("space", "good", "bad", "line"), CASES)
@pytest.mark.parametrize("episode", [1, 2])
def test_bad_observations_of_resets(space: spaces.Space, good: Any, bad: Any, line: str, episode: int) -> None:
    says = but(3 * (episode - 1), good, bad)
    message = caught(third_of_four({"says": says}, {"obs": space, "says": good}))
    step = 2 * (episode - 1)
    assert re.match(rf"environment 2 at its step {step} \(episode {episode}\): {line.format('reset')}", message)


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        (np.nan, "reward nan, expected a finite number"),
        (np.float32(np.inf), "reward inf, expected a finite number"),
        (-1e300, r"reward -1e\+300, expected a finite number"),
        ("good", "reward 'good', expected a number"),
        (None, "reward None, expected a number"),
        (1 + 2j, r"reward \(1\+2j\), expected a number"),
        (np.zeros((2, 30)), r"reward array\(.*\.\.\., expected a number"),
        (raises, "step raised RuntimeError: out of fuel"),
    ],
)
def test_bad_rewards(bad: Any, line: str) -> None:
    message = caught(third_of_four({"rewards": but(2, 1.0, bad)}, {}))
    assert re.match(rf"environment 2 at its step 3 \(episode 2\): {line}", message)


def test_bad_rewards_are_seen_through_action_repeat() -> None:
    rewards = iter([1.0, 1.0, np.inf, -np.inf, 1.0, 1.0])
    edge, _ = checked(repeat=2, rewards=lambda: next(rewards))
    edge.reset()
    edge.step(np.zeros(1, np.float32))
    with pytest.raises(Misbehaved, match=r"^environment 0 at its step 4 \(episode 1\): reward nan"):
        edge.step(np.zeros(1, np.float32))


def test_bad_ends_and_answers() -> None:
    edge, _ = checked(length=1, terminated=np.array([True, False]))
    edge.reset()
    with pytest.raises(Misbehaved, match=r"at its step 1 \(episode 1\): terminated and truncated array.* two booleans"):
        edge.step(np.zeros(1, np.float32))

    class Old(Puppet):
        """Answers four things, as before Gymnasium."""

        def step(self, action: np.ndarray) -> Any:
            return super().step(action)[:4]

    old = factory_of(Old).one()
    old.reset()
    with pytest.raises(Misbehaved, match=r"at its step 1 \(episode 1\): step raised ValueError: not enough values"):
        old.step(np.zeros(1, np.float32))
