"""A run's configuration: one frozen value."""

from dataclasses import dataclass
from typing import Literal

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.exploration import PerEnvGaussian
from ddpg.algorithm.networks import Network, Plain, Residual
from ddpg.algorithm.parameter_noise import ParameterNoise
from ddpg.algorithm.values import Categorical
from ddpg.experience.replay import Replay
from ddpg.mistake import Mistake
from ddpg.ranges import Natural, Positive, UnitInterval, Whole, Words


@dataclass(frozen=True)
class Collection:
    """How acting and learning alternate: `steps` of `envs` environments, then `updates` gradient steps.

    (steps, updates) = (1, 1) is textbook DDPG, (50, 50) Spinning Up's schedule, (200, 25) the article's. The first
    `warmup` environment steps are uniformly random; updates begin after `learning_starts` (default: `warmup`).
    Environments that Python steps do so one after the other (`vector` sync) or in a process each (async).
    """

    steps: Natural = 1
    updates: Natural = 1
    envs: Natural = 1
    warmup: Whole = 1_000
    learning_starts: Whole | None = None
    vector: Literal["sync", "async"] = "sync"


@dataclass(frozen=True)
class Evaluation:
    """Every `every` environment steps, `episodes` greedy episodes from fixed starts that depend on `seed` alone."""

    every: Natural = 1_000
    episodes: Natural = 100
    seed: Whole = 0


@dataclass(frozen=True)
class Checkpoints:
    """What `ddpg resume` goes on from: written every `minutes`, or every `every` environment steps, and at the end.

    The last `keep` stay, and the one of the policy that earned most. `none` is never.
    """

    every: Natural | None = None
    minutes: Positive | None = 5.0
    keep: Natural = 2


@dataclass(frozen=True)
class Config:
    """Everything that determines a run. `preset` is the name it started from; the fields are what counts.

    `env_args` are the environment's keyword arguments as key=value. Every action is held for `action_repeat` steps of
    it, which count as one here. The update sees rewards times `reward_scale`, and with `normalise` observations of
    mean 0 and variance 1 by running statistics, which evaluation and the saved policy apply as they are.
    """

    env: str = "Pendulum-v1"
    env_args: Words = ()
    action_repeat: Natural = 1
    reward_scale: Positive = 1.0
    normalise: bool = False
    preset: str = "ddpg"
    steps: Natural = 20_000
    seed: Whole = 0
    seeds: Natural = 1
    gamma: UnitInterval = 0.99
    agent: DPG = DPG()
    replay: Replay = Replay()
    collect: Collection = Collection()
    eval: Evaluation = Evaluation()
    checkpoint: Checkpoints = Checkpoints()

    @property
    def learning_starts(self) -> int:
        """Environment steps before the first update; a minibatch's worth must be stored."""
        chosen = self.collect.learning_starts
        return self.collect.warmup if chosen is None else chosen


def check(config: Config) -> Config:
    """What no single field can know. ValueError: one line with the value, what was expected and the fix."""
    steps_per_iteration = config.collect.steps * config.collect.envs
    start, replay = config.learning_starts, config.replay
    if config.collect.warmup > config.steps:
        raise Mistake(
            f"collect.warmup {config.collect.warmup} is longer than the run of {config.steps} steps; "
            f"use --steps above {config.collect.warmup} or a shorter --collect.warmup"
        )
    if replay.batch > replay.capacity:
        raise Mistake(
            f"replay.batch {replay.batch} is larger than replay.capacity {replay.capacity}; "
            f"use a batch of at most {replay.capacity} or a larger capacity"
        )
    if replay.capacity < (replay.n_step + 1) * steps_per_iteration:
        raise Mistake(
            f"replay.capacity {replay.capacity} cannot hold {replay.n_step + 1} blocks of collect.steps x collect.envs "
            f"= {steps_per_iteration} steps; use at least {(replay.n_step + 1) * steps_per_iteration}"
        )
    if start < (need := max((replay.n_step + 1) * steps_per_iteration, replay.batch)):
        raise Mistake(
            f"learning starts after {start} steps, before a minibatch is stored; "
            f"use --collect.learning_starts (or --collect.warmup) of at least {need}"
        )
    if -(-start // steps_per_iteration) >= -(-config.steps // steps_per_iteration):
        raise Mistake(
            f"learning starts after {start} steps, but the run has {config.steps}: nothing would be learned; "
            f"use --steps above {start} or a smaller --collect.learning_starts or --collect.warmup"
        )
    if config.agent.value.scales_returns and config.reward_scale != 1:
        raise Mistake(
            f"reward_scale {config.reward_scale:g}: a categorical value without bounds scales rewards itself; "
            f"use --reward_scale 1, or say --value.low and --value.high"
        )
    check_agent(config.agent)
    for name, network in (("actor", config.agent.actor), ("critic", config.agent.critic)):
        if batch_normed(network) and replay.batch == 1:
            raise Mistake(f"replay.batch 1: {name}.block.norm batch needs more than one; use --replay.batch 64")
    return config


def batch_normed(network: Network) -> bool:
    return isinstance(network.block, Plain) and network.block.norm == "batch"


def check_agent(agent: DPG) -> None:
    """ValueError if parts of it do not go together."""
    if agent.actor.action_layer != 0:
        raise Mistake("actor.action_layer 1: only a critic takes actions in; use --critic.action_layer 1")
    for name, network in (("actor", agent.actor), ("critic", agent.critic)):
        if isinstance(network.block, Residual) and len(set(network.widths)) > 1:
            widths = ",".join(map(str, network.widths))
            same = ",".join([str(max(network.widths))] * len(network.widths))
            raise Mistake(f"{name}.widths {widths}: residual blocks are all as wide; use --{name}.widths {same}")
        if isinstance(network.block, Residual) and network.action_layer:
            raise Mistake(
                "critic.action_layer 1: residual blocks take the action in first; use --critic.action_layer 0"
            )
    if batch_normed(agent.critic) and not agent.critic.action_layer:
        raise Mistake(
            "critic.block.norm batch: beside the observation the actions' mean and scale would be normalised away; "
            "use --critic.action_layer 1"
        )
    if isinstance(agent.exploration, ParameterNoise) and batch_normed(agent.actor):
        raise Mistake(
            "exploration parameters: noise on weights is for layer normalisation, not for that of a batch; "
            "use --actor.block.norm layer"
        )
    if isinstance(agent.exploration, PerEnvGaussian) and agent.exploration.low > agent.exploration.high:
        low, high = agent.exploration.low, agent.exploration.high
        raise Mistake(
            f"exploration.low {low:g} is above exploration.high {high:g}; use an --exploration.low of at most {high:g}"
        )
    if isinstance(agent.value, Categorical):
        low, high = agent.value.low, agent.value.high
        if (low is None) != (high is None):
            name, other = ("low", "high") if low is None else ("high", "low")
            raise Mistake(f"value.{name} is not said, value.{other} is; use both, or none to have them found")
        if low is not None and high is not None and low >= high:
            raise Mistake(f"value.low {low:g} is not below value.high {high:g}; use a smaller --value.low")
