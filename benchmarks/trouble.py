"""Runs in trouble, and their cures: where Q and the actions end, and which warnings came.

    python benchmarks/trouble.py [NAME ...] [--out benchmarks/results/trouble.json] [--table]
    python benchmarks/trouble.py --healthy     the presets as benchmarks/presets.py trains them, three seeds each

Five seeds each on the compiled Pendulum, but for MountainCarContinuous, three: the mean over seeds at the last log
point. `q_bias` is Q minus the discounted return that followed, `saturation` the share of the actions' components beyond
0.99 of their bound, `stuck` the share of dimensions that are at one bound in every state. A result that is there is
kept, unless its name is given. `explained` is the share of the variance of the action's deviation from mu(s) that
position and speed explain, near the upright and with a trained policy. docs/saturation.md has the tables.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from presets import JOBS

from ddpg.config.presets import PRESETS

UNBOUNDED = {"clip_values": None}  # as the preset was when it met this trouble
BOUNDED = {"clip_values": "rewards"}
OU = {"exploration": "ou"}
LONG = {"steps": 60_000}
SHORT = {"steps": 10_000}
CAR = {"env": "MountainCarContinuous-v0", "preset": "sparse", "seeds": 3, "steps": 30_000}
RUNS: dict[str, dict[str, Any]] = {
    # Q above what rewards allow: noise that keeps its direction.
    "gaussian, as it is": {},
    "gaussian, 60 000 steps": LONG,
    "gaussian of OU's spread": {"exploration.sigma": 0.365},
    "ou": OU,
    "ou, 60 000 steps": OU | LONG,
    "ou, fading": OU | {"exploration.schedule": "linear"},
    "ou, fading, 60 000 steps": OU | LONG | {"exploration.schedule": "linear", "exploration.schedule.steps": 20_000},
    "ou, two critics": OU | {"critics": 2},
    "ou, two critics, 60 000 steps": OU | LONG | {"critics": 2},
    "ou, tau 0.005, 60 000 steps": OU | LONG | {"tau": 0.005},
    "ou, critic.l2 1e-2": OU | {"critic.l2": 1e-2},
    "gaussian, bounded": BOUNDED,
    "gaussian, bounded, 60 000 steps": BOUNDED | LONG,
    "ou, bounded": BOUNDED | OU,
    "ou, bounded, 60 000 steps": BOUNDED | OU | LONG,
    "ou, layer norm": OU | {"critic.block.norm": "layer"},
    "ou, relu critic": OU | {"critic.activation": "relu"},
    "ou, one step in five without noise": OU | {"noise_free": "steps"},
    "ou, one episode in four without noise": OU | {"noise_free": "episodes"},
    # Actions at their bounds.
    "actor.lr 0.1": SHORT | {"actor.lr": 0.1},
    "actor.lr 0.1, layer norm": SHORT | {"actor.lr": 0.1, "actor.block.norm": "layer"},
    "actor.lr 0.1, l2": SHORT | {"actor.lr": 0.1, "actor.l2": 1e-2},
    "actor.lr 1e-3": SHORT | {"actor.lr": 1e-3},
    "weights of std 1": SHORT | {"actor.init": "normal", "actor.init.std": 1.0},
    "weights of std 1, last layer 3e-3": SHORT
    | {"actor.init": "normal", "actor.init.std": 1.0, "actor.final_init": 3e-3},
    "weights of std 1, layer norm": SHORT
    | {"actor.init": "normal", "actor.init.std": 1.0, "actor.block.norm": "layer"},
    "no slow target": SHORT | {"tau": 1.0, "critic.lr": 1e-2},
    "no slow target, tau 0.01": SHORT | {"tau": 0.01, "critic.lr": 1e-2},
    "no slow target, two critics": SHORT | {"tau": 1.0, "critic.lr": 1e-2, "critics": 2},
    "no slow target, target noise": SHORT | {"tau": 1.0, "critic.lr": 1e-2, "smoothing.sigma": 0.2},
    "rewards times 100": SHORT | {"reward_scale": 100.0},
    "rewards times 1000": SHORT | {"reward_scale": 1000.0},
    "car, no l2": CAR | {"actor.l2": 0.0},
    "car, l2 1e-2": CAR,
    "car, no l2, last layer 3e-3": CAR | {"actor.l2": 0.0, "actor.final_init": 3e-3},
    # Other warnings.
    "critic.lr 0.3": SHORT | {"critic.lr": 0.3},
    "critic.lr 0.02, tau 0.5": SHORT | {"critic.lr": 0.02, "tau": 0.5},
    "gamma 0.999, tau 1, elu": SHORT | {"gamma": 0.999, "tau": 1.0, "critic.lr": 1e-2, "critic.activation": "elu"},
    "car, gamma 0.999, tau 1": CAR
    | {"steps": 15_000, "gamma": 0.999, "tau": 1.0, "critic.lr": 5e-3, "reward_scale": 1.0},
    "narrow support": SHORT | {"value": "categorical", "value.low": -20.0, "value.high": 20.0},
}
# Each preset on a task that it is for: OU noise on Pendulum, and a longer horizon with the article's networks, end with
# a positive Q as above.
HEALTHY = {
    f"{preset}, healthy": {"preset": preset, "seeds": 3, **options} | (BOUNDED if preset == "ddpg" else {})
    for preset, options in JOBS.items()
    if preset in PRESETS and preset != "sparse"
} | {"sparse, healthy": CAR}
KINDS = {  # of warnings, by words of their lines
    "Q bounds": "the rewards so far allow",
    "Q bias": "differs from the return",
    "stuck": "stay at one bound",
    "collapse": "the return fell",
    "dead layer": "all units",
    "support": "outside the support",
}
KEYS = ("return", "q", "q_bias", "saturation", "stuck")


def measure(options: dict[str, Any]) -> dict[str, Any]:
    import ddpg

    chosen = {"env": "Pendulum-v1", "preset": "ddpg", "seeds": 5} | options
    if chosen["preset"] == "ddpg":
        chosen = UNBOUNDED | chosen
    env, preset, noise_free = chosen.pop("env"), chosen.pop("preset"), chosen.pop("noise_free", None)
    with tempfile.TemporaryDirectory() as folder, without_noise(noise_free):
        run = ddpg.train(env, preset=preset, run=Path(folder) / "run", options=chosen, quiet=True)
        last = ddpg.read_metrics(run.path)[-run.config.seeds :]
        texts = json.loads((run.path / "summary.json").read_text()).get("warnings", [])
    ends = {key: round(float(np.mean([record[key] for record in last])), 2) for key in KEYS}
    best = run.summary["best"]["iqm"]
    return ends | {"best": round(best, 1), "warnings": texts, "options": {k: str(v) for k, v in options.items()}}


@contextmanager
def without_noise(when: str | None) -> Iterator[None]:
    """Ornstein-Uhlenbeck noise that is left out now and then, in the states to which it has led."""
    from ddpg.algorithm.exploration import OrnsteinUhlenbeck
    from ddpg.training import scan

    real: Any = OrnsteinUhlenbeck.__call__

    def sometimes(self: Any, state: Any, normal: Any, start: Any, step: Any) -> Any:
        xp = normal.__array_namespace__()
        state, noise = real(self, state, normal, start, step)
        free = xp.abs(normal[:, :1]) > 1.2816 if when == "steps" else (step // 201) % 4 == 0  # of a normal, one in five
        return state, xp.where(free, 0.0, noise)

    if when is not None:
        OrnsteinUhlenbeck.__call__ = sometimes
        vars(scan)["_program"].cache_clear()  # which knows the noise by its options alone
    try:
        yield
    finally:
        OrnsteinUhlenbeck.__call__ = real
        vars(scan)["_program"].cache_clear()


def explained(kind: str, episodes: int = 10) -> float:
    """R^2 of the deviation from mu(s) on position and speed, within 0.5 of the upright."""
    import gymnasium

    import ddpg

    with tempfile.TemporaryDirectory() as folder:
        policy = ddpg.load(ddpg.train(run=Path(folder) / "run", quiet=True).path)
    env, random, rows = gymnasium.make("Pendulum-v1"), np.random.default_rng(0), []
    for episode in range(episodes):
        obs, _ = env.reset(seed=episode)
        noise = 0.0
        for _ in range(200):
            noise = 0.85 * noise + 0.2 * random.standard_normal() if kind == "ou" else 0.365 * random.standard_normal()
            mu, angle = policy(obs)[0] / 2, np.arctan2(obs[1], obs[0])
            action = np.clip(mu + noise, -1, 1)
            if abs(angle) < 0.5:
                rows.append((1.0, angle, obs[2], action - mu))
            obs, *_ = env.step(np.array([2 * action], np.float32))
    table = np.array(rows)
    weights, *_ = np.linalg.lstsq(table[:, :3], table[:, 3], rcond=None)
    return round(float(1 - (table[:, 3] - table[:, :3] @ weights).var() / table[:, 3].var()), 3)


def table(results: dict[str, Any]) -> str:
    lines = [
        "| Run | return | best | Q | Q − return | saturated | stuck | warnings |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for name in (*RUNS, *HEALTHY):
        if name in results:
            r = results[name]
            numbers = f"{r['return']:.0f} | {r['best']:.0f} | {r['q']:.3g} | {r['q_bias']:+.3g} | {r['saturation']:.2f}"
            kinds = [kind for kind, words in KINDS.items() if any(words in line for line in r["warnings"])]
            lines.append(f"| {name} | {numbers} | {r['stuck']:.2f} | {', '.join(kinds)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", choices=[[], *RUNS])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/trouble.json"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--healthy", action="store_true")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    for name, options in (HEALTHY if args.healthy else RUNS).items():
        if not args.table and (name in args.name if args.name else name not in results):
            results[name] = measure(options)
            print(name, json.dumps(results[name]), flush=True)
            args.out.write_text(json.dumps(results, indent=1) + "\n")
    if not (args.table or args.healthy or args.name) and "explained" not in results:
        results["explained"] = {kind: explained(kind) for kind in ("ou", "gaussian")}
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    if args.table:
        print(table(results))


if __name__ == "__main__":
    main()
