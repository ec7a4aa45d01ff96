"""The scan driver: environments written in JAX, and a whole chunk of iterations as one compiled program."""

from collections.abc import Callable
from functools import cache, partial

import jax
import numpy as np
from jax.stages import Wrapped

from ddpg.experience.ring import Ring, any_rows, refilled, trimmed
from ddpg.records.tree_file import from_numpy, keys_to_data
from ddpg.training.devices import compiled, gathered, jit_group, place_on_devices
from ddpg.training.driver import Learned, Report
from ddpg.training.loop import Loop, TrainState
from ddpg.types import Keys


class Scan:
    """A loop over its own environments. It has the state of every seed, in groups that are computed together."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def start(self, keys: Keys) -> None:
        groups = place_on_devices(keys)
        self._continue_from(compiled(_start(self.loop), groups)(groups))

    def read(self) -> Learned:
        return gathered([Learned.of(state.learner) for state in self._states])

    def snapshot(self) -> TrainState:
        return gathered([keys_to_data(_with_ring(state, trimmed(state.learner.ring))) for state in self._states])

    def snapshot_shapes(self, keys: Keys) -> TrainState:
        state = jax.eval_shape(jax.vmap(self.loop.init), keys)
        return _with_ring(state, any_rows(state.learner.ring))

    def resume(self, snapshot: TrainState, keys: Keys) -> list[str]:
        like = jax.eval_shape(self.loop.init, keys[0])
        state = _with_ring(snapshot, refilled(snapshot.learner.ring, like.learner.ring))
        self._continue_from(place_on_devices(from_numpy(state, like)))
        return []

    def stop_when(self, stop: Callable[[], bool]) -> None:
        """Chunks are short: nothing asks inside one."""

    def close(self) -> None:
        """Nothing is open: environments are compiled."""

    def compile(self, *, iterations: int, learning: bool) -> Callable[[np.int32], Report]:
        chunks = compiled(_program(self.loop, iterations, learning), self._like, np.int32(0))

        def turn(t0: np.int32) -> Report:
            turns = chunks(self._states, t0)
            self._states = [state for state, _ in turns]
            return gathered([report for _, report in turns])

        return turn

    def _continue_from(self, states: list[TrainState]) -> None:
        self._states = states
        # Programs are compiled while others run, which consume the arrays.
        self._like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), states)


def _with_ring(state: TrainState, ring: Ring) -> TrainState:
    return state._replace(learner=state.learner._replace(ring=ring))


@cache
def _program(loop: Loop, iterations: int, learning: bool) -> Wrapped:
    return jit_group(partial(loop.chunk, iterations=iterations, learning=learning), donate=True)


@cache
def _start(loop: Loop) -> Wrapped:
    return jit_group(loop.init)
