"""What an agent that learned from pictures sees, and the patches that its encoder looks for.

    python benchmarks/pixel_figure.py RUN [--out docs/images/pixels.png]

RUN is one of `ddpg train --pixels`. Above the stack of pictures that is one observation, halfway through the swing-up;
below, for the 16 filters with the largest weights, what each looks for in the newest picture, and in the newest minus
the one before: the second is how a filter sees speed.
"""

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import ddpg
from ddpg.algorithm.picture_embedding import PictureEmbedding
from ddpg.environment import resolve_as
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.records.plot import INK

SHOWN, STEPS = 16, 25  # filters, and steps before the pictures


def stack_of(run: Path) -> np.ndarray:
    """[h, w, stack] after STEPS greedy steps from below."""
    policy, config = ddpg.load(run), ddpg.load_config(run)
    env = resolve_as(config, "gym:Pendulum-v1")
    assert isinstance(env, GymFactory)
    with closing(env.make()) as made:
        obs, _ = made.reset(seed=4)
        for _ in range(STEPS):
            obs, *_ = made.step(policy(obs))
    return obs


def draw(run: Path, file: Path) -> None:
    pictures = stack_of(run)
    encoder = ddpg.load(run).nets.encoder
    assert isinstance(encoder, PictureEmbedding)
    weight = np.asarray(encoder.layers[0].weight)  # [k, k, stack, filters]
    order = np.argsort(-np.square(weight).sum(axis=(0, 1, 2)))[:SHOWN]
    newest, change = weight[:, :, -1, order], weight[:, :, -1, order] - weight[:, :, -2, order]
    drawing = Figure(figsize=(9, 4.6), dpi=160, facecolor="white", layout="constrained")
    parts: Any = drawing.subfigures(2, 1, height_ratios=(3, 1.2))
    for i, axes in enumerate(parts[0].subplots(1, pictures.shape[-1])):
        axes.imshow(pictures[:, :, i], cmap="gray", vmin=0, vmax=255)
        before = pictures.shape[-1] - 1 - i
        axes.set_title(
            ("now", "a step before")[before] if before < 2 else f"{before} steps before", color=INK, fontsize=10
        )
    rows = parts[1].subplots(2, SHOWN)
    for name, each, row in zip(("in the newest", "newest − before"), (newest, change), rows, strict=True):
        limit = np.abs(each).max()
        for i, axes in enumerate(row):
            axes.imshow(each[:, :, i], cmap="RdBu", vmin=-limit, vmax=limit)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", color=INK, fontsize=10)
    for axes in drawing.axes:
        axes.set_xticks([])
        axes.set_yticks([])
    file.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(drawing).print_png(str(file), metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images/pixels.png"))
    args = parser.parse_args()
    draw(args.run, args.out)


if __name__ == "__main__":
    main()
