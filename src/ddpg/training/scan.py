"""The scan driver: environments written in JAX, and a whole chunk of iterations as one compiled program."""

from collections.abc import Callable
from functools import cache, partial

import jax
import numpy as np
from jax import Array
from jax.stages import Wrapped
from jaxtyping import Float

from ddpg.experience.ring import Ring, any_rows, cut, fewer, refilled, trimmed
from ddpg.hyperparameters import split, with_numbers
from ddpg.records.tree_file import from_numpy, keys_to_data
from ddpg.training.data_parallel import device_notes, whole
from ddpg.training.devices import compiled, gathered, jit_group, numbers_of_each, place_on_devices, with_seeds
from ddpg.training.driver import Learned, Program, Report
from ddpg.training.interruption import Interruption, Pace
from ddpg.training.loop import Loop, TrainState
from ddpg.types import Keys, PyTree


class Scan:
    """A loop over its own environments. It has the state of every seed, in groups that are computed together.

    Seeds may have hyperparameters of their own, `numbers` as `split` gives them; by default they have the loop's.
    """

    def __init__(self, loop: Loop, numbers: Float[np.ndarray, "S n"] | None = None) -> None:
        self.loop, self._interruption = loop, Interruption()
        self._structure, common = split(loop)
        self._all_numbers = common if numbers is None else numbers
        self._devices = loop.learner.devices
        self.notes = device_notes(self._devices)

    def start(self, keys: Keys) -> None:
        groups, numbers = place_on_devices(keys, self._devices), self._place_numbers(keys)
        self._continue_from(compiled(_start(self._structure), groups, numbers)(groups, numbers), numbers)

    def read(self) -> Learned:
        if self._interruption.left is not None:
            return Learned.of(self._interruption.left.learner)
        return gathered([Learned.of(state.learner) for state in self._states])

    def snapshot(self, newest: int | None = None) -> TrainState:
        if (left := self._interruption.left) is not None:
            return _with_ring(left, cut(left.learner.ring, newest))
        every = [with_seeds(keys_to_data(state)) for state in self._states]
        parts = [_with_ring(state, cut(trimmed(state.learner.ring), newest)) for state in every]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def _held(self) -> TrainState:
        return self.snapshot(fewer(self._states[0].learner.ring, self._interruption.unsaved()))

    def snapshot_shapes(self, keys: Keys) -> TrainState:
        state = jax.eval_shape(jax.vmap(self.loop.init), keys)
        return _with_ring(state, any_rows(state.learner.ring))

    def resume(self, snapshot: TrainState, keys: Keys) -> list[str]:
        like = jax.eval_shape(self.loop.init, keys[0])
        state = _with_ring(snapshot, refilled(snapshot.learner.ring, like.learner.ring))
        self._continue_from(place_on_devices(from_numpy(state, like), self._devices), self._place_numbers(keys))
        return []

    def stop_when(self, soon: Callable[[], bool], now: Callable[[], bool], unsaved: Callable[[], int | None]) -> None:
        self._interruption.soon, self._interruption.now, self._interruption.unsaved = soon, now, unsaved

    def lend(self) -> None:
        """Nothing can be lent: environments are compiled."""

    def close(self) -> None:
        """Nothing is open either."""

    def compile(self, *, longest: int, learning: bool) -> Program:
        program = _program(self._structure, longest, learning)
        program = compiled(program, self._like, self._numbers, np.int32(0), np.int32(0))
        return partial(self._chunk, program, Pace())

    def _chunk(self, program: Callable[..., list[PyTree]], pace: Pace, t0: np.int32, n: int) -> Report:
        def several(first: int, count: int, held: bool) -> Callable[[], Report]:
            def call() -> tuple[list[TrainState], Report]:
                turns = program(self._states, self._numbers, np.int32(t0 + first), np.int32(count))
                return [state for state, _ in turns], gathered([report for _, report in turns])

            self._states, report = self._interruption.wait(call) if held else call()
            return lambda: jax.tree.map(lambda x: x[:, :count].T, report)

        return self._interruption.chunk(n, pace, self._held, several)

    def _place_numbers(self, keys: Keys) -> list[Array]:
        return numbers_of_each(self._all_numbers, len(keys), self._devices)

    def _continue_from(self, states: list[TrainState], numbers: list[Array]) -> None:
        self._states, self._numbers = states, numbers
        # Programs are compiled while others run, which consume the arrays.
        self._like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), states)


def _with_ring(state: TrainState, ring: Ring) -> TrainState:
    return state._replace(learner=state.learner._replace(ring=ring))


@cache
def _program(structure: Loop, longest: int, learning: bool) -> Wrapped:
    devices = structure.learner.devices

    def chunk(state: TrainState, numbers: Array, t0: Array, n: Array) -> tuple[TrainState, Report]:
        return whole(devices, with_numbers(structure, numbers).chunk(state, t0, n, longest, learning))

    return jit_group(chunk, donate=True)


@cache
def _start(structure: Loop) -> Wrapped:
    devices = structure.learner.devices
    return jit_group(lambda key, numbers: whole(devices, with_numbers(structure, numbers).init(key)))
