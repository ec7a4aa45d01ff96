"""What an actor does, without Ray: its segments are the stream of its own environments."""

from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.exploration import Gaussian
from ddpg.algorithm.nets import GreedyPolicy
from ddpg.algorithm.networks import NetworkConfig
from ddpg.config.config import ActorsConfig
from ddpg.envs.gymnasium_factory import by_callable
from ddpg.training.collector import BehaviourPolicy
from ddpg.training.remote_collector import Collected, RemoteCollector
from tests.gym_worlds import GymWalk
from tests.networks import init_agent

GYM = replace(by_callable(GymWalk, GymWalk()), log=())
AGENT = DPG(actor=NetworkConfig(widths=(4,)), exploration=Gaussian(sigma=0.5))
BEHAVIOUR = BehaviourPolicy(AGENT, GYM.spec, envs=2, steps=9, warmup=0)


def policy() -> GreedyPolicy:
    nets = jax.tree.map(np.asarray, init_agent(AGENT, jax.random.key(0), GYM.spec).online)
    return GreedyPolicy(None, nets.encoder, nets.actor)


def collected(behaviour: BehaviourPolicy, index: int, blocks: int = 3) -> list[Collected]:
    collector, mu = RemoteCollector(behaviour, GYM, 5, index), policy()
    return [collector.collect(mu, np.int32(t)) for t in range(blocks)]


def test_segments_follow_one_another() -> None:
    blocks = [each.block for each in collected(BEHAVIOUR, 0)]
    for one, other in pairwise(blocks):
        assert one.boundary[-1].all()
        np.testing.assert_array_equal(one.obs[-1], other.obs[0])
        assert np.logical_or.reduce([one.truncated[-2], one.terminated[-2], one.boundary[-2]]).all()
    steps = jax.tree.map(lambda *rows: np.concatenate([row[:-1] for row in rows]), *blocks)
    inner = np.arange(len(steps.reward)) % 9 != 8
    x, t = steps.obs[..., 0], steps.obs[..., 1]
    for n in range(2):  # as GymWalk moves, across blocks too
        for i in range(len(x) - 1):
            if not steps.boundary[i, n]:
                np.testing.assert_allclose(x[i + 1, n], x[i, n] + steps.action[i, n, 0], atol=1e-6)
                assert steps.terminated[i, n] == (x[i + 1, n] > 1)
                if inner[i]:
                    assert steps.truncated[i, n] == (t[i + 1, n] == 6)
            else:
                assert x[i + 1, n] == 0


def test_returns_of_episodes_that_go_on_over_blocks() -> None:
    each = collected(BEHAVIOUR, 0, blocks=6)
    steps = jax.tree.map(lambda *rows: np.concatenate([row[:-1] for row in rows]), *[one.block for one in each])
    returns = list[float]()
    for n in range(2):
        total = 0.0
        for i in range(len(steps.reward)):
            total += steps.reward[i, n]
            if not steps.boundary[i, n] and (steps.terminated[i, n] or steps.obs[i, n, 1] == 5):
                returns.append(total)
                total = 0.0
    count = sum(int(one.episodes) for one in each)
    mean = sum(float(one.episode_return) * int(one.episodes) for one in each if one.episodes) / count
    assert count == len(returns)
    assert mean == pytest.approx(np.mean(returns), abs=1e-4)


def test_each_index_has_noise_of_its_own_and_its_scale() -> None:
    one, again, other = (collected(BEHAVIOUR, index, 1)[0].block for index in (0, 0, 1))
    np.testing.assert_array_equal(one.action, again.action)
    assert np.mean((one.action != other.action)[:-1]) > 0.5
    mu = policy()
    softer = [collected(BEHAVIOUR.scaled(scale), 0, 1)[0].block for scale in (0.1, 0.2)]
    noise, twice = (row.action[0] - mu(row.obs[0]) for row in softer)
    np.testing.assert_allclose(twice, 2 * noise, atol=1e-5)
    assert abs(noise).max() > 0.01


def test_the_spread_of_noise() -> None:
    actors = ActorsConfig(number=5, spread=4.0)
    np.testing.assert_allclose([actors.scale(slot) for slot in range(5)], [4, 2, 1, 0.5, 0.25])
    assert ActorsConfig(number=1, spread=4.0).scale(0) == 1
