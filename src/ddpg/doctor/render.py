"""How fast an environment draws itself, and with what."""

import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.mistake import Mistake
from ddpg.records.video import drawn, screenless

FRAMES = 30  # that are drawn, at most

PATIENCE = 1.0  # seconds of drawing


@dataclass(frozen=True)
class Rendering:
    """What drawing a few frames showed."""

    frames_per_second: float  # 0 if it failed
    size: tuple[int, ...]  # height and width of a frame
    backend: str  # what draws, if that is known
    error: str = ""


def measure_rendering(gym: GymFactory, actions: np.ndarray) -> Rendering:
    """Draw the first frames of an episode with these actions, as the film at the end of a run does."""
    try:
        with screenless(), closing(gym.make(render_mode="rgb_array")) as env:
            env.reset()
            shape = drawn(env).shape  # the first frame also opens the canvas
            seconds, frames = 0.0, 0
            for action in actions[:FRAMES]:
                done = any(env.step(action)[2:4])
                began = time.perf_counter()
                env.render()
                seconds, frames = seconds + time.perf_counter() - began, frames + 1
                if done or seconds > PATIENCE:
                    break
            return Rendering(frames / max(seconds, 1e-9), shape[:2], _backend(env.unwrapped))
    except Mistake as error:  # EnvironmentFailure too, as if a library is missing
        return Rendering(0.0, (), "", str(error))


def _backend(env: Any) -> str:
    with suppress(Exception):  # of properties of somebody else's
        return backend_of(env)
    return ""


def backend_of(env: Any) -> str:
    """MuJoCo's library for OpenGL and the device it draws on, or pygame; "" if neither is known to draw."""
    viewer = getattr(getattr(env, "mujoco_renderer", None), "viewer", None)
    if viewer is None:
        return "pygame" if "pygame" in sys.modules and (hasattr(env, "surf") or hasattr(env, "screen")) else ""
    module = type(getattr(viewer, "opengl_context", None)).__module__
    library = {"mujoco.egl": "EGL", "mujoco.osmesa": "OSMesa", "mujoco.glfw": "GLFW"}.get(module, "OpenGL")
    name = None
    with suppress(Exception):  # PyOpenGL, which EGL and OSMesa need, raises its own
        opengl = import_module("OpenGL.GL")
        name = opengl.glGetString(opengl.GL_RENDERER)
    return f"{library} on {name.decode(errors='replace')}" if name else library
