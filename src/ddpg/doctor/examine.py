"""Measures what an environment is like under random actions."""

import re
import warnings
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from ddpg.config.presets import PRESETS, picture_options
from ddpg.doctor.components import Components, components_of
from ddpg.doctor.render import Rendering, measure_rendering
from ddpg.doctor.statistics import ObservationStats, RewardStats, reward_stats
from ddpg.doctor.walk import first_difference, fresh_env, record, steady_actions, uses_global_random, walk
from ddpg.envs import catalogue
from ddpg.envs.as_gymnasium import is_compiled, spec_of
from ddpg.envs.goals import rewards_goals
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.gymnasium_factory import GymFactory, episode_seed
from ddpg.envs.view import has_pictures
from ddpg.experience.relabel import goals_of
from ddpg.terminal import one_line

COMPARED_STEPS = 1_000  # of two environments with the same seed


@dataclass(frozen=True)
class SteadyWalk:
    """What actions met that keep their direction for a while."""

    steps: int
    largest: float  # magnitude of a reward
    terminated: int


@dataclass(frozen=True)
class Findings:
    """All that was measured. Steps are those of ddpg, which `action_repeat` makes longer than the environment's."""

    env: str
    steps: int
    seed: int
    compiled: bool  # whether ddpg compiles it into the learner
    observation_space: str
    action_space: str
    obs_shape: tuple[int, ...]
    obs_dtype: str
    pictures: bool  # whether observations are, or have some
    picture_options: dict[str, Any]  # what suits them better than the preset
    goals: bool  # whether observations have an achieved and a desired goal
    rewards_goals: bool  # whether the environment computes rewards of other goals
    components: Components
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    observations: ObservationStats
    rewards: RewardStats
    steady: SteadyWalk | None  # None if the rewards of random actions say enough
    lengths: tuple[int, ...]  # of the episodes that ended
    terminated: int
    truncated: int
    both: int  # ended both ways at once; counted in each of the two above
    unfinished: int  # steps of the last episode, which did not end
    time_limit: int | None
    differs_at: int | None  # first step at which two fresh environments differ; 0 is the first observation
    global_random: bool  # whether they do not, once Python's and NumPy's global generators are seeded
    reset_differs: bool  # whether a reset with the first seed gives another observation after the episodes
    seed_matters: bool | None  # whether another seed changes anything; None if the environment is not deterministic
    actions_matter: bool | None  # whether other actions change anything; None if the environment is not deterministic
    compared: int  # steps of these comparisons
    steps_per_second: float
    render_modes: tuple[str, ...]
    rendering: Rendering | None  # None if it has no render mode rgb_array
    remarks: tuple[str, ...] = ()  # warnings of Gymnasium's own checks

    @property
    def constant(self) -> list[int]:
        """The components that never changed, but for pixels, of which many may not."""
        return [i for i in self.observations.constant if self.components.flat[i]]

    @property
    def length(self) -> float:
        """The median length of an episode, or the best guess if none ended."""
        return median(self.lengths) if self.lengths else float(self.time_limit or self.unfinished)

    @property
    def longest(self) -> float:
        """The length of an episode that goes well: up to the time limit, if failures end it earlier."""
        return max(self.length, float(self.time_limit or 0)) if self.terminated else self.length


def examine(gym: GymFactory, steps: int = 5_000, seed: int = 0) -> Findings:
    """Take `steps` uniformly random actions, or as many as PATIENCE allows.

    Raises EnvironmentFailure if the environment misbehaves.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        findings = _measure(gym, steps, seed)
    messages = [re.sub(r"\x1b\[\d+m", "", str(each.message)) for each in caught if each.category is UserWarning]
    remarks = dict.fromkeys(one_line(text.removeprefix("WARN: ")) for text in messages)
    return replace(findings, remarks=tuple(remarks)[:5])


def _measure(gym: GymFactory, steps: int, seed: int) -> Findings:
    actions, others = (
        np.random.default_rng([seed, i]).uniform(-1, 1, (steps, gym.spec.action_dim)).astype(np.float32) for i in (0, 1)
    )
    with fresh_env(gym, seed) as env:
        first = env.reset()[0].copy()
        walked = record(walk(env, actions, first), gym.spec.obs_shape)
        again = env.reset(seed=episode_seed(seed, 0, 0))[0]
        rewards = reward_stats(np.array(walked.rewards), actions[: len(walked.rewards)])
        steady = _walk_steadily(env, gym, steps, seed) if rewards.say_little else None
        with_goals = rewards_goals(env.env)
        space, action_space, render_modes = env.env.observation_space, env.env.action_space, env.metadata
    taken = len(walked.rewards)
    few, others = (each[: min(taken, COMPARED_STEPS)] for each in (actions, others))
    differs_at, compared = first_difference(gym, few, few, (seed, seed))
    same = differs_at is None
    spec = spec_of(gym)
    modes = tuple(map(str, render_modes.get("render_modes") or ()))
    return Findings(
        env=gym.id,
        steps=taken,
        seed=seed,
        compiled=is_compiled(gym) or (gym.id in catalogue.NATIVE and not gym.changed),
        observation_space=str(space),
        action_space=str(action_space),
        obs_shape=gym.spec.obs_shape,
        obs_dtype=gym.spec.obs_dtype,
        pictures=has_pictures(spec),
        picture_options=picture_options(spec) if has_pictures(spec) else {},
        goals=goals_of(spec) is not None,
        rewards_goals=with_goals,
        components=components_of(spec),
        action_low=gym.spec.action_low,
        action_high=gym.spec.action_high,
        observations=walked.moments.stats(space),
        rewards=rewards,
        steady=steady,
        lengths=tuple(walked.lengths),
        terminated=sum(terminated for terminated, _ in walked.ends),
        truncated=sum(truncated for _, truncated in walked.ends),
        both=walked.ends.count((True, True)),
        unfinished=taken - sum(walked.lengths),
        time_limit=gym.limit,
        differs_at=differs_at,
        global_random=differs_at is not None and uses_global_random(gym, few[: differs_at + 1], seed),
        reset_differs=same and not np.array_equal(first, again),
        seed_matters=first_difference(gym, few, few, (seed, seed + 1))[0] is not None if same else None,
        actions_matter=first_difference(gym, few, others, (seed, seed))[0] is not None if same else None,
        compared=compared,
        steps_per_second=taken / max(walked.seconds, 1e-9),
        render_modes=modes,
        rendering=measure_rendering(gym, few) if "rgb_array" in modes else None,
    )


def _walk_steadily(env: CheckedEnv, gym: GymFactory, steps: int, seed: int) -> SteadyWalk:
    actions = steady_actions(PRESETS["sparse"].agent.exploration, steps, gym.spec.action_dim, seed)
    walked = record(walk(env, actions, env.reset()[0]), gym.spec.obs_shape)
    ends = sum(terminated for terminated, _ in walked.ends)
    return SteadyWalk(len(walked.rewards), max(map(abs, walked.rewards)), ends)
