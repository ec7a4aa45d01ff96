"""Sums over priorities in a tree with many children, to draw in proportion to priority inside the compiled program."""

from functools import reduce
from operator import add
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from ddpg.ranges import Natural
from ddpg.types import AnyArray

# Children of a node. Every level costs a few calls of the compiled program, every child arithmetic. Of 2 to 128, with
# 1e5 and 1e6 leaves on a CPU, 8 and 16 are the fastest, and 16 has fewer levels; a binary tree takes 3 to 5 times that.
FAN = 16

TRUSTED = "promise_in_bounds"  # indices are never checked: all are computed here, but for those that `put` is given


class Tree(NamedTuple):
    """Priorities, each 0 or a normal float32, and above them level upon level of sums, the last of at most FAN.

    Sums are always those of the children as they are, added one by one in their order, never incremented. So they
    are at all times, bit for bit, what the leaves alone determine: `summed(tree.leaves)` is the same tree.
    (Schaul et al. 2016, appendix B.2.1, with two children)
    """

    leaves: Float[AnyArray, " c"]  # a whole number of FAN, with zeros at the end
    sums: tuple[Float[AnyArray, " _"], ...]  # lowest first; all but the last have zeros at the end as the leaves have


def empty(size: Natural) -> Tree:
    """All of `size` priorities are 0: nothing can be drawn yet."""
    return summed(jnp.zeros(-(-size // FAN) * FAN, jnp.float32))


def summed(leaves: Float[Array, " c"]) -> Tree:
    """The tree of these leaves, whose number is a whole number of FAN."""
    sums, level = [], leaves
    while len(level) > FAN:
        level = _level(level)
        sums.append(level)
    return Tree(leaves, tuple(sums))


def put(tree: Tree, index: Int[Array, " b"], priority: Float[Array, " b"]) -> Tree:
    """Set the priorities of leaves 0 <= index < size; where an index comes twice, the larger of its priorities.

    Which of them would come last, an accelerator does not say; the largest is the same every time.
    """
    priority = _after(tree, priority)
    leaves = tree.leaves.at[index].set(0 * priority, mode=TRUSTED).at[index].max(priority, mode=TRUSTED)
    sums, level = [], leaves
    for old in tree.sums:
        index = index // FAN
        level = _changed(old, level, index)
        sums.append(level)
    return Tree(leaves, tuple(sums))


def draw(tree: Tree, u: Float[Array, " b"]) -> tuple[Int[Array, " b"], Float[Array, " b"]]:
    """For each u in [0, 1) the leaf at u · total of the running sum, and its probability, priority / total.

    A leaf of priority 0 is never drawn, whatever rounding does, unless all are 0; then probabilities are NaN.
    The total has to be finite; probabilities below the smallest float32 are 0. What is put after a draw should
    depend on the leaves drawn, as their errors do: else XLA copies all leaves, to draw from them later.
    (Schaul et al. 2016, section 3.3 and appendix B.2.1)
    """
    top, *below = (*reversed(tree.sums), tree.leaves)
    total = _before(top[None])[0, -1] + top[-1]
    index, rest, priority = _child(top[None], u * total)
    for level in below:
        child, rest, priority = _child(level.reshape(-1, FAN).at[index].get(mode=TRUSTED), rest)
        index = index * FAN + child
    return index, priority / total


def _after(tree: Tree, priority: Float[Array, " b"]) -> Float[Array, " b"]:
    """The same numbers, available only when the sums are: no sum is negative, but no compiler knows.

    Without it nothing says that one change has read the leaves before the next one writes, and XLA copies them all.
    """
    return jnp.where(tree.sums[-1][0] < 0, jnp.nan, priority) if tree.sums else priority


def _child(
    weight: Float[Array, "#b f"], rest: Float[Array, " b"]
) -> tuple[Int[Array, " b"], Float[Array, " b"], Float[Array, " b"]]:
    """The last child above 0 that begins no later than at `rest`, how far into it that is, and its weight.

    The first child above 0 begins at 0, so there is always one; and where a `rest` is larger than the sum, having
    been rounded, the last one above 0 takes it. The weight is taken from what was read before: if the leaves were
    read once more for it, nothing would say that this comes before they change, and XLA would copy them all.
    """
    before, order = _before(weight), jnp.arange(weight.shape[1])
    child = jnp.max(jnp.where((weight > 0) & (before <= rest[:, None]), order, 0), axis=1)
    row = jnp.arange(len(rest)) if len(weight) > 1 else 0
    before, weight = (x.at[row, child].get(mode=TRUSTED) for x in (before, weight))
    return child, jnp.maximum(rest - before, 0), weight


def _before(weight: Float[Array, "b f"]) -> Float[Array, "b f"]:
    """The sum of the children before each, as a product with a triangle of ones: faster than any cumulative sum."""
    return jnp.matmul(weight, jnp.triu(jnp.ones((weight.shape[1],) * 2), 1), precision="highest")


def _changed(old: Float[Array, " n"], children: Float[Array, " c"], index: Int[Array, " b"]) -> Float[Array, " n"]:
    """A level of sums after children of the sums at `index` have changed."""
    if len(children) <= len(index) * FAN:
        return _level(children)
    sums = _sum(children.reshape(-1, FAN).at[index].get(mode=TRUSTED))
    return old.at[index].set(sums, mode=TRUSTED)


def _level(children: Float[Array, " c"]) -> Float[Array, " n"]:
    sums = _sum(children.reshape(-1, FAN))
    return jnp.pad(sums, (0, -len(sums) % FAN if len(sums) > FAN else 0))


def _sum(weight: Float[Array, "b f"]) -> Float[Array, " b"]:
    """Added in an order that is written down: a compiler chooses that of jnp.sum, by the number of rows too."""
    return reduce(add, [weight[:, i] for i in range(FAN)])
