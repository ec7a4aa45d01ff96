"""Transitions become rows of the replay and come back; what does not fit is refused."""

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpg.experience.transitions import Transitions, check_transitions, from_rows, to_block
from ddpg.mistake import Mistake
from ddpg.types import Leaf, Spec

SPEC = Spec((2,), (-2.0, 0.0), (2.0, 10.0))


def episodes(*lengths: int, ends: str = "") -> Transitions:
    """Episodes of so many steps; each ends as its letter says: terminated, truncated, both, or cut off (-)."""
    columns: list[tuple[Any, ...]] = []
    for number, (length, end) in enumerate(zip(lengths, ends or "t" * len(lengths), strict=True)):
        for i in range(length):
            last = i == length - 1
            obs, following = np.array([number, i]), np.array([number, i + 1])
            action = [2 * np.sin(number + i), 5 + 5 * np.cos(i)]
            columns.append((obs, action, number + i / 10, following, last and end in "tb", last and end in "ub"))
    return check_transitions(Transitions(*map(np.array, zip(*columns, strict=True))), SPEC)


def by_start(transitions: Transitions) -> dict[tuple[float, ...], list[np.ndarray]]:
    return {tuple(row[0].tolist()): list(row[1:]) for row in zip(*transitions, strict=True)}


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from("tub-")), min_size=1, max_size=6), st.integers(1, 3))
def test_transitions_come_back_from_rows(parts: list[tuple[int, str]], envs: int) -> None:
    """Whatever the number of environments: all of them, an episode that was cut off as a truncated one."""
    lengths, ends = zip(*parts, strict=True)
    whole = episodes(*lengths, ends="".join(ends))
    block = to_block(whole, SPEC, 4, envs)
    assert block.reward.shape[0] % 4 == 0
    assert block.reward.shape[1] == envs
    # A later episode begins in the row after a boundary row, and a column ends with one.
    assert block.boundary[-1].all()
    back, expected = by_start(from_rows(block, SPEC)), by_start(whole)
    assert back.keys() == expected.keys()
    for start, (action, reward, following, terminated, truncated) in expected.items():
        found = back[start]
        np.testing.assert_allclose(found[0], action, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found[1], reward)
        np.testing.assert_array_equal(found[2], following)
        cut_off = following[1] == lengths[int(start[0])] and not terminated
        assert (bool(found[3]), bool(found[4])) == (bool(terminated), bool(cut_off or (truncated and not terminated)))


def test_actions_are_between_minus_1_and_1_inside() -> None:
    block = to_block(episodes(5), SPEC, 1, 1)
    assert np.abs(block.action).max() <= 1
    assert block.action[0, 0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": np.zeros((3, 1))}, r"reward of shape \(3, 1\), expected one number for each step"),
        ({"obs": np.zeros((3, 4))}, r"obs of shape \(3, 4\), expected \(3, 2\)"),
        ({"terminated": np.zeros(2)}, r"terminated of shape \(2,\), expected \(3,\)"),
        ({"next_obs": np.full((3, 2), np.nan)}, r"next_obs of dtype float64, expected finite numbers"),
        ({"obs": np.full((3, 2), "a")}, r"obs of dtype <U1, expected finite numbers"),
        ({"action": np.full((3, 2), 5.0)}, r"action \[5.0, 5.0\] at step 0, expected between \[-2.0, 0.0\] and \[2.0"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(Mistake, match=message):
        check_transitions(episodes(3)._replace(**change), SPEC)


def test_bytes_stay_bytes() -> None:
    spec = Spec((2,), (-1.0,), (1.0,), "uint8")
    some = episodes(3)._replace(action=np.zeros((3, 1)))
    for wrong in (np.full((3, 2), 0.5), np.full((3, 2), 256)):
        with pytest.raises(Mistake, match="expected bytes from 0 to 255"):
            check_transitions(some._replace(obs=wrong), spec)
    some = some._replace(obs=some.obs.astype(int), next_obs=some.next_obs.astype(int))
    block = to_block(check_transitions(some, spec), spec, 1, 1)
    assert jax.tree.map(lambda x: x.dtype.name, block)[:2] == ("uint8", "float32")


def test_pictures_beside_numbers_are_bytes() -> None:
    picture = Leaf(("a",), (16, 16), high=(255.0,))
    spec = Spec((258,), (-1.0,), (1.0,), leaves=(picture, Leaf(("b",), (2,))))
    obs = np.concatenate([np.full((3, 256), 7.0), np.full((3, 2), 0.5)], axis=1)
    some = episodes(3)._replace(action=np.zeros((3, 1)), obs=obs, next_obs=obs)
    assert check_transitions(some, spec).obs.dtype == np.float32
    for wrong in (0.5, -1.0, 256.0):
        with pytest.raises(Mistake, match="expected bytes of its pictures from 0 to 255"):
            check_transitions(some._replace(next_obs=np.where(obs == 7, wrong, obs)), spec)


def test_a_dimension_held_at_one_value() -> None:
    spec = Spec((2,), (-1.0, 0.5), (1.0, 0.5))
    some = check_transitions(episodes(3)._replace(action=np.tile([-1.0, 0.5], (3, 1))), spec)
    assert to_block(some, spec, 1, 1).action[0].tolist() == [[-1.0, 0.0]]
