"""The compiled programs of a run, made ahead and in parallel, while the first already runs."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from ddpg.records import tensorboard
from ddpg.settings import keep_own_settings
from ddpg.training.backend import EvaluationPlan
from ddpg.training.driver import Driver, Program
from ddpg.training.evaluation import Evaluation
from ddpg.training.interruption import wait_for
from ddpg.training.schedule import Chunk

# A second of imports, during the first updates.
LATER = (*tensorboard.MODULES, "matplotlib.figure", "matplotlib.backends.backend_agg", "pygame", "PIL.Image")


class Programs:
    """Iterations with and without learning, and the evaluation; who waits for one gets Cancelled if `now` says so."""

    def __init__(
        self, driver: Driver, evaluation: EvaluationPlan, chunks: Iterable[Chunk], now: Callable[[], bool]
    ) -> None:
        self._now, self._pool = now, ThreadPoolExecutor(initializer=keep_own_settings)
        longest = dict[bool, int]()
        for chunk in chunks:
            longest[chunk.learning] = max(chunk.end - chunk.first, longest.get(chunk.learning, 0))
        self._iterations = {
            learning: self._pool.submit(driver.compile, longest=iterations, learning=learning)
            for learning, iterations in sorted(longest.items(), reverse=True)  # the slowest first
        }
        self._evaluation = self._pool.submit(evaluation.compile, *driver.read().evaluation_inputs)
        self._pool.submit(lambda: [import_module(name) for name in LATER])  # in one thread: some import each other

    def iterations(self, learning: bool) -> Program:
        return wait_for(self._iterations[learning], self._now)

    def evaluation(self) -> Callable[..., Evaluation] | None:
        return wait_for(self._evaluation, self._now)

    def close(self, wait: bool) -> None:
        """No more is compiled; `wait` for what is."""
        self._pool.shutdown(wait, cancel_futures=True)
