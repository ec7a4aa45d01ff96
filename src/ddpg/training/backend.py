"""Which driver and which evaluator an environment needs: the one place that asks how it is stepped."""

from ddpg.config.config import Config
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.envs.python_vector import PythonVector
from ddpg.envs.vector import Vector
from ddpg.training.collector import BehaviourPolicy, Collector
from ddpg.training.driver import Driver
from ddpg.training.evaluate import CompiledEvaluator
from ddpg.training.evaluation import CriticComparison, Evaluator
from ddpg.training.host import Host
from ddpg.training.learner import Learner
from ddpg.training.loop import Loop
from ddpg.training.python_evaluate import PythonEvaluator
from ddpg.training.scan import Scan
from ddpg.types import Spec


def learner_for(config: Config, spec: Spec) -> Learner:
    """The learner of a run of this configuration."""
    return Learner(
        config.agent,
        config.replay,
        spec,
        config.gamma,
        config.collect.envs,
        config.collect.steps,
        config.collect.updates,
        config.reward_scale,
        config.normalise,
    )


def behaviour_for(config: Config, spec: Spec) -> BehaviourPolicy:
    """The behaviour policy of a run of this configuration."""
    return BehaviourPolicy(config.agent, spec, config.collect.envs, config.collect.steps, config.collect.warmup)


def loop_for(config: Config, env: Environment) -> Loop:
    """The compiled loop of a run of this configuration."""
    collector = Collector(Vector(env, config.collect.envs), behaviour_for(config, env.spec))
    return Loop(learner_for(config, env.spec), collector)


def driver_for(config: Config, env: Environment | GymFactory) -> Driver:
    """The driver of a run of this configuration. Misbehaved if an environment cannot begin."""
    if not isinstance(env, GymFactory):
        return Scan(loop_for(config, env))
    envs = PythonVector(env, config.seed_range, config.collect.envs, config.collect.vector)
    try:
        return Host(learner_for(config, env.spec), behaviour_for(config, env.spec), envs)
    except BaseException:
        envs.close()
        raise


def evaluator_for(config: Config, env: Environment | GymFactory, episodes: int, seed: int) -> Evaluator:
    """The evaluator of a run's policies in an environment of the same spaces."""
    judge = CriticComparison(config.agent.value, config.gamma, config.reward_scale)
    if isinstance(env, GymFactory):
        return PythonEvaluator(env, judge, episodes, seed)
    return CompiledEvaluator(env, judge, episodes, seed)
