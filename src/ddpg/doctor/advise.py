"""A preset and options that follow from the findings."""

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS, host_defaults
from ddpg.doctor.examine import (
    Findings,
)
from ddpg.envs.gymnasium_factory import UNLIMITED

DIFFER = 8.0  # times the smallest standard deviation that the largest may be, without normalisation

FAR, NEAR = 10.0, 0.1  # sizes of observations beyond which they are far from order 1

HUGE, TINY = 30.0, 0.01  # root mean squares of the reward that is not 0, beyond which it is scaled

RARE = 0.95  # share of equal rewards from which on the others are rare

ALONE = 0.999  # share of the reward's variance that the action explains, from which on it says nothing of the state

SLOW = 1_000.0  # steps per second below which environments are worth a process each

JOINTS = 3  # actions from which on it is taken for a robot

EPISODES = 50  # that a run should have at least, and

WARMUP = 5  # of them at random

MINUTE = 60.0  # seconds that all evaluations of a run may step environments, before fewer episodes are advised

WIDE = 1_000  # inputs from which on fully connected layers are worth a remark


class Advice(NamedTuple):
    """A reason, and the options that follow from it; a warning if there are none."""

    why: str
    options: tuple[tuple[str, str], ...] = ()


def advise(found: Findings) -> list[Advice]:
    """A preset and options that the findings call for, and warnings of what no option mends."""
    start = list(_of_preset(found))
    base = PRESETS[dict(pair for each in start for pair in each.options).get("preset", "ddpg")]
    return [
        *_broken(found),
        *start,
        *_of_episodes(found, base),
        *_of_scales(found, base),
        *_of_speed(found, base),
    ]


def _broken(found: Findings) -> Iterator[Advice]:
    seen, again = found.observations, "so a run cannot be repeated, or resumed, exactly"
    if found.differs_at is not None:
        where = f"at step {found.differs_at}" if found.differs_at else "at their first observation"
        yield Advice(
            f"not deterministic: two fresh environments with the same seed and actions differ {where}, {again}"
        )
    if found.leaks:
        yield Advice(f"a reset with the same seed gives another observation after some episodes than before, {again}")
    if found.effect is False:
        yield Advice(
            f"other actions changed neither observations nor rewards in {found.compared} steps: are they used?"
        )
    if seen.constant:
        which = _listed(seen.constant, len(seen.low))
        yield Advice(f"observation {which} never changed in {found.steps} steps: left out, it would cost no weights")
    if seen.outside:
        which = _listed(seen.outside, len(seen.low))
        yield Advice(f"observation {which} left the bounds of its space; ddpg does not mind, other tools may")
    for remark in found.remarks:
        yield Advice(f"Gymnasium remarks: {remark}")


def _of_episodes(found: Findings, base: Config) -> Iterator[Advice]:
    lengths, usual = found.lengths, base.steps
    if lengths and max(lengths) == 1:
        yield Advice(
            "every episode lasts one step: nothing comes after it, so gamma is without effect; every second step of a "
            "run is a reset, so give it twice the steps",
            (("steps", str(2 * usual)),),
        )
        return
    if found.time_limit is None and found.unfinished == found.steps:
        yield Advice(
            f"nothing ended an episode in {found.steps} steps and there is no time limit, so training would hardly see "
            f"a start again, and evaluation cuts after {UNLIMITED:,}; give gymnasium.make a limit",
            (("env_args", "max_episode_steps=1000"),),
        )
        return
    if found.time_limit is None and not found.truncated:
        yield Advice(
            f"there is no time limit: an episode that does not terminate is cut after {UNLIMITED:,} steps in evaluation"
        )
    if not lengths:
        yield Advice(f"no episode ended in {found.steps} steps; examine with more --steps to see how they do")
    if len(lengths) >= 3 and found.terminated == len(lengths) and len(set(lengths)) == 1:
        yield Advice(
            f"every episode terminated after exactly {lengths[0]} steps: if that is a time limit, the environment "
            f"should say truncated, since terminated means that nothing could be earned afterwards"
        )
    enough = _round_up(EPISODES * found.length)
    if found.length >= usual:
        yield Advice(
            f"an episode of {found.length:,.0f} steps is longer than the {usual:,} of a run", (("steps", str(enough)),)
        )
    elif enough > usual:
        yield Advice(
            f"episodes of {found.length:,.0f} steps: {usual:,} would be {usual / found.length:,.0f} of them",
            (("steps", str(enough)),),
        )
    if not _blind(found) and WARMUP * found.length > base.collect.warmup:
        yield Advice(
            f"{WARMUP} episodes at random before learning begins",
            (("collect.warmup", str(_round_up(WARMUP * found.length))),),
        )


def _of_scales(found: Findings, base: Config) -> Iterator[Advice]:
    seen, reward = found.observations, found.rewards
    moving = [i for i in range(len(seen.std)) if i not in set(seen.constant)]
    if moving and found.obs_dtype != "uint8":  # which is divided by 255 anyway
        largest = max(max(abs(seen.low[i]), abs(seen.high[i])) for i in moving)
        if seen.orders >= np.log10(DIFFER):
            why = f"standard deviations of observations differ by a factor of {10**seen.orders:,.3g}"
        elif largest > FAR:
            why = f"observations reach {largest:,.3g}, far from 1"
        elif largest < NEAR:
            why = f"observations reach no more than {largest:.3g}, far from 1"
        else:
            why = ""
        if why and not base.normalise:
            yield Advice(why, (("normalise", "true"),))
    size = base.reward_scale * reward.size
    if size > HUGE or (0 < size < TINY and not _blind(found)):  # where the reward that counts has not been seen yet
        scale = base.reward_scale * 10.0 ** -round(np.log10(size))
        yield Advice(
            f"rewards of about {reward.size:.3g} in size make values far from 1", (("reward_scale", f"{scale:g}"),)
        )
    if len(seen.std) > WIDE:
        yield Advice(
            f"observations become {len(seen.std):,} inputs of fully connected layers; there are no convolutions"
        )


def _blind(found: Findings) -> str:
    """Why random actions saw no reward that says where to go, or "" if they did."""
    reward = found.rewards
    if found.lengths and max(found.lengths) == 1:
        return ""
    if reward.zeros >= RARE:
        return f"{_share(reward.zeros)} of the rewards are 0"
    if reward.commonest >= RARE and not found.terminated:  # where episodes terminate, their length is the return
        return f"{_share(reward.commonest)} of the rewards are the same"
    if reward.by_action >= ALONE:
        return "the rewards depend on the action alone"
    return ""


def _of_preset(found: Findings) -> Iterator[Advice]:
    if why := _blind(found):
        yield Advice(
            f"{why}, so nothing says yet where to go: noise that keeps its direction for some steps gets further",
            (("preset", "sparse"),),
        )
    elif len(found.action_low) >= JOINTS:
        yield Advice(f"{len(found.action_low)} actions, as a robot has: wider networks", (("preset", "mujoco"),))


def _of_speed(found: Findings, base: Config) -> Iterator[Advice]:
    speed = found.steps_per_second
    if speed < SLOW:
        envs = max(2, min(8, os.cpu_count() or 2))
        yield Advice(
            f"{speed:,.0f} steps per second of the environment alone: {envs} side by side, in a process each",
            (("collect.envs", str(envs)), ("collect.vector", "async")),
        )
    chosen = host_defaults(base, {})
    evaluations, episodes = base.steps / chosen["eval.every"], chosen["eval.episodes"]
    steps = evaluations * episodes * found.length
    if steps / speed > MINUTE:
        yield Advice(
            f"the evaluations of a run would be {steps:,.0f} steps, {steps / speed:,.0f} s of the environment alone",
            (("eval.episodes", str(max(1, episodes // 3))),),
        )
    if "rgb_array" not in found.render_modes:
        yield Advice("no render mode rgb_array: there will be no film")
    if found.compiled:
        yield Advice(
            f"ddpg has a compiled version of {found.env} and trains on that, unless it is asked for gym:{found.env}"
        )


FLAGS = {"collect.envs": "envs", "env_args": "env-args", "eval.every": "eval-every", "eval.episodes": "eval-episodes"}


def command_line(id: str, args: Sequence[str], advice: Sequence[Advice]) -> str:
    """What to type."""
    options = dict[str, str]()
    for path, value in (pair for each in advice for pair in each.options):
        options.setdefault(path, value)
    args = [*args, *([options.pop("env_args")] if "env_args" in options else [])]
    words = ["ddpg", "train", id, *(["--env-args", *args] if args else [])]
    for path, value in options.items():
        words += [f"--{FLAGS.get(path, path)}", value]
    return shlex.join(words)


def _options(advice: Advice) -> str:
    return " ".join(f"--{FLAGS.get(path, path)} {value}" for path, value in advice.options)


def _listed(indices: Sequence[int], total: int) -> str:
    if len(indices) == total:
        return "as a whole" if total > 1 else "0"
    few = ", ".join(map(str, indices[:8]))
    return few if len(indices) <= 8 else f"{few} and {len(indices) - 8} more of {total}"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _round_up(steps: float) -> int:
    """To one digit, and a half: 4 995 -> 5 000, 51 234 -> 55 000."""
    unit = 10 ** max(0, len(str(int(steps))) - 2) * 5
    return int(-(-steps // unit) * unit)
