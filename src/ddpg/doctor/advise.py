"""Turns findings into advice: a preset and options to train with, and warnings that no option can fix."""

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS, host_defaults
from ddpg.config.reading import override
from ddpg.doctor.examine import Findings
from ddpg.doctor.render import Rendering
from ddpg.envs.gymnasium_factory import UNLIMITED

STD_RATIO = 8.0  # largest standard deviation, in smallest ones, that networks learn from without normalisation

FAR, NEAR = 10.0, 0.1  # largest observations beyond which they are far from order 1

HUGE, TINY = 30.0, 0.01  # root mean squares of the nonzero rewards beyond which they are scaled

RARE = 0.95  # share of equal rewards above which the others are rare

ACTION_ALONE = 0.999  # share of the rewards' variance explained by the action above which the state has no part in it

SLOW = 1_000.0  # steps per second below which each environment is worth a process of its own

JOINTS, SENSORS, STRIDES = 3, 8, 500  # actions, observations and steps of an episode that a robot has at least

ENDING = 0.1  # share of the episodes that terminate above which failures matter

EPISODES = 50  # that a run should have at least

WARMUP = 5  # episodes of random actions that should come before learning

FLUENT = 30.0  # frames per second below which a film takes long

EVALUATION_SECONDS = 60.0  # that a run's evaluations may step environments before fewer episodes are advised

WIDE = 1_000  # inputs above which convolutions would be better than fully connected layers


STEADY = (  # TD3's parts in networks of the default preset's size
    ("preset", "td3"),
    ("steps", "20000"),
    ("collect.warmup", "1000"),
    ("actor.widths", "64,64"),
    ("critic.widths", "64,64"),
)


class Advice(NamedTuple):
    """A reason and the options that follow from it; a warning if there are none."""

    why: str
    options: tuple[tuple[str, str], ...] = ()


def advise(findings: Findings) -> list[Advice]:
    """Warnings, a preset, and the options that fit the environment better than the preset's own."""
    advice = [*_about_faults(findings), *_about_preset(findings)]
    for part in (_about_episodes, _about_observations, _about_rewards, _about_speed):
        advice += part(findings, config_of(advice))
    return advice


def config_of(advice: Sequence[Advice]) -> Config:
    """What is trained if all of it is followed."""
    chosen = options_of(advice)
    base = PRESETS[chosen.pop("preset", "ddpg")]
    args = {"env_args": tuple(chosen.pop("env_args").split())} if "env_args" in chosen else {}
    return override(base, chosen | args)


def options_of(advice: Sequence[Advice]) -> dict[str, str]:
    """Every option that is advised; of two values for one option the first counts."""
    options = dict[str, str]()
    for path, value in (pair for each in advice for pair in each.options):
        options.setdefault(path, value)
    return options


def _about_faults(findings: Findings) -> Iterator[Advice]:
    stats = findings.observations
    yield from map(Advice, _about_repetition(findings))
    if findings.seed_matters is False and not findings.reset_differs:
        yield Advice(
            "episodes are the same whatever the seed, so one is as good an evaluation as ten",
            (("eval.episodes", "1"),),
        )
    if findings.actions_matter is False:
        yield Advice(
            f"different actions gave the same observations and rewards in {findings.compared} steps: "
            "does the environment use them?"
        )
    if stats.constant:
        which = _enumerated(stats.constant, findings.names)
        yield Advice(f"observation {which} never changed in {findings.steps} steps; leave it out to save weights")
    if stats.outside:
        which = _enumerated(stats.outside, findings.names)
        yield Advice(f"observation {which} left the bounds of its space; ddpg does not use them, other tools may")
    for remark in findings.remarks:
        yield Advice(f"Gymnasium warns: {remark}")


def _about_repetition(findings: Findings) -> Iterator[str]:
    """Whether seeds do what they are for."""
    consequence = "so a run cannot be repeated or resumed exactly"
    cure = "; reset should call super().reset(seed=seed), and everything random come from self.np_random"
    if findings.differs_at == 0 and findings.global_random:
        yield f"reset(seed=...) has no effect: it draws from a global generator, {consequence}{cure}"
    elif findings.differs_at == 0:
        yield (
            f"not deterministic: two new environments with the same seed differ at their first observation, "
            f"as if reset ignored its seed, {consequence}{cure}"
        )
    elif findings.differs_at is not None:
        why = " because step draws from a global generator" if findings.global_random else ""
        yield (
            f"not deterministic: two new environments with the same seed and actions differ at step "
            f"{findings.differs_at}{why}, {consequence}{cure if why else ''}"
        )
    if findings.reset_differs and not findings.seed_matters:
        yield f"reset(seed=...) has no effect: episodes come in an order of the environment's own, {consequence}{cure}"
    elif findings.reset_differs:
        yield f"after some episodes a reset with the same seed gives another observation than before, {consequence}"


def _about_preset(findings: Findings) -> Iterator[Advice]:
    rewards, actions = findings.rewards, len(findings.action_low)
    if why := _why_rewards_do_not_guide(findings):
        yield Advice(
            f"{why}, so they do not show random actions where to go: noise that keeps its direction gets further",
            (("preset", "sparse"),),
        )
    elif actions >= JOINTS and len(findings.names) >= SENSORS and findings.longest >= STRIDES:
        yield Advice(
            f"{actions} actions, {len(findings.names)} observations and episodes of up to {findings.longest:,.0f} "
            f"steps, as a robot has, need wide networks and many steps",
            (("preset", "td3_plus"), ("steps", "300000")),
        )
    elif findings.lengths and findings.terminated >= ENDING * len(findings.lengths) and max(findings.lengths) > 1:
        limit = f" of at most {findings.time_limit:,}" if findings.time_limit else ""
        why = (
            f"{findings.terminated} of {len(findings.lengths)} episodes terminated, after {findings.length:,.0f} "
            f"steps{limit}: one critic trusts actions that end an episode"
        )
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
    if not _why_rewards_do_not_guide(findings) and WARMUP * length > base.collect.warmup:
        why = f"{WARMUP} episodes of random actions should come before learning"
        yield Advice(why, (("collect.warmup", str(round_up(WARMUP * length))),))


def _about_observations(findings: Findings, base: Config) -> Iterator[Advice]:
    stats = findings.observations
    if len(stats.std) > WIDE:
        yield Advice(f"observations are {len(stats.std):,} inputs of fully connected layers; ddpg has no convolutions")
    moving = [i for i in range(len(stats.std)) if i not in set(stats.constant)]
    if not moving or base.normalise or findings.obs_dtype == "uint8":  # networks divide bytes by 255
        return
    largest = max(max(abs(stats.low[i]), abs(stats.high[i])) for i in moving)
    if stats.orders >= np.log10(STD_RATIO):
        why = f"standard deviations of observations differ by a factor of {10**stats.orders:,.3g}"
    elif largest > FAR:
        why = f"observations reach {largest:,.3g}, far from 1"
    elif largest < NEAR:
        why = f"observations reach only {largest:.3g}, far from 1"
    else:
        return
    yield Advice(why, (("normalise", "true"),))


def _about_rewards(findings: Findings, base: Config) -> Iterator[Advice]:
    scaled = base.reward_scale * findings.rewards.rms
    # If the rewards do not guide, the one that counts may not have come yet.
    if scaled > HUGE or (0 < scaled < TINY and not _why_rewards_do_not_guide(findings)):
        scale = base.reward_scale * 10.0 ** -round(np.log10(scaled))
        why = f"rewards of about {findings.rewards.rms:.3g} make values far from 1"
        yield Advice(why, (("reward_scale", f"{scale:g}"),))


def _about_speed(findings: Findings, base: Config) -> Iterator[Advice]:
    speed = findings.steps_per_second
    if speed < SLOW:
        envs = max(2, min(8, os.cpu_count() or 2))
        yield Advice(
            f"the environment alone makes {speed:,.0f} steps per second: use {envs}, each in a process of its own",
            (("collect.envs", str(envs)), ("collect.vector", "async")),
        )
    evaluation = host_defaults(base, {})
    episodes, steps = evaluation["eval.episodes"], evaluation["eval.every"]
    played, most = findings.longest * base.steps / steps / speed, max(EVALUATION_SECONDS, base.steps / speed)
    if episodes * played > most and "eval.episodes" not in options_of(list(_about_faults(findings))):
        why = f"{episodes} episodes in each evaluation would take {episodes * played:,.0f} s of the environment alone"
        yield Advice(why, (("eval.episodes", str(max(1, int(most / played)))),))
    yield from map(Advice, _about_rendering(findings.rendering))
    if findings.compiled:
        yield Advice(f"ddpg train {findings.env} uses ddpg's compiled version; gym:{findings.env} is Gymnasium's")


def _about_rendering(rendering: Rendering | None) -> Iterator[str]:
    if rendering is None:
        yield "no render mode rgb_array, so there will be no film"
    elif rendering.error:
        yield f"drawing failed, so there will be no film: {rendering.error}"
    elif rendering.frames_per_second < FLUENT:
        by = f" by {rendering.backend}" if rendering.backend else ""
        yield f"drawing{by} makes {rendering.frames_per_second:.2g} frames per second, so a film takes long"


FLAGS = {"collect.envs": "envs", "env_args": "env-args", "eval.every": "eval-every", "eval.episodes": "eval-episodes"}


def command_line(id: str, args: Sequence[str], advice: Sequence[Advice]) -> str:
    """The command to type."""
    options = options_of(advice)
    args = [*args, *([options.pop("env_args")] if "env_args" in options else [])]
    words = ["ddpg", "train", id, *(["--env-args", *args] if args else [])]
    for path, value in options.items():
        words += [f"--{FLAGS.get(path, path)}", value]
    return shlex.join(words)


def options_text(advice: Advice) -> str:
    """The options of one advice as they are typed."""
    return " ".join(f"--{FLAGS.get(path, path)} {value}" for path, value in advice.options)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def round_up(steps: float) -> int:
    """To a multiple of 5 in the second digit: 4 995 -> 5 000, 51 234 -> 55 000."""
    unit = 10 ** max(0, len(str(int(steps))) - 2) * 5
    return int(-(-steps // unit) * unit)


def _enumerated(indices: Sequence[int], names: Sequence[str]) -> str:
    if len(indices) == len(names) > 1:
        return "as a whole"
    few = ", ".join(names[i] for i in indices[:8])
    return few if len(indices) <= 8 else f"{few} and {len(indices) - 8} more of {len(names)}"
