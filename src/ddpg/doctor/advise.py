"""Turns findings into advice: a preset and options to train with, and warnings that no option can fix."""

from collections.abc import Iterator

import numpy as np
from gymnasium.envs.registration import registry

from ddpg.config.config import Config
from ddpg.config.presets import host_defaults
from ddpg.doctor.advice import Advice, config_of, percent
from ddpg.doctor.examine import Findings, SteadyWalk
from ddpg.doctor.faults import about_faults, about_rendering, enumerated
from ddpg.doctor.statistics import ACTION_ALONE, RARE
from ddpg.envs.gymnasium_factory import UNLIMITED
from ddpg.training.devices import cores

MISSED = 0.5  # share of equal rewards above which episodes with goals mostly miss them

STD_RATIO = 8.0  # largest standard deviation, in smallest ones, that networks learn from without normalisation

FAR, NEAR = 10.0, 0.1  # largest observations beyond which they are far from order 1

HUGE, TINY = 30.0, 0.01  # root mean squares of the nonzero rewards beyond which they are scaled

GOAL, FAVOUR = 10.0, 1.0  # a rare reward that ends the episode, and one that may come again, as they are scaled

CLOSE = 5.0  # factor within which a rare reward may be off

SURPRISE = 3.0  # times the largest reward of random actions beyond which another is a new one

SLOW = 1_000.0  # steps per second below which each environment is worth a process of its own

JOINTS, SENSORS, STRIDES = 3, 8, 500  # actions, observations and steps of an episode that a robot has at least

ENDING = 0.1  # share of the episodes that terminate above which failures matter

EPISODES = 50  # that a run should have at least

WARMUP = 5  # episodes of random actions that should come before learning

EVALUATION_SECONDS = 60.0  # that a run's evaluations may step environments before fewer episodes are advised

ROBOT, SLOW_ROBOT = "td7_plus", "td3_plus"

ROBOT_UPDATES = 200.0  # a second, that ROBOT makes about: a slower environment is worth processes, which it cannot have

STEADY = (("preset", "td3"), ("steps", "20000"), ("collect.warmup", "1000"))  # not a robot's million steps

# For long episodes that fail early: it solves LunarLanderContinuous (benchmarks/gym_learning.py), which white noise
# teaches to hover.
FRAGILE = (
    ("preset", "td3"),
    ("steps", "200000"),
    ("collect.warmup", "10000"),
    ("exploration", "pink"),
    ("exploration.sigma", "0.3"),
)


def advise(findings: Findings) -> list[Advice]:
    """Warnings, a preset, and the options that fit the environment better than the preset's own."""
    advice = [*about_faults(findings), *_about_preset(findings)]
    for part in (_about_episodes, _about_observations, _about_rewards, _about_speed):
        advice += part(findings, config_of(advice))
    return advice


def _about_preset(findings: Findings) -> Iterator[Advice]:
    rewards, actions, inputs = findings.rewards, len(findings.action_low), len(findings.components.names)
    fast = findings.compiled or findings.steps_per_second >= ROBOT_UPDATES
    if findings.pictures:
        have, own = "have" if findings.picture_options else "are", findings.picture_options.items()
        yield Advice(
            f"observations {have} pictures", (("preset", "pixels"), *((path, str(value)) for path, value in own))
        )
    elif findings.goals and rewards.most_common >= MISSED and findings.rewards_goals:
        yield Advice(
            f"{percent(rewards.most_common)} of the rewards are the same, and observations have goals: an episode that "
            "missed its own shows how to reach another",
            (("preset", "her"),),
        )
    elif why := _why_rewards_do_not_guide(findings):
        if findings.goals and not findings.rewards_goals:
            yield Advice(
                "observations have goals, but there is no method compute_reward(achieved_goal, desired_goal, info): "
                "with it, preset her could learn from episodes that miss theirs"
            )
        yield Advice(
            f"{why}, so they do not show random actions where to go: noise that keeps its direction gets further",
            (("preset", "sparse"),),
        )
    elif actions >= JOINTS and inputs >= SENSORS and findings.longest >= STRIDES:
        yield Advice(
            f"{actions} actions, {inputs} observations and episodes of up to {findings.longest:,.0f} steps, as a robot "
            f"has, need wide networks and many steps",
            (("preset", ROBOT if fast else SLOW_ROBOT), ("steps", "300000")),
        )
    elif len(set(findings.lengths)) > 1 and findings.terminated >= ENDING * len(findings.lengths):
        why = (
            f"{findings.terminated} of {len(findings.lengths)} episodes terminated, the first after "
            f"{min(findings.lengths):,} steps: one critic trusts actions that end an episode"
        )
        if findings.longest >= STRIDES and rewards.most_common < RARE:  # else an episode is worth its length
            noise = f"episodes of up to {findings.longest:,.0f} steps need noise that keeps its direction for a while"
            yield Advice(f"{why}; two are steadier, and {noise}", FRAGILE)
        else:
            yield Advice(f"{why}; two are steadier", STEADY)
    elif rewards.high <= 0 and rewards.zeros < RARE:
        yield Advice("no reward is positive, and one critic overrates what it has not tried; two are steadier", STEADY)


def _why_rewards_do_not_guide(findings: Findings) -> str:
    """The reason why the rewards of random actions do not show where to go, or "" if they do."""
    rewards = findings.rewards
    if findings.lengths and max(findings.lengths) == 1:
        return ""
    if rewards.zeros >= RARE:
        return f"{percent(rewards.zeros)} of the rewards are 0"
    if rewards.most_common >= RARE and not findings.terminated:  # else the length of an episode is its return
        return f"{percent(rewards.most_common)} of the rewards are the same"
    if rewards.explained_by_action >= ACTION_ALONE:
        return "the rewards depend on the action alone"
    return ""


def _about_episodes(findings: Findings, base: Config) -> Iterator[Advice]:
    lengths, steps, length = findings.lengths, findings.steps, findings.length
    if lengths and max(lengths) == 1:
        yield Advice(
            "every episode lasts one step, so gamma has no effect and every second step of a run is a reset: "
            "double the steps",
            (("steps", str(2 * base.steps)),),
        )
        return
    if findings.time_limit is None and findings.unfinished == steps:
        yield Advice(
            f"no episode ended in {steps} steps and there is no time limit: training would hardly ever reset, and "
            f"evaluation would end episodes after {UNLIMITED:,} steps; set a limit",
            (("env_args", "max_episode_steps=1000"),),
        )
        return
    if findings.time_limit is None and not findings.truncated:
        yield Advice(
            f"there is no time limit: evaluation ends episodes that do not terminate after {UNLIMITED:,} steps"
        )
    if not lengths:
        yield Advice(f"no episode ended in {steps} steps; to examine how they end, use more --steps")
    if len(lengths) >= 3 and findings.terminated == len(lengths) and len(set(lengths)) == 1:
        yield Advice(
            f"every episode terminated after exactly {lengths[0]} steps: if that is a time limit, the environment "
            "should report truncated, because terminated means that no reward could have followed"
        )
    enough, longest = round_up(EPISODES * findings.longest), findings.longest
    if longest >= base.steps:
        why = f"an episode has {longest:,.0f} steps, longer than the {base.steps:,} of a run"
        yield Advice(why, (("steps", str(enough)),))
    elif enough > base.steps:
        why = f"{base.steps:,} steps are only {base.steps / longest:,.0f} episodes of {longest:,.0f} steps"
        yield Advice(why, (("steps", str(enough)),))
    if base.replay.relabels and not 0.5 <= longest * (1 - base.gamma) <= 2:  # 1 - 1/T: Plappert et al. 2018
        why = f"gamma {base.gamma:g} looks {1 / (1 - base.gamma):,.0f} steps ahead, in episodes of {longest:,.0f}"
        yield Advice(why, (("gamma", f"{1 - float(f'{1 / longest:.2g}'):.9g}"),))
    if not _why_rewards_do_not_guide(findings) and WARMUP * length > base.learning_starts:
        why = f"{WARMUP} episodes of random actions should come before learning"
        yield Advice(why, (("collect.warmup", str(round_up(WARMUP * length))),))


def _about_observations(findings: Findings, base: Config) -> Iterator[Advice]:
    stats, components = findings.observations, findings.components
    constant = set(stats.constant)
    inputs = [i for i, flat in enumerate(components.flat) if flat and i not in constant]
    # The presets for robots were measured on observations as they are.
    if findings.pictures or not inputs or base.normalise or base.preset in (ROBOT, SLOW_ROBOT):
        return
    low, high, std, divisors = (np.array(x)[inputs] for x in (stats.low, stats.high, stats.std, components.divisors))
    largest, ratio = np.maximum(abs(low), abs(high)) / divisors, np.max(std / divisors) / np.min(std / divisors)
    if (faint := (divisors > 1) & (largest < NEAR)).any():
        i = int(np.argmax(faint))
        which = enumerated([inputs[i] for i in np.flatnonzero(faint)], components.names)
        why = f"observation {which}: bytes that are no picture, divided by {divisors[i]:g}, reach only {high[i]:g}"
    elif ratio >= STD_RATIO:
        why = f"standard deviations of observations differ by a factor of {ratio:,.3g}"
    elif largest.max() > FAR:
        why = f"observations reach {largest.max():,.3g}, far from 1"
    elif largest.max() < NEAR:
        why = f"observations reach only {largest.max():.3g}, far from 1"
    else:
        return
    yield Advice(why, (("normalise", "true"),))


def _about_rewards(findings: Findings, base: Config) -> Iterator[Advice]:
    if findings.steady is not None and _why_rewards_do_not_guide(findings) and not base.replay.relabels:
        yield from _about_rare_rewards(findings, findings.steady, base)
        return
    scaled = base.reward_scale * findings.rewards.rms
    if base.agent.value.scales_returns:
        return
    if scaled > HUGE or 0 < scaled < TINY:
        scale = base.reward_scale * 10.0 ** -round(np.log10(scaled))
        why = f"rewards of about {findings.rewards.rms:.3g} make values far from 1"
        yield Advice(why, (("reward_scale", f"{scale:g}"),))


def _about_rare_rewards(findings: Findings, steady: SteadyWalk, base: Config) -> Iterator[Advice]:
    """Their scale, if noise that keeps its direction met one: beside the actor's L2 a small one would not count."""
    rewards, met = findings.rewards, max(steady.largest, findings.rewards.largest)
    if met == 0 and not steady.terminated:
        yield Advice(
            f"{steady.steps:,} steps of noise that keeps its direction met no reward either: give rewards on the way, "
            "or begin with episodes of another controller, with --demonstrations FILE"
        )
    elif met > SURPRISE * rewards.largest or rewards.zeros >= RARE:
        scaled, target = base.reward_scale * met, GOAL if steady.terminated else FAVOUR
        if not target / CLOSE <= scaled <= target * CLOSE:
            scale = base.reward_scale * 10.0 ** round(np.log10(target / scaled))
            why = f"a rare reward of {met:.3g} would count too {'little' if scaled < target else 'much'}"
            yield Advice(why, (("reward_scale", f"{scale:g}"),))


def _about_speed(findings: Findings, base: Config) -> Iterator[Advice]:
    speed = findings.steps_per_second
    if speed < SLOW and not findings.compiled and not base.collect.assess:
        envs = max(2, min(8, cores()))
        pooled = findings.env.startswith("envpool:")
        how = "which EnvPool steps together" if pooled else "each in a process of its own"
        yield Advice(
            f"the environment alone makes {speed:,.0f} steps per second: use {envs}, {how}",
            (("collect.envs", str(envs)), *(() if pooled else (("collect.vector", "async"),))),
        )
    evaluation = host_defaults(base, {})
    episodes, steps = min(evaluation["eval.episodes"], base.eval.episodes), evaluation["eval.every"]
    played, most = findings.longest * base.steps / steps / speed, max(EVALUATION_SECONDS, base.steps / speed)
    fewer = max(1, int(most / played))
    if fewer < episodes:
        why = f"{episodes} episodes in each evaluation would take {episodes * played:,.0f} s of the environment alone"
        yield Advice(why, (("eval.episodes", str(fewer)),))
    yield from map(Advice, about_rendering(findings.rendering))
    if findings.compiled and findings.env in registry:
        yield Advice(f"ddpg train {findings.env} uses ddpg's compiled version; gym:{findings.env} is Gymnasium's")


def round_up(steps: float) -> int:
    """To a multiple of 5 in the second digit: 4 995 -> 5 000, 51 234 -> 55 000."""
    unit = 10 ** max(0, len(str(int(steps))) - 2) * 5
    return int(-(-steps // unit) * unit)
