"""Which noise: Ornstein-Uhlenbeck, Gaussian, pink or none, fading or not, and on which task it matters."""

from dataclasses import replace

import numpy as np

from ddpg.algorithm.exploration import Exploration, Gaussian, OrnsteinUhlenbeck
from ddpg.algorithm.pink_noise import Pink
from ddpg.records.plot import Curve, curve_of
from ddpg.records.statistics import iqm
from ddpg.studies.figure import Panel, curves_panel, density_panel, lines_panel, save_panels
from ddpg.studies.study import Answer, Bench, Size, Study, Table, shown
from ddpg.studies.trainings import SOLVED, Trained, Variant, returns_table, trained
from ddpg.training.folder import read_metrics
from ddpg.training.stored import replay

CAR = "MountainCarContinuous-v0"
# Of equal standard deviation: that of the OU process tends to sigma / sqrt(theta (2 - theta)).
STRONG = round(0.5 / (0.05 * (2 - 0.05)) ** 0.5, 2)
WEAK = round(0.2 / (0.15 * (2 - 0.15)) ** 0.5, 2)
PLAIN = {"clip_values": None}  # DDPG has no bound on Q'; our preset does
PENDULUM = [
    Variant("OU", PLAIN | {"exploration": "ou", "exploration.theta": 0.15, "exploration.sigma": 0.2}),
    Variant("Gaussian", PLAIN | {"exploration.sigma": WEAK}),
    Variant("pink", PLAIN | {"exploration": "pink", "exploration.sigma": WEAK}),
    Variant("none", PLAIN | {"exploration.sigma": 0.0}),
]
ALL = {"replay.capacity": 1_000_000}  # so that the first states are there at the end
MOUNTAIN_CAR = [
    Variant("OU, car", ALL, "sparse", CAR),
    Variant("Gaussian, car", ALL | {"exploration": "gaussian", "exploration.sigma": STRONG}, "sparse", CAR),
    Variant("pink, car", ALL | {"exploration": "pink", "exploration.sigma": STRONG}, "sparse", CAR),
    Variant("none, car", ALL | {"exploration.sigma": 0.0}, "sparse", CAR),
]
FADING = [
    Variant("fading", {}, "article"),
    Variant("constant", {"exploration.schedule": "constant"}, "article"),
]
CAR_SOLVED = 90.0
BOUNDS = -1.2, 0.6, -0.07, 0.07  # of the car's position and velocity
FIRST = 5_000  # its steps before learning starts


def experiment(bench: Bench) -> Answer:
    # The car's steps are many and cheap.
    car = replace(bench, size=replace(bench.size, steps=3 * bench.size.steps))
    pendulum, fading, mountain = trained(bench, PENDULUM), trained(bench, FADING), trained(car, MOUNTAIN_CAR)
    optimum = pendulum[0].optimum
    density, coverage = zip(*map(_visited, mountain), strict=True)
    panels = [
        paths_panel(),
        curves_panel("Pendulum", [row.curve for row in pendulum], optimum=optimum),
        curves_panel("Mountain car", [row.curve for row in mountain]),
        *density[:3],
        curves_panel("Fading or constant: the policy", [row.curve for row in fading], optimum=optimum),
        curves_panel("The same: episodes with noise", list(map(_exploring, fading)), optimum=optimum, ylabel="return"),
    ]
    save_panels(bench.folder / "noise.png", panels)
    covered = Table(
        ("noise on the mountain car", f"of all cells, visited in the first {FIRST} steps"),
        [(row.variant.label, f"{share:.0%}") for row, share in zip(mountain, coverage, strict=True)],
        name="coverage",
    )
    tables = [
        replace(returns_table([*pendulum, *fading], SOLVED), name="pendulum"),
        replace(returns_table(mountain, CAR_SOLVED), name="mountain_car"),
        covered,
    ]
    return Answer(verdict(pendulum, mountain, fading, list(coverage)), tables, ["noise.png"])


def paths(kind: Exploration, steps: int = 200, seed: int = 0) -> np.ndarray:
    """The noise of one episode [steps], before it is added to an action and clipped."""
    normal = np.random.default_rng(seed).normal(size=(steps, 1, 1)).astype(np.float32)
    state, noise = kind.init_state(1, 1), np.empty(steps)
    for t in range(steps):
        state, (row,) = kind(state, normal[t], np.array([t == 0]), np.int32(t))
        noise[t] = row[0]
    return noise


def paths_panel() -> Panel:
    kinds = {"OU": OrnsteinUhlenbeck(theta=0.15, sigma=0.2), "Gaussian": Gaussian(sigma=WEAK), "pink": Pink(sigma=WEAK)}
    lines = [(name, np.arange(200), paths(kind)) for name, kind in kinds.items()]
    return lines_panel("Noise of equal size", lines, "step of an episode", "noise on the action")


def _visited(row: Trained) -> tuple[Panel, float]:
    """Where the car of the first seed was before it learned, as a map, and the share of all cells, over all seeds."""
    left, right, bottom, top = BOUNDS
    counts = list[np.ndarray]()
    for seed in range(len(row.curve.returns)):
        position, velocity = replay(row.folder, seed)["obs"][:FIRST].T
        counts.append(np.histogram2d(position, velocity, bins=40, range=[[left, right], [bottom, top]])[0])
    title = f"{row.variant.label}: states before learning"
    return density_panel(title, counts[0], BOUNDS, ("position", "velocity")), float(np.mean(np.array(counts) > 0))


def _exploring(row: Trained) -> Curve:
    return curve_of(read_metrics(row.folder), row.variant.label, "episode_return")


def verdict(pendulum: list[Trained], mountain: list[Trained], fading: list[Trained], coverage: list[float]) -> str:
    """In numbers: how much the kind of noise matters on both tasks, and what fading does."""
    decays, constant = fading
    ou, gaussian, *_ = coverage
    return (
        f"On Pendulum the kind of noise makes a difference of {_spread(pendulum)} ({_listed(pendulum)}), on the "
        f"mountain car, which must be driven to and fro before any reward comes, one of {_spread(mountain)} "
        f"({_listed(mountain)}). Before it learns, OU noise takes the car to {ou:.0%} of the map, Gaussian noise of "
        f"equal size to {gaussian:.0%}. With constant noise the policy ends at {constant.end}, with fading noise at "
        f"{decays.end}; its episodes with noise end at {_noisy(constant)} and {_noisy(decays)}."
    )


def _listed(rows: list[Trained]) -> str:
    return ", ".join(f"{row.variant.label.removesuffix(', car')} {shown(row.iqm)}" for row in rows)


def _spread(rows: list[Trained]) -> str:
    return shown(max(row.iqm for row in rows) - min(row.iqm for row in rows), 0)


def _noisy(row: Trained) -> str:
    returns = _exploring(row).returns
    known = returns.T[np.isfinite(returns.T)]
    return shown(float(iqm(known[-len(returns) :])), 0) if known.size else "unknown"


STUDY = Study(
    name="noise",
    question="Which noise should explore?",
    original=(
        "UO 过程在时序上具备很好的相关性，可以使 agent 很好的探索具备动量属性的环境。……"
        "原始的 DDPG 作者推荐加入与时间相关的 OU 噪声，但是更近的结果表明高斯噪声表现地更好。……"
        "应该是我没有对动作噪声进行衰减，所以后面的策略改善速度就很慢了。"
    ),
    claim=(
        "The article says that Ornstein-Uhlenbeck noise explores environments with momentum well; that newer results "
        "find Gaussian noise better; and that its policy improved slowly at the end because the noise did not fade."
    ),
    minutes=3,
    size=Size(steps=20_000, seeds=4),
    experiment=experiment,
    least=12_000,
)
