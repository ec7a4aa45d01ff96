"""Policies that are chosen by the episodes that they collect."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ddpg.algorithm.agent import DPG, Nets
from ddpg.algorithm.networks import Network
from ddpg.training.assessment import begin_assessment, worst_return
from ddpg.types import Row, Spec

AGENT, SPEC = DPG(actor=Network(widths=(2,)), critic=Network(widths=(2,))), Spec((1,), (-1.0,), (1.0,))


def block_of(lengths: list[list[int]], rows: int, rewards: np.ndarray) -> Row:
    """Episodes of these lengths, each with a boundary row after it; the block's end cuts the last."""
    n = len(lengths)
    boundary, terminated, truncated = (np.zeros((rows, n), bool) for _ in range(3))
    for env, own in enumerate(lengths):
        at = 0
        for length in own:
            if at + length > rows:
                break
            terminated[at + length - 1, env] = True
            if at + length < rows:
                boundary[at + length, env] = True
            at += length + 1
    truncated[-1] = ~terminated[-1] & ~boundary[-1]
    rewards = np.where(boundary, 0, rewards)
    return Row(np.zeros((rows, n, 1)), np.zeros((rows, n, 1)), rewards, terminated, truncated, boundary)


def naive(block: Row) -> float:
    found = []
    for env in range(block.reward.shape[1]):
        own, total = [], 0.0
        for i, reward in enumerate(block.reward[:, env]):
            total = 0.0 if block.boundary[i, env] else total + reward
            last = i == len(block.reward) - 1
            if block.terminated[i, env] or (last and not own and not block.boundary[i, env]):
                own.append(total)
        found += own
    return min(found, default=np.inf)


@given(st.data(), st.integers(1, 12), st.integers(1, 3))
def test_the_worst_return_is_of_whole_episodes(data: st.DataObject, rows: int, n: int) -> None:
    lengths = [data.draw(st.lists(st.integers(1, 6), min_size=12, max_size=12)) for _ in range(n)]
    rewards = np.array(data.draw(st.lists(st.integers(-4, 4), min_size=rows * n, max_size=rows * n)), np.float32)
    block = block_of(lengths, rows, rewards.reshape(rows, n))
    assert float(worst_return(jax.tree.map(jnp.asarray, block))) == naive(block)


def test_the_best_is_the_one_that_collected_the_best_block() -> None:
    """Not the one that was trained with it; and random actions choose nothing."""

    def nets(seed: int) -> Nets:
        return AGENT.init(jax.random.key(seed), SPEC).online

    def block(*rewards: float) -> Row:
        column = np.array(rewards, np.float32)[:, None]
        return jax.tree.map(jnp.asarray, block_of([[len(rewards)]], len(rewards), column))

    def same(one: Nets, other: Nets) -> bool:
        return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))

    state = begin_assessment(nets(0))
    state = state.after(block(9, 9), nets(0), learning=True)  # of random actions
    assert np.isneginf(state.worst_return)
    state = state.after(block(1, 2), nets(1), learning=True)  # nets(0) collected it
    assert (float(state.worst_return), same(state.best, nets(0)), same(state.acting, nets(1))) == (3, True, True)
    state = state.after(block(2, 2), nets(2), learning=True)
    assert (float(state.worst_return), same(state.best, nets(1))) == (4, True)
    state = state.after(block(3, 0), nets(3), learning=True)
    assert (float(state.worst_return), same(state.best, nets(1))) == (4, True)
    state = state.after(block(np.nan, 9), nets(4), learning=True)
    assert (float(state.worst_return), same(state.best, nets(1))) == (4, True)
