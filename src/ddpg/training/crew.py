"""The actors of a run, as processes in a Ray cluster: each collects one block at a time, and who dies is replaced."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ddpg.algorithm.nets import GreedyPolicy
from ddpg.config.config import ActorsConfig
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.terminal import one_line
from ddpg.training.collector import BehaviourPolicy
from ddpg.training.interruption import POLL, Cancelled
from ddpg.training.ray_cluster import THREADS, Cluster
from ddpg.training.remote_collector import Collected, RemoteCollector

FETCH = 60.0  # seconds in which a block that is ready must arrive, or its actor counts as dead
FRUITLESS = 10  # deaths in a row, beside three of each actor, without one block: then something else is wrong


class Task(NamedTuple):
    """A block on its way."""

    slot: int
    actor: Any
    updates: int  # that its parameters had had


class Crew:
    """So many actors as `config` says; the noise of each is scaled as its slot says.

    An actor's index is that of no other, before and after it, so its environments begin episodes of their own.
    """

    def __init__(
        self,
        config: ActorsConfig,
        behaviour: BehaviourPolicy,
        gym: GymFactory,
        seed: int,
        newest_alone: bool,
        block_bytes: int,
    ) -> None:
        self._config, self._behaviour = config, behaviour
        self._args = gym, seed, newest_alone
        self.begun, self._replaced, self._fruitless = 0, 0, 0
        self._idle = dict[int, Any]()  # actors that have no parameters yet, by their slots
        self._tasks, self._ready = dict[Any, Task](), deque[Any]()
        asked = f"actors.number {config.number}"
        waiting = 4 * config.number * block_bytes
        self._cluster = Cluster(config.address, config.number, asked=asked, named="actors.address", store=waiting)
        import ray
        from ray import exceptions

        self._ray, self._errors = ray, exceptions
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        self._kind: Any = ray.remote(RemoteCollector).options(**options, runtime_env={"env_vars": THREADS})
        cpus = int(ray.cluster_resources().get("CPU", 0))
        few = f"warning: the cluster has {cpus} CPUs for {config.number} actors: the others wait for more"
        self.notes = (few,) if cpus < config.number else ()

    def begin(self, begun: int = 0) -> None:
        """Start all actors, of which so many had begun before. The second time changes nothing."""
        if not self.begun:
            self.begun = begun
            self._idle = {slot: self._start(slot) for slot in range(self._config.number)}

    def take(self, policy: GreedyPolicy, t: int, updates: int, now: Callable[[], bool]) -> tuple[Collected, int]:
        """The block that is ready first, and how many updates its parameters had had; copied out of the store.

        Its actor goes on with `policy`, which has had so many `updates`. Raises EnvironmentFailure if an environment
        misbehaves, or actors do nothing but die; Cancelled if `now` answers true before there is a block.
        """
        shared = self._ray.put(policy)  # nothing but tasks under way refers to it, so old ones leave the store

        def go_on(slot: int, actor: Any) -> None:
            when = np.int32(t + len(self._tasks))  # the iteration in which its block will be stored, or about that
            self._tasks[actor.collect.remote(shared, when)] = Task(slot, actor, updates)

        while self._idle:
            go_on(*self._idle.popitem())
        while True:
            task, collected = self._fetch(now)
            if collected is None:
                go_on(task.slot, self._replace(task))
                continue
            self._fruitless, t = 0, t + 1
            go_on(task.slot, task.actor)
            return collected, task.updates

    def count_replaced(self) -> int:
        """How many actors were replaced since this was asked last."""
        count, self._replaced = self._replaced, 0
        return count

    def close(self) -> None:
        for task in self._tasks.values():
            self._ray.kill(task.actor)
        for actor in self._idle.values():
            self._ray.kill(actor)
        self._tasks.clear()
        self._idle.clear()
        self._ready.clear()
        self._cluster.close()

    def _start(self, slot: int) -> Any:
        gym, seed, newest_alone = self._args
        behaviour = self._behaviour.scaled(self._config.scale(slot))
        actor = self._kind.remote(behaviour, gym, seed, self.begun, newest_alone)
        self.begun += 1
        return actor

    def _replace(self, task: Task) -> Any:
        self._ray.kill(task.actor)  # one that only does not answer
        self._replaced += 1
        return self._start(task.slot)

    def _fetch(self, now: Callable[[], bool]) -> tuple[Task, Collected | None]:
        """The block that is ready first; None if its actor has died."""
        while not self._ready:
            self._ready.extend(self._wait())
            if not self._ready and now():
                raise Cancelled
        ref = self._ready.popleft()
        task = self._tasks.pop(ref)
        try:
            return task, _copied(self._ray.get(ref, timeout=FETCH))
        except self._errors.RayTaskError as error:  # raised by what it ran, not by its end
            raise error.cause from None
        except self._errors.RayError as error:
            self._fruitless += 1
            if self._fruitless > FRUITLESS + 3 * self._config.number:
                why = f"{self._fruitless} actors died before one had collected anything: {one_line(error)}"
                raise EnvironmentFailure(why) from error
            return task, None

    def _wait(self) -> list[Any]:
        """All tasks that are done, the first to begin first; none if that takes longer than POLL."""
        tasks = list(self._tasks)
        done, _ = self._ray.wait(tasks, num_returns=1, timeout=POLL)
        if done and len(tasks) > 1:
            done, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return done


def _copied(collected: Collected) -> Collected:
    """In arrays of its own: those that Ray gives lie in its store, which keeps them as long as anybody has them."""
    return jax.tree.map(np.array, collected)
