"""A film of a policy, drawn by Gymnasium's own renderer of the environment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def film(env: Any, policy: Callable[[np.ndarray], np.ndarray], seed: int, frames: int = 1_000) -> list[np.ndarray]:
    """The frames [h, w, 3] uint8 of one greedy episode in a Gymnasium environment with render_mode rgb_array."""
    obs, _ = env.reset(seed=seed)
    shots = [env.render()]
    for _ in range(frames):
        obs, _, terminated, truncated, _ = env.step(policy(obs))
        shots.append(env.render())
        if terminated or truncated:
            break
    return shots


def write_gif(shots: list[np.ndarray], path: Path, fps: float, width: int = 240) -> None:
    """An endless GIF of at most 20 frames a second, which is what viewers show, `width` pixels wide."""
    from PIL import Image

    every = max(1, round(fps / 20))
    images = []
    for shot in shots[::every]:
        image = Image.fromarray(shot)
        image = image.resize((width, round(width * image.height / image.width)), Image.Resampling.BILINEAR)
        images.append(image.quantize(64, dither=Image.Dither.NONE))
    images[0].save(path, save_all=True, append_images=images[1:], duration=round(1000 * every / fps), loop=0)
