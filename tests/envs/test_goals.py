"""The rewards of other goals, as environments answer them: for many pairs, for one, or wrongly."""

from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.goals import CompiledGoalReward, GoalReward, HasGoals
from ddpg.envs.point_goal import PointGoal
from ddpg.mistake import Mistake

RNG = np.random.default_rng(0)
ACHIEVED, DESIRED = (RNG.uniform(-0.1, 0.1, shape).astype(np.float32) for shape in ((5, 3, 4, 2), (5, 4, 2)))
DISTANCE = np.linalg.norm(ACHIEVED - DESIRED[:, None], axis=-1)


class Answers(gymnasium.Env):
    """An environment whose compute_reward is a function."""

    def __init__(self, reward: Any = None, terminated: Any = None) -> None:
        if reward is not None:
            self.compute_reward = reward
        if terminated is not None:
            self.compute_terminated = terminated


def many(achieved: Any, desired: Any, info: Any) -> Any:
    assert info == {}
    return -(np.linalg.norm(achieved - desired, axis=-1) > 0.05).astype(np.float64)


def one(achieved: Any, desired: Any, info: Any) -> Any:
    x, y = achieved
    return 0.0 if float(np.hypot(x - desired[0], y - desired[1])) <= 0.05 else -1.0


def norm_of_all(achieved: Any, desired: Any, info: Any) -> Any:
    return -float(np.linalg.norm(achieved - desired) > 0.05)


@pytest.mark.parametrize("compute", [many, one, norm_of_all])
def test_pairs_at_once_or_one_by_one(compute: Any) -> None:
    wrapped = gymnasium.Wrapper(Answers(compute, lambda *goals: compute(*goals) == 0))
    for env in (Answers(compute), wrapped):
        answer = GoalReward(env, "it", (2,))
        reward, terminated = answer(ACHIEVED, DESIRED)
        assert reward.dtype == np.float32
        np.testing.assert_array_equal(reward, -(DISTANCE > 0.05).astype(float))
        like = answer.like(ACHIEVED.shape)
        assert like[0].shape == reward.shape
        if env is wrapped:
            np.testing.assert_array_equal(terminated, DISTANCE <= 0.05)
            assert like[1] is not None
        else:
            assert terminated is like[1] is None


def test_goals_have_their_shape() -> None:
    seen = list[tuple[int, ...]]()
    answer = GoalReward(Answers(lambda a, d, _: seen.append((a.shape, d.shape)) or np.zeros(len(a))), "it", (1, 2))
    answer(ACHIEVED, DESIRED)
    assert seen == [((60, 1, 2), (60, 1, 2))]


def fails(*_: Any) -> Any:
    raise RuntimeError("no\nmotor")


@pytest.mark.parametrize(
    ("compute", "line"),
    [
        (fails, r"^compute_reward raised RuntimeError: no motor \(in .*test_goals\.py, line \d+\)$"),
        (lambda *_: np.zeros(3), r"^compute_reward answered array\(\[0\., 0\., 0\.\]\) for one pair of goals, "),
        (lambda *_: "far", r"^compute_reward answered .*'far'.* for one pair of goals, expected one number$"),
        (lambda *_: np.nan, r"^compute_reward answered NaN or infinity, expected finite numbers of 32 bits$"),
    ],
)
def test_wrong_answers_are_one_line(compute: Any, line: str) -> None:
    with pytest.raises(EnvironmentFailure, match=line):
        GoalReward(Answers(compute), "it", (2,))(ACHIEVED, DESIRED)


def test_it_must_have_the_method() -> None:
    with pytest.raises(Mistake, match=r"^replay\.relabel: it has no method compute_reward\(achieved_goal, "):
        GoalReward(Answers(), "it", (2,))


def test_compiled_environments_answer_the_same() -> None:
    env = PointGoal()
    assert isinstance(env, HasGoals)
    reward, terminated = CompiledGoalReward(env)(jnp.asarray(ACHIEVED[0]), jnp.asarray(DESIRED[0]))
    np.testing.assert_array_equal(reward, -(DISTANCE[0] > 0.05).astype(float))
    assert terminated is None
