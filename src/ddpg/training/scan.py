"""The scan driver: environments written in JAX, and a whole chunk of iterations one compiled program."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import numpy as np
from jax.stages import Wrapped

from ddpg.experience.replay import any_rows, refilled, trimmed
from ddpg.records.checkpoint import restored, words
from ddpg.training.devices import compiled, gathered, jit_group, place_on_devices
from ddpg.training.loop import Loop, Report, TrainState
from ddpg.types import Keys


class Kept(NamedTuple):
    """All that the driver is at one moment, of every seed [S, ...]."""

    carry: TrainState


class Scan:
    """A loop over its own environments. It has the state of every seed, in groups that are computed together."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def start(self, keys: Keys) -> None:
        """Before the first step."""
        groups = place_on_devices(keys)
        self._go_on(compiled(_start(self.loop), groups)(groups))

    def read(self) -> TrainState:
        """What is learned, of every seed [S, ...], in NumPy; no ring."""
        return gathered([carry._replace(ring=None, acting=None, block=None, key=None) for carry in self._carries])

    def kept(self) -> Kept:
        """All that `resume` needs, in NumPy arrays that nothing changes any more."""
        return Kept(gathered([words(carry._replace(ring=trimmed(carry.ring))) for carry in self._carries]))

    def like(self, keys: Keys) -> Kept:
        """The shapes of what `kept` answers, -n where a length is at most n."""
        carry = jax.eval_shape(jax.vmap(self.loop.init), keys)
        return Kept(carry._replace(ring=any_rows(carry.ring)))

    def resume(self, kept: Kept, keys: Keys) -> list[str]:
        """Where `kept` was taken; and what could not be restored, which is nothing here.

        ValueError if it is not of this loop.
        """
        like = jax.eval_shape(self.loop.init, keys[0])
        carry = kept.carry._replace(ring=refilled(kept.carry.ring, like.ring))
        self._go_on(place_on_devices(restored(carry, like)))
        return []

    def close(self) -> None:
        """Nothing is open: environments are compiled."""

    def compile(self, *, iterations: int, learning: bool) -> Callable[[np.int32], Report]:
        """t0 -> a report of so many iterations from t0 on, leaves [S]: one chunk of every seed."""
        chunks = compiled(_program(self.loop, iterations, learning), self._like, np.int32(0))

        def turn(t0: np.int32) -> Report:
            turns = chunks(self._carries, t0)
            self._carries = [carry for carry, _ in turns]
            return gathered([report for _, report in turns])

        return turn

    def _go_on(self, carries: list[TrainState]) -> None:
        self._carries = carries
        # Programs are compiled while others run, which consume the arrays.
        self._like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), carries)


@cache
def _program(loop: Loop, iterations: int, learning: bool) -> Wrapped:
    return jit_group(partial(loop.chunk, iterations=iterations, learning=learning), donate=True)


@cache
def _start(loop: Loop) -> Wrapped:
    return jit_group(loop.init)
