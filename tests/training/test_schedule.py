"""Chunks cover a run, learn from the right step on, end at log points and are never long."""

import numpy as np
import pytest

from ddpg.training.schedule import MAX_CHUNK, Chunk, chunks


def test_chunks_of_a_small_run() -> None:
    assert list(chunks(steps=600, learning_starts=100, log_every=250, steps_per_iteration=1, updates=1)) == [
        Chunk(0, 100, learning=False, log=False, whole=True),
        Chunk(100, 250, learning=True, log=True, whole=True),
        Chunk(250, 500, learning=True, log=True, whole=True),
        Chunk(500, 600, learning=True, log=False, whole=False),
    ]


@pytest.mark.parametrize("steps", [5_000, 4_999, 4_001])
@pytest.mark.parametrize(("starts", "every"), [(0, 1), (200, 250), (333, 3), (4_000, 10_000)])
@pytest.mark.parametrize(("per_iteration", "updates"), [(1, 1), (4, 3), (10, 10), (60, 1), (3, 2_500)])
def test_chunks_cover_the_run(steps: int, starts: int, every: int, per_iteration: int, updates: int) -> None:
    run = list(chunks(steps, starts, every, per_iteration, updates))
    assert [chunk.first for chunk in run] == [0, *(chunk.end for chunk in run[:-1])]
    assert (run[-1].end - 1) * per_iteration < steps <= run[-1].end * per_iteration
    for chunk in run:
        length = chunk.end - chunk.first
        assert length == 1 or 1 < length * max(updates, per_iteration) <= MAX_CHUNK
        assert chunk.learning == (chunk.first * per_iteration >= starts)
        if not chunk.learning:  # and no longer than needed
            assert (chunk.end - 1) * per_iteration < starts
    iterations = max(1, round(every / per_iteration))
    logged = [chunk.end for chunk in run if chunk.log]
    assert logged == [*np.arange(iterations, run[-1].end + 1, iterations)]


@pytest.mark.parametrize("steps", [600, 1_000, 1_500, 2_000, 2_300])
def test_a_longer_run_has_all_the_whole_chunks(steps: int) -> None:
    short, long = (list(chunks(total, 100, 5_000, 1, 1)) for total in (steps, 9_000))
    assert [chunk for chunk in short if chunk.whole] == long[: len(short) - (not short[-1].whole)]
    assert all(chunk.whole for chunk in short[:-1])
