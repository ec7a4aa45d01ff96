"""Every way in which an environment can misbehave is one line that names it, its step and what was wrong."""

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from ddpg.envs.foreign import EnvironmentFailure, Guard
from ddpg.envs.gymnasium_factory import by_id
from ddpg.envs.python_vector import PythonVector
from tests.gym_worlds import PLANE, Puppet, answer, checked, factory_of, play


def raises() -> Any:
    raise RuntimeError("out of\n   fuel")


BAD = [
    (raises, "{} raised RuntimeError: out of fuel"),
    ([0.5, np.nan], "observation nan at index 1, expected finite numbers"),
    (np.array([np.inf, 0], np.float32), "observation inf at index 0, expected finite numbers of 32 bits"),
    ([-np.inf, 0], "observation -inf at index 0, expected finite numbers"),
    ([0.0, 1e300], r"observation 1e\+300 at index 1, expected finite numbers"),
    (np.zeros(3), r"observation of shape \(3,\), expected \(2,\)"),
    (np.zeros((1, 2)), r"observation of shape \(1, 2\), expected \(2,\)"),
    (3.0, r"observation of shape \(\), expected \(2,\)"),
    (None, r"observation of shape \(\), expected \(2,\)"),
    ([[1.0], [1.0, 2.0]], r"observation \[\[1.0\], \[1.0, 2.0\]\] is not an array"),
    (np.zeros(2, np.complex64), "observation of dtype complex64, expected numbers"),
    (["a", "b"], "observation of dtype <U1, expected numbers"),
    (np.array([1, None]), "observation of dtype object, expected numbers"),
]
BAD_IMAGES = [
    (
        np.zeros((2, 2, 1), np.float32),
        "observation of dtype float32, expected bytes from 0 to 255, which ddpg divides itself",
    ),
    (np.full((2, 2, 1), 256), "observation from 256 to 256, expected bytes from 0 to 255"),
    (np.full((2, 2, 1), -1, np.int8), "observation from -1 to -1, expected bytes from 0 to 255"),
    (np.zeros((1, 2, 2), np.uint8), r"observation of shape \(1, 2, 2\), expected \(2, 2, 1\)"),
]
PARTS = spaces.Dict(
    a=PLANE, b=spaces.Discrete(3), c=spaces.Tuple((spaces.MultiDiscrete([2, 3]),)), d=spaces.Box(0, 9, (2,), np.uint8)
)
GOOD = {"a": np.zeros(2, np.float32), "b": 1, "c": (np.array([1, 2]),), "d": np.array([1, 2], np.uint8)}
BAD_PARTS = [
    ({"a": GOOD["a"]}, r"observation .* has no \['b'\] \(KeyError"),
    (GOOD | {"b": 7}, r"observation\['b'\] 7, expected whole numbers from 0 to 2"),
    (GOOD | {"b": -1}, r"observation\['b'\] -1, expected whole numbers from 0 to 2"),
    (GOOD | {"b": 1.0}, r"observation\['b'\] 1.0, expected whole numbers from 0 to 2"),
    (
        GOOD | {"c": (np.array([2, 0]),)},
        r"observation\['c'\]\[0\] \[2, 0\], expected whole numbers from \[0 0\] to \[1 2\]",
    ),
    (GOOD | {"c": ()}, r"observation .* has no \['c'\]\[0\] \(IndexError"),
    (GOOD | {"a": np.array(["x", "y"])}, r"observation\['a'\] of dtype <U1, expected numbers"),
    (GOOD | {"a": np.zeros(2, np.complex64)}, r"observation\['a'\] of dtype complex64, expected numbers"),
    (GOOD | {"a": np.zeros(3, np.float32)}, r"observation\['a'\] of shape \(3,\), expected \(2,\)"),
    (GOOD | {"a": np.zeros((2, 1), np.float32)}, r"observation\['a'\] of shape \(2, 1\), expected \(2,\)"),
    (GOOD | {"a": np.array([0, np.nan])}, r"observation\['a'\] nan at index 1, expected finite numbers"),
    (GOOD | {"d": np.array([0.5, 1.0])}, r"observation\['d'\] of dtype float64, expected bytes"),
    (GOOD | {"d": np.array([300, 1])}, r"observation\['d'\] from 1 to 300, expected bytes"),
    (np.zeros(5), r"observation .* has no \['a'\] \(IndexError"),
    (None, r"observation None has no \['a'\] \(TypeError"),
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
    with pytest.raises(EnvironmentFailure) as error:
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
        ("good", "reward 'good', expected one number"),
        (None, "reward None, expected one number"),
        (1 + 2j, r"reward \(1\+2j\), expected one number"),
        (np.zeros((2, 30)), r"reward array\(.*\.\.\., expected one number"),
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
    with pytest.raises(EnvironmentFailure, match=r"^environment 0 at its step 4 \(episode 1\): reward nan"):
        edge.step(np.zeros(1, np.float32))


def test_bad_ends_and_answers() -> None:
    edge, _ = checked(length=1, terminated=np.array([True, False]))
    edge.reset()
    with pytest.raises(
        EnvironmentFailure, match=r"at its step 1 \(episode 1\): terminated and truncated array.* two booleans"
    ):
        edge.step(np.zeros(1, np.float32))

    edge, _ = checked(rewards=lambda: Tensor())
    edge.reset()
    with pytest.raises(EnvironmentFailure, match=r"at its step 1 \(episode 1\): reward <.*Tensor.*expected one number"):
        edge.step(np.zeros(1, np.float32))


class Tensor:
    """On another device: whatever would make a number of it raises."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("use Tensor.cpu() first")

    __bool__ = __float__ = __array__


@pytest.mark.parametrize("space", [PLANE, spaces.Dict(a=PLANE)])
def test_tensors_that_are_no_arrays(space: spaces.Space) -> None:
    edge, _ = checked(obs=space, says=Tensor() if space is PLANE else {"a": Tensor()})
    with pytest.raises(EnvironmentFailure, match=r"is not an array \(RuntimeError: use Tensor.cpu\(\) first\)$"):
        edge.reset()
    edge, _ = checked(length=1, terminated=Tensor())
    edge.reset()
    with pytest.raises(
        EnvironmentFailure, match=r"terminated and truncated <.*Tensor.* and False, expected two booleans"
    ):
        edge.step(np.zeros(1, np.float32))


@pytest.mark.parametrize(
    ("space", "answer"),
    [(PLANE, np.zeros(2)), (PLANE, (0.0, 1.0)), (PARTS, GOOD), (PLANE, [np.zeros(2)]), (PLANE, None)],
)
def test_resets_of_the_old_api(space: spaces.Space, answer: Any) -> None:
    class Old(Puppet):
        """Answers an observation alone."""

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return answer

    with pytest.raises(EnvironmentFailure, match=r"episode 1\): reset answered .*, expected \(observation, info\)$"):
        factory_of(lambda: Old(obs=space)).make().reset()


def test_steps_of_the_old_api() -> None:
    class Old(Puppet):
        """Answers four things, as before Gymnasium."""

        def step(self, action: np.ndarray) -> Any:
            return super().step(action)[:4]

    old = factory_of(Old).make()
    old.reset()
    said = r"at its step 1 \(episode 1\): step answered .*, expected five things: \(observation, reward, term"
    with pytest.raises(EnvironmentFailure, match=said):
        old.step(np.zeros(1, np.float32))


class Picky(Puppet):
    """Takes a seed, and no options."""

    def reset(self, **given: Any) -> Any:
        assert set(given) <= {"seed"}
        return super().reset(**given)


def test_a_reset_gets_nothing_that_nobody_asked_for() -> None:
    assert factory_of(Picky).make().reset(seed=3, options=None)[0].tolist() == [0, 0]


class Exits(Puppet):
    """Ends the program where it is asked to, as scripts do that were made an environment."""

    where = ""

    def __init__(self) -> None:
        super().__init__()
        self.leave("make")

    def leave(self, here: str) -> None:
        if here == self.where:
            sys.exit("no simulator")

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.leave("reset")
        return super().reset(seed=seed)

    def step(self, action: np.ndarray) -> Any:
        self.leave("step")
        return super().step(action)

    def render(self) -> Any:
        self.leave("render")

    def close(self) -> None:
        self.leave("close")


@pytest.mark.parametrize("where", ["make", "reset", "step", "render"])
def test_whatever_is_raised_anywhere_is_one_line_with_its_place(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gym = factory_of(Exits)
    monkeypatch.setattr(Exits, "where", where)
    said = rf"(cannot be made:|{where} raised) SystemExit: no simulator \(in .*test_misbehaviour.py, line \d+\)$"

    def live() -> None:
        edge = gym.make()
        edge.reset()
        edge.step(np.zeros(1, np.float32))
        edge.render()

    with pytest.raises(EnvironmentFailure, match=said) as caught:
        live()
    assert isinstance(caught.value.__cause__, SystemExit)


def test_closing_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exits, "where", "close")
    gym = factory_of(Exits)  # which closes one
    gym.make().close()


def test_ctrl_c_is_not_the_environments() -> None:
    with pytest.raises(KeyboardInterrupt), Guard(lambda: "step raised"):
        raise KeyboardInterrupt


def test_the_place_is_the_environments_own_line_before_those_of_packages() -> None:
    with (
        pytest.raises(EnvironmentFailure, match=r"\(in .*test_misbehaviour.py, line \d+\)$"),
        Guard(lambda: "reset raised"),
    ):
        spaces.Box(2, 1, (1,))
    with pytest.raises(EnvironmentFailure, match=r"\(in .*gymnasium/.*.py, line \d+\)$"):
        by_id("CartPole-v9")
