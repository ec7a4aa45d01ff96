"""Pictures of environments that Python steps, small and quickly drawn."""

import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ddpg.envs.pendulum import Pendulum
from ddpg.envs.view import Drawn

ENLARGED = 2  # times as wide and high MuJoCo draws: shrunk, that shows what moves by less than a pixel


class Context:
    """What Gymnasium's renderer of MuJoCo draws pictures with, if there is one and it is no window.

    One is current in a process: the pictures of others are black, and what MuJoCo frees, it frees of the current one.
    """

    def __init__(self, renderer: Any) -> None:
        self._renderer = renderer

    @property
    def _viewer(self) -> Any:
        viewer = getattr(self._renderer, "viewer", None)  # from the first picture on, for which it is made current
        return None if hasattr(viewer, "window") else viewer

    def make_current(self) -> None:
        if self._viewer is not None:
            self._viewer.make_context_current()

    def close(self) -> None:
        """Before its renderer is."""
        self.make_current()
        if self._viewer is not None:
            self._viewer.con.free()


def context_of(env: Any) -> Context:
    return Context(getattr(getattr(env, "unwrapped", None), "mujoco_renderer", None))


class Camera:
    """Draws an environment of render mode rgb_array, and shrinks the frame. MuJoCo draws plainly, and twice as wide."""

    def __init__(self, env: gymnasium.Env, pixels: Drawn) -> None:
        self._env, self.pixels, self._draw = env, pixels, drawing_of(env, pixels)
        self._renderer: Any = None
        renderer: Any = getattr(env.unwrapped, "mujoco_renderer", None)
        if renderer is not None and hasattr(renderer, "camera_id"):  # another of its kind, so that films stay large
            draw_plainly(env)
            size = ENLARGED * pixels.size
            make_room(renderer.model, size)
            own = {"width": size, "height": size, "max_geom": renderer.max_geom}
            camera = {} if renderer.camera_id == -1 else {"camera_id": renderer.camera_id}
            self._renderer = type(renderer)(renderer.model, renderer.data, renderer.default_cam_config, **own, **camera)
        self._context = context_of(env) if self._renderer is None else Context(self._renderer)

    def close(self) -> None:
        if self._renderer is not None:
            self._context.close()
            self._renderer.close()

    def __call__(self) -> UInt8[np.ndarray, "size size c"]:
        """ValueError if what it draws is no picture."""
        if self._draw is not None:
            return self._draw()
        self._context.make_current()
        frame = np.asarray(self._env.render() if self._renderer is None else self._renderer.render("rgb_array"))
        if frame.ndim != 3 or frame.shape[-1] not in (3, 4):
            raise ValueError(f"a frame of shape {frame.shape}, expected [height, width, 3]")
        if frame.dtype.kind == "f":  # brightness from 0 to 1
            frame = np.clip(255 * frame, 0, 255)
        size, colour = self.pixels.size, self.pixels.colour
        picture = Image.fromarray(frame[..., :3].astype(np.uint8))
        picture = picture if colour else picture.convert("L")
        if picture.size != (size, size):
            picture = picture.resize((size, size), Image.Resampling.BOX)
        return np.asarray(picture).reshape(self.pixels.shape)


def drawing_of(env: gymnasium.Env, pixels: Drawn) -> Callable[[], np.ndarray] | None:
    """How a native environment draws itself, if this is Gymnasium's version of it: so that both look alike."""
    inner: Any = env.unwrapped
    if type(inner).__module__ != "gymnasium.envs.classic_control.pendulum":
        return None
    return lambda: Pendulum.picture(np.float32(inner.state[0]), pixels.size, pixels.colour)


def make_room(model: Any, size: int) -> None:
    """For frames of this width and height: MuJoCo leaves black what does not fit its buffer, 640 x 480 by default."""
    buffer = model.vis.global_
    buffer.offwidth, buffer.offheight = max(buffer.offwidth, size), max(buffer.offheight, size)


def draw_plainly(env: Any) -> None:
    """Draw MuJoCo without multisampling, shadows and reflections: on a CPU fifteen times as fast. Physics stay."""
    mujoco: Any = sys.modules.get("mujoco")
    model: Any = getattr(env.unwrapped, "model", None)
    if mujoco is not None and isinstance(model, mujoco.MjModel):
        model.vis.quality.offsamples = 0
        model.light_castshadow[:] = 0
        model.mat_reflectance[:] = 0
