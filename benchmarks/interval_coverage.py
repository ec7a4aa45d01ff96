"""How often the 95 % intervals of `ddpg compare` hold what is true, by number of seeds and environments.

    python benchmarks/interval_coverage.py [--draws 1000]

Scores are drawn at random: of X from a normal distribution one and a half standard deviations above that of Y, or with
every fifth seed of X failed, ten below. True values are those of 200 000 draws. The interval of P(X > Y) that `rliable`
and others have, the bootstrap's, is measured beside ours. `--table` prints what the result holds in Markdown.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ddpg.comparison.improvement import improvement_interval, probability_of_improvement
from ddpg.records.statistics import iqm, pooled_iqm, stratified_interval

SEEDS, ENVIRONMENTS = (3, 4, 5, 10, 20), (1, 4)
SHIFT, FAILED, SHARE, MANY = 1.5, -10.0, 0.2, 200_000
Drawn = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.normal(SHIFT, 1, shape)


def failing(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return normal(random, shape) + np.where(random.random(shape) < SHARE, FAILED, 0)


def baseline(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.normal(0, 1, shape)


KINDS: dict[str, Drawn] = {"normal": normal, "failing": failing}


def bootstrapped(x: Sequence[np.ndarray], y: Sequence[np.ndarray], seed: int) -> tuple[float, float]:
    """The percentile bootstrap's interval of P(X > Y)."""
    random, found = np.random.default_rng(seed), list[np.ndarray]()
    for a, b in zip(x, y, strict=True):
        above = a[:, None] > b
        i, j = random.integers(len(a), size=(1000, len(a))), random.integers(len(b), size=(1000, len(b)))
        found.append(above[i[:, :, None], j[:, None, :]].mean(axis=(1, 2)))
    low, high = np.percentile(np.mean(found, axis=0), [2.5, 97.5])
    return float(low), float(high)


def covered(kind: Drawn, seeds: int, environments: int, draws: int) -> dict[str, float]:
    """The share of draws whose interval holds the true value, of each interval."""
    random = np.random.default_rng([seeds, environments])
    true_iqm = float(np.mean(iqm(kind(random, (seeds * environments, MANY // 10)))))
    true_p = float((kind(random, (MANY,)) > baseline(random, (MANY,))).mean())
    inside = {"iqm": 0, "p": 0, "p_bootstrap": 0}
    for draw in range(draws):
        x, y = (list(drawn(random, (environments, seeds))) for drawn in (kind, baseline))
        ends = stratified_interval([a[:, None] for a in x], pooled_iqm, resamples=1000, seed=draw)
        inside["iqm"] += bool(ends[0][0] <= true_iqm <= ends[1][0])
        low, high = improvement_interval(probability_of_improvement(x, y), [(seeds, seeds)] * environments)
        inside["p"] += low <= true_p <= high
        low, high = bootstrapped(x, y, draw)
        inside["p_bootstrap"] += low <= true_p <= high
    return {name: round(number / draws, 3) for name, number in inside.items()}


def table(result: dict[str, dict[str, dict[str, float]]]) -> str:
    names = ("iqm", "p", "p_bootstrap")
    head = ["environments", "seeds", *(f"{name} {kind}" for name in names for kind in KINDS)]
    lines = [head, ["---"] * len(head)]
    for case in result["normal"]:
        cells = [f"{100 * result[kind][case][name]:.0f} %" for name in names for kind in KINDS]
        lines.append([*case.split(","), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="of each case (1000)")
    parser.add_argument("--table", action="store_true", help="print the result in Markdown")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    cases = [(environments, seeds) for environments in ENVIRONMENTS for seeds in SEEDS]
    result = {
        name: {f"{envs},{seeds}": covered(kind, seeds, envs, args.draws) for envs, seeds in cases}
        for name, kind in KINDS.items()
    }
    args.out.mkdir(parents=True, exist_ok=True)
    command = "python benchmarks/interval_coverage.py"
    text = json.dumps({"command": command, "draws": args.draws, "coverage": result}, indent=1)
    (args.out / "interval_coverage.json").write_text(text + "\n")
    if args.table:
        print(table(result))


if __name__ == "__main__":
    main()
