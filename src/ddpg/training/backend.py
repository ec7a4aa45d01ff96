"""Which driver and which evaluator an environment needs: the one place that asks how it is stepped."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
from gymnasium.envs.registration import registry

from ddpg.config.config import Config
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.goals import CompiledGoalReward, GoalReward, HasGoals
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.pools import is_pooled
from ddpg.envs.protocol import Environment, HasInfo
from ddpg.envs.python_vector import PythonVector
from ddpg.envs.vector import Vector
from ddpg.experience.segment import added_rows
from ddpg.mistake import Mistake
from ddpg.terminal import count, thousands
from ddpg.training.actors import Actors
from ddpg.training.collector import BehaviourPolicy, Collector
from ddpg.training.driver import Driver, Lent
from ddpg.training.evaluate import CompiledEvaluator
from ddpg.training.evaluation import CriticComparison, Evaluation, Evaluator
from ddpg.training.host import Host
from ddpg.training.learner import Learner
from ddpg.training.loop import Loop
from ddpg.training.python_collector import PythonVectorEnv
from ddpg.training.python_evaluate import PythonEvaluator
from ddpg.training.scan import Scan
from ddpg.types import Spec

NOT_EVALUATED = "eval.episodes 0: no evaluation, so no return, no best policy, no warnings of its own, and no film"

COSTLY = 5  # steps of evaluations, in those of the run, above which a line says so


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
        config.collect.assess,
        config.collect.assess_rate,
        added_rows=added_rows(spec.stack) if config.actors.number else 0,
        devices=config.devices,
    )


def goal_reward_for(config: Config, env: Environment) -> CompiledGoalReward | None:
    """How the loop asks a compiled environment for the rewards of other goals, if a run of this configuration does."""
    return CompiledGoalReward(env) if config.replay.relabels and isinstance(env, HasGoals) else None


def behaviour_for(config: Config, spec: Spec) -> BehaviourPolicy:
    """The behaviour policy of a run of this configuration."""
    collect = config.collect
    return BehaviourPolicy(config.agent, spec, collect.envs, collect.steps, collect.warmup, collect.random_actions)


def loop_for(config: Config, env: Environment) -> Loop:
    """The compiled loop of a run of this configuration."""
    vector, behaviour = Vector(env, config.collect.envs), behaviour_for(config, env.spec)
    collector = Collector(vector, behaviour, config.log, config.collect.reset_pool, config.devices)
    learner = replace(learner_for(config, env.spec), goal_reward=goal_reward_for(config, env))
    return Loop(learner, collector)


def with_log(env: Environment | GymFactory, keys: tuple[str, ...]) -> Environment | GymFactory:
    """The environment, whose episodes end with the numbers of these keys of `info`.

    Raises Mistake if it has no such.
    """
    if not keys:
        return env
    if isinstance(env, GymFactory):
        return replace(env, log=keys)
    if not isinstance(env, HasInfo):
        fix = f"use gym:{env.id}" if env.id in registry else "only Gymnasium's environments have one"
        raise Mistake(f"log {','.join(keys)}: {env.id} is compiled and has no info; {fix}, or --log none")
    known = jax.eval_shape(env.info, jax.ShapeDtypeStruct(env.spec.obs_shape, env.spec.obs_dtype))
    if unknown := [key for key in keys if key not in known]:
        raise Mistake(f"log {','.join(unknown)}: not in the info of {env.id}, which has {', '.join(known)}")
    return env


def driver_for(config: Config, env: Environment | GymFactory) -> Driver:
    """The driver of a run of this configuration. Raises EnvironmentFailure if an environment cannot begin."""
    env = with_log(env, config.log)
    if config.collect.reset_pool and isinstance(env, GymFactory):
        raise Mistake(
            f"collect.reset_pool {config.collect.reset_pool}: Python steps {env.id} and resets only what ended; "
            f"use --collect.reset_pool 0"
        )
    if config.actors.number:
        return _actors(config, env)
    if not isinstance(env, GymFactory):
        return Scan(loop_for(config, env))
    envs = PythonVector(env, config.seed_range, config.collect.envs, config.collect.vector)
    learner, behaviour = learner_for(config, env.spec), behaviour_for(config, env.spec)
    try:
        return Host(learner, behaviour, envs, len(config.log), goal_reward_of(env, envs, learner))
    except BaseException:
        envs.close()
        raise


def goal_reward_of(env: GymFactory, envs: PythonVectorEnv, learner: Learner) -> GoalReward | None:
    """What answers the rewards of other goals, if they are relabelled: one of the environments, or one more."""
    if (goals := learner.goals) is None:
        return None
    lent = envs.lent()
    return GoalReward(lent[0] if lent else env.make(), env.id, goals.shape, lent=bool(lent))


def _actors(config: Config, env: Environment | GymFactory) -> Actors:
    """The driver of a run with actors. Raises Mistake if it can have none."""
    if not isinstance(env, GymFactory):
        fix = f"use gym:{env.id}" if env.id in registry else "use more --envs"
        raise Mistake(f"actors.number {config.actors.number}: {env.id} is compiled into the learner; {fix}")
    return Actors(config.actors, learner_for(config, env.spec), behaviour_for(config, env.spec), env, config.seed)


def evaluator_for(
    config: Config, env: Environment | GymFactory, episodes: int, seed: int, lent: Lent | None = None
) -> Evaluator:
    """The evaluator of a run's policies in an environment of the same spaces.

    Environments that Python steps may be `lent`. Raises Mistake if the environment cannot log the run's keys.
    """
    env = with_log(env, config.log)
    judge = CriticComparison(config.agent.value, config.gamma, config.reward_scale)
    if isinstance(env, GymFactory):
        return PythonEvaluator(env, judge, episodes, seed, lent)
    return CompiledEvaluator(env, judge, episodes, seed, config.log)


class EvaluationPlan(NamedTuple):
    """How a run evaluates, if it does; whether there may be an environment more for its film; and what to say of it."""

    evaluator: Evaluator | None
    film: bool = True
    notes: tuple[str, ...] = ()

    def optimum(self) -> float | None:
        return None if self.evaluator is None else self.evaluator.optimum()

    def compile(self, *inputs: Any) -> Callable[..., Evaluation] | None:
        return None if self.evaluator is None else self.evaluator.compile(*inputs)

    def warnings(self) -> dict[str, str]:
        return {} if self.evaluator is None else self.evaluator.warnings()

    def stop_when(self, now: Callable[[], bool]) -> None:
        if self.evaluator is not None:
            self.evaluator.stop_when(now)

    def close(self) -> None:
        if self.evaluator is not None:
            self.evaluator.close()


def evaluation_plan(config: Config, env: Environment | GymFactory, driver: Driver) -> EvaluationPlan:
    """In environments of its own, or in those of `driver`: if that is chosen, or there can be no others."""
    if not config.eval.episodes:
        return EvaluationPlan(None, False, (NOT_EVALUATED,))
    if config.eval.shared and not isinstance(env, GymFactory):
        raise Mistake(f"eval.shared true: {env.id} is compiled, and evaluation costs it no simulator; use gym:{env.id}")
    if not isinstance(env, GymFactory):
        return EvaluationPlan(evaluator_for(config, env, config.eval.episodes, config.eval.seed))
    why, lent = "eval.shared", driver.lend()
    if not config.eval.shared:
        try:
            own = evaluator_for(config, env, config.eval.episodes, config.eval.seed)
        except EnvironmentFailure as error:
            if lent is None and config.collect.vector == "async" and not is_pooled(env):
                raise EnvironmentFailure(
                    f"{error}; --collect.vector sync evaluates in the training's environments"
                ) from error
            if lent is None:
                raise
            why = f"warning: {error}"
        else:
            return EvaluationPlan(own, notes=_cost(config, env))
    if lent is None:
        fix = "those of EnvPool cannot be; use --eval.shared false"
        if not is_pooled(env):
            fix = "environments in processes of their own cannot be; use --collect.vector sync"
        raise Mistake(f"eval.shared true: {fix}")
    line = f"{why}: evaluations play in the training's environments and truncate their episodes; there is no film"
    evaluator = evaluator_for(config, env, config.eval.episodes, config.eval.seed, lent)
    return EvaluationPlan(evaluator, False, (line, *_cost(config, env)))


def _cost(config: Config, env: GymFactory) -> tuple[str, ...]:
    """A line if evaluations may take many more steps of the environment than training does."""
    times = max(1, config.steps // config.eval.every)
    steps = times * config.eval.episodes * env.max_episode_steps * config.seeds
    if steps <= COSTLY * config.steps * config.seeds:
        return ()
    every = count(times, "evaluation")
    return (
        f"{every} of {count(config.eval.episodes, 'episode')} may take {thousands(steps)} steps of the environment, "
        f"the run itself {thousands(config.steps * config.seeds)}; --eval-episodes 3 takes fewer",
    )
