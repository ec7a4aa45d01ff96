"""Simulators in JAX that are not ours: anything with a pure reset and a pure step, as an `Environment`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from ddpg.envs.foreign import Guard
from ddpg.envs.gymnasium_factory import UNLIMITED
from ddpg.mistake import Mistake
from ddpg.pictures import seems_picture
from ddpg.ranges import FLOAT32_MAX
from ddpg.types import Key, PyTree, Spec

Start = Callable[[Key], tuple[PyTree, PyTree]]
Move = Callable[[Key, PyTree, Array], tuple[PyTree, PyTree, Any, Any, Any]]


class SimulatorState(NamedTuple):
    inner: PyTree  # the simulator's own
    key: Key  # of the episode
    t: Int[Array, ""]  # steps since its beginning


@dataclass(frozen=True)
class Simulator:
    """An environment of two functions; `simulator` makes one. It equals another of the same functions."""

    id: str
    spec: Spec
    max_episode_steps: int
    start: Start
    move: Move

    def reset(self, key: Key) -> tuple[SimulatorState, Array]:
        begin, episode = jax.random.split(key)
        inner, obs = self.start(begin)
        return SimulatorState(jax.tree.map(jnp.asarray, inner), episode, jnp.int32(0)), flat(obs)

    def step(
        self, state: SimulatorState, action: Float[Array, " m"]
    ) -> tuple[SimulatorState, Array, Array, Array, Array]:
        key, t = jax.random.fold_in(state.key, state.t), state.t + 1  # not computed if the simulator draws nothing
        units = self.spec.to_units(action).astype(jnp.float32)
        inner, obs, reward, terminated, truncated = self.move(key, state.inner, units)
        if jax.tree.structure(inner) != jax.tree.structure(state.inner):
            raise TypeError("its state has another structure than that of reset")
        # Of the dtypes of the reset, since a loop needs the same: counts begin as numbers of Python.
        inner = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), inner, state.inner)
        reward, terminated, truncated = (
            jnp.asarray(x, dtype).reshape(())
            for x, dtype in ((reward, jnp.float32), (terminated, bool), (truncated, bool))
        )
        truncated = truncated | (t >= self.max_episode_steps)
        return SimulatorState(inner, state.key, t), flat(obs), reward, terminated, truncated


def simulator(
    id: str,
    start: Start,
    move: Move,
    low: float | Sequence[float],
    high: float | Sequence[float],
    limit: int | None = None,
) -> Simulator:
    """The environment of two pure functions of one copy; many copies are `jax.vmap`'s.

    `start(key)` -> (state, obs); `move(key, state, action)` -> (state, obs, reward, terminated, truncated), in an
    episode that has not ended: a step that resets by itself would hide its last observation. The action [m] is in the
    simulator's units, between the bounds `low` and `high` [m]. Observations are arrays or nests of such, which are
    flattened, Dicts by sorted keys. After `limit` steps, or 1 000 if there is none, an episode is truncated, if it was
    not before.
    Raises Mistake if the functions or the bounds do not fit.

        env = simulator("Hop", reset, step, low=[-1.0], high=[1.0], limit=500)
        ddpg.train(env)
    """
    bounds = [np.atleast_1d(np.asarray(bound, np.float32)) for bound in (low, high)]
    if bounds[0].ndim != 1 or bounds[0].shape != bounds[1].shape or not np.isfinite(bounds).all():
        raise Mistake(
            f"environment {id!r} has the action bounds {low} and {high}, expected finite ones for each dimension"
        )
    if not (bounds[0] <= bounds[1]).all() or not (bounds[0] < bounds[1]).any():
        raise Mistake(f"environment {id!r} has the action bounds {low} and {high}, which leave nothing to choose")
    key = jax.eval_shape(lambda: jax.random.key(0))  # of no device: JAX is configured later, and must not start here
    with Guard(lambda: f"environment {id!r}: its reset raised"):
        _, obs = jax.eval_shape(lambda key: _flat_start(start, key), key)
    if limit is not None and limit < 1:
        raise Mistake(f"environment {id!r} has a limit of {limit} steps, expected at least 1, or None")
    own_low, own_high = (tuple(map(float, bound)) for bound in bounds)
    spec = Spec(obs.shape, own_low, own_high, str(obs.dtype))
    env = Simulator(id, spec, limit or UNLIMITED, start, move)
    with Guard(lambda: f"environment {id!r}: its step raised"):
        state, _ = jax.eval_shape(env.reset, key)
        moved, obs, *_ = jax.eval_shape(env.step, state, jax.ShapeDtypeStruct(bounds[0].shape, jnp.float32))
    if _shapes(state) != _shapes(moved) or obs.shape != spec.obs_shape:
        raise Mistake(
            f"environment {id!r}: its step must keep the shapes of the state and observation that reset gives"
        )
    return env


def flat(obs: PyTree) -> Array:
    """One array of 32-bit numbers, or a picture of bytes as it is."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(obs)]
    if len(leaves) == 1 and leaves[0].ndim > 0:
        picture = leaves[0].dtype == jnp.uint8 and seems_picture(leaves[0].shape)
        return leaves[0] if picture else leaves[0].astype(jnp.float32)
    return jnp.concatenate([leaf.ravel().astype(jnp.float32) for leaf in leaves])


def finite(values: PyTree) -> PyTree:
    """With 0 for NaN: what a simulator answers whose physics blew up, as it ends the episode."""
    return jax.tree.map(lambda x: jnp.nan_to_num(x, nan=0.0, posinf=FLOAT32_MAX, neginf=-FLOAT32_MAX), values)


def _flat_start(start: Start, key: Key) -> tuple[PyTree, Array]:
    state, obs = start(key)
    return state, flat(obs)


def _shapes(tree: PyTree) -> tuple[Any, list[tuple[int, ...]]]:
    return jax.tree.structure(tree), [leaf.shape for leaf in jax.tree.leaves(tree)]
