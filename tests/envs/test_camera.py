"""Environments seen as they draw themselves."""

from contextlib import closing
from types import SimpleNamespace
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.config.presets import PRESETS
from ddpg.environment import gymnasium_version, resolve
from ddpg.envs.camera import Camera, draw_plainly
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.gymnasium_factory import GymFactory, by_callable
from ddpg.envs.pendulum import Pendulum, PendulumState
from ddpg.envs.view import Drawn, Pictures, Stacked, View, unseen, view_of
from ddpg.mistake import Mistake
from tests.worlds import Cart

SEEN = View(Drawn(size=32), 3)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("size", [16, 48, 84])
def test_jax_and_numpy_draw_the_same_pendulum(size: int, colour: bool) -> None:
    for theta in np.random.default_rng(0).uniform(-20, 20, 20).astype(np.float32):
        by_jax = np.asarray(jax.jit(Pendulum.picture, static_argnums=(1, 2))(theta, size, colour), int)
        by_numpy = Pendulum.picture(theta, size, colour)
        assert by_numpy.dtype == np.uint8
        assert by_numpy.shape == (size, size, 3 if colour else 1)
        assert np.abs(by_jax - by_numpy).max() <= 1


def test_the_picture_is_that_of_gymnasium() -> None:
    """Upright is upwards, and the rod turns the same way: where ours is bright Gymnasium's is not white."""
    with closing(gymnasium.make("Pendulum-v1", render_mode="rgb_array")) as env:
        for theta in (0.0, 0.5, 2.0, -2.5):
            env.reset(seed=0)
            inner: Any = env.unwrapped
            inner.state = np.array([theta, 0.0])
            frame: Any = env.render()
            bright = Pendulum.picture(np.float32(theta), 500, False)[..., 0] > 128
            row, column = np.argwhere(bright).mean(axis=0) - 250  # the middle of the rod, in pixels of 2.3 m
            scale = 500 / 4.4 / (500 / 2.3)  # Gymnasium shows 4.4 m
            pixel = frame[round(250 + scale * row), round(250 + scale * column)]
            assert tuple(pixel) == (204, 77, 77), theta


def test_what_is_seen_is_the_last_pictures_of_the_episode() -> None:
    env = resolve("Pendulum-v1", view=SEEN)
    assert isinstance(env, Stacked)
    assert (env.spec.obs_shape, env.spec.obs_dtype, env.spec.stack) == ((32, 32, 3), "uint8", 3)
    assert (unseen(env), view_of(env)) == (Pendulum(), SEEN)
    state, obs = env.reset(jax.random.key(0))
    pictures = [Pendulum().draw(state.env, 32, False)] * 3
    for _ in range(4):
        np.testing.assert_array_equal(obs, np.concatenate(pictures[-3:], axis=-1))
        state, obs, *_ = env.step(state, jnp.ones(1))
        pictures.append(Pendulum().draw(state.env, 32, False))


def test_gymnasiums_pendulum_looks_like_ours() -> None:
    gym = gymnasium_version(resolve("Pendulum-v1", view=SEEN))
    assert gym.spec == resolve("Pendulum-v1", view=SEEN).spec == resolve("gym:Pendulum-v1", view=SEEN).spec
    with closing(gym.make()) as env:
        obs, _ = env.reset(seed=3)
        pictures = []
        for _ in range(5):
            inner: Any = env.unwrapped
            theta, speed = inner.state
            ours = Pendulum().draw(PendulumState(jnp.float32(theta), jnp.float32(speed), jnp.int32(0)), 32, False)
            pictures = [*(pictures or [ours] * 2), ours]
            assert np.abs(obs.astype(int) - np.concatenate(pictures[-3:], axis=-1)).max() <= 1
            obs, *_ = env.step(np.array([1.0], np.float32))
        assert env.observation_space.contains(obs)


def test_pictures_of_any_environment() -> None:
    car = resolve("gym:MountainCarContinuous-v0", view=View(Drawn(size=24, colour=True), 2))
    assert isinstance(car, GymFactory)
    with closing(car.make()) as env:
        first, _ = env.reset(seed=0)
        assert (first.shape, first.dtype) == ((24, 24, 6), np.uint8)
        np.testing.assert_array_equal(first[..., :3], first[..., 3:])
        assert first.std() > 10


def test_what_is_a_picture_already_is_seen_as_it_is() -> None:
    seen = by_callable(Frames, Frames()).seen(SEEN)
    assert seen.drawn is None
    assert (seen.spec.obs_shape, seen.spec.stack) == ((24, 20, 9), 3)


class Frames(gymnasium.Env):
    """Observes pictures of its own."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (24, 20, 3), np.uint8)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))


class Undrawn(gymnasium.Env):
    """Says that it draws, and answers `frame`."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, frame: Any, render_mode: str | None = None) -> None:
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
        self.render_mode, self._frame = render_mode, frame

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        return np.zeros(2, np.float32), {}

    def render(self) -> Any:
        return self._frame


@pytest.mark.parametrize("frame", [None, np.zeros((4, 4)), "picture"])
def test_a_frame_that_is_no_picture_is_one_line(frame: Any) -> None:
    gym = by_callable(lambda **mode: Undrawn(frame, **mode), Undrawn(frame)).seen(SEEN)
    with (
        closing(gym.make()) as env,
        pytest.raises(EnvironmentFailure, match=r"render raised .* expected \[height, width, 3\]"),
    ):
        env.reset()


@pytest.mark.parametrize(
    "frame", [np.full((5, 7, 3), 255, np.uint8), np.ones((5, 7, 3), np.float32), np.full((5, 7, 4), 255, np.uint8)]
)
def test_frames_of_floats_and_with_transparency(frame: np.ndarray) -> None:
    picture = Camera(Undrawn(frame), Drawn(size=16))()
    assert picture.shape == (16, 16, 1)
    assert (picture == 255).all()


def test_only_pictures_are_stacked() -> None:
    with pytest.raises(Mistake, match=r"stack 3: .* observation \(3,\) is none of 16 x 16 or more; use --pixels, or"):
        resolve("Pendulum-v1", view=View(stack=3))


@pytest.mark.parametrize(("shape", "seen"), [((3, 24, 20), (24, 20, 9)), ((24, 20), (24, 20, 3))])
def test_pictures_of_any_order_are_stacked(shape: tuple[int, ...], seen: tuple[int, ...]) -> None:
    class Numbers(Frames):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
            return np.arange(np.prod(shape), dtype=np.uint8).reshape(shape), {}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            return self.reset()[0] + np.uint8(1), 0.0, False, False, {}

    gym = by_callable(Numbers, Numbers()).seen(View(stack=3))
    with closing(gym.make()) as env:
        first, _ = env.reset()
        second, *_ = env.step(np.zeros(1, np.float32))
    picture = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    picture = np.moveaxis(picture, 0, -1) if len(shape) == 3 else picture[..., None]
    assert first.shape == gym.spec.obs_shape == seen
    np.testing.assert_array_equal(first, np.concatenate([picture] * 3, axis=-1))
    np.testing.assert_array_equal(second, np.concatenate([picture, picture, picture + np.uint8(1)], axis=-1))


def test_what_is_stacked_already_is_not_stacked_again() -> None:
    class Four(Frames):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = gymnasium.spaces.Box(0, 255, (4, 24, 20, 3), np.uint8)

    gym = by_callable(Four, Four())
    with pytest.raises(Mistake, match=r"an observation \(4, 24, 20, 3\) is several pictures already; use --stack 1"):
        gym.seen(View(stack=3))


def test_a_native_environment_that_does_not_draw_is_one_line() -> None:
    with pytest.raises(Mistake, match="pixels: cart does not draw itself; give it a method draw"):
        resolve(Cart(), view=SEEN)


def test_presets_that_see_pictures() -> None:
    for name in ("pixels", "drqv2", "lillicrap-pixels"):
        config = PRESETS[name]
        env = resolve("Pendulum-v1", repeat=config.action_repeat, view=config.view)
        assert isinstance(env, Stacked)
        assert isinstance(env.env, Pictures)
        assert config.agent.encoder.sizes(env.spec)[0] > 100


class Edge:
    """What Gymnasium's MuJoCo draws with: white to the left of `at` pixels of a picture of 16, else black."""

    camera_id, data, default_cam_config, max_geom, at = -1, None, None, 10, 0.0
    model = SimpleNamespace(vis=SimpleNamespace(global_=SimpleNamespace(offwidth=640, offheight=480)))

    viewer: Any = None
    current: Any = None  # the one that draws: others would be black
    freed = False
    to_free: list[Any] = []  # noqa: RUF012

    def __init__(self, *_: Any, width: int = 480, height: int = 480, max_geom: int = 0) -> None:
        self.width, self.height = width, height

    @property
    def con(self) -> Any:
        return SimpleNamespace(free=lambda: setattr(Edge.current, "freed", True))

    def make_context_current(self) -> None:
        Edge.current = self

    def render(self, mode: str = "rgb_array") -> np.ndarray:
        if self.viewer is None:
            self.viewer = Edge.current = self
        if Edge.to_free:  # what was dropped is freed late, in whichever is current by then
            Edge.to_free.clear()
            self.con.free()
        seen = Edge.current is self and not self.freed
        columns = np.arange(self.width) < Edge.at * self.width / 16 * seen
        return np.broadcast_to(np.uint8(255) * columns[:, None], (self.height, self.width, 3))

    def close(self) -> None:
        if self.viewer is not None and not self.freed:
            Edge.to_free.append(self)


def test_what_moves_by_less_than_a_pixel_is_seen() -> None:
    env: Any = gymnasium.Env()
    env.mujoco_renderer = Edge()
    seen = []
    for Edge.at in (3, 3.5, 4):
        with closing(Camera(env, Drawn(size=16))) as camera:
            seen.append(camera()[0, :, 0].tolist())
    assert [row[3] for row in seen] == [0, pytest.approx(127, abs=1), 255]
    assert all(row[:3] == [255] * 3 and row[4:] == [0] * 12 for row in seen)


class Drawing(gymnasium.Env):
    """Draws with an edge."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self.mujoco_renderer = render_mode, Edge()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(1, np.float32), {}

    def render(self) -> Any:
        return self.mujoco_renderer.render()

    def close(self) -> None:
        self.mujoco_renderer.close()


def test_others_that_draw_or_are_closed_do_not_make_it_black() -> None:
    Edge.at, pixels = 16, View(Drawn(size=16))
    factory = by_callable(Drawing, Drawing()).seen(pixels)
    with closing(factory.make()) as env:
        for _ in range(2):
            with closing(factory.make()) as other:
                for one in (env, other, env):
                    assert one.reset()[0].min() == one.render().min() == 255
            assert env.reset()[0].min() == 255
        assert env.render().min() == 255


def test_large_pictures_fit_what_mujoco_draws_into() -> None:
    env: Any = gymnasium.Env()
    env.mujoco_renderer = Edge()
    with closing(Camera(env, Drawn(size=400))):
        buffer = Edge.model.vis.global_
        assert (buffer.offwidth, buffer.offheight) == (800, 800)


def test_mujoco_is_drawn_plainly() -> None:
    pytest.importorskip("mujoco")
    with closing(gymnasium.make("InvertedPendulum-v5")) as env:
        draw_plainly(env)
        model: Any = env.unwrapped
        assert model.model.vis.quality.offsamples == 0
        assert not model.model.light_castshadow.any()
        assert not model.model.mat_reflectance.any()
    draw_plainly(gymnasium.make("Pendulum-v1"))  # which is another's
