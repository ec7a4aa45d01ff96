"""Hindsight beside slow NumPy written from the paper (Andrychowicz et al. 2017, algorithm 1 and section 4.5)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ddpg.config.config import Config
from ddpg.config.reading import override
from ddpg.experience.relabel import Future, Goals, HindsightRewards, goals_of, relabel
from ddpg.experience.replay import Replay
from ddpg.experience.ring import Ring
from ddpg.experience.sampling import Index
from ddpg.mistake import Mistake
from ddpg.types import Leaf, Row, Spec, Transition

GAMMA = 0.5
GOALS = Goals(achieved=0, desired=2, shape=(2,))  # observation: achieved (environment, time), desired, time
N, T = 2, 40
SPEC = Spec((5,), (-1.0,), (1.0,))
ENDS = ({5: "truncated", 7: "terminated", 19: "terminated", 36: "truncated"}, {11: "terminated", 26: "truncated"})


def history() -> Row:
    """Rows [T, N]: episodes that end as ENDS says, each end followed by its boundary row; the last ones are open."""
    time, env = np.broadcast_arrays(np.arange(T)[:, None], np.arange(N))
    flags = {how: np.zeros((T, N), bool) for how in ("terminated", "truncated", "boundary")}
    for column, ends in enumerate(ENDS):
        for t, how in ends.items():
            flags[how][t, column] = flags["boundary"][t + 1, column] = True
    obs = np.stack([env, time, -1 - env, -1 - time // 10, time], axis=-1).astype(np.float32)
    action = np.random.default_rng(0).uniform(-1, 1, (T, N, 1)).astype(np.float32)
    return Row(obs, action, np.sin(7.0 * time + env).astype(np.float32), **flags)


def reward_of(achieved: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Any function of both."""
    return np.cos(3 * achieved[..., 0] + achieved[..., 1]) + goal[..., 1] / 10


def ends_of(achieved: np.ndarray, goal: np.ndarray) -> np.ndarray:
    return np.abs(achieved[..., 1] - goal[..., 1]) < 1


def filled(replay: Replay, rows: Row, k: int = 4) -> Ring:
    ring = replay.init(jax.tree.map(lambda x: jnp.asarray(x[:k]), rows), SPEC)
    add = jax.jit(partial(replay.add, spec=SPEC))
    for i in range(0, T, k):
        ring = add(ring, jax.tree.map(lambda x, i=i: jnp.asarray(x[i : i + k]), rows))
    return ring


def drawn(replay: Replay, ring: Ring, b: int, ends: bool = False) -> tuple[Transition, Index]:
    bits = jax.random.bits(jax.random.key(1), (b,), jnp.uint32)
    words = jax.random.bits(jax.random.key(2), (2, b), jnp.uint32)

    def in_hindsight(index: Index, window: Row) -> Row:
        assert isinstance(replay.relabel, Future)
        hindsight = replay.relabel.draw(ring, GOALS, index, window, words, SPEC)
        goal = jnp.broadcast_to(hindsight.goal, hindsight.achieved.shape)
        a, g = hindsight.achieved, goal
        terminated, reward = jnp.abs(a[..., 1] - g[..., 1]) < 1, jnp.cos(3 * a[..., 0] + a[..., 1]) + g[..., 1] / 10
        return relabel(window, GOALS, hindsight, HindsightRewards(reward, terminated if ends else None))

    sample = partial(replay.sample, gamma=GAMMA, spec=SPEC, relabel=in_hindsight)
    return jax.device_get(jax.jit(lambda ring: sample(ring, bits, jnp.int32(0)))(ring))


def episode_end(rows: Row, t: int, env: int) -> int:
    """The boundary row of the episode, or the newest row."""
    later = np.flatnonzero(rows.boundary[t:, env])
    return t + int(later[0]) if len(later) else T - 1


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("n_step", [1, 3])
def test_transitions_in_hindsight(n_step: int, ends: bool) -> None:
    """Goals come from later in the same episode; rewards and true ends are of the new goal; nothing else changes."""
    rows, replay = history(), Replay(capacity=N * T, n_step=n_step, relabel=Future(k=2.0))
    batch, index = drawn(replay, filled(replay, rows), 4_000, ends)
    terminated = 0
    for i, (t, env) in enumerate(zip(index // N, index % N, strict=True)):
        if rows.boundary[t, env]:
            assert batch.weight[i] == 0
            continue
        goal, end = np.asarray(batch.obs[i, 2:4]), episode_end(rows, t, env)
        new = goal[0] >= 0
        if new:
            assert goal[0] == env
            assert t < goal[1] <= end
        else:
            np.testing.assert_array_equal(goal, rows.obs[t, env, 2:4])
        total, discount, over, last = 0.0, 1.0, False, t
        for last in range(t, t + n_step):
            achieved = rows.obs[last + 1, env, :2]
            total += discount * (reward_of(achieved, goal) if new else rows.reward[last, env])
            discount *= GAMMA
            over = bool(ends_of(achieved, goal)) if new and ends else bool(rows.terminated[last, env])
            if over or rows.terminated[last, env] or rows.truncated[last, env]:
                break
        assert batch.reward[i] == pytest.approx(total, abs=1e-5)
        assert batch.discount[i] == (0 if over else discount)
        for obs, at in ((batch.obs[i], t), (batch.next_obs[i], last + 1)):
            np.testing.assert_array_equal(np.delete(obs, [2, 3]), np.delete(rows.obs[at, env], [2, 3]))
        np.testing.assert_array_equal(batch.next_obs[i, 2:4], goal if new else rows.obs[last + 1, env, 2:4])
        np.testing.assert_array_equal(batch.action[i], rows.action[t, env])
        terminated += over and new
    assert terminated > 100


@pytest.mark.parametrize("k", [0.0, 1.0, 4.0, 8.0])
def test_share_of_relabelled_transitions(k: float) -> None:
    """k with other goals for each one with its own."""
    replay = Replay(capacity=N * T, relabel=Future(k=k))
    batch, _ = drawn(replay, filled(replay, history()), 8_000)
    new = batch.obs[batch.weight > 0, 2] >= 0
    assert new.mean() == pytest.approx(k / (1 + k), abs=4 * 0.5 / np.sqrt(len(new)) * (k > 0))


def test_goals_are_uniform_over_what_followed() -> None:
    rows, replay = history(), Replay(capacity=N * T, relabel=Future(k=1e9))
    batch, index = drawn(replay, filled(replay, rows), 60_000)
    tested = 0
    for t in range(T - 1):
        for env in range(N):
            followed = episode_end(rows, t, env) - t
            goals = batch.obs[(index == N * t + env), 3] - t
            if followed >= 2:
                counts = np.bincount(goals.astype(int), minlength=followed + 1)
                assert counts[0] == 0
                assert stats.chisquare(counts[1:]).pvalue > 1e-5
                tested += 1
    assert tested > 50


def test_where_goals_are() -> None:
    names = ("achieved_goal", "desired_goal", "observation")
    spec = Spec((10,), (-1.0,), (1.0,), leaves=tuple(Leaf((name,), (3 + (name == "observation"),)) for name in names))
    assert goals_of(spec) == Goals(0, 3, (3,))
    obs = np.arange(10.0, dtype=np.float32)
    assert GOALS.desired_in(obs[:5]).tolist() == [2, 3]
    assert goals_of(Spec((3,), (-1.0,), (1.0,))) is None
    *others, desired = spec.leaves[0], spec.leaves[2], Leaf(("desired_goal",), (2,))
    assert goals_of(Spec((9,), (-1.0,), (1.0,), leaves=(*others, desired))) is None  # of another shape
    assert goals_of(Spec((10,), (-1.0,), (1.0,), "uint8", spec.leaves)) is None


def test_priorities_are_refused() -> None:
    with pytest.raises(Mistake, match=r"^replay\.relabel future: .*; use --replay\.sampling uniform$"):
        override(Config(), {"replay.relabel": "future", "replay.sampling": "prioritised"})
