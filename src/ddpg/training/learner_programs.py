"""The compiled programs of one learner, and its state as a checkpoint has it: what drivers share that Python turns.

Programs are of a learner's structure and take its numbers (`split`), so that learners of other numbers share them.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Float

from ddpg.experience.relabel import Hindsight, HindsightRewards
from ddpg.experience.ring import any_rows, cut, refilled, trimmed
from ddpg.hyperparameters import with_numbers
from ddpg.records.tree_file import from_numpy, to_numpy
from ddpg.training.data_parallel import place, whole
from ddpg.training.devices import jit_loop
from ddpg.training.driver import mean_metrics
from ddpg.training.learner import Learner, LearnerState
from ddpg.training.randomness import UpdateRandomness
from ddpg.types import AnyArray, Key, Keys, Metrics, Row

Numbers = Float[AnyArray, " n"]  # of a learner whose structure a program was made for


def stacked(trees: Sequence[Any]) -> Any:
    """Trees of the same structure as one, with one more axis in front of the leaves."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def saved(states: Sequence[LearnerState], newest: int | None) -> LearnerState:
    """The states of all seeds in NumPy, leaves [S, ...], as `Driver.snapshot` has them."""
    rings = [trimmed(jax.tree.map(lambda x: np.asarray(x)[None], state.ring)) for state in states]
    rings = [cut(ring, newest) for ring in rings]
    ring = jax.tree.map(lambda *leaves: np.concatenate(leaves), *rings)
    return stacked([to_numpy(state._replace(ring=None)) for state in states])._replace(ring=ring)


def saved_shapes(structure: Learner, numbers: Numbers, keys: Keys, obs: Any) -> tuple[LearnerState, Row]:
    """The shapes that `saved` may give, and those of the first block, for observations [S, N, *obs]."""
    start = jax.vmap(partial(start_program(structure), numbers))
    state, block = jax.eval_shape(start, keys, obs)
    return state._replace(ring=any_rows(state.ring)), block


def restored(structure: Learner, numbers: Numbers, saved: LearnerState, keys: Keys, obs: Any) -> list[LearnerState]:
    """The inverse of `saved`, each seed on its device, for observations [N, *obs].

    Raises Mistake if it is of another loop.
    """
    like, _ = jax.eval_shape(start_program(structure), numbers, keys[0], obs)
    states = from_numpy(saved._replace(ring=refilled(saved.ring, like.ring)), like)
    return place(structure.devices, [jax.tree.map(itemgetter(s), states) for s in range(len(keys))])


@cache
def start_program(structure: Learner) -> Callable[..., tuple[LearnerState, Row]]:
    """(numbers, key, first observations) -> the state, and a block of no transition."""

    def start(numbers: Numbers, key: Key, obs: Array) -> tuple[LearnerState, Row]:
        learner = with_numbers(structure, numbers)
        block = learner.empty_block(obs)
        return whole(structure.devices, (learner.init(key, block), block))

    return jax.jit(start)


@cache
def learn_program(structure: Learner, learning: bool) -> Wrapped:
    """(state, numbers, block, randomness of a chunk, hindsight_rewards, t0, i) -> (state, metrics).

    The state is that after iteration t0 + i. `hindsight_rewards` are computed by a Python environment for the hindsight
    of `ask_program`, which has stored the block already.
    """

    def learn(
        state: LearnerState,
        numbers: Numbers,
        block: Row,
        randomness: UpdateRandomness,
        hindsight_rewards: HindsightRewards | None,
        t0: Array,
        i: Array,
    ) -> tuple[LearnerState, Metrics | None]:
        learner = with_numbers(structure, numbers)
        state = learner.store(state, block) if hindsight_rewards is None else state
        own = jax.tree.map(itemgetter(i), randomness)
        state, metrics = learner.learn_stored(state, block, t0 + i, own, learning, hindsight_rewards)
        return whole(structure.devices, (state, None if metrics is None else mean_metrics(metrics)))

    return jit_loop(learn, donate=True)


@cache
def ask_program(structure: Learner) -> Wrapped:
    """(state, numbers, block, randomness of a chunk, t0, i) -> the block stored, and its iteration's hindsight."""

    def ask(
        state: LearnerState, numbers: Numbers, block: Row, randomness: UpdateRandomness, t0: Array, i: Array
    ) -> tuple[LearnerState, Hindsight]:
        learner = with_numbers(structure, numbers)
        state = learner.store(state, block)
        hindsight = learner.hindsight(state.ring, t0 + i, jax.tree.map(itemgetter(i), randomness))
        return whole(structure.devices, (state, hindsight))

    return jit_loop(ask, donate=True)
