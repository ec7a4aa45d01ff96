"""What an agent sees of an environment: its own observations, or pictures of it, alone or several in a row."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le
from jax import Array
from jaxtyping import Float, UInt8
from pydantic import Discriminator

from ddpg.envs.protocol import Environment
from ddpg.mistake import Mistake
from ddpg.pictures import SMALLEST, Layout, layout_of, picture_parts, seems_picture
from ddpg.ranges import Natural
from ddpg.types import AnyArray, Key, PyTree, Spec


@dataclass(frozen=True)
class Own:
    """What the environment itself observes."""

    kind: Literal["own"] = field(default="own", kw_only=True)


@dataclass(frozen=True)
class Drawn:
    """A picture of it, `size` x `size` and grey, or in `colour`; its own observation if that is or has one already."""

    kind: Literal["drawn"] = field(default="drawn", kw_only=True)
    size: Annotated[Natural, Ge(SMALLEST), Le(1024)] = 48
    colour: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.size, self.size, 3 if self.colour else 1


AnyPixels = Annotated[Own | Drawn, Discriminator("kind")]


class View(NamedTuple):
    """Whether it is drawn, and how many pictures in a row are one observation."""

    pixels: Own | Drawn = Own()
    stack: int = 1


@runtime_checkable
class Drawable(Protocol):
    """A JAX-native environment that can draw itself."""

    def draw(self, state: PyTree, size: int, colour: bool) -> UInt8[AnyArray, "size size c"]: ...


def seen_spec(spec: Spec, view: View) -> Spec:
    """The spec of what is seen. Raises Mistake if there is nothing to stack."""
    if isinstance(view.pixels, Drawn) and not has_pictures(spec):
        spec = replace(spec, obs_shape=view.pixels.shape, obs_dtype="uint8", leaves=())
    if view.stack == 1:
        return spec
    if not is_picture(spec) or is_stack(spec):
        if spec.nested:
            what = f"of {len(spec.leaves)} parts is none; use --stack 1, or stack them in the environment"
        elif is_stack(spec):
            what = f"{spec.obs_shape} is several pictures already; use --stack 1"
        else:
            what = f"{spec.obs_shape} is none of {SMALLEST} x {SMALLEST} or more; use --pixels, or --stack 1"
        raise Mistake(f"stack {view.stack}: it is single pictures that are stacked, and an observation {what}")
    height, width, channels = arrangement(spec).shape
    return replace(spec, obs_shape=(height, width, view.stack * channels), stack=view.stack)


def is_picture(spec: Spec) -> bool:
    """Whether an observation is bytes with a height and a width, SMALLEST at least, or several such pictures."""
    return spec.obs_dtype == "uint8" and seems_picture(spec.obs_shape)


def has_pictures(spec: Spec) -> bool:
    """Whether an observation is a picture, or has parts that are."""
    return is_picture(spec) or bool(picture_parts(spec))


def is_stack(spec: Spec) -> bool:
    """Whether an observation is several pictures in a row, as the environment gives it."""
    return is_picture(spec) and len(spec.obs_shape) == 4


def arrangement(spec: Spec) -> Layout:
    """How observations that are pictures become [height, width, channels]."""
    layout = layout_of(spec.obs_shape)
    assert layout is not None
    return layout


@dataclass(frozen=True)
class Seen:
    """A native environment of which something else is seen."""

    env: Environment

    @property
    def id(self) -> str:
        return self.env.id

    @property
    def max_episode_steps(self) -> int:
        return self.env.max_episode_steps


@dataclass(frozen=True)
class Pictures(Seen):
    """A native environment that is seen as it draws itself."""

    pixels: Drawn

    @property
    def spec(self) -> Spec:
        return seen_spec(self.env.spec, View(self.pixels))

    def reset(self, key: Key) -> tuple[PyTree, Array]:
        state, _ = self.env.reset(key)
        return state, self._draw(state)

    def step(self, state: PyTree, action: Float[Array, " m"]) -> tuple[PyTree, Array, Array, Array, Array]:
        state, _, reward, terminated, truncated = self.env.step(state, action)
        return state, self._draw(state), reward, terminated, truncated

    def _draw(self, state: PyTree) -> Array:
        return jnp.asarray(drawer(self.env).draw(state, self.pixels.size, self.pixels.colour))


class StackState(NamedTuple):
    """Of the environment, and what is seen."""

    env: PyTree
    obs: UInt8[Array, "h w c"]


@dataclass(frozen=True)
class Stacked(Seen):
    """A native environment of whose pictures the last few are one observation, the newest last."""

    stack: int

    @property
    def spec(self) -> Spec:
        return seen_spec(self.env.spec, View(stack=self.stack))

    def reset(self, key: Key) -> tuple[StackState, Array]:
        state, picture = self.env.reset(key)
        picture = arrangement(self.env.spec)(picture[None])[0]
        obs = jnp.tile(picture, (1, 1, self.stack))
        return StackState(state, obs), obs

    def step(self, state: StackState, action: Float[Array, " m"]) -> tuple[StackState, Array, Array, Array, Array]:
        env, picture, reward, terminated, truncated = self.env.step(state.env, action)
        picture = arrangement(self.env.spec)(picture[None])[0]
        obs = jnp.concatenate([state.obs[..., picture.shape[-1] :], picture], axis=-1)
        return StackState(env, obs), obs, reward, terminated, truncated


def drawer(env: Environment) -> Drawable:
    """What draws its states: what repeats actions has those of what it repeats them in.

    Raises Mistake if nothing does.
    """
    inner: Any = env
    while not isinstance(inner, Drawable):
        if not hasattr(inner, "env"):
            raise Mistake(f"pixels: {env.id} does not draw itself; give it a method draw(state, size, colour)")
        inner = inner.env
    return inner


def seen_native(env: Environment, view: View) -> Environment:
    """The environment as it is to be seen. Raises Mistake if it cannot draw itself."""
    if isinstance(view.pixels, Drawn) and not has_pictures(env.spec):
        drawer(env)
        env = Pictures(env, view.pixels)
    seen_spec(env.spec, View(stack=view.stack))  # Mistake, before a Stacked is asked for its own
    return Stacked(env, view.stack) if view.stack > 1 else env


class Eye:
    """The last pictures of an environment that Python steps, in a row."""

    def __init__(self, stack: int, layout: Layout) -> None:
        self._stack, self._layout, self._seen = stack, layout, np.zeros(0, np.uint8)

    def __call__(self, picture: UInt8[np.ndarray, "*picture"], first: bool) -> UInt8[np.ndarray, "h w c"]:
        """One observation, with the newest picture; the first of an episode stands for those before it."""
        picture = self._layout(picture[None])[0]
        if first:
            self._seen = np.tile(picture, (1, 1, self._stack))
        else:
            self._seen = np.concatenate([self._seen[..., picture.shape[-1] :], picture], axis=-1)
        return self._seen


def unseen(env: Environment) -> Environment:
    """The environment behind a view."""
    while isinstance(env, Seen):
        env = env.env
    return env


def view_of(env: Environment) -> View:
    """How it is seen."""
    stack, pixels = 1, Own()
    while isinstance(env, Pictures | Stacked):
        stack, pixels = (env.stack, pixels) if isinstance(env, Stacked) else (stack, env.pixels)
        env = env.env
    return View(pixels, stack)
