"""The article's three TensorBoard charts (Q, the critic's loss, the critic's gradient) as one PNG, from metrics.jsonl.

    python examples/charts.py RUN [RUN ...] [-o charts.png]

Each run is one colour; thin lines are its seeds, the bold line their mean.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import ddpg

CHARTS = {"q": "Q(s, a)", "critic_loss": "critic loss", "dq_da": "|∂Q/∂a|"}
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description="Draw Q, the critic's loss and the critic's gradient of runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("-o", type=Path, default=Path("charts.png"), metavar="FILE")
    args = parser.parse_args(argv)
    figure = Figure(figsize=(11, 3.2), dpi=110, layout="constrained")
    for axes, (key, title) in zip(figure.subplots(1, 3), CHARTS.items(), strict=True):
        for run, color in zip(args.runs, COLORS, strict=False):
            curve = ddpg.curve_of(ddpg.read_metrics(run), run.name, key)  # values [seeds, points], NaN if unknown yet
            axes.plot(curve.steps, curve.returns.T, color=color, linewidth=0.6, alpha=0.3)
            axes.plot(curve.steps, curve.returns.mean(axis=0), color=color, linewidth=2, label=run.name)
        axes.set_title(title, loc="left", fontsize=11, parse_math=False)
        axes.set_xlabel("environment steps", fontsize=9)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=8, length=0)
        axes.grid(axis="y", color="#E6E6E6")
        axes.spines[["top", "right", "left"]].set_visible(False)
    if len(args.runs) > 1:
        figure.axes[0].legend(frameon=False, fontsize=9)
    figure.savefig(args.o)
    print(f"charts: {args.o}")


if __name__ == "__main__":
    main()
