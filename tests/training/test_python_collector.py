"""Collecting with environments that Python steps: exact ends of episodes, plain sums, statistics of what was stored."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.normaliser import RunningStats
from ddpg.config.config import CollectionConfig, Config
from ddpg.envs.gymnasium_factory import GymFactory, by_callable
from ddpg.envs.python_vector import PythonStepResult, PythonVector
from ddpg.experience.replay import Replay
from ddpg.training.backend import behaviour_for, learner_for
from ddpg.training.driver import Learned, Report
from ddpg.training.host import Host
from ddpg.training.python_collector import PythonVectorEnv
from ddpg.training.randomness import ActionRandomness
from ddpg.training.reports import PendingReports, mean_report
from ddpg.types import Row, Transition
from tests.gym_worlds import ENDS, Script, Scripted, scripted_reward

AGENT = DPG(actor=NetworkConfig(widths=(8, 8)), critic=NetworkConfig(widths=(8, 8)))
K, BLOCKS, ENVS, GAMMA = 5, 4, 2, 0.9
ROWS = K * BLOCKS


def scripted(scripts: Sequence[Script]) -> tuple[GymFactory, list[Scripted]]:
    """One environment for each script; the first is made once more, for its spaces."""
    envs = [Scripted(i, script) for i, script in enumerate(scripts)]
    coming = iter(envs)
    return by_callable(lambda: next(coming), Scripted(-1, scripts[0])), envs


@cache
def tools(n_step: int) -> tuple[Config, Callable[..., Any], Callable[..., Transition]]:
    """A configuration, and its replay compiled: add, and every window there is as a transition."""
    spec, replay = scripted([[(1, "both")]])[0].spec, Replay(1000, 8, n_step)
    collect = CollectionConfig(steps=K, envs=ENVS, updates=1, warmup=10)
    bits = jnp.arange((ROWS - n_step) * ENVS, dtype=jnp.uint32)
    everything = jax.jit(lambda ring: replay.sample(ring, bits, jnp.int32(0), GAMMA, spec)[0])
    config = Config(agent=AGENT, replay=replay, gamma=GAMMA, collect=collect)
    return config, jax.jit(partial(replay.add, spec=spec)), everything


def slow(script: Script, number: int, row: int, n: int) -> tuple[int, int, float, float, list[float]] | None:
    """(episode, step, return, discount, next observation) of what begins in this row, from the script alone."""
    episode = 0
    while row > script[episode % len(script)][0]:  # an episode takes a row for each step, and one for its last obs
        row -= script[episode % len(script)][0] + 1
        episode += 1
    length, how = script[episode % len(script)]
    if row == length:
        return None
    steps = min(n, length - row)
    total = sum(GAMMA**i * scripted_reward(number, episode, row + i + 1) for i in range(steps))
    ended = row + steps == length and how != "truncated"
    return episode, row, total, 0.0 if ended else GAMMA**steps, [number, episode, row + steps]


def host_of(config: Config, env: GymFactory, envs: PythonVectorEnv) -> Host:
    return Host(learner_for(config, env.spec), behaviour_for(config, env.spec), envs)


episodes = st.tuples(st.integers(1, 9), st.sampled_from(sorted(ENDS)))
scripts = st.lists(episodes, min_size=1, max_size=5)


@settings(max_examples=60)
@given(st.lists(scripts, min_size=2 * ENVS, max_size=2 * ENVS), st.integers(1, 4))
def test_every_transition_is_the_scripts(scripts: list[Script], n_step: int) -> None:
    config, add, everything = tools(n_step)
    gym, envs = scripted(scripts)
    host = host_of(config, gym, PythonVector(gym, [0, 1], ENVS))
    host.start(jnp.stack([jax.random.key(seed) for seed in (0, 1)]))
    policies = [jax.tree.map(np.asarray, state.acting) for state in vars(host)["_states"]]
    rng = np.random.default_rng(0)
    blocks = list[Row]()
    for t in range(BLOCKS):
        normal = rng.normal(size=(2, K, ENVS, 2)).astype(np.float32)
        draws = [ActionRandomness(each, np.tanh(each)) for each in normal]
        blocks.append(host.collector.collect(policies, np.int32(t), draws))
    for s in range(2):
        own = [jax.tree.map(lambda x, s=s: x[s], block) for block in blocks]
        ring = config.replay.init(own[0], gym.spec)
        for block in own:
            ring = add(ring, block)
        got = jax.device_get(everything(ring))
        expected = [
            slow(scripts[s * ENVS + i % ENVS], s * ENVS + i % ENVS, i // ENVS, n_step) for i in range(len(got.obs))
        ]
        np.testing.assert_array_equal(got.weight > 0, [one is not None for one in expected])
        for i, one in enumerate(expected):
            if one is None:
                continue
            episode, step, total, discount, next_obs = one
            number = s * ENVS + i % ENVS
            assert got.obs[i].tolist() == [number, episode, step]
            assert got.next_obs[i].tolist() == next_obs
            np.testing.assert_allclose(got.action[i], envs[number].got[episode, step], atol=1e-7)
            np.testing.assert_allclose(got.reward[i], total, atol=1e-5)
            np.testing.assert_allclose(got.discount[i], discount, rtol=1e-6)


class Recorded(PythonVector):
    """Environments, and everything they said."""

    def __init__(self, gym: GymFactory) -> None:
        super().__init__(gym, [0, 1], ENVS)
        self.obs, self.said = list[np.ndarray](), list[PythonStepResult]()

    def reset(self) -> np.ndarray:
        self.obs.append(super().reset())
        return self.obs[0]

    def step(self, action: np.ndarray) -> PythonStepResult:
        said = super().step(action)
        self.obs.append(said.obs)
        self.said.append(said)
        return said


SEVERAL = [[(3, "both"), (1, "truncated")], [(7, "terminated")], [(60, "truncated")], [(1, "both"), (26, "truncated")]]


@pytest.fixture(scope="module")
def played() -> tuple[Recorded, list[Report], Learned]:
    """Two seeds of two environments: three chunks of four blocks, the last two learning."""
    config, env = replace(tools(1)[0], normalise=True), scripted(SEVERAL)[0]
    recorded = Recorded(env)
    host, reports = host_of(config, env, recorded), list[Report]()
    host.start(jnp.stack([jax.random.key(seed) for seed in (0, 1)]))
    for chunk in range(3):
        report = host.compile(longest=BLOCKS, learning=chunk > 0)(np.int32(chunk * BLOCKS), BLOCKS)
        assert len(report.episodes) == BLOCKS
        reports.append(mean_report(PendingReports(report, np.ones(BLOCKS))))
    return recorded, reports, host.read()


def test_the_report_is_a_plain_sum(played: tuple[Recorded, list[Report], Learned]) -> None:
    recorded, reports, _ = played
    running = np.zeros((2, ENVS))
    for chunk, report in enumerate(reports):
        finished: list[list[float]] = [[], []]
        rows = recorded.said[chunk * ROWS : (chunk + 1) * ROWS]
        for said in rows:
            running += said.reward
            for seed, env in np.argwhere(said.terminated | said.truncated):
                finished[seed].append(running[seed, env])
                running[seed, env] = 0
        assert np.asarray(report.episodes).tolist() == [len(returns) for returns in finished]
        means = [np.mean(returns) if returns else np.nan for returns in finished]
        np.testing.assert_allclose(report.episode_return, np.array(means), atol=1e-5)
        rewards = np.array([said.reward for said in rows])
        np.testing.assert_allclose(report.highest_reward, rewards.max(axis=(0, 2)))
        np.testing.assert_allclose(report.lowest_reward, rewards.min(axis=(0, 2)))
        assert all(np.isnan(values).all() != (chunk > 0) for values in report.metrics)
    assert np.isnan(reports[0].episode_return).tolist() == [False, False]
    assert len(recorded.said) == 3 * ROWS


def test_statistics_are_numpys_over_what_was_stored(played: tuple[Recorded, list[Report], Learned]) -> None:
    recorded, _, carry = played
    ended = [np.zeros((2, ENVS), bool), *(said.terminated | said.truncated for said in recorded.said)]
    count = 3 * ROWS - K  # the block collected last is stored with the next iteration
    assert isinstance(carry.stats, RunningStats)
    for seed in range(2):
        seen = np.concatenate([recorded.obs[i][seed][~ended[i][seed]] for i in range(count)]).astype(np.float64)
        assert carry.stats.count[seed] == len(seen)
        np.testing.assert_allclose(carry.stats.mean[seed], seen.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(carry.stats.variance[seed], seen.var(axis=0), rtol=1e-4, atol=1e-6)
