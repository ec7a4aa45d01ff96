"""A film of a policy, drawn by Gymnasium's own renderer of the environment."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ddpg.mistake import Mistake
from ddpg.terminal import count

WIDTH, RATE = 240, 20  # pixels; frames per second, the most that viewers show of a GIF
SPARSEST, SAMPLE = 5, 4  # frames per second of a film for which time is short; frames by which their time is measured
PATIENCE = 3.0  # seconds between two lines about a film


def check_film(path: Path) -> None:
    """Raise Mistake if no film can be written there."""
    kind = path.suffix.lower()
    if kind not in (".gif", ".mp4"):
        raise Mistake(f"film {path}: expected a name that ends in .gif or .mp4")
    if kind == ".mp4" and find_spec("imageio_ffmpeg") is None:
        raise Mistake(f"film {path}: MP4 needs imageio-ffmpeg: pip install imageio-ffmpeg, or choose a .gif")
    place = path if os.path.exists(path) else path.parent  # os.path raises nothing, whatever the name
    if os.path.isdir(path) or not os.path.isdir(path.parent) or not os.access(place, os.W_OK):
        raise Mistake(f"film {path} cannot be written; choose another file, in a folder that exists")


def check_screen() -> None:
    """Raise Mistake if there is no screen: SDL would silently fall back on an invisible one."""
    chosen = os.environ.get("SDL_VIDEODRIVER")
    if chosen or not sys.platform.startswith("linux"):
        visible = chosen not in ("dummy", "offscreen")
    else:
        visible = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    # SDL notices a wrong address of a screen only after something has been drawn.
    pygame = sys.modules.get("pygame")
    if pygame is not None and pygame.display.get_init():
        visible = visible and pygame.display.get_driver() not in ("dummy", "offscreen")
    if not visible:
        raise Mistake("no window can be opened, since there is no screen; use --video FILE instead of --render")


@contextmanager
def screenless() -> Iterator[None]:
    """A context in which SDL and MuJoCo, which draw Gymnasium's environments, need no screen."""
    chosen = {"SDL_VIDEODRIVER": "dummy"}
    if sys.platform.startswith("linux") and "MUJOCO_GL" not in os.environ:
        chosen["MUJOCO_GL"] = "egl"
    before = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class FilmPace:
    """Every how many steps of an episode, of at most `steps`, a frame is drawn, if that is to take `seconds`.

    Fewer are drawn if the whole episode would take longer, down to SPARSEST per second of the film; the rest is cut.
    """

    def __init__(self, rate: float, steps: int = 1_000, seconds: float = math.inf) -> None:
        self._rate, self.steps, self.every = rate, steps, max(1, round(rate / RATE))
        self._until, self._since = perf_counter() + seconds, (0, 0.0)

    @property
    def frames_per_second(self) -> float:
        return self._rate / self.every

    def too_slow(self, step: int) -> bool:
        """Whether every second frame is one too many, after that of a step; `every` is twice as large then."""
        now, (first, began) = perf_counter(), self._since
        if step == 0:  # before the first frame what draws is prepared
            self._since = 0, now
        if step - first < SAMPLE * self.every or self.frames_per_second < 2 * SPARSEST:
            return False
        if now + (now - began) / (step - first) * (self.steps - step) <= self._until:
            return False
        self.every *= 2
        self._since = step, now
        return True

    def over(self) -> bool:
        return perf_counter() > self._until


def play(env: Any, policy: Callable[[np.ndarray], np.ndarray], seed: int, steps: int = 1_000) -> Iterator[int]:
    """One greedy episode; yields the number of steps done, at every state."""
    obs, _ = env.reset(seed=seed)
    yield 0
    for step in range(1, steps + 1):
        action = policy(obs)
        if not np.isfinite(action).all():
            raise Mistake("the policy's action is NaN: its training diverged; train with a lower lr")
        obs, _, terminated, truncated, _ = env.step(action)
        yield step
        if terminated or truncated:
            return


def film(
    env: Any,
    policy: Callable[[np.ndarray], np.ndarray],
    seed: int,
    pace: FilmPace,
    note: Callable[[str], None],
    fit: Callable[[np.ndarray], Any] = np.copy,
) -> list[Any]:
    """Frames [h, w, 3] uint8 of one greedy episode at this pace, through `fit`; render_mode is rgb_array.

    A `note` after every few seconds. Raises Mistake if a frame is invalid, or of another size than the first.
    """
    frames, shape, noted = list[Any](), None, perf_counter()
    for step in play(env, policy, seed, pace.steps):
        if step % pace.every == 0:
            frame = drawn(env)
            shape = shape or frame.shape
            if frame.shape != shape:
                raise Mistake(f"render() gave uint8 {list(frame.shape)}, expected {list(shape)} as the first frame")
            frames.append(fit(frame))
            if pace.too_slow(step):
                frames = frames[::2]
            if pace.over():
                break
            if perf_counter() - noted > PATIENCE:
                noted = perf_counter()
                note(f"film: {count(len(frames), 'frame')} drawn")
    return frames


def drawn(env: Any) -> np.ndarray:
    """A frame [h, w, 3] uint8 of what render() gives: pictures in grey or with alpha too, of any numbers."""
    answer = env.render()
    if isinstance(answer, list) and answer:  # of a mode such as rgb_array_list
        answer = answer[-1]
    frame: np.ndarray = answer if isinstance(answer, np.ndarray) else np.zeros(0)
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.ndim != 3 or frame.shape[2] not in (1, 3, 4) or not frame.size or frame.dtype.kind not in "fiub":
        what = f"{answer.dtype} {list(answer.shape)}" if isinstance(answer, np.ndarray) else type(answer).__name__
        raise Mistake(f"the environment's render() gave {what}, expected uint8 [h, w, 3]")
    if frame.dtype.kind in "fb" and frame.max() <= 1:  # in shares of white
        frame = frame * 255.0
    if frame.dtype != np.uint8:
        frame = np.nan_to_num(frame).round().clip(0, 255).astype(np.uint8)
    return np.broadcast_to(frame[..., :3], (*frame.shape[:2], 3))


def fit_of(path: Path) -> Callable[[np.ndarray], Any]:
    """What a film at `path` makes of a frame; always a copy, since an environment may draw into one array."""
    return _even if path.suffix.lower() == ".mp4" else _small


def _even(frame: np.ndarray) -> np.ndarray:
    """Cut to even numbers of pixels, which H.264 needs."""
    height, width = (n // 2 * 2 for n in frame.shape[:2])
    if not height * width:
        raise Mistake(f"the environment's render() gave uint8 {list(frame.shape)}, expected two pixels each way")
    return frame[:height, :width].copy()


def _small(frame: np.ndarray) -> Any:
    """A picture of WIDTH pixels and a GIF's colours."""
    from PIL import Image

    image = Image.fromarray(frame)
    height = max(1, round(WIDTH * image.height / image.width))
    image = image.resize((WIDTH, height), Image.Resampling.BILINEAR, reducing_gap=1.0)
    return image.quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def write_film(frames: list[Any], path: Path, rate: float) -> None:
    """A film of `rate` frames per second, as `fit_of` made them: an endless GIF or an MP4, by the suffix."""
    (write_mp4 if path.suffix.lower() == ".mp4" else write_gif)(frames, path, rate)


def write_mp4(frames: list[np.ndarray], path: Path, rate: float) -> None:
    """H.264, in the size of the frames."""
    from imageio_ffmpeg import get_ffmpeg_exe

    height, width = frames[0].shape[:2]
    pixels = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{rate:g}", "-i", "-")
    coded = ("-c:v", "libx264", "-pix_fmt", "yuv420p", str(path.absolute()))
    # Not imageio_ffmpeg's own writer: it forks this process, which has JAX's threads.
    done = subprocess.run(
        [get_ffmpeg_exe(), "-y", "-loglevel", "error", *pixels, *coded],
        input=b"".join(frame.tobytes() for frame in frames),
        capture_output=True,
    )
    if done.returncode:
        raise OSError(" ".join(done.stderr.decode(errors="replace").split())[-200:])


def write_gif(frames: list[Any], path: Path, rate: float) -> None:
    """An endless GIF of `rate` frames per second, of pictures."""
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(1000 / rate), loop=0)
