"""Many action dimensions: what sampling costs, what DQN costs, and where each stops learning."""

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ddpg.algorithm.networks import NetworkConfig
from ddpg.config.reading import override
from ddpg.envs.episodes import starts
from ddpg.envs.point_reach import PointReach
from ddpg.records.statistics import iqm
from ddpg.relatives.curve import LearningCurve
from ddpg.relatives.dqn import DQN
from ddpg.relatives.reinforce import Reinforce
from ddpg.studies.decisions import MOST, Decisions, decisions
from ddpg.studies.family import DDPG, Family, Learner, learned, stoppable
from ddpg.studies.figure import Band, Panel, bands_panel, save_panels
from ddpg.studies.gradients import BASELINE, EXACT, LENGTH, PLAIN, Estimate, Limit, estimates, growth, limit
from ddpg.studies.study import Answer, Bench, Size, Study, Table
from ddpg.training.devices import prepare_jax

DIMENSIONS = (1, 2, 4, 8, 16)  # of the trainings
ARTICLE = (25, 50)  # the article's examples
ESTIMATED = tuple(sorted({*DIMENSIONS, 32, *ARTICLE}))  # of gradients and decisions
MORE = 25  # steps of REINFORCE for each of the others'
LEARNED = 0.8  # of the way from doing nothing to the optimum; three actions per dimension reach about 0.93
LAST_LAYER = 65 * 4  # bytes of its weights per output
UNITS = "B", "kB", "MB", "GB", "TB", "PB", "EB"
NETWORK = NetworkConfig(activation="tanh", lr=1e-2)
REINFORCE = Reinforce(actor=NETWORK, baseline=NETWORK, sigma=0.5, gamma=0.9, episodes=20)
THREE = DQN(values=3, gamma=0.9, warmup=500, anneal=1_500)
OURS = override(DDPG, {"gamma": 0.9, "exploration.sigma": 0.3, "collect.warmup": 500})

Gradients = Mapping[int, Mapping[str, Estimate]]
Shares = Mapping[str, Mapping[int, Float[np.ndarray, " seeds"]]]


def experiment(bench: Bench) -> Answer:
    prepare_jax(OURS, PointReach(1).spec)
    bench.note("gradients and decisions")
    gradients, times = dict[int, Mapping[str, Estimate]](), dict[int, Decisions]()
    with stoppable() as check:
        for k in ESTIMATED:
            gradients[k], times[k] = estimates(k), decisions(k, REINFORCE, THREE)
            check()
        towards = limit()
    results = gradients, towards, times, trained(bench)
    save_panels(bench.folder / "dimensions.png", panels(*results), columns=2)
    return Answer(verdict(*results), tables(*results), ["dimensions.png"])


def trained(bench: Bench) -> Shares:
    """Of each learner and number of dimensions: which share of the way each seed has gone at the end."""
    steps, block = bench.size.steps, REINFORCE.steps_per_update(PointReach())
    episodes = -(-steps // block) * block  # steps of whole updates
    shares = defaultdict[str, dict[int, np.ndarray]](dict)
    for k in DIMENSIONS:
        env, which = PointReach(k), f"k = {k}:"
        curve = learned(bench, Learner(f"REINFORCE {k}", REINFORCE, env, MORE * episodes), which, MORE)
        for point in (1, -1):
            shares[f"REINFORCE, {curve.steps[point]} steps"][k] = closed(env, curve, point)
        if THREE.values**k <= MOST:
            curve = learned(bench, Learner(f"DQN {k}", THREE, env, steps), which, 8)
            shares[f"DQN, {curve.steps[-1]} steps"][k] = closed(env, curve)
        curve = learned(bench, Learner(f"DDPG {k}", Family(OURS), env, steps), which, 8)
        shares[f"DDPG, {curve.steps[-1]} steps"][k] = closed(env, curve)
    return shares


def closed(env: PointReach, curve: LearningCurve, point: int = -1) -> Float[np.ndarray, " seeds"]:
    """0 is doing nothing, 1 the optimum."""
    first = np.asarray(starts(env, 100)[1])
    nothing, best = -env.length * np.square(first).mean(), env.best_return(first).mean()
    return (curve.returns[:, point] - nothing) / (best - nothing)


def panels(gradients: Gradients, towards: Limit, times: Mapping[int, Decisions], shares: Shares) -> list[Panel]:
    k, axis, logs = np.array(ESTIMATED), "action dimensions", ("log", "log")
    samples = [Band(name, k, np.array([[gradients[j][name].samples for j in ESTIMATED]])) for name in gradients[1]]
    nearer = {
        f"expected gradient of {LENGTH} steps: distance": towards.distance,
        "one sample of 1 step: deviation, baseline V(s)": towards.with_baseline,
        "one sample of 1 step: deviation, no baseline": towards.without,
    }
    micro = {
        "argmax Q (DQN, 3 values)": [each.dqn for each in times.values()],
        "a ~ π(s) (REINFORCE)": [each.sampled for each in times.values()],
        "μ(s) (DDPG)": [each.deterministic for each in times.values()],
    }
    limits = [Band(name, towards.sigma, y[None]) for name, y in nearer.items()]
    decided = [Band(name, k, 1e6 * np.array([y])) for name, y in micro.items()]
    # What is worse than doing nothing is all the same here.
    ends = [Band(name, np.array([*each]), np.clip([*each.values()], 0, None).T) for name, each in shares.items()]
    return [
        bands_panel("Samples for a gradient with 10 % error", samples, axis, "samples", scales=logs),
        bands_panel(
            "Towards the deterministic gradient", limits, "σ of the policy", "share of its length", scales=logs
        ),
        bands_panel("Time of a decision", decided, axis, "microseconds", scales=logs),
        bands_panel("What is learned", ends, axis, "share of the way (below 0: 0)", 1.0),
    ]


def tables(gradients: Gradients, towards: Limit, times: Mapping[int, Decisions], shares: Shares) -> list[Table]:
    samples, costs = list[list[object]](), list[list[object]]()
    ends = [
        [k, *(f"{iqm(each[k]):.0%}" if k in each else "impossible" for each in shares.values())] for k in DIMENSIONS
    ]
    for k in ESTIMATED:
        estimated, outputs = gradients[k].values(), THREE.values**k
        samples.append([k, *(round(x.samples) for x in estimated), *(f"{1e6 * x.cost:.1f}" for x in estimated)])
        micro = [f"{1e6 * x:.1f}" if np.isfinite(x) else "not made" for x in times[k]]
        costs.append([k, *micro, amount(outputs), memory(outputs * LAST_LAYER)])
    limits = [
        [f"{sigma:.4f}", f"{distance:.1e}", f"{one:.2f}", f"{other:.1f}"]
        for sigma, distance, one, other in zip(*towards, strict=True)
    ]
    needed = [f"{unit}, {name}" for unit in ("samples", "µs") for name in gradients[1]]
    made = ("µs of μ(s)", "µs of a ~ π(s)", "µs of argmax Q", "DQN's outputs", "its last layer")
    deviations = (
        f"distance of the expected gradient, {LENGTH} steps",
        "deviation of a sample, 1 step, baseline V(s)",
        "without one",
    )
    return [
        Table(("dimensions", *shares), ends),
        Table(("dimensions", *needed), samples, name="gradients"),
        Table(("dimensions", *made), costs, name="decisions"),
        Table(("σ", *deviations), limits, name="limit"),
    ]


def verdict(gradients: Gradients, towards: Limit, times: Mapping[int, Decisions], shares: Shares) -> str:
    """The article's paragraph on high-dimensional actions, sentence by sentence, in the measured numbers."""
    last = max(ESTIMATED)
    most = max(k for k in ESTIMATED if np.isfinite(times[k].dqn))
    drawing = [
        f"{1e6 * times[k].sampled:.1f} µs for k = {k} ({times[k].sampled / times[k].deterministic:.1f} times μ(s))"
        for k in (1, *ARTICLE)
    ]
    needed = [f"{k} dimensions {_ratio(gradients[k], BASELINE)} and {_ratio(gradients[k], PLAIN)}" for k in ARTICLE]
    grow = {name: growth(ESTIMATED, [gradients[k][name].samples for k in ESTIMATED]) for name in gradients[last]}
    stops = [f"{name}, {', '.join(map(str, learned_in(each))) or 'no k'}" for name, each in shares.items()]
    return (
        f"To draw an action takes {', '.join(drawing)}. "
        f"The gradient is ∇J = E[∇ log π(a|s) Q(s, a)]; the article's formula lacks the ∇. "
        f"For an error of 10 % the sampled gradient needs, in units of the deterministic one's samples, "
        f"with the baseline V(s) and without: in {'; in '.join(needed)}. "
        f"From 1 to {last} dimensions the samples grow, by the better fit of a power and an exponential, "
        f"{grow[BASELINE]} with V(s), {grow[PLAIN]} without, and {grow[EXACT]} for the deterministic gradient, "
        f"which must know ∇Q. "
        f"From σ = {towards.sigma[0]:g} to {towards.sigma[-1]:.3f} the distance of the expected stochastic gradient "
        f"from the deterministic one goes from {towards.distance[0]:.0%} to {towards.distance[-1]:.3%} of its length. "
        f"DQN has {THREE.values}^k outputs: {amount(THREE.values**most)} for k = {most}, where a decision takes "
        f"{1e6 * times[most].dqn:.0f} µs, and {amount(THREE.values ** ARTICLE[0])} for k = {ARTICLE[0]}, whose last "
        f"layer would have {memory(THREE.values ** ARTICLE[0] * LAST_LAYER)}. "
        f"For which k every seed goes {LEARNED:.0%} of the way to the optimum: {'; '.join(stops)}."
    )


def _ratio(gradients: Mapping[str, Estimate], name: str) -> str:
    """How many samples a way needs for each of the deterministic gradient's."""
    return f"{gradients[name].samples / gradients[EXACT].samples:.0f}"


def amount(x: float | int) -> str:
    """Up to a million in full, with spaces; above it as a power of ten."""
    mantissa, exponent = f"{x:.1e}".split("e")
    return f"{x:,.0f}".replace(",", " ") if x < 1e6 else f"{mantissa}·10^{int(exponent)}"


def memory(size: float | int) -> str:
    """Bytes in the largest unit of which there is at least one."""
    exponent = min(int(math.log10(size)) // 3, len(UNITS) - 1)
    number = size / 1e3**exponent
    return f"{f'{number:.1f}' if 1 < number < 10 else amount(number)} {UNITS[exponent]}"


def learned_in(share: Mapping[int, np.ndarray]) -> list[int]:
    """The numbers of dimensions in which every seed learns the task."""
    return [k for k, seeds in share.items() if (seeds >= LEARNED).all()]


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
        "of freedom. Here a point moves to the origin; its optimum and the gradients are known. Gradients and "
        "decisions are measured in 1 to 50 dimensions, and the learners train in 1 to 16. DDPG has the networks and "
        "constants of our preset `ddpg`, such as SiLU in the critic, without its bound on Q′."
    ),
    minutes=2,
    size=Size(steps=4_000, seeds=3),
    experiment=experiment,
)
