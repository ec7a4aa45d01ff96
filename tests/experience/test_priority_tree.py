"""The tree of sums beside NumPy: whose leaves are drawn, how often, and that the sums are those of the leaves."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array
from scipy import stats

from ddpg.experience.priority_tree import FAN, Tree, draw, empty, put, summed

Identical = Callable[[Any, Any], None]
SIZES = [1, FAN, FAN + 1, FAN**2, FAN**2 + 1, 5000]
BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))

drawn = jax.jit(draw)


def leaves_of(priority: np.ndarray) -> Array:
    return jnp.asarray(np.pad(priority.astype(np.float32), (0, -len(priority) % FAN)))


def tree_of(priority: np.ndarray) -> Tree:
    return jax.jit(summed)(leaves_of(priority))


def priorities(rng: np.random.Generator, size: int, zeros: float, decades: float) -> np.ndarray:
    """Up to `decades` powers of ten apart, a share of them 0 but never all."""
    priority = (10 ** rng.uniform(-decades / 2, decades / 2, size)).astype(np.float32)
    keep = rng.random(size) >= zeros
    keep[rng.integers(size)] = True
    return priority * keep


def assert_drawn(priority: np.ndarray, u: np.ndarray) -> None:
    """Leaves and probabilities are those of the running sum in float64, but for the rounding of u · total."""
    index, probability = jax.device_get(drawn(tree_of(priority), jnp.asarray(u)))
    assert (index.dtype, probability.dtype) == (np.int32, np.float32)
    assert ((index >= 0) & (index < len(priority))).all()
    assert (priority[index] > 0).all()
    after = np.cumsum(priority, dtype=np.float64)
    np.testing.assert_allclose(probability, priority[index] / after[-1], rtol=1e-5, atol=1e-37)
    slack, where = 1e-5 * after[-1], u * after[-1]
    earliest = np.searchsorted(after, where - slack, "right")
    latest = np.searchsorted(after, where + slack, "right")
    assert ((earliest <= index) & (index <= latest)).all()


@given(
    size=st.sampled_from(SIZES),
    seed=st.integers(0, 2**32 - 1),
    zeros=st.sampled_from([0, 0.5, 0.99, 1]),  # with 1, a single leaf is left
    decades=st.sampled_from([0, 2, 70]),
)
@settings(max_examples=60)
def test_draws_are_those_of_the_running_sum(size: int, seed: int, zeros: float, decades: float) -> None:
    rng = np.random.default_rng(seed)
    u = rng.random(100, dtype=np.float32)
    u[:3] = 0, BELOW_ONE, np.finfo(np.float32).tiny
    assert_drawn(priorities(rng, size, zeros, decades), u)


def test_draws_among_a_million() -> None:
    rng = np.random.default_rng(0)
    u = np.append(rng.random(2000, dtype=np.float32), [np.float32(0), BELOW_ONE])
    assert_drawn(priorities(rng, 1_000_000, 0.3, 2), u)


@pytest.mark.parametrize("size", SIZES)
def test_a_priority_of_zero_is_never_drawn(size: int) -> None:
    rng = np.random.default_rng(size)
    u = jnp.asarray(np.append(rng.random(998, dtype=np.float32), [np.float32(0), BELOW_ONE]))
    for decades, at in [(0, 0), (0, size - 1), (70, 0), (70, size - 1), (70, size // 2)]:
        priority = priorities(rng, size, 0.9, decades)
        priority[at] = 1e36 if decades else 0  # beside which all others are lost in rounding
        if priority.any():
            index, _ = drawn(tree_of(priority), u)
            assert (priority[np.asarray(index)] > 0).all()


def test_frequencies_are_the_probabilities() -> None:
    priority = np.random.default_rng(0).integers(0, 5, 300).astype(np.float32)
    draws = 200_000
    u = jax.random.uniform(jax.random.key(0), (draws,))
    index, probability = jax.device_get(drawn(tree_of(priority), u))
    counts, some = np.bincount(index, minlength=300), priority > 0
    assert counts[~some].sum() == 0
    expected = priority[some].astype(np.float64) / priority.sum()
    assert stats.chisquare(counts[some], draws * expected).pvalue > 1e-3
    np.testing.assert_allclose(probability, priority[index] / priority.sum(), rtol=1e-6)


@pytest.mark.parametrize("size", [*SIZES, 70_000])
@pytest.mark.parametrize("batch", [1, 40])
def test_sums_are_bit_for_bit_those_of_the_leaves(size: int, batch: int, assert_identical: Identical) -> None:
    rng, change, resum = np.random.default_rng(size), jax.jit(put), jax.jit(summed)
    tree, wanted = empty(size), np.zeros(size, np.float32)
    for _ in range(5):
        index = rng.integers(0, size, batch)  # in the small trees often twice the same
        priority = priorities(rng, batch, 0.2, 6)
        tree = change(tree, jnp.asarray(index, jnp.int32), jnp.asarray(priority))
        got = np.asarray(tree.leaves)
        for i in set(index):
            assert got[i] == priority[index == i].max()
        wanted[index] = got[index]
        np.testing.assert_array_equal(got, leaves_of(wanted))
        assert_identical(tree, resum(tree.leaves))
    assert [len(level) for level in tree.sums] == [len(level) for level in empty(size).sums]


def test_trees_of_several_seeds(assert_identical: Identical) -> None:
    rng = np.random.default_rng(0)
    trees = [tree_of(priorities(rng, 700, 0.2, 2)) for _ in range(3)]
    index = jnp.asarray(rng.integers(0, 700, (3, 20)), jnp.int32)
    priority, u = jnp.asarray(rng.random((2, 3, 20), dtype=np.float32))

    def step(tree: Tree, index: Array, priority: Array, u: Array) -> tuple[Tree, Any]:
        tree = put(put(tree, index, priority), index[0] // 2 + jnp.arange(20), priority)
        return tree, draw(tree, u)

    together = jax.jit(jax.vmap(step))(jax.tree.map(lambda *x: jnp.stack(x), *trees), index, priority, u)
    for seed, tree in enumerate(trees):
        got_tree, (got, probability) = jax.tree.map(lambda x, s=seed: x[s], together)
        wanted_tree, (wanted, wanted_probability) = jax.jit(step)(tree, index[seed], priority[seed], u[seed])
        assert_identical(got_tree, wanted_tree)
        np.testing.assert_array_equal(got, wanted)
        np.testing.assert_allclose(probability, wanted_probability, rtol=1e-6)


def copies(step: Callable[[Tree, Array], tuple[Tree, Any]]) -> int:
    """How many copies as large as the leaves are in the program of a loop whose tree is given away."""
    size = FAN * 6250
    loop = jax.jit(lambda tree, u: jax.lax.scan(step, tree, u), donate_argnums=0)
    text = loop.lower(empty(size), jnp.zeros((5, 8))).compile().as_text()
    assert text is not None
    assert f"f32[{size}]" in text
    return len(re.findall(rf"= f32\[{size}\]\S* copy\(", text))


def test_steps_copy_no_leaves() -> None:
    def step(tree: Tree, u: Array) -> tuple[Tree, Array]:
        tree = put(tree, u[0].astype(jnp.int32) + jnp.arange(len(u)), u)
        index, probability = draw(tree, u)
        tree = put(tree, index, index.astype(jnp.float32))  # errors depend on what is drawn, not on how likely it was
        tree = put(tree, u.astype(jnp.int32), u)
        return put(tree, u[1].astype(jnp.int32) + jnp.arange(len(u)), u), probability

    def keeping(tree: Tree, u: Array) -> tuple[Tree, Array]:
        return put(tree, u.astype(jnp.int32), u), tree.leaves

    assert copies(step) == 0
    assert copies(keeping) > 0, "one that does would be found"


def test_a_tree_of_zeros_says_so() -> None:
    index, probability = drawn(empty(100), jnp.zeros(3))
    assert np.isnan(probability).all()
    np.testing.assert_array_equal(index, 0)
