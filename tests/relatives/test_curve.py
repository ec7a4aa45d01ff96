"""Learning curves of relatives: seeds, steps and starts."""

import jax
import numpy as np
import pytest

from ddpg.algorithm.values import Scalar
from ddpg.envs.episodes import starts
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.point_reach import PointReach
from ddpg.mistake import Mistake
from ddpg.relatives.copdac import COPDAC, Fourier
from ddpg.relatives.curve import learning_curve
from ddpg.relatives.reinforce import Reinforce
from ddpg.training.evaluate import CompiledEvaluator
from ddpg.training.evaluation import CriticComparison

AGENT = COPDAC(Fourier((-1.5,), (1.5,), order=2))


def test_seed_i_of_many_is_that_seed_alone() -> None:
    many = learning_curve(AGENT, PointReach(), steps=300, every=100, seeds=3, episodes=5)
    alone = learning_curve(AGENT, PointReach(), steps=300, every=100, seed=2, episodes=5)
    assert many.steps.tolist() == [0, 100, 200, 300]
    assert many.returns.shape == many.seconds.shape == (3, 4)
    np.testing.assert_array_equal(many.returns[2], alone.returns[0])
    assert len(set(many.returns[:, -1])) == 3
    assert (np.diff(many.seconds, axis=1) > 0).all()


def test_the_starts_are_those_of_every_run() -> None:
    evaluator = CompiledEvaluator(Pendulum(), CriticComparison(Scalar(), 0.99))
    for one, other in zip(jax.tree.leaves(evaluator.starts()), jax.tree.leaves(starts(Pendulum(), 100)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_steps_that_were_made_count() -> None:
    """REINFORCE makes an update per 2 episodes of 10 steps: 30 steps are rounded up to two updates."""
    agent = Reinforce(episodes=2)
    curve = learning_curve(agent, PointReach(), steps=95, every=30, episodes=5)
    assert curve.steps.tolist() == [0, 40, 80]
    np.testing.assert_array_equal(
        curve.returns, learning_curve(agent, PointReach(), steps=80, every=40, episodes=5).returns
    )
    with pytest.raises(Mistake, match=r"steps 19: too few for an update and its evaluation; use at least 20"):
        learning_curve(agent, PointReach(), steps=19, every=1)


def test_what_is_asked_before_a_point_may_end_it() -> None:
    asked = list[int]()

    def third() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learning_curve(AGENT, PointReach(), steps=300, every=100, episodes=5, before=third)
    assert len(asked) == 3
