"""The compiled programs of a run, made ahead and side by side."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ddpg.training.driver import Driver, Report


class Programs:
    """The few programs of a run, by (learning, iterations), compiled side by side and while the first already runs."""

    def __init__(self, driver: Driver, pool: ThreadPoolExecutor) -> None:
        self._submit = lambda learning, n: pool.submit(driver.compile, iterations=n, learning=learning)
        self._coming = dict[tuple[bool, int], Future]()

    def prepare(self, shapes: set[tuple[bool, int]]) -> None:
        for learning, n in sorted(shapes, reverse=True):  # the slowest to compile first
            if n > 0:
                self._coming[learning, n] = self._submit(learning, n)

    def __getitem__(self, shape: tuple[bool, int]) -> Callable[[np.int32], Report]:
        if shape not in self._coming:
            self._coming[shape] = self._submit(*shape)
        return self._coming[shape].result()
