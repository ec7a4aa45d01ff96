"""What random actions show of an environment that Python steps, and what a run with it had better choose."""

import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ddpg.envs import catalogue
from ddpg.envs.gym import UNLIMITED, Edge, Gym, episode_seed
from ddpg.training.config import Config
from ddpg.training.presets import PRESETS
from ddpg.training.train import suited

PATIENCE = 60.0  # seconds after which a slow environment has been stepped enough
PROBE = 1_000  # steps that are compared between environments
LISTED = 24  # components of an observation up to which every one is shown; in JSON up to LISTED_IN_JSON
LISTED_IN_JSON = 1_000
LONG = 160  # letters of a space that are shown
STEADY = 1e-6  # relative range below which a component counts as never changing

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


@dataclass(frozen=True)
class Observations:
    """Of every component, as ddpg sees it; `order` is how many powers of ten lie between the standard deviations."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    constant: tuple[int, ...]  # those that never changed
    outside: tuple[int, ...]  # those that left the bounds of the space
    orders: float


@dataclass(frozen=True)
class Rewards:
    """Of one step. `commonest` is the share of the most frequent reward, `by_action` what the action alone explains."""

    mean: float
    std: float
    low: float
    high: float
    largest: float  # in absolute value
    size: float  # root mean square of those that are not 0
    zeros: float
    commonest: float
    by_action: float


@dataclass(frozen=True)
class Findings:
    """What was seen of one environment; lengths of episodes are in steps of ddpg, which action_repeat makes longer."""

    env: str
    steps: int
    seed: int
    compiled: bool  # whether ddpg has a compiled version of it
    observation_space: str
    action_space: str
    obs_shape: tuple[int, ...]
    obs_dtype: str
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    observations: Observations
    rewards: Rewards
    lengths: tuple[int, ...]  # of the episodes that ended
    terminated: int
    truncated: int
    both: int  # ended by both at once, counted in either
    unfinished: int  # steps of the episode under way at the end
    time_limit: int | None
    differs_at: int | None  # the first step at which two fresh environments differ, 0 being the first observation
    leaks: bool  # whether a reset with the first seed gives another observation after the episodes than before
    effect: bool | None  # whether other actions change anything; None where nothing can be compared
    compared: int  # steps of these comparisons
    steps_per_second: float
    render_modes: tuple[str, ...]
    remarks: tuple[str, ...]  # warnings of Gymnasium's own checks

    @property
    def length(self) -> float:
        """Of a usual episode, or what is known of it."""
        return median(self.lengths) if self.lengths else float(self.time_limit or self.unfinished)


class Advice(NamedTuple):
    """A reason, and the options that follow from it; a warning if there are none."""

    why: str
    options: tuple[tuple[str, str], ...] = ()


class Seen(NamedTuple):
    """An observation, and what the step to it gave; `begins` where a reset did."""

    obs: np.ndarray
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    begins: bool = True


def doctor(id: str, args: Sequence[str] = (), steps: int = 5_000, seed: int = 0, json: bool = False) -> dict[str, Any]:
    """Examine the environment of an id, print what follows on stderr unless it is wanted as `json`, and answer it all.

    ValueError, in one line, if the environment cannot be made or misbehaves.
    """
    gym = catalogue.make(id, args)
    if not isinstance(gym, Gym):  # what is examined is what Python would step
        gym = catalogue.make(f"gym:{id.removeprefix('jax:')}", args)
    assert isinstance(gym, Gym)
    with redirect_stdout(sys.stderr):  # an environment that prints spoils no JSON
        found = examine(gym, steps, seed)
    advice = advise(found)
    command = command_line(id, args, advice)
    if not json:
        console = Console(stderr=True)
        console.print(page(found, advice))
        console.print(Text(command, "bold"), soft_wrap=True)  # so that it can be pasted
    return as_data(found) | {
        "advice": [{"why": each.why, "options": dict(each.options)} for each in advice],
        "command": command,
    }


def examine(gym: Gym, steps: int = 5_000, seed: int = 0) -> Findings:
    """What `steps` uniformly random actions meet, or those of a minute. Misbehaved if the environment is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _examined(gym, steps, seed)
    said = [re.sub(r"\x1b\[\d+m", "", str(each.message)) for each in caught if each.category is UserWarning]
    remarks = dict.fromkeys(" ".join(text.removeprefix("WARN: ").split())[:200] for text in said)
    return replace(found, remarks=tuple(remarks)[:5])


def _examined(gym: Gym, steps: int, seed: int) -> Findings:
    actions, others = (
        np.random.default_rng([seed, i]).uniform(-1, 1, (steps, gym.spec.action_dim)).astype(np.float32) for i in (0, 1)
    )
    new = partial(_made, gym, seed)
    rewards, lengths, ends = list[float](), list[int](), list[tuple[bool, bool]]()
    running, seconds, moments = 0, 0.0, _Moments(gym.spec.obs_shape)
    with new() as env:
        first = env.reset()[0].copy()
        for seen, took in _timed(_walk(env, actions, first)):
            seconds += took
            moments.add(seen.obs)
            if seen.begins:
                continue
            rewards.append(seen.reward)
            running += 1
            if seen.terminated or seen.truncated:
                lengths.append(running)
                ends.append((seen.terminated, seen.truncated))
                running = 0
            if seconds > PATIENCE:
                break
        again = env.reset(seed=episode_seed(seed, 0, 0))[0]
        spaces_said, modes = (str(env.env.observation_space), str(env.env.action_space)), env.metadata
        space = env.env.observation_space
    compared = min(len(rewards), PROBE)
    differs_at = _first_difference(new, actions[:compared], actions[:compared])
    differs_by_action = _first_difference(new, actions[:compared], others[:compared])
    ended = np.array(ends, bool).reshape(-1, 2)
    return Findings(
        env=gym.id,
        steps=len(rewards),
        seed=seed,
        compiled=gym.id in catalogue.NATIVE and not gym.changed,
        observation_space=spaces_said[0],
        action_space=spaces_said[1],
        obs_shape=gym.spec.obs_shape,
        obs_dtype=gym.spec.obs_dtype,
        action_low=gym.spec.action_low,
        action_high=gym.spec.action_high,
        observations=moments.summary(space),
        rewards=_of_rewards(np.array(rewards), actions[: len(rewards)]),
        lengths=tuple(lengths),
        terminated=int(ended[:, 0].sum()),
        truncated=int(ended[:, 1].sum()),
        both=int(ended.all(axis=1).sum()),
        unfinished=running,
        time_limit=gym.limit,
        differs_at=differs_at,
        leaks=differs_at is None and not np.array_equal(first, again),
        effect=None if differs_at is not None else differs_by_action is not None,
        compared=compared,
        steps_per_second=len(rewards) / max(seconds, 1e-9),
        render_modes=tuple(map(str, modes.get("render_modes") or ())),
        remarks=(),
    )


@contextmanager
def _made(gym: Gym, seed: int) -> Iterator[Edge]:
    """A fresh environment. Misbehaved if it cannot be made again."""
    env = gym.one(0, partial(episode_seed, seed, 0))
    try:
        yield env
    finally:
        with suppress(Exception):  # what misbehaved may do so once more
            env.close()


def _walk(env: Edge, actions: np.ndarray, first: np.ndarray) -> Iterator[Seen]:
    """Step by step from the first observation on, with a reset after every end."""
    yield Seen(first)
    over = False
    for action in actions:
        if over:
            yield Seen(env.reset()[0])
        obs, reward, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
        yield Seen(obs, reward, terminated, truncated, False)


def _timed(walk: Iterator[Seen]) -> Iterator[tuple[Seen, float]]:
    """With the seconds that each took."""
    began = time.perf_counter()
    for seen in walk:
        yield seen, time.perf_counter() - began
        began = time.perf_counter()


def _first_difference(
    new: Callable[[], AbstractContextManager[Edge]], actions: np.ndarray, others: np.ndarray
) -> int | None:
    """The first step at which two fresh environments of the same seeds differ, after these actions and the others."""
    began = time.perf_counter()
    with new() as one, new() as other:
        walks = (_walk(env, a, env.reset()[0]) for env, a in ((one, actions), (other, others)))
        step = 0
        for a, b in zip(*walks, strict=True):
            step += not a.begins
            if a[1:] != b[1:] or not np.array_equal(a.obs, b.obs):
                return step
            if time.perf_counter() - began > PATIENCE:
                break
    return None


class _Moments:
    """Range, mean and variance of each component, in one pass, since observations may be images."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(shape), np.zeros(shape)
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, obs: np.ndarray) -> None:
        obs = obs.astype(np.float64)
        self.count += 1
        step = obs - self.mean
        self.mean += step / self.count
        self.squares += step * (obs - self.mean)
        np.minimum(self.low, obs, out=self.low)
        np.maximum(self.high, obs, out=self.high)

    def summary(self, space: spaces.Space) -> Observations:
        low, high, mean = (values.ravel() for values in (self.low, self.high, self.mean))
        std = np.sqrt(self.squares.ravel() / self.count)
        steady = high - low <= np.maximum(STEADY * np.maximum(abs(low), abs(high)), 1e-12)
        moving = std[~steady]
        outside = np.zeros(0, int)
        if isinstance(space, spaces.Box) and space.shape == self.low.shape:
            slack = STEADY * np.maximum(1, np.maximum(abs(low), abs(high)))  # of 32 bits
            outside = np.flatnonzero((low < space.low.ravel() - slack) | (high > space.high.ravel() + slack))
        orders = np.log10(moving.max() / moving.min()) if moving.size else 0.0
        return Observations(
            *(tuple(map(float, values)) for values in (low, high, mean, std)),
            constant=tuple(map(int, np.flatnonzero(steady))),
            outside=tuple(map(int, outside)),
            orders=float(orders),
        )


def _of_rewards(rewards: np.ndarray, actions: np.ndarray) -> Rewards:
    variance, by_action = rewards.var(), 0.0
    features = np.concatenate([np.ones((len(actions), 1)), actions, np.square(actions), abs(actions)], axis=1)
    if variance > 0 and len(rewards) > 4 * features.shape[1]:
        weights, *_ = np.linalg.lstsq(features, rewards, rcond=None)
        by_action = max(0.0, 1 - (rewards - features @ weights).var() / variance)
    some = rewards[rewards != 0]
    _, counts = np.unique(rewards, return_counts=True)
    return Rewards(
        mean=float(rewards.mean()),
        std=float(rewards.std()),
        low=float(rewards.min()),
        high=float(rewards.max()),
        largest=float(abs(rewards).max()),
        size=float(np.sqrt(np.square(some).mean())) if some.size else 0.0,
        zeros=float((rewards == 0).mean()),
        commonest=float(counts.max() / len(rewards)),
        by_action=float(by_action),
    )


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
    chosen = suited(base, {})
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


def page(found: Findings, advice: Sequence[Advice]) -> RenderableType:
    """Everything for a reader, but the command to type."""
    parts: list[RenderableType] = [
        Text(f"{found.env} · {found.steps:,} random steps · seed {found.seed}", "bold"),
        Text(),
        _rows(_facts(found)),
    ]
    if len(found.observations.low) <= LISTED:
        parts += [Text(), _observations(found.observations)]
    parts.append(Text())
    for each in advice:
        mark, options = ("→", Text(_options(each), "cyan")) if each.options else ("!", Text())
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(mark, "green" if each.options else "yellow"), Group(Text(each.why), *[options] * bool(options))
        )
        parts.append(line)
    if not advice:
        parts.append(Text("nothing to change: the defaults fit"))
    return Group(*parts, Text())


def _facts(found: Findings) -> Iterator[tuple[str, str]]:
    seen, reward = found.observations, found.rewards
    yield "observations", _brief(found.observation_space)
    constant = f", {len(seen.constant)} never change" if seen.constant else ""
    moving = [s for i, s in enumerate(seen.std) if i not in set(seen.constant)]
    if len(moving) > 1:
        constant += f"; std {min(moving):.3g} to {max(moving):.3g}, {seen.orders:.1f} orders of magnitude"
    yield "", f"to ddpg {found.obs_shape} {found.obs_dtype}, from {min(seen.low):.4g} to {max(seen.high):.4g}{constant}"
    yield "actions", _brief(found.action_space)
    yield "", f"to ddpg ({len(found.action_low)},) in [-1, 1]; {_bounds(found)}"
    yield "reward", f"mean {reward.mean:.4g}, std {reward.std:.4g}, from {reward.low:.4g} to {reward.high:.4g}"
    yield "", f"largest in size {reward.largest:.4g}, 0 in {_share(reward.zeros)}"
    if found.lengths:
        low, middle, high = min(found.lengths), found.length, max(found.lengths)
        span = f"{low:,} steps" if low == high else f"{low:,} to {high:,} steps, median {middle:,.0f}"
        yield "episodes", f"{len(found.lengths)} of {span}"
        both = f", {found.both} of them both" if found.both else ""
        yield "", f"{found.terminated} terminated, {found.truncated} truncated{both}"
    else:
        yield "episodes", f"none ended in {found.unfinished:,} steps"
    yield "time limit", f"{found.time_limit:,} steps" if found.time_limit else "none that Gymnasium knows of"
    same = "the same" if found.differs_at is None else f"different from step {found.differs_at} on"
    yield "same seed", f"two environments are {same}, in {found.compared:,} steps"
    yield "speed", f"{found.steps_per_second:,.0f} steps/s of the environment alone, resets included"
    yield "draws", ", ".join(found.render_modes) or "nothing"


def _bounds(found: Findings) -> str:
    low, high = found.action_low, found.action_high
    equal = len(set(low)) == len(set(high)) == 1
    kind = "symmetric" if all(a == -b for a, b in zip(low, high, strict=True)) else "asymmetric"
    if equal:
        return f"in its units all within [{low[0]:g}, {high[0]:g}], {kind}"
    pairs = [f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True)]
    return f"in its units {' '.join(pairs[:8])}{' …' * (len(pairs) > 8)}, {kind}, not all equal"


def _observations(seen: Observations) -> Table:
    table = Table("index", "min", "max", "mean", "std", "", box=None, header_style="dim", pad_edge=False)
    for column in table.columns[:5]:
        column.justify = "right"
    for i, numbers in enumerate(zip(seen.low, seen.high, seen.mean, seen.std, strict=True)):
        remark = "never changes" if i in seen.constant else "leaves its bounds" if i in seen.outside else ""
        table.add_row(str(i), *(f"{number:.4g}" for number in numbers), remark)
    return table


def _rows(facts: Iterator[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, fact in facts:
        table.add_row(Text(name, "dim"), Text(fact))
    return table


def _options(advice: Advice) -> str:
    return " ".join(f"--{FLAGS.get(path, path)} {value}" for path, value in advice.options)


def as_data(found: Findings) -> dict[str, Any]:
    """Plain data; of observations of very many components only the range of all."""
    data, seen = asdict(found), found.observations
    if len(seen.low) > LISTED_IN_JSON:
        data["observations"] = {"low": min(seen.low), "high": max(seen.high), "orders": seen.orders}
        data["observations"] |= {"constant": len(seen.constant), "outside": len(seen.outside)}
    lengths = found.lengths
    data["lengths"] = (
        {"count": len(lengths), "min": min(lengths), "median": median(lengths), "max": max(lengths)}
        if lengths
        else {"count": 0, "min": None, "median": None, "max": None}
    )
    return data


def _listed(indices: Sequence[int], total: int) -> str:
    if len(indices) == total:
        return "as a whole" if total > 1 else "0"
    few = ", ".join(map(str, indices[:8]))
    return few if len(indices) <= 8 else f"{few} and {len(indices) - 8} more of {total}"


def _brief(space: str) -> str:
    text = " ".join(space.split())
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _round_up(steps: float) -> int:
    """To one digit, and a half: 4 995 -> 5 000, 51 234 -> 55 000."""
    unit = 10 ** max(0, len(str(int(steps))) - 2) * 5
    return int(-(-steps // unit) * unit)
