"""A run's configuration: one frozen value, whose parts check themselves."""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.layers import STATIC
from ddpg.algorithm.parameter_noise import ParameterNoise
from ddpg.envs.view import AnyPixels, Own, View
from ddpg.experience.replay import Replay
from ddpg.mistake import Mistake
from ddpg.ranges import Finite, InfoKeys, Natural, Positive, Seeding, Share, UnitInterval, Whole, Words


@dataclass(frozen=True)
class CollectionConfig:
    """One iteration: `steps` steps in each of `envs` environments, beside `updates` gradient steps.

    (steps, updates) = (1, 1) is textbook DDPG, (50, 50) Spinning Up's schedule, (200, 25) the article's; a step is
    learned from one iteration later. The first `warmup` environment steps are uniformly random, and later a share of
    `random_actions` of them, as in HER; updates begin after `learning_starts` (default: `warmup`).
    Python environments step one after the other (`vector` sync) or in one process each (async). With `assess` above 0,
    policies are checkpointed as in TD7 (Fujimoto et al. 2023): a policy acts until that many of its episodes have ended
    in each environment, or one was worse than all of the best policy's; the policy with the largest minimum return so
    far is evaluated and saved. One lucky episode can win that; with an `assess_rate` below 1 the policy wins at which
    the running mean of the policies' minimum returns, moved by that rate at each, was largest. Compiled environments
    are reset at every step, since any may end there; with `reset_pool` they take their starts from a pool of that many,
    of which every iteration renews a few: faster if a reset takes long and there are many environments.
    """

    steps: Natural = 1
    updates: Natural = 1
    envs: Natural = 1
    warmup: Whole = 1_000
    random_actions: Share = 0.0
    learning_starts: Whole | None = None
    vector: Literal["sync", "async"] = "sync"
    assess: Whole = 0
    assess_rate: UnitInterval = 1.0
    reset_pool: Whole = 0


@dataclass(frozen=True)
class ActorsConfig:
    """Collecting in `number` processes anywhere in a Ray cluster, beside the learner's own; 0: no such processes.

    Each steps `collect.envs` environments. The noise of the first is multiplied by `spread`, that of the last divided
    by it, and the factors between are a geometric sequence, as Ape-X spreads its epsilons (Horgan et al. 2018,
    section 4.1). `address` is that of a cluster that runs, such as 10.0.0.1:6379 or auto; without it the run starts
    one on this machine.
    """

    number: Whole = 0
    spread: Annotated[Finite, Ge(1)] = 2.0
    address: str | None = None

    def scale(self, slot: int) -> float:
        """Of the noise of one of them."""
        return 1.0 if self.number < 2 else self.spread ** (1 - 2 * slot / (self.number - 1))


@dataclass(frozen=True)
class EvaluationConfig:
    """Every `every` environment steps, play `episodes` greedy episodes from starts that depend only on `seed`.

    With 0 episodes nothing is evaluated. `shared` plays them in the training's own environments, if Python steps those,
    and truncates their open episodes: for a simulator of which there can be only one.
    """

    every: Natural = 1_000
    episodes: Whole = 100
    seed: Whole = 0
    shared: bool = False


@dataclass(frozen=True)
class CheckpointConfig:
    """When to save the state that `ddpg resume` continues from.

    First after the first evaluation, then so often that it takes about `share` of the time, and every `every`
    environment steps. `none` switches either off; the end of the run is always saved. The last `keep` stay.
    """

    every: Natural | None = None
    share: Positive | None = 0.01
    keep: Natural = 2


@dataclass(frozen=True)
class Config:
    """Everything that determines a run. `preset` is the name it started from; the fields are what counts.

    `env_args` are the environment's keyword arguments as key=value; `env_seeds` says how Python's environments are
    seeded: at every `episode`, `once`, by seeds of a range such as 0:100 at every episode, or `never`. Every action is
    held for `action_repeat` of its steps, which count as one here. With `pixels` drawn the agent sees pictures of it;
    `stack` frames are stacked, which shows velocities. The update sees rewards times `reward_scale`,
    and with `normalise` observations of mean 0 and variance 1 by running statistics, which evaluation and the saved
    policy apply unchanged. `log` are keys of `info`, whose numbers at the end of episodes are averaged and logged.
    Several `devices` may compute one seed: each has a part of every minibatch, and of compiled environments.
    """

    env: str = "Pendulum-v1"
    env_args: Words = ()
    env_seeds: Seeding = "episode"
    action_repeat: Natural = 1
    pixels: AnyPixels = Own()
    stack: Natural = 1
    reward_scale: Positive = 1.0
    normalise: bool = False
    log: InfoKeys = ()
    preset: str = "ddpg"
    steps: Natural = 20_000
    seed: Whole = 0
    seeds: Natural = 1
    devices: Natural = 1
    gamma: UnitInterval = 0.99
    agent: DPG = DPG()
    replay: Replay = Replay()
    collect: CollectionConfig = CollectionConfig()
    actors: ActorsConfig = field(default=ActorsConfig(), metadata=STATIC)  # which compute in NumPy
    eval: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    @property
    def view(self) -> View:
        return View(self.pixels, self.stack)

    @property
    def learning_starts(self) -> int:
        """Environment steps before the first update; a minibatch's worth must be stored."""
        chosen = self.collect.learning_starts
        return self.collect.warmup if chosen is None else chosen

    @property
    def seed_range(self) -> range:
        return range(self.seed, self.seed + self.seeds)

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps per iteration, for one seed."""
        return self.collect.steps * self.collect.envs

    def check(self, path: str) -> None:
        """Rules between the parts of a run."""
        self._check_times()
        if self.collect.assess:
            self._check_assessment()
        elif self.collect.assess_rate != 1:
            rate = f"collect.assess_rate {self.collect.assess_rate:g}"
            raise Mistake(f"{rate}: no policy is assessed; use --collect.assess 1, or --collect.assess_rate 1")
        if self.actors.number:
            self._check_actors()
        if self.devices > 1:
            self._check_devices()
        if self.replay.relabels and self.action_repeat > 1:
            raise Mistake(
                f"action_repeat {self.action_repeat}: replay.relabel {self.replay.relabel.kind} needs the goal that "
                f"each rewarded step achieved; use --action_repeat 1"
            )
        if self.agent.value.scales_returns and self.reward_scale != 1:
            raise Mistake(
                f"reward_scale {self.reward_scale:g}: a categorical value without bounds scales rewards itself; "
                f"use --reward_scale 1, or set --value.low and --value.high"
            )
        for name, network in (("actor", self.agent.actor), ("critic", self.agent.critic)):
            if network.batch_normalised and self.replay.batch == 1:
                raise Mistake(f"replay.batch 1: {name}.block.norm batch needs more than one; use --replay.batch 64")

    def _check_assessment(self) -> None:
        """What is assessed are whole episodes of one policy."""
        assess = f"collect.assess {self.collect.assess}"
        if isinstance(self.agent.exploration, ParameterNoise):
            raise Mistake(f"{assess}: exploration parameters has an actor of its own; use --exploration gaussian")
        if self.normalise:
            raise Mistake(f"{assess}: normalise changes what a policy sees meanwhile; use --normalise false")
        if self.collect.vector == "async":
            raise Mistake(f"{assess}: environments in processes cannot be cut; use --collect.vector sync")
        if self.learning_starts < self.collect.warmup:
            raise Mistake(
                f"collect.learning_starts {self.learning_starts}: until step {self.collect.warmup} actions are random, "
                f"which collect.assess would assess; use --collect.learning_starts none"
            )

    def _check_actors(self) -> None:
        """One learner learns from all actors, which step their environments one after the other."""
        having = f"actors.number {self.actors.number}:"
        if self.seeds > 1:
            raise Mistake(f"{having} they collect for one seed, and seeds is {self.seeds}; use --seeds 1")
        if self.collect.assess:
            raise Mistake(f"{having} each acts with a policy of another time; use --collect.assess 0")
        if self.replay.relabels:
            raise Mistake(
                f"{having} their environments, which judge other goals, are in other processes; "
                f"use --replay.relabel none, or --actors 0"
            )
        if self.collect.vector == "async":
            raise Mistake(f"{having} each is a process of its own already; use --collect.vector sync")
        if self.eval.shared:
            raise Mistake(f"{having} their environments are in other processes; use --eval.shared false")

    def _check_devices(self) -> None:
        """They share the minibatches of one seed, and its environments."""
        having = f"devices {self.devices}:"
        if self.seeds > 1:
            raise Mistake(f"{having} they compute one seed together, and seeds is {self.seeds}; use --seeds 1")
        if self.actors.number:
            raise Mistake(f"{having} not with actors, whose learner has one device; use --actors 0 or --devices 1")
        if self.replay.batch % self.devices:
            fit = -(-self.replay.batch // self.devices) * self.devices
            raise Mistake(
                f"{having} a minibatch of {self.replay.batch} has not so many equal parts; use --replay.batch {fit}"
            )

    def _check_times(self) -> None:
        """Warm-up, learning and the run's end follow each other, and the replay holds what learning needs."""
        start, replay, per_iteration = self.learning_starts, self.replay, self.steps_per_iteration
        if self.collect.warmup > self.steps:
            raise Mistake(
                f"collect.warmup {self.collect.warmup} is longer than the run of {self.steps} steps; "
                f"use --steps above {self.collect.warmup} or a shorter --collect.warmup"
            )
        if replay.capacity < (blocks := (replay.n_step + 1) * per_iteration):
            raise Mistake(
                f"replay.capacity {replay.capacity} cannot hold {replay.n_step + 1} blocks of collect.steps x "
                f"collect.envs = {per_iteration} steps; use at least {blocks}"
            )
        if start < (needed := max(blocks, replay.batch)):
            raise Mistake(
                f"learning starts after {start} steps, before a minibatch is stored; "
                f"use --collect.learning_starts (or --collect.warmup) of at least {needed}"
            )
        if -(-start // per_iteration) >= -(-self.steps // per_iteration):
            raise Mistake(
                f"learning starts after {start} steps, but the run has {self.steps}: nothing would be learned; "
                f"use --steps above {start} or a smaller --collect.learning_starts or --collect.warmup"
            )


def check(part: Any, path: str = "") -> None:
    """Call the `check(path)` of every part in a tree of dataclasses, the inner ones first.

    A part raises Mistake if its own fields contradict each other, a part with parts also if those do not go together.
    `path` is the option that names the part, such as `actor.block`.
    """
    for each in fields(part):
        inner = getattr(part, each.name)
        if is_dataclass(inner):
            check(inner, short(f"{path}.{each.name}" if path else each.name))
    if hasattr(part, "check"):
        part.check(path)


def short(path: str) -> str:
    """Options leave out "agent.": agent.actor.lr is typed as actor.lr."""
    return path.removeprefix("agent.")
