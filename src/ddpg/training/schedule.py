"""Which iterations make a chunk: after each it is asked whether training diverged."""

from collections.abc import Iterator
from typing import NamedTuple

MAX_CHUNK = 1_000  # updates, or steps, of a chunk


class Chunk(NamedTuple):
    """Iterations first, ..., end - 1."""

    first: int
    end: int
    learning: bool
    log: bool  # whether a log point follows
    whole: bool  # a run that is made longer has the same one; else the end of the run cut it short


def iterations_per_log_point(log_every: int, steps_per_iteration: int) -> int:
    """`log_every` environment steps, rounded to whole iterations."""
    return max(1, round(log_every / steps_per_iteration))


def chunks(steps: int, learning_starts: int, log_every: int, steps_per_iteration: int, updates: int) -> Iterator[Chunk]:
    """A whole run: the first three in environment steps, `updates` per iteration, from `learning_starts` on.

    A log point comes every `log_every` steps, rounded to whole iterations. A chunk has at most MAX_CHUNK updates, and
    as many steps. It is what is watched for divergence; a driver may do it in shorter pieces.
    """
    total = -(-steps // steps_per_iteration)
    begin = -(-learning_starts // steps_per_iteration)
    every = iterations_per_log_point(log_every, steps_per_iteration)
    longest = max(1, MAX_CHUNK // max(updates, steps_per_iteration))
    first = 0
    for boundary in sorted({*range(every, total, every), begin, total}):
        while first < boundary:
            end = min(first + longest, boundary)
            log = end % every == 0
            yield Chunk(first, end, first >= begin, log, log or end < total or end == first + longest)
            first = end
