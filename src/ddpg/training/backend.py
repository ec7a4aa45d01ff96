"""Which driver and which evaluator an environment needs: the one place that asks how it is stepped."""

from ddpg.config.config import Config
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.protocol import Environment
from ddpg.envs.python_vector import PythonVector
from ddpg.envs.vector import Vector
from ddpg.training.collector import BehaviourPolicy, Collector
from ddpg.training.driver import Driver
from ddpg.training.evaluate import CompiledEvaluator
from ddpg.training.evaluation import Evaluator, Judge
from ddpg.training.host import Host
from ddpg.training.learner import Learner
from ddpg.training.loop import Loop
from ddpg.training.python_evaluate import PythonEvaluator
from ddpg.training.scan import Scan


def driver_for(config: Config, env: Environment | GymFactory) -> Driver:
    """The driver of a run of this configuration. Misbehaved if an environment cannot begin."""
    collect = config.collect
    learner = Learner(
        config.agent,
        config.replay,
        env.spec,
        config.gamma,
        collect.envs,
        collect.steps,
        collect.updates,
        config.reward_scale,
        config.normalise,
    )
    behaviour = BehaviourPolicy(config.agent, env.spec, collect.envs, collect.steps, collect.warmup)
    if not isinstance(env, GymFactory):
        return Scan(Loop(learner, Collector(Vector(env, collect.envs), behaviour)))
    envs = PythonVector(env, range(config.seed, config.seed + config.seeds), collect.envs, collect.vector)
    try:
        return Host(learner, behaviour, envs)
    except BaseException:
        envs.close()
        raise


def evaluator_for(config: Config, env: Environment | GymFactory, episodes: int, seed: int) -> Evaluator:
    """The evaluator of a run's policies in an environment of the same spaces."""
    judge = Judge(config.agent.value, config.gamma, config.reward_scale)
    if isinstance(env, GymFactory):
        return PythonEvaluator(env, judge, episodes, seed)
    return CompiledEvaluator(env, judge, episodes, seed)
