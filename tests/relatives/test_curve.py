"""Learning curves of relatives: seeds, steps and starts."""

import jax
import numpy as np

from ddpg.algorithm.values import Scalar
from ddpg.envs.episodes import starts
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.point_reach import PointReach
from ddpg.relatives.copdac import COPDAC, Fourier
from ddpg.relatives.curve import learning_curve
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
