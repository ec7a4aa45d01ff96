"""From the policy gradient to DDPG: the relatives learn one task side by side, over steps and over seconds."""

from dataclasses import replace

import numpy as np

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.envs.episodes import starts
from ddpg.envs.pendulum import Pendulum
from ddpg.records.statistics import interval, iqm
from ddpg.relatives.copdac import COPDAC
from ddpg.relatives.curve import LearningCurve
from ddpg.relatives.dqn import DQN
from ddpg.relatives.reinforce import Reinforce
from ddpg.studies.family import DDPG, Family, Learner, learned
from ddpg.studies.figure import Band, bands_panel, save_panels
from ddpg.studies.study import Answer, Bench, Size, Study, Table, shown
from ddpg.training.devices import prepare_jax

SOLVED = -200.0  # a return that only policies have which swing up from nearly every start
# Cheap steps: REINFORCE makes one update in a thousand of them, and linear functions are small.
MORE = {"REINFORCE": 30, "linear DPG": 10}


def td3() -> Config:
    """TD3 with the sizes of our DDPG, so that both cost what their ideas cost."""
    ours, paper = DDPG, PRESETS["td3"]
    actor, critic = (replace(net, widths=ours.agent.actor.widths) for net in (paper.agent.actor, paper.agent.critic))
    agent = replace(paper.agent, actor=actor, critic=critic)
    return replace(paper, agent=agent, replay=ours.replay, collect=ours.collect)


def learners(steps: int) -> list[Learner]:
    """By year: 1992, 2014, 2015, 2016, 2018."""
    relatives = {
        "REINFORCE": Reinforce(),
        "linear DPG": COPDAC(),
        "DQN": DQN(),
        "DDPG": Family(DDPG),
        "TD3": Family(td3()),
    }
    return [Learner(name, each, Pendulum(), MORE.get(name, 1) * steps) for name, each in relatives.items()]


def experiment(bench: Bench) -> Answer:
    env, rows = Pendulum(), learners(bench.size.steps)
    prepare_jax(DDPG, env.spec)
    curves = {row.label: learned(bench, row, f"{i}/{len(rows)}") for i, row in enumerate(rows, start=1)}
    optimum = float(np.mean(env.best_return(np.asarray(starts(env, 100)[1]))))
    over_steps = [Band(name, curve.steps[1:], curve.returns[:, 1:]) for name, curve in curves.items()]
    over_seconds = [Band(name, curve.seconds.mean(axis=0)[1:], curve.returns[:, 1:]) for name, curve in curves.items()]
    panels = [
        bands_panel("What a step teaches", over_steps, "environment steps", "greedy return", optimum),
        bands_panel("What a second teaches", over_seconds, "seconds of learning, one core", "greedy return", optimum),
    ]
    save_panels(bench.folder / "lineage.png", panels)
    return Answer(verdict(curves, optimum), [table(curves)], ["lineage.png"])


def reached(curve: LearningCurve) -> tuple[int, float, float]:
    """How many seeds reach SOLVED; and the median of their first such steps and seconds, infinite without any."""
    first = [int(at[0]) for row in curve.returns if (at := np.flatnonzero(row >= SOLVED)).size]
    seconds = curve.seconds.mean(axis=0)
    if not first:
        return 0, np.inf, np.inf
    return len(first), float(np.median(curve.steps[first])), float(np.median(seconds[first]))


def table(curves: dict[str, LearningCurve]) -> Table:
    lines = []
    for name, curve in curves.items():
        last = curve.returns[:, -1]
        (low,), (high,) = interval(last[:, None])
        count, steps, seconds = reached(curve)
        until = [int(steps), seconds] if count else ["never", "never"]
        speed = int(curve.steps[-1] / curve.seconds[:, -1].mean())
        lines.append([name, int(curve.steps[-1]), float(iqm(last)), low, high, f"{count}/{len(last)}", *until, speed])
    columns = ("learner", "steps", "last return (IQM)", "95 % from", "to", f"seeds that reach {SOLVED:g}")
    return Table((*columns, "median step", "median second", "steps per second"), lines)


def verdict(curves: dict[str, LearningCurve], optimum: float) -> str:
    """Which learners reach the level with every seed, and which of these need the fewest steps and seconds."""
    results = {name: reached(curve) for name, curve in curves.items()}
    learned = [name for name in curves if results[name][0] == len(curves[name].returns)]
    rest = [f"{name} in {results[name][0]} of {len(curves[name].returns)}" for name in curves if name not in learned]
    parts = []
    if learned:
        ends = ", ".join(f"{name} ({shown(float(iqm(curves[name].returns[:, -1])), 0)})" for name in learned)
        parts.append(f"Every seed reaches {shown(SOLVED, 0)} or more (in brackets the last return): {ends}.")
        by_steps = sorted(learned, key=lambda name: results[name][1])
        by_seconds = sorted(learned, key=lambda name: results[name][2])
        parts.append("In steps: " + ", ".join(f"{name} {results[name][1]:.0f}" for name in by_steps) + ".")
        parts.append("In seconds: " + ", ".join(f"{name} {results[name][2]:.1f}" for name in by_seconds) + ".")
    if rest:
        parts.append(f"Not every seed reaches {shown(SOLVED, 0)}: {', '.join(rest)}.")
    parts.append(f"The optimum is {shown(optimum, 0)}.")
    if "linear DPG" in learned:
        parts.append("So linear functions of features that somebody chose can learn this task.")
    if {"linear DPG", "DDPG"} <= {*learned}:
        times = results["linear DPG"][1] / results["DDPG"][1]
        parts.append(f"DDPG, which finds its own features, needs {_times(times)} linear DPG.")
    if "DQN" in learned:
        parts.append("So a grid of five torques can be enough for DQN in this task of one dimension.")
    return " ".join(parts)


def _times(ratio: float) -> str:
    """Of the steps of the one to those of the other."""
    if ratio == 1:
        return "as many steps as"
    return f"{ratio:.1f} times fewer steps than" if ratio > 1 else f"{1 / ratio:.1f} times as many steps as"


STUDY = Study(
    name="lineage",
    question="What became better from PG to DPG to DDPG?",
    original="在 RL 领域，DDPG 主要从：PG -> DPG -> DDPG 发展而来。DDPG 是针对连续行为的策略学习方法。",
    claim=(
        "The article derives DDPG from the stochastic policy gradient (REINFORCE with a baseline), the deterministic "
        "one with linear functions (COPDAC-Q) and DQN, and says that networks, a memory and target networks make it "
        "converge better. Here all of them, and TD3 after them, learn Pendulum. DDPG has the networks and constants of "
        "our preset `ddpg`, such as SiLU in the critic, without its bound on Q′; TD3 has its sizes."
    ),
    minutes=1,
    size=Size(steps=20_000, seeds=4),
    experiment=experiment,
)
