"""The JAX-native environments by the ids of Gymnasium's with the same dynamics."""

from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.protocol import Environment, HasOptimum
from ddpg.envs.repeat import Repeat

NATIVE: dict[str, Environment] = {"Pendulum-v1": Pendulum()}


def solved(env: Environment | GymFactory) -> HasOptimum | None:
    """The object that can compute the optimal returns of this environment, or None."""
    if isinstance(env, HasOptimum):
        return env
    native = NATIVE.get(env.id)
    same = getattr(env, "repeat", 1) == 1 and not getattr(env, "changed", False) and not isinstance(env, Repeat)
    return native if isinstance(native, HasOptimum) and same else None
