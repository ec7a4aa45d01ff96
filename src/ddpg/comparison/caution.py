"""What a comparison can and cannot tell: too few seeds, and how its numbers are to be read."""

from collections.abc import Iterator, Sequence

from ddpg.comparison.compare import ALPHA, Comparison, Pair
from ddpg.comparison.improvement import seeds_needed
from ddpg.comparison.number import decimal

LISTED = 6  # environments whose scale is named
RELIABLE = 10  # seeds from which on the bootstrap's interval covers about as often as it says (docs/compare.md)


def cautions(comparison: Comparison) -> list[str]:
    """Lines for the reader, the weightiest first."""
    return [*_of_seeds(comparison), *_of_reading(comparison)]


def fewest_seeds(comparison: Comparison) -> int:
    """Of an algorithm in an environment."""
    return min(len(x) for of_label in comparison.overall.scores.values() for x in of_label)


def _of_seeds(comparison: Comparison) -> Iterator[str]:
    seeds, pairs = fewest_seeds(comparison), comparison.overall.pairs
    if seeds == 1:
        yield "one seed has no spread, and so no interval; train several with --seeds"
    if pairs and min(pair.smallest for pair in pairs) * len(pairs) > ALPHA:
        yield _nothing_can_be_shown(comparison, seeds)
    elif undecided := [pair for pair in pairs if pair.better is None]:
        yield _undecided(comparison, undecided)
    if 1 < seeds < RELIABLE:
        yield (
            f"with {seeds} seeds intervals of the IQM are too narrow, and whether they overlap is no test: "
            f"read P(X > Y), its interval and p"
        )


def _nothing_can_be_shown(comparison: Comparison, seeds: int) -> str:
    pairs, envs = comparison.overall.pairs, len(comparison.steps)
    best: Pair = min(pairs, key=lambda pair: pair.smallest)
    corrected = f", {decimal(min(1.0, best.smallest * len(pairs)))} corrected for {len(pairs)} pairs" * (len(pairs) > 1)
    return (
        f"too few seeds to show any difference, however large: with {seeds} the smallest possible p is "
        f"{decimal(best.smallest)}{corrected}; use at least {seeds_needed(envs, len(pairs), ALPHA)} of each algorithm"
    )


def _undecided(comparison: Comparison, pairs: Sequence[Pair]) -> str:
    """What these pairs would have shown."""
    which = f"{pairs[0].x} and {pairs[0].y}: undecided" if len(pairs) == 1 else f"{len(pairs)} pairs are undecided"
    differences = sorted(pair.detectable for pair in pairs if pair.detectable is not None)
    if not differences:
        return f"{which}, since their seeds are too few to show a difference, however large"
    ends = " to ".join(dict.fromkeys(map(decimal, (differences[0], differences[-1]))))
    unit = "" if comparison.ranges is None else " of the scaled return"
    return (
        f"{which}, which is not equal; with so many seeds a difference of about {ends}{unit} "
        f"is shown in 8 of 10 comparisons, a smaller one more rarely"
    )


def _of_reading(comparison: Comparison) -> Iterator[str]:
    if len(comparison.labels) == 1:
        yield (
            "one algorithm: runs with the same options are seeds of one; "
            "a label before a run, such as old=RUN, sets it apart"
        )
    for label, of_label in comparison.overall.scores.items():
        counts = sorted({len(x) for x in of_label})
        if len(counts) > 1:
            both = f"{counts[0]} to {counts[-1]} seeds"
            yield f"{label} has {both} per environment: the IQM over all weighs an environment by its seeds"


def scale(comparison: Comparison, from_reference: bool) -> str | None:
    """What 0 and 1 are in the numbers over environments; None if these are returns as they are."""
    if comparison.ranges is None:
        return None
    which = "the reference's" if from_reference else "the lowest and highest of any seed at any compared step"
    shown = [f"{env} {decimal(low)} and {decimal(high)}" for env, (low, high) in comparison.ranges.items()]
    rest = f" and {len(shown) - LISTED} more" if len(shown) > LISTED else ""
    return f"scale: 0 and 1 are returns, {which}: {', '.join(shown[:LISTED])}{rest}"
