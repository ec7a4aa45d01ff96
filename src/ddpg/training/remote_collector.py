"""What an actor does, in a process of its own: blocks of its own environments, acting in NumPy.

JAX is imported, for its types, but never started: that would cost an actor threads and memory.
"""

from typing import NamedTuple

import jax
import numpy as np

from ddpg.algorithm.nets import GreedyPolicy
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.python_vector import PythonVector
from ddpg.experience.segment import first_context, next_context, segment
from ddpg.training.collector import BehaviourPolicy
from ddpg.training.driver import OwnMean
from ddpg.training.python_collector import PythonCollector
from ddpg.training.randomness import ActionRandomness
from ddpg.types import Row


class Collected(NamedTuple):
    """A segment [rows, N, ...], and what is reported of its steps."""

    block: Row
    episode_return: np.ndarray  # of the episodes that ended, on average
    episodes: np.ndarray
    own: tuple[OwnMean, ...]


class RemoteCollector:
    """Collects with actor `index`, whose episodes and noise are those of no other index.

    With `newest_alone`, of several pictures that are one observation a block has the newest.
    """

    def __init__(
        self, behaviour: BehaviourPolicy, gym: GymFactory, seed: int, index: int, newest_alone: bool = False
    ) -> None:
        self._behaviour, self._gym, self._seed, self._index = behaviour, gym, seed, index
        self._random = np.random.default_rng([seed, index])
        self._channels = gym.spec.obs_shape[-1] // gym.spec.stack if newest_alone else None
        self._begun: tuple[PythonCollector, Row] | None = None

    def collect(self, policy: GreedyPolicy, t: np.int32) -> Collected:
        """The K steps of iteration t. Raises EnvironmentFailure if an environment misbehaves."""
        collector, context = self._begun or self._begin()
        behaviour = self._behaviour
        shape = behaviour.steps, behaviour.envs, behaviour.spec.action_dim
        normal = self._random.standard_normal(shape, np.float32)
        uniform = 2 * self._random.random(shape, np.float32) - 1
        every_seed = collector.collect([policy], t, [ActionRandomness(normal, uniform)])
        (returns, episodes), own = collector.episodes(every_seed), collector.own_means()
        block = Row(*(column[0] for column in every_seed))
        whole = segment(context, block, collector.obs[0])
        self._begun = collector, next_context(context, block)
        if self._channels is not None:
            whole = whole._replace(obs=np.ascontiguousarray(whole.obs[..., -self._channels :]))
        return Collected(whole, *jax.tree.map(lambda x: x[0], (returns, episodes, own)))

    def _begin(self) -> tuple[PythonCollector, Row]:
        """With the first block, so that an environment that cannot begin is the error of a task, and no death."""
        n, gym = self._behaviour.envs, self._gym
        envs = PythonVector(gym, [self._seed], n, first=self._index * n)
        collector = PythonCollector(self._behaviour, envs, len(gym.log))
        return collector, first_context(collector.first[0], gym.spec.action_dim, gym.spec.stack)
