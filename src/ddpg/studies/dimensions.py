"""Many action dimensions: what sampling costs, what DQN costs, and where each stops learning."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from ddpg.algorithm.networks import Network
from ddpg.config.presets import PRESETS
from ddpg.envs.episodes import starts
from ddpg.envs.point_reach import PointReach
from ddpg.records.statistics import iqm
from ddpg.relatives.curve import LearningCurve
from ddpg.relatives.dqn import DQN
from ddpg.relatives.reinforce import Reinforce
from ddpg.studies.decisions import MOST, Decisions, decisions
from ddpg.studies.family import Band, Family, Learner, bands_panel, learned
from ddpg.studies.figure import Panel, save_panels
from ddpg.studies.gradients import Estimate, Limit, estimates, limit
from ddpg.studies.study import Answer, Bench, Size, Study, Table
from ddpg.training.devices import prepare_jax

DIMENSIONS = (1, 2, 4, 8, 16)
MORE = 25  # steps of REINFORCE for each of the others'
LEARNED = 0.9  # of the way from doing nothing to the optimum
LAST_LAYER = 65 * 4  # bytes of its weights per output
PLAIN = Network(activation="tanh", lr=1e-2)
REINFORCE = Reinforce(actor=PLAIN, baseline=PLAIN, sigma=0.5, gamma=0.9, episodes=20)
THREE = DQN(values=3, warmup=500, anneal=1_500)
OURS = PRESETS["ddpg"]
DDPG = Family(replace(OURS, collect=replace(OURS.collect, warmup=500)))

Shares = Mapping[str, Mapping[int, Float[np.ndarray, " seeds"]]]


def experiment(bench: Bench) -> Answer:
    prepare_jax(OURS, PointReach(1).spec)
    bench.note("gradients and decisions")
    variance, towards = {k: estimates(k) for k in DIMENSIONS}, limit()
    times = {k: decisions(k, REINFORCE, THREE) for k in DIMENSIONS}
    shares = trained(bench)
    panels = [
        variance_panel(variance),
        limit_panel(towards),
        decision_panel(times),
        learning_panel(shares),
    ]
    save_panels(bench.folder / "dimensions.png", panels, columns=2)
    tables = [table(variance, times, shares), limit_table(towards)]
    return Answer(verdict(variance, towards, times, shares), tables, ["dimensions.png"])


def trained(bench: Bench) -> Shares:
    """Of each learner and number of dimensions: which share of the way each seed has gone at the end."""
    steps = bench.size.steps
    few, many = f"REINFORCE, {steps} steps", f"REINFORCE, {MORE * steps} steps"
    dqn, ddpg = f"DQN, {steps} steps", f"DDPG, {steps} steps"
    shares: dict[str, dict[int, np.ndarray]] = {few: {}, many: {}, dqn: {}, ddpg: {}}
    for k in DIMENSIONS:
        env, which = PointReach(k), f"k = {k}:"
        curve = learned(bench, Learner(f"REINFORCE {k}", REINFORCE, env, MORE * steps), which, MORE)
        shares[few][k], shares[many][k] = closed(env, curve, 1), closed(env, curve)
        shares[ddpg][k] = closed(env, learned(bench, Learner(f"DDPG {k}", DDPG, env, steps), which, 8))
        if THREE.values**k <= MOST:
            shares[dqn][k] = closed(env, learned(bench, Learner(f"DQN {k}", THREE, env, steps), which, 8))
    return shares


def closed(env: PointReach, curve: LearningCurve, point: int = -1) -> Float[np.ndarray, " seeds"]:
    """0 is doing nothing, 1 the optimum."""
    first = np.asarray(starts(env, 100)[1])
    nothing, best = -env.length * np.square(first).mean(), env.best_return(first).mean()
    return (curve.returns[:, point] - nothing) / (best - nothing)


def variance_panel(variance: Mapping[int, Mapping[str, Estimate]]) -> Panel:
    k = np.array([*variance])
    bands = [
        Band(name, k, np.array([[each[name].samples for each in variance.values()]]))
        for name in variance[DIMENSIONS[0]]
    ]
    return bands_panel(
        "Samples for a gradient with 10 % error", bands, "action dimensions", "samples", base=2, logs=True
    )


def limit_panel(towards: Limit) -> Panel:
    lines = {
        "expected gradient: distance": towards.distance,
        "one sample: deviation, best baseline": towards.with_baseline,
        "one sample: deviation, no baseline": towards.without,
    }
    bands = [Band(name, towards.sigma, y[None]) for name, y in lines.items()]
    title = "Towards the deterministic gradient"
    return bands_panel(title, bands, "sigma of the policy", "share of its length", base=2, logs=True)


def decision_panel(times: Mapping[int, Decisions]) -> Panel:
    k = np.array([*times])
    lines = {
        "argmax Q (DQN, 3 values)": [each.dqn for each in times.values()],
        "a ~ pi(s) (REINFORCE)": [each.sampled for each in times.values()],
        "mu(s) (DDPG)": [each.deterministic for each in times.values()],
    }
    bands = [Band(name, k, 1e6 * np.array([y])) for name, y in lines.items()]
    return bands_panel("Time of a decision", bands, "action dimensions", "microseconds", base=2, logs=True)


def learning_panel(shares: Shares) -> Panel:
    bands = [Band(name, np.array([*each]), np.array([*each.values()]).T) for name, each in shares.items()]
    return bands_panel("What is learned", bands, "action dimensions", "share of the way to the optimum", 1.0, base=2)


def table(variance: Mapping[int, Mapping[str, Estimate]], times: Mapping[int, Decisions], shares: Shares) -> Table:
    lines = []
    for k in DIMENSIONS:
        samples = [round(each.samples) for each in variance[k].values()]
        outputs = THREE.values**k
        micro = [f"{1e6 * x:.1f}" if np.isfinite(x) else f"{outputs * LAST_LAYER / 1e9:.0f} GB" for x in times[k]]
        ends = [f"{iqm(each[k]):.0%}" if k in each else "impossible" for each in shares.values()]
        lines.append([k, *samples, outputs, *micro, *ends])
    needed = [f"samples, {name}" for name in variance[DIMENSIONS[0]]]
    cost = ["DQN's outputs", "µs of mu(s)", "µs of a ~ pi(s)", "µs of argmax Q, or its last layer"]
    return Table(("dimensions", *needed, *cost, *shares), lines)


def limit_table(towards: Limit) -> Table:
    lines = [
        (f"{sigma:.4f}", f"{distance:.1e}", f"{one:.2f}", f"{other:.1f}")
        for sigma, distance, one, other in zip(*towards, strict=True)
    ]
    columns = ("sigma", "distance of the expected gradient", "deviation of a sample, best baseline", "without one")
    return Table(columns, lines, name="limit")


def verdict(
    variance: Mapping[int, Mapping[str, Estimate]], towards: Limit, times: Mapping[int, Decisions], shares: Shares
) -> str:
    """The article's paragraph on high-dimensional actions, sentence by sentence."""
    first, last = DIMENSIONS[0], DIMENSIONS[-1]
    known = [k for k in DIMENSIONS if np.isfinite(times[k].dqn)]
    most, (exact, best, _) = known[-1], variance[first]
    grow = [variance[last][name].samples / variance[first][name].samples for name in (best, exact)]
    stops = [
        f"{name} to k = {max(learned)}" if (learned := _learned(each)) else f"{name} never"
        for name, each in shares.items()
    ]
    return (
        f"Drawing an action is not what costs: in {last} dimensions it takes {1e6 * times[last].sampled:.0f} µs, where "
        f"mu(s) takes {1e6 * times[last].deterministic:.0f} µs. What costs is the gradient: from {first} to {last} "
        f"dimensions the sampled one needs {grow[0]:.0f} times as many samples for the same error, in proportion to "
        f"their number and not exponentially; the deterministic one needs {grow[1]:.1f} times as many, since Q's own "
        f"gradient tells it every direction at once. As sigma goes to 0, the expected stochastic gradient becomes the "
        f"deterministic one (its distance falls from {towards.distance[0]:.0e} to {towards.distance[-1]:.0e}). "
        f"On DQN the article is right: its outputs are {THREE.values}^k, {THREE.values**most} for k = {most}, where a "
        f"decision takes {1e6 * times[most].dqn:.0f} µs, and {THREE.values**last} for k = {last}, whose last layer "
        f"has {THREE.values**last * LAST_LAYER / 1e9:.0f} GB. {LEARNED:.0%} of the way to the optimum: "
        f"{', '.join(stops)}."
    )


def _learned(share: Mapping[int, np.ndarray]) -> list[int]:
    """The dimensions up to the first that is not learned."""
    learned = []
    for k in DIMENSIONS:
        if k not in share or iqm(share[k]) < LEARNED:
            break
        learned.append(k)
    return learned


STUDY = Study(
    name="dimensions",
    question="What do many action dimensions cost?",
    original=(
        "在高维的 action 空间的频繁采样，无疑是很耗费计算能力的……DQN 要计算所有可能动作的概率，并计算可能的动作的价值，"
        "动作的数量随着自由度的数量呈指数增长。"
    ),
    claim=(
        "The article says that drawing actions of 25 or 50 dimensions from a stochastic policy costs much computing, "
        "at every step and in the gradient's integral, and that the actions of DQN grow exponentially with the degrees "
        "of freedom. Here a point moves to the origin in 1 to 16 dimensions; the optimum and the gradients are known."
    ),
    minutes=5,
    size=Size(steps=4_000, seeds=3),
    experiment=experiment,
)
