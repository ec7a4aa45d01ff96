"""The article's two open questions in one figure: does decaying noise help, and do 25 updates per 200 steps?

    python examples/article_experiments.py [--steps 20000] [--seeds 8] [-o article_experiments.png]

Each curve is the `article` preset with one change, the same seeds and the same evaluation starts.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import ddpg

EXPERIMENTS = {
    "article": {},
    "constant noise": {"exploration.schedule": "constant"},
    "200 steps, 25 updates": {"collect.steps": 200, "collect.updates": 25},
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description="Train the article's preset three ways and draw the curves together.")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("-o", type=Path, default=Path("article_experiments.png"), metavar="FILE")
    args = parser.parse_args(argv)
    curves, optimum = [], None
    for label, options in EXPERIMENTS.items():
        run = ddpg.train(preset="article", steps=args.steps, seeds=args.seeds, options=options)
        curves.append(ddpg.curve_of(ddpg.read_metrics(run.path), label))
        optimum = run.summary["optimum"]
        low, high = run.summary["ci_low"], run.summary["ci_high"]
        interval = "" if low is None else f" [{low:.1f}, {high:.1f}]"
        print(f"{label}: return {run.summary['iqm']:.1f}{interval}")
    ddpg.learning_curve(curves, args.o, "Pendulum-v1 · the article's experiments", optimum)
    print(f"curves: {args.o}")


if __name__ == "__main__":
    main()
