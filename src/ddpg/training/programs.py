"""The compiled programs of a run, made ahead and in parallel."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from ddpg.training.driver import Driver, Program


def compile_ahead(driver: Driver, pool: ThreadPoolExecutor, longest: Mapping[bool, int]) -> dict[bool, Future[Program]]:
    """The programs of iterations that learn and that do not, for chunks of at most so many; the slower first."""
    return {
        learning: pool.submit(driver.compile, longest=iterations, learning=learning)
        for learning, iterations in sorted(longest.items(), reverse=True)
    }
