"""The compiled programs of a run, made ahead and in parallel."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ddpg.training.driver import Driver, Report

Shape = tuple[bool, int]
"""Whether to learn, and how many iterations."""


class Programs:
    """The few programs of a run, compiled in parallel while the first already runs."""

    def __init__(self, driver: Driver, pool: ThreadPoolExecutor) -> None:
        self._driver, self._pool = driver, pool
        self._futures = dict[Shape, Future[Callable[[np.int32], Report]]]()

    def prepare(self, shapes: Iterable[Shape]) -> None:
        """Start to compile programs, the slowest first."""
        for learning, iterations in sorted(shapes, reverse=True):
            self._futures[learning, iterations] = self._pool.submit(
                self._driver.compile, iterations=iterations, learning=learning
            )

    def __getitem__(self, shape: Shape) -> Callable[[np.int32], Report]:
        if shape not in self._futures:
            self.prepare([shape])
        return self._futures[shape].result()
