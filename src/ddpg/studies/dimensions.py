"""Many action dimensions: what sampling costs, what DQN costs, and where each stops learning."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ddpg.algorithm.networks import Network
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
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
LEARNED = 0.8  # of the way from doing nothing to the optimum; three actions per dimension reach about 0.93
LAST_LAYER = 65 * 4  # bytes of its weights per output
PLAIN = Network(activation="tanh", lr=1e-2)
REINFORCE = Reinforce(actor=PLAIN, baseline=PLAIN, sigma=0.5, gamma=0.9, episodes=20)
THREE = DQN(values=3, gamma=0.9, warmup=500, anneal=1_500)
OURS = override(PRESETS["ddpg"], {"gamma": 0.9, "exploration.sigma": 0.3, "collect.warmup": 500})
DDPG = Family(OURS)

Gradients = Mapping[int, Mapping[str, Estimate]]
Shares = Mapping[str, Mapping[int, Float[np.ndarray, " seeds"]]]


def experiment(bench: Bench) -> Answer:
    prepare_jax(OURS, PointReach(1).spec)
    bench.note("gradients and decisions")
    gradients, towards = {k: estimates(k) for k in DIMENSIONS}, limit()
    times = {k: decisions(k, REINFORCE, THREE) for k in DIMENSIONS}
    results = gradients, towards, times, trained(bench)
    save_panels(bench.folder / "dimensions.png", panels(*results), columns=2)
    return Answer(verdict(*results), tables(*results), ["dimensions.png"])


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


def panels(gradients: Gradients, towards: Limit, times: Mapping[int, Decisions], shares: Shares) -> list[Panel]:
    k, dimensions = np.array(DIMENSIONS), "action dimensions"
    samples = [Band(name, k, np.array([[gradients[j][name].samples for j in DIMENSIONS]])) for name in gradients[1]]
    nearer = {
        "expected gradient: distance": towards.distance,
        "one sample: deviation, best baseline": towards.with_baseline,
        "one sample: deviation, no baseline": towards.without,
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
        bands_panel("Samples for a gradient with 10 % error", samples, dimensions, "samples", logs=True),
        bands_panel("Towards the deterministic gradient", limits, "σ of the policy", "share of its length", logs=True),
        bands_panel("Time of a decision", decided, dimensions, "microseconds", logs=True),
        bands_panel("What is learned", ends, dimensions, "share of the way to the optimum", 1.0),
    ]


def tables(gradients: Gradients, towards: Limit, times: Mapping[int, Decisions], shares: Shares) -> list[Table]:
    ends = list[list[object]]()
    samples, costs = list[list[object]](), list[list[object]]()
    for k in DIMENSIONS:
        ends.append([k, *(f"{iqm(each[k]):.0%}" if k in each else "impossible" for each in shares.values())])
        estimated, outputs = gradients[k].values(), THREE.values**k
        samples.append([k, *(round(x.samples) for x in estimated), *(f"{1e3 * x.cost:.3f}" for x in estimated)])
        micro = [f"{1e6 * x:.1f}" if np.isfinite(x) else "not made" for x in times[k]]
        costs.append([k, *micro, outputs, f"{outputs * LAST_LAYER / 1e6:,.3f} MB".replace(",", " ")])
    limits = [
        [f"{sigma:.4f}", f"{distance:.1e}", f"{one:.2f}", f"{other:.1f}"]
        for sigma, distance, one, other in zip(*towards, strict=True)
    ]
    needed = [f"{unit}, {name}" for unit in ("samples", "ms") for name in gradients[1]]
    made = ("µs of μ(s)", "µs of a ~ π(s)", "µs of argmax Q", "DQN's outputs", "its last layer")
    deviations = ("distance of the expected gradient", "deviation of a sample, best baseline", "without one")
    return [
        Table(("dimensions", *shares), ends),
        Table(("dimensions", *needed), samples, name="gradients"),
        Table(("dimensions", *made), costs, name="decisions"),
        Table(("σ", *deviations), limits, name="limit"),
    ]


def verdict(gradients: Gradients, towards: Limit, times: Mapping[int, Decisions], shares: Shares) -> str:
    """The article's paragraph on high-dimensional actions, sentence by sentence."""
    last = DIMENSIONS[-1]
    most = max(k for k in DIMENSIONS if np.isfinite(times[k].dqn))
    exact, best, plain = gradients[last].values()
    grow = [gradients[last][name].samples / each.samples for name, each in gradients[1].items()]
    stops = [f"{name}, {', '.join(map(str, learned_in(each))) or 'no k'}" for name, each in shares.items()]
    one, all_of_them = (1e6 * times[k].sampled for k in (1, last))
    return (
        f"Drawing an action is not what costs: it takes {one:.1f} µs in one dimension and {all_of_them:.1f} µs in "
        f"{last}, where μ(s) alone takes {1e6 * times[last].deterministic:.1f} µs. What costs is the gradient: in "
        f"{last} dimensions the sampled one needs {best.samples / exact.samples:.0f} "
        f"times as many samples as the deterministic one for the same error with the best baseline, and "
        f"{plain.samples / exact.samples:.0f} times without one. From 1 to {last} dimensions its samples grow by "
        f"{grow[1]:.0f} and {grow[2]:.0f} times, like a power and not exponentially; those of the deterministic one by "
        f"{grow[0]:.1f} times, but it must know Q's gradient. As σ goes to 0, the expected stochastic gradient becomes "
        f"the deterministic one: its distance falls from {towards.distance[0]:.0%} of its length to "
        f"{towards.distance[-1]:.3%}. On DQN the article is right: it has {THREE.values}^k outputs, "
        f"{THREE.values**most} for k = {most}, where a decision takes {1e6 * times[most].dqn:.0f} µs, and "
        f"{THREE.values**last} for k = {last}, whose last layer alone would have "
        f"{THREE.values**last * LAST_LAYER / 1e9:.0f} GB. Who goes {LEARNED:.0%} of the way to the optimum, and for "
        f"which k: {'; '.join(stops)}."
    )


def learned_in(share: Mapping[int, np.ndarray]) -> list[int]:
    """The numbers of dimensions in which the task is learned."""
    return [k for k, seeds in share.items() if iqm(seeds) >= LEARNED]


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
    minutes=2,
    size=Size(steps=4_000, seeds=3),
    experiment=experiment,
)
