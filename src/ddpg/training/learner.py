"""The learner: store the block of rows collected before, then update on minibatches."""

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int, Shaped, UInt32

from ddpg.algorithm.agent import DPG, AgentState
from ddpg.algorithm.augment import augment_parts
from ddpg.algorithm.layers import STATIC
from ddpg.algorithm.nets import GreedyPolicy, Nets
from ddpg.algorithm.normaliser import InputStats, RunningStats, byte_scale, init_stats, normalise, update_stats
from ddpg.algorithm.parameter_noise import ParameterNoise, Perturbed
from ddpg.algorithm.random import draw_uniform, to_normal
from ddpg.envs.goals import CompiledGoalReward
from ddpg.experience.relabel import Future, Goals, Hindsight, HindsightRewards, goals_of, relabel
from ddpg.experience.replay import Replay
from ddpg.experience.return_scale import ReturnScale, init_return_scale, update_return_scale
from ddpg.experience.ring import Ring
from ddpg.experience.sampling import Index
from ddpg.hyperparameters import equals
from ddpg.pictures import picture_parts
from ddpg.training.assessment import Assessed, Candidate, begin_assessment
from ddpg.training.data_parallel import in_parts, whole
from ddpg.training.randomness import UpdateRandomness, init_keys, iteration_keys
from ddpg.types import Key, Metrics, PyTree, Row, Spec


class LearnerState(NamedTuple):
    """Everything that learning is at one moment; `key` never changes, since randomness is a function of (key, t)."""

    agent: AgentState
    stats: InputStats  # by which observations are normalised, or their bytes scaled
    ring: Ring
    key: Key
    return_scale: ReturnScale | None = None  # if returns are scaled into [-1, 1]
    perturbed: Perturbed | None = None  # the actor that acts, if its weights have noise
    assessed: Assessed | None = None  # if policies are chosen by the episodes that they collect

    @property
    def evaluated(self) -> Nets:
        """The networks that are evaluated and saved: the online ones, or the best policy checkpoint (TD7)."""
        return self.agent.online if self.assessed is None else self.assessed.best.nets

    @property
    def evaluated_scale(self) -> ReturnScale | None:
        """The scale with which the critic of `evaluated` learned, that of now before any was chosen."""
        scale, assessed = self.return_scale, self.assessed
        if scale is None or assessed is None or assessed.best.scale is None:
            return scale
        chosen = assessed.best_score > -jnp.inf
        return scale._replace(scale=jnp.where(chosen, assessed.best.scale, scale.scale))

    @property
    def candidate(self) -> Candidate:
        """The networks of now, which may be assessed."""
        return Candidate(self.agent.online, None if self.return_scale is None else self.return_scale.scale)

    @property
    def acting(self) -> GreedyPolicy:
        """The policy that acts, before noise on its actions."""
        nets = self.agent.online if self.assessed is None else self.assessed.acting.nets
        return GreedyPolicy(self.stats, nets.encoder, nets.actor if self.perturbed is None else self.perturbed.actor)


@dataclass(frozen=True)
class Learner:
    """`updates` gradient steps per iteration of `steps` steps of `envs` environments.

    The update gets rewards times `reward_scale`, and with `normalise` observations of mean 0 and variance 1. If goals
    are relabelled, `goal_reward` computes the rewards of compiled environments; Python environments compute them
    outside, and `learn_stored` gets them. `added_rows` are the extra rows of a block from a collector process: its
    closing boundary row, and the frames that a stack needs. Each of `devices` computes its part of every minibatch.
    """

    agent: DPG
    replay: Replay
    spec: Spec = field(metadata=STATIC)
    gamma: float
    envs: int
    steps: int
    updates: int
    reward_scale: float = 1.0
    normalise: bool = False
    assess: int = 0
    assess_rate: float = 1.0
    goal_reward: CompiledGoalReward | None = field(default=None, metadata=STATIC)
    added_rows: int = 0
    devices: int = 1

    @cached_property
    def goals(self) -> Goals | None:
        """Where they are in observations, if they are relabelled."""
        return goals_of(self.spec) if self.replay.relabels else None

    @property
    def rows(self) -> int:
        """Rows of a block: of its steps, and those that make it a segment."""
        return self.steps + self.added_rows

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps in one iteration."""
        return self.steps * self.envs

    def init(self, key: Key, block: Row) -> LearnerState:
        """Before the first update, for blocks like `block`."""
        agent_key, _ = init_keys(key)
        agent, exploration = self.agent.init(agent_key, self.spec), self.agent.exploration
        perturbed = None
        if isinstance(exploration, ParameterNoise):
            perturbed = Perturbed(agent.online.actor, jnp.float32(exploration.begin_sigma))
        state = LearnerState(
            agent,
            init_stats(self.spec.obs_shape) if self.normalise else byte_scale(self.spec),
            self.replay.init(block, self.spec),
            key,
            init_return_scale(self.envs, self.gamma) if self.agent.value.scales_returns else None,
            perturbed,
        )
        return state._replace(assessed=begin_assessment(state.candidate, self.envs) if self.assess else None)

    def empty_block(self, obs: Shaped[Array, "n *obs"]) -> Row:
        """The block stored by the first iteration: all boundary rows, which are never sampled as transitions."""
        n, m = self.envs, self.spec.action_dim
        no = jnp.zeros((n,), bool)
        row = Row(obs, jnp.zeros((n, m)), jnp.zeros((n,)), no, no, ~no)
        return jax.tree.map(lambda x: jnp.repeat(x[None], self.rows, axis=0), row)

    def empty_ring(self, obs: Shaped[Array, "n *obs"]) -> Ring:
        """The replay before the first step, for observations like these."""
        return self.replay.init(self.empty_block(obs), self.spec)

    def randomness(self, key: Key, t: Int[Array, ""]) -> UpdateRandomness:
        batch, *_ = iteration_keys(key, t)
        bits = jax.random.bits(batch, (self.updates, self.replay.batch), jnp.uint32)
        m = self.spec.action_dim if not equals(self.agent.smoothing.sigma, 0) else 0
        normal = to_normal(draw_uniform(jax.random.fold_in(batch, 1), (*bits.shape, m)))
        shape = (self.updates, 2, self.agent.augment.words)
        augment = jax.random.bits(jax.random.fold_in(batch, 2), shape, jnp.uint32)
        if self.goals is None:
            return UpdateRandomness(bits, normal, augment)
        shape = (self.updates, 2, self.replay.batch)
        hindsight = jax.random.bits(jax.random.fold_in(batch, 3), shape, jnp.uint32)
        return UpdateRandomness(bits, normal, augment, hindsight)

    def store(self, state: LearnerState, block: Row) -> LearnerState:
        """The state after storing a block [K, N, ...] in the replay and updating the input statistics."""
        # A block passes between devices, so that each draws its part of any minibatch from a replay of its own.
        ring = whole(self.devices, self.replay.add(state.ring, whole(self.devices, block), self.spec))
        stats = state.stats
        if isinstance(stats, RunningStats):
            obs, valid = block.obs, ~block.boundary
            if (goals := self.goals) is not None:  # achieved goals count too: most relabelled samples have one
                obs = jnp.concatenate([obs, goals.with_desired(obs, goals.achieved_in(obs))], axis=1)
                valid = jnp.concatenate([valid, valid], axis=1)
            stats = update_stats(stats, obs, valid)
        scale = None if state.return_scale is None else update_return_scale(state.return_scale, block, self.gamma)
        return state._replace(ring=ring, stats=stats, return_scale=scale)

    def learn(
        self, state: LearnerState, block: Row, t: Int[Array, ""], randomness: UpdateRandomness, learning: bool
    ) -> tuple[LearnerState, Metrics | None]:
        """Store the block [K, N, ...] collected before iteration t, then make the updates of iteration t.

        `learning` is static: during warm-up nothing of the update is compiled.
        """
        # Store first and sample after, or the compiler may copy the whole ring to keep the old one readable.
        return self.learn_stored(self.store(state, block), block, t, randomness, learning)

    def hindsight(self, ring: Ring, t: Int[Array, ""], randomness: UpdateRandomness) -> Hindsight:
        """Draw the goals of all minibatches of iteration t [U, ...], for an environment that computes their rewards."""

        def of_update(bits: UInt32[Array, " b"], hindsight_bits: UInt32[Array, "two b"]) -> Hindsight:
            index, window, _ = self.replay.draw(ring, bits, t * self.steps_per_iteration, self.spec)
            return self._hindsight(ring, index, window, hindsight_bits)

        return jax.lax.map(lambda own: of_update(*own), (randomness.bits, randomness.hindsight))

    def learn_stored(
        self,
        state: LearnerState,
        block: Row,
        t: Int[Array, ""],
        randomness: UpdateRandomness,
        learning: bool,
        hindsight_rewards: HindsightRewards | None = None,
    ) -> tuple[LearnerState, Metrics | None]:
        """`learn` for a block that is stored already; `hindsight_rewards` [U, ...] are from a Python environment."""
        if state.assessed is not None:
            assessed = state.assessed.after(block, state.candidate, learning, self.assess, self.assess_rate)
            state = state._replace(assessed=assessed)
        ring, metrics = state.ring, None
        if learning:
            count = t * self.updates + jnp.arange(self.updates)
            update = partial(self.update, ring, state.stats, t * self.steps_per_iteration)
            carry, inputs = (state.agent, ring.sampler, state.return_scale), (randomness, count, hindsight_rewards)
            (agent, sampler, return_scale), metrics = jax.lax.scan(update, carry, inputs)
            state, ring = state._replace(agent=agent, return_scale=return_scale), ring._replace(sampler=sampler)
        elif state.return_scale is not None:
            state = state._replace(return_scale=state.return_scale.before_learning())
        return self._perturbed(state._replace(ring=ring), block, t), metrics

    def update(
        self,
        ring: Ring,
        stats: InputStats,
        step: Int[Array, ""],
        state: tuple[AgentState, PyTree, ReturnScale | None],
        inputs: tuple[UpdateRandomness, Int[Array, ""], HindsightRewards | None],
    ) -> tuple[tuple[AgentState, PyTree, ReturnScale | None], Metrics]:
        """One update of (agent, sampler, return scale) after `step` environment steps; its randomness and count."""
        (agent, sampler, return_scale), (random, count, hindsight_rewards) = state, inputs
        bits, normal, augment_bits, hindsight_bits = random
        ring = ring._replace(sampler=sampler)
        relabel_window = None
        if hindsight_bits is not None:
            relabel_window = partial(self._relabelled, ring, hindsight_bits, hindsight_rewards)
        bits = in_parts(self.devices, bits)
        batch, index = self.replay.sample(ring, bits, step, self.gamma, self.spec, relabel_window)
        if return_scale is not None:
            batch = return_scale.scaled(batch)
        elif not equals(self.reward_scale, 1):
            batch = batch._replace(reward=self.reward_scale * batch.reward)
        augment, parts = self.agent.augment, picture_parts(self.spec)
        s, s_next = (
            augment_parts(augment, obs, parts, own)
            for obs, own in zip((batch.obs, batch.next_obs), augment_bits, strict=True)
        )
        following = None if batch.following is None else normalise(batch.following, stats)
        batch = batch._replace(obs=normalise(s, stats), next_obs=normalise(s_next, stats), following=following)
        batch, normal = in_parts(self.devices, (batch, normal))
        agent, metrics, td_error = self.agent.update(agent, batch, normal, count)
        if return_scale is not None:
            return_scale = return_scale.after_update(self.agent.targets_move(count), self.agent.tau)
        return (agent, self.replay.on_update(sampler, index, td_error, count), return_scale), metrics

    def _hindsight(self, ring: Ring, index: Index, window: Row, hindsight_bits: UInt32[Array, "two b"]) -> Hindsight:
        assert isinstance(self.replay.relabel, Future)
        assert self.goals is not None
        return self.replay.relabel.draw(ring, self.goals, index, window, hindsight_bits, self.spec)

    def _relabelled(
        self,
        ring: Ring,
        hindsight_bits: UInt32[Array, "two b"],
        hindsight_rewards: HindsightRewards | None,
        index: Index,
        window: Row,
    ) -> Row:
        """Windows with the goals of hindsight, and with their rewards, which are computed here if they are None."""
        hindsight, goals = self._hindsight(ring, index, window, hindsight_bits), self.goals
        assert goals is not None
        if hindsight_rewards is None:
            assert self.goal_reward is not None
            achieved, desired = (x.reshape(*x.shape[:-1], *goals.shape) for x in (hindsight.achieved, hindsight.goal))
            hindsight_rewards = HindsightRewards(*self.goal_reward(achieved, desired))
        return relabel(window, goals, hindsight, hindsight_rewards)

    def _perturbed(self, state: LearnerState, block: Row, t: Int[Array, ""]) -> LearnerState:
        """The state with the actor of the next iteration, if exploration is noise on its weights."""
        exploration = self.agent.exploration
        if not isinstance(exploration, ParameterNoise) or state.perturbed is None:
            return state
        step, (_, scale) = t * self.steps_per_iteration, state.perturbed
        key = jax.random.fold_in(jax.random.fold_in(state.key, step // exploration.steps), 2**32 - 2)
        policy = GreedyPolicy(state.stats, state.agent.online.encoder, state.agent.online.actor)
        actor = exploration.perturb(policy.actor, scale, key)
        obs = block.obs.reshape(-1, *self.spec.obs_shape)
        scale = exploration.adapt(scale, policy, policy._replace(actor=actor), obs, step, self.steps_per_iteration)
        return state._replace(perturbed=Perturbed(actor, scale))
