"""The loop: seeds, chunks, what is stored and when is learned, and what the compiled program must not do."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import SingleDeviceSharding
from jaxtyping import Float
from scipy import stats

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.exploration import Gaussian, OrnsteinUhlenbeck
from ddpg.algorithm.initialisers import Normal
from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.normaliser import RunningStats
from ddpg.config.config import CollectionConfig, Config
from ddpg.experience.replay import Replay
from ddpg.experience.ring import all_rows
from ddpg.hyperparameters import split
from ddpg.schedules import Linear
from ddpg.training.backend import loop_for
from ddpg.training.driver import Report
from ddpg.training.loop import Loop, TrainState
from ddpg.training.randomness import IterationRandomness, UpdateRandomness
from ddpg.training.reports import mean_report, no_reports
from ddpg.training.scan import Scan, _program
from ddpg.types import Key, Row
from tests.worlds import Cart, Point

N = 2
traced = 0


class Counted(Cart):
    """A cart that counts how often Python has passed through its step."""

    def step(self, state: Point, action: Float[Array, "1"]) -> tuple[Point, Array, Array, Array, Array]:
        global traced
        traced += 1
        return super().step(state, action)


AGENT = DPG(
    actor=NetworkConfig(widths=(8, 8), init=Normal()),
    critic=NetworkConfig(widths=(8, 8), l2=0.01),
    critics=2,
    exploration=OrnsteinUhlenbeck(schedule=Linear(steps=100)),
)
CONFIG = Config(
    agent=AGENT,
    replay=Replay(capacity=3001, batch=8, n_step=2),
    gamma=0.9,
    collect=CollectionConfig(steps=3, envs=N, updates=2, warmup=12),
)
LOOP = loop_for(CONFIG, Counted())
TEN = 10  # iterations of the chunks here


def keys(*seeds: int) -> Key:
    return jnp.stack([jax.random.key(seed) for seed in seeds])


def turned(seeds: list[int], *lengths: int) -> tuple[Scan, list[Report]]:
    """Seeds after chunks of so many iterations, learning from the first on."""
    scan, reports, t = Scan(LOOP), list[Report](), 0
    scan.start(keys(*seeds))
    for n in lengths:
        reports.append(scan.compile(longest=n, learning=True)(np.int32(t), n))
        t += n
    return scan, reports


def of_seed(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda x: x[i], tree)


def several(loop: Loop, state: TrainState, t0: int, n: int, learning: bool) -> tuple[TrainState, Report]:
    """n iterations, and the report of each."""
    return loop.chunk(state, jnp.int32(t0), jnp.int32(n), n, learning)


def means(report: Report) -> Report:
    """Over the iterations of one seed."""
    pieces = jax.tree.map(lambda x: np.asarray(x)[:, None], report)
    return jax.tree.map(lambda x: x[0], mean_report(no_reports(Config()).add(pieces)))


@pytest.fixture(scope="module")
def three() -> tuple[Scan, Report]:
    """Seeds 5, 6 and 7 after ten iterations, on two devices."""
    scan, (report,) = turned([5, 6, 7], TEN)
    assert len(set.union(*(state.learner.key.devices() for state in vars(scan)["_states"]))) == 2
    return scan, report


def test_a_seed_among_many_is_that_seed_alone(
    three: tuple[Scan, Report], assert_identical: Callable[[Any, Any], None]
) -> None:
    scan, report = three
    alone, (own,) = turned([6], TEN)  # on the first device; among the three it was on the second
    assert_identical(of_seed(alone.snapshot(), 0), of_seed(scan.snapshot(), 1))
    assert_identical(jax.tree.map(lambda x: x[:, 0], own), jax.tree.map(lambda x: x[:, 1], report))


@pytest.mark.slow
def test_seeds_side_by_side_are_those_alone_up_to_rounding(
    three: tuple[Scan, Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an accelerator computes them; and they go on from what was kept."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    batched, _ = turned([5, 6, 7], 4)
    assert [len(state.learner.key) for state in vars(batched)["_states"]] == [1, 2]
    kept = batched.snapshot()
    assert batched.resume(kept, keys(5, 6, 7)) == []
    report = batched.compile(longest=TEN - 4, learning=True)(np.int32(4), TEN - 4)
    assert report.episodes.shape == (TEN - 4, 3)
    assert_close(batched.snapshot(), three[0].snapshot(), rtol=1e-4, atol=1e-5)


def test_seeds_differ(three: tuple[Scan, Report]) -> None:
    scan, report = three
    assert len(set(np.asarray(report.metrics.q)[-1].tolist())) == 3
    assert all(
        len(np.unique(layer[:, 0, 0])) == 3 for layer in jax.tree.leaves(scan.read().online.actor) if layer.ndim == 3
    )


def test_chunks_do_not_matter_and_are_traced_once(assert_identical: Callable[[Any, Any], None]) -> None:
    global traced
    once, _ = turned([5, 6, 7], 2 * TEN)
    turned([5], TEN)
    passed = traced
    assert passed > 0
    twice, _ = turned([5, 6, 7], TEN, TEN)  # more seeds and another device
    assert traced == passed
    assert_identical(once.snapshot(), twice.snapshot())


def trajectory(loop: Loop, carry: TrainState) -> Row:
    """Everything one seed has stored or is about to store, in order [T, N, ...], without the initial dummy block."""
    ring, k = carry.learner.ring, loop.learner.steps
    at, size = int(ring.cursor), int(ring.size)
    assert at == size < len(ring.columns), "the ring has not wrapped"
    stored = all_rows(jax.tree.map(jnp.asarray, ring), loop.learner.spec)
    dummy, stored = (jax.tree.map(lambda x, s=s: x[s], stored) for s in (np.s_[:k], np.s_[k:size]))
    assert np.asarray(dummy.boundary).all()
    return jax.tree.map(lambda x, y: np.concatenate([x, y]), stored, carry.block)


def assert_continuous(row: Row) -> None:
    """Every row follows from the one before by Cart's formulas, in both environments."""
    for t in range(len(row.reward) - 1):
        for e in range(row.reward.shape[1]):
            (x, time), a = row.obs[t, e], row.action[t, e, 0]
            after = row.obs[t + 1, e]
            if row.boundary[t, e]:
                assert (row.reward[t, e], row.terminated[t, e], row.truncated[t, e]) == (0, False, False)
                assert after[1] == 0
                assert abs(after[0]) <= 1
                assert not row.boundary[t + 1, e]
            else:
                np.testing.assert_allclose(row.reward[t, e], x - 2 * a, atol=1e-6)
                np.testing.assert_allclose(after, [x / 2 + a, time + 1], atol=1e-6)
                assert row.terminated[t, e] == (abs(after[0]) > np.float32(1.2))
                assert row.truncated[t, e] == (time + 1 == Cart.max_episode_steps)
                assert row.boundary[t + 1, e] == (row.terminated[t, e] or row.truncated[t, e])
    assert row.terminated.any()
    assert row.truncated.any()


@pytest.mark.parametrize(("collect", "updates"), [(1, 1), pytest.param(5, 5, marks=pytest.mark.slow), (20, 3)])
def test_every_step_is_stored_once_and_in_order(collect: int, updates: int) -> None:
    agent = replace(AGENT, critics=1, exploration=Gaussian(sigma=0.5))
    config = replace(CONFIG, agent=agent, collect=CollectionConfig(steps=collect, envs=N, updates=updates, warmup=20))
    loop = loop_for(config, Cart())
    iterations = 120 // collect
    begin = 3 if collect == 1 else 0  # a window of two steps needs three rows

    @jax.jit
    def play(key: Key) -> tuple[TrainState, Report]:
        carry = loop.init(key)
        if begin:
            carry, _ = several(loop, carry, 0, begin, False)
        return several(loop, carry, begin, iterations - begin, True)

    carry, reports = jax.device_get(play(jax.random.key(1)))
    report = means(reports)
    row = trajectory(loop, carry)
    assert row.reward.shape == (120, N)
    assert_continuous(row)
    # Every gradient step is counted, and what is said of episodes is what they were.
    assert carry.learner.agent.critic_opt[1][0].count == (iterations - begin) * updates
    assert all(np.isfinite(report.metrics))
    ended = np.asarray(row.terminated | row.truncated)
    assert not ended[:begin].any()
    assert report.episodes == ended.sum()
    returns = []
    for e in range(N):
        ends = np.flatnonzero(ended[:, e])
        returns += [float(part.sum()) for part in np.split(row.reward[:, e], ends + 1)[:-1]]
    np.testing.assert_allclose(report.episode_return, np.mean(returns), atol=1e-5)


@pytest.fixture(scope="module")
def acted() -> tuple[Loop, TrainState, TrainState, Report]:
    """700 random steps in 2 environments and 200 of the policy; nothing is learned."""
    agent = replace(AGENT, exploration=Gaussian(sigma=0.2))
    loop = loop_for(replace(CONFIG, agent=agent, collect=replace(CONFIG.collect, steps=5, warmup=700)), Cart())
    play = jax.jit(lambda key: (before := loop.init(key), *several(loop, before, 0, 90, False)))
    before, after, reports = jax.device_get(play(jax.random.key(3)))
    return loop, before, after, means(reports)


def test_warmup_is_uniform_and_ends_in_time(acted: tuple[Loop, TrainState, TrainState, Report]) -> None:
    loop, _, carry, _ = acted
    action = trajectory(loop, carry).action[..., 0]
    random, behaviour = action[:350], action[350:]  # two environments: 350 rows are 700 steps
    assert np.abs(random).max() <= 1
    assert stats.kstest(random.ravel(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(random[:-1, 0], random[1:, 0])[0, 1]) < 0.2
    assert abs(np.corrcoef(random[:, 0], random[:, 1])[0, 1]) < 0.2
    assert stats.kstest(behaviour.ravel(), stats.uniform(-1, 2).cdf).pvalue < 1e-3


def test_after_the_warmup_actions_are_the_policys_plus_noise(
    acted: tuple[Loop, TrainState, TrainState, Report],
) -> None:
    loop, _, carry, _ = acted
    row = trajectory(loop, carry)
    late = slice(350, None)
    obs = jnp.asarray(row.obs[late]).reshape(-1, 2)
    noise = row.action[late].ravel() - np.asarray(carry.learner.agent.online.mu(obs)).ravel()
    noise = noise[np.abs(row.action[late].ravel()) < 1]
    assert stats.kstest(noise, stats.norm(0, 0.2).cdf).pvalue > 1e-3


def test_nothing_is_learned_before_learning_starts(
    acted: tuple[Loop, TrainState, TrainState, Report], assert_identical: Callable[[Any, Any], None]
) -> None:
    _, before, after, report = acted
    assert_identical(before.learner.agent, after.learner.agent)
    assert all(np.isnan(value) for value in report.metrics)
    assert report.episodes > 0


def ring_copies(program: str, shape: tuple[int, ...]) -> list[str]:
    """The copies in optimised HLO text of arrays that hold a ring of [rows, N, columns], of one or more seeds."""
    wanted = re.compile(rf"\w+\[(\d+,)?{','.join(map(str, shape))}\]\S* copy(-start)?\(")
    return [line.strip() for line in program.splitlines() if wanted.search(line)]


def of_ring(program: str, shape: tuple[int, ...]) -> int:
    return len(re.findall(rf"\[(?:\d+,)?{','.join(map(str, shape))}\]", program))


class SamplesTheOld(Loop):
    """The mistake that the loop's order avoids: it stores, and still reads the ring as it was before."""

    def iterate(self, state: TrainState, t: Array, randomness: IterationRandomness, fresh: Any, learning: bool) -> Any:
        after, results = Loop.iterate(self, state, t, randomness, fresh, learning)
        learner, stored = self.learner, after.learner.ring.columns
        bits = randomness.updates.bits[0] ^ jax.lax.bitcast_convert_type(stored[0, 0, 0], jnp.uint32)
        old, _ = learner.replay.sample(state.learner.ring, bits, t, learner.gamma, learner.spec)
        return after._replace(env=after.env._replace(noise=after.env.noise + 0 * old.reward.sum())), results


@pytest.mark.parametrize("kind", [Loop, SamplesTheOld])
def test_ring_is_never_copied(kind: type[Loop]) -> None:
    """Of one environment, too: axes of length 1 have no layout of their own, and XLA may copy to change it."""
    loop = loop_for(replace(CONFIG, collect=replace(CONFIG.collect, envs=1)), Cart())
    loop = kind(**{name: getattr(loop, name) for name in loop.__dataclass_fields__})
    first = SingleDeviceSharding(jax.devices()[0])
    start = jax.eval_shape(loop.init, jax.random.key(7))
    start = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=first), start)
    structure, numbers = split(loop)
    program: Any = _program(structure, TEN, True).lower(start, numbers, np.int32(0), np.int32(0)).compile()
    shape = start.learner.ring.columns.shape
    assert of_ring(program.as_text(), shape) > 3, "the ring can be found by its shape"
    copies = ring_copies(program.as_text(), shape)
    assert bool(copies) == (kind is SamplesTheOld), copies


@dataclass(frozen=True)
class Halved(Cart):
    """The same cart, at half the reward."""

    def step(self, state: Point, action: Float[Array, "1"]) -> tuple[Point, Array, Array, Array, Array]:
        state, obs, reward, *ends = Cart().step(state, action)
        return state, obs, reward / 2, ends[0], ends[1]


def assert_close(one: Any, other: Any, rtol: float = 1e-7, atol: float = 0.0) -> None:
    for (path, x), y in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(x, y, rtol, atol, err_msg=jax.tree_util.keystr(path))


@pytest.mark.slow
def test_scaled_rewards_are_those_of_a_scaled_environment() -> None:
    """Halving is exact in floating point, so the networks are the same; what is reported stays in its own units."""
    said = []
    for loop in (loop_for(replace(CONFIG, reward_scale=0.5), Cart()), loop_for(CONFIG, Halved())):
        play = jax.jit(lambda key, loop=loop: several(loop, several(loop, loop.init(key), 0, 9, False)[0], 9, 9, True))
        state, reports = jax.device_get(play(jax.random.key(2)))
        said.append((state, means(reports)))
    (scaled, raw), (halved, half) = said
    assert_close(scaled.learner.agent, halved.learner.agent, rtol=1e-5)
    np.testing.assert_allclose(raw.metrics.q, half.metrics.q, rtol=1e-5)
    np.testing.assert_allclose(raw.episode_return, 2 * half.episode_return, rtol=1e-6)
    np.testing.assert_allclose(raw.lowest_reward, 2 * half.lowest_reward, rtol=1e-6)
    np.testing.assert_allclose(raw.highest_reward, 2 * half.highest_reward, rtol=1e-6)
    assert abs(raw.episode_return) > 0


@pytest.fixture(scope="module")
def normalising() -> tuple[Loop, TrainState]:
    """20 iterations of 5 steps without noise; nothing is learned but the statistics."""
    agent, collect = replace(AGENT, exploration=Gaussian(sigma=0.0)), replace(CONFIG.collect, steps=5, warmup=0)
    loop = loop_for(replace(CONFIG, agent=agent, collect=collect, normalise=True), Cart())
    return loop, jax.device_get(jax.jit(lambda key: several(loop, loop.init(key), 0, 20, False)[0])(keys(4)[0]))


def test_statistics_are_of_every_observation_stored_once(normalising: tuple[Loop, TrainState]) -> None:
    loop, carry = normalising
    row = trajectory(loop, carry)
    stored = row.obs[: -loop.learner.steps][~row.boundary[: -loop.learner.steps]]  # the last block is yet to be stored
    assert isinstance(carry.learner.stats, RunningStats)
    assert row.boundary.any()
    assert carry.learner.stats.count == len(stored)
    np.testing.assert_allclose(carry.learner.stats.mean, stored.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(carry.learner.stats.variance, stored.var(axis=0), rtol=1e-4)


def test_the_policy_sees_what_the_statistics_then_were(normalising: tuple[Loop, TrainState]) -> None:
    loop, carry = normalising
    row = trajectory(loop, carry)
    for block in range(2, 20):
        before = slice(0, loop.learner.steps * (block - 1))  # collecting goes beside storing the block before
        stored = row.obs[before][~row.boundary[before]]
        obs = row.obs[loop.learner.steps * block : loop.learner.steps * (block + 1)].reshape(-1, 2)
        seen = np.clip((obs - stored.mean(axis=0)) / np.sqrt(stored.var(axis=0) + 1e-8), -10, 10)
        action = row.action[loop.learner.steps * block : loop.learner.steps * (block + 1)]
        np.testing.assert_allclose(action.reshape(-1, 1), carry.learner.agent.online.mu(jnp.asarray(seen)), atol=1e-4)


def test_the_update_sees_scaled_rewards_and_normalised_observations(normalising: tuple[Loop, TrainState]) -> None:
    loop, carry = normalising
    learner, state = replace(loop.learner, reward_scale=0.3), carry.learner
    words = jax.random.bits(jax.random.key(0), (learner.replay.batch,), jnp.uint32)
    normal, count = jnp.zeros((learner.replay.batch, 0)), jnp.int32(0)
    inputs = UpdateRandomness(words, normal, jnp.zeros((2, 0), jnp.uint32)), count, None
    (found, *_), metrics = jax.jit(learner.update)(state.ring, state.stats, count, (state.agent, None, None), inputs)
    batch, _ = jax.jit(lambda ring: learner.replay.sample(ring, words, count, learner.gamma, learner.spec))(state.ring)
    assert isinstance(state.stats, RunningStats)
    mean, std = state.stats.mean, np.sqrt(state.stats.variance + 1e-8)
    obs, next_obs = ((np.asarray(x) - mean) / std for x in (batch.obs, batch.next_obs))
    batch = batch._replace(obs=obs, next_obs=next_obs, reward=np.float32(0.3) * np.asarray(batch.reward))
    expected, same, _ = jax.jit(learner.agent.update)(state.agent, jax.tree.map(jnp.asarray, batch), normal, count)
    assert_close(metrics, same, rtol=1e-3, atol=1e-6)
    assert_close(found.target, expected.target, atol=1e-5)
