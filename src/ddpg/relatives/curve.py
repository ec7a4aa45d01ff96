"""The learning curve of a relative: what each must answer, and how it is trained, timed and evaluated.

learning_curve()
  for seed
    for point
      advance     `every` environment steps of learning, one compiled program, timed
      play        greedy episodes from the same starts as everybody's, not timed
"""

from collections.abc import Callable
from functools import partial
from time import process_time
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from ddpg.envs.episodes import play, starts
from ddpg.envs.protocol import Environment
from ddpg.mistake import Mistake
from ddpg.types import Key, PyTree

GreedyPolicy = Callable[[Array], Array]  # observations [n, *obs] -> actions [n, m] in [-1, 1]


@runtime_checkable
class Relative(Protocol):
    """A learner of its own: pure functions of a state, compiled as a whole. The key is in the state."""

    def init(self, env: Environment, key: Key) -> PyTree:
        """The state before the first step."""
        ...

    def advance(self, env: Environment, state: PyTree, steps: int) -> PyTree:
        """The state after so many more environment steps; `steps` is static."""
        ...

    def policy(self, env: Environment, state: PyTree) -> GreedyPolicy:
        """What it has learned, without noise."""
        ...


@runtime_checkable
class Blockwise(Protocol):
    """A relative that learns from blocks of steps, such as whole episodes: `advance` leaves the rest of a block out."""

    def steps_per_update(self, env: Environment) -> int: ...


class LearningCurve(NamedTuple):
    """Mean returns of greedy episodes; point 0 is before the first step."""

    steps: Int[np.ndarray, " points"]  # of the environment
    returns: Float[np.ndarray, "seeds points"]  # undiscounted
    seconds: Float[np.ndarray, "seeds points"]  # of a core, for learning: not for compilation and evaluation


def learning_curve(
    relative: Relative,
    env: Environment,
    *,
    steps: int,
    every: int,
    seeds: int = 1,
    seed: int = 0,
    episodes: int = 100,
    before: Callable[[], None] = lambda: None,
) -> LearningCurve:
    """Train seeds `seed`, `seed` + 1, … for `steps` environment steps, one after the other, in this process.

    After every `every` steps, 100 `episodes` are played from starts that are the same for every relative and point.
    `every` is rounded up to whole updates of a `Blockwise` relative, and what of `steps` is left after the last of them
    is not made. Raises Mistake if that is all. `before` is called before each point; what it raises ends the trainings.
    Seconds are this process's own, so that other work on the machine does not count; run one curve at a time.
    """
    block = relative.steps_per_update(env) if isinstance(relative, Blockwise) else 1
    every = -(-every // block) * block
    if steps < every:
        raise Mistake(f"steps {steps}: too few for an update and its evaluation; use at least {every}")
    begin = jax.jit(partial(relative.init, env))
    advance = jax.jit(partial(relative.advance, env, steps=every), donate_argnums=0)

    @jax.jit
    def evaluate(state: PyTree) -> Float[Array, ""]:
        return play(env, relative.policy(env, state), starts(env, episodes)).returns.mean()

    points = steps // every + 1
    returns, seconds = np.zeros((seeds, points)), np.zeros((seeds, points))
    before()
    jax.block_until_ready(advance(begin(jax.random.key(seed))))  # so that no compilation is timed
    for i in range(seeds):
        state = begin(jax.random.key(seed + i))
        returns[i, 0] = evaluate(state)
        for j in range(1, points):
            before()
            start = process_time()
            state = jax.block_until_ready(advance(state))
            seconds[i, j] = seconds[i, j - 1] + process_time() - start
            returns[i, j] = evaluate(state)
    return LearningCurve(every * np.arange(points), returns, seconds)
