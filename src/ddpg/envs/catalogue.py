"""The JAX-native environments by their ids: Gymnasium's with the same dynamics, and one of our own."""

from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.point_goal import PointGoal
from ddpg.envs.protocol import Environment, HasOptimum
from ddpg.envs.repeat import Repeat

NATIVE: dict[str, Environment] = {"Pendulum-v1": Pendulum(), "PointGoal-v0": PointGoal()}


def solved(env: Environment | GymFactory) -> HasOptimum | None:
    """The object that can compute the optimal returns of this environment, or None."""
    if isinstance(env, HasOptimum):
        return env
    native = NATIVE.get(env.id)
    same = getattr(env, "repeat", 1) == 1 and not getattr(env, "changed", False) and not isinstance(env, Repeat)
    return native if isinstance(native, HasOptimum) and same else None
