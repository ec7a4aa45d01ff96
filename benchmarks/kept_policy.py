"""Whether runs with `collect.assess` keep good policies: each beside its run's latest, in the same greedy episodes.

    python benchmarks/kept_policy.py RUN ... [--episodes 10] [--starts 1000] [--env ID]

A row for each seed: mean and worst return of the policy that is kept, and of the actor after the last update, which
only the newest checkpoint has. The starts are others than those of the run's evaluations.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from ddpg.algorithm.nets import Nets
from ddpg.environment import resolve_for
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.networks.safetensors import SavedNetworks
from ddpg.records.tree_file import read
from ddpg.training.backend import evaluator_for
from ddpg.training.folder import RunFolder
from ddpg.training.policy import load_seed


def latest(folder: RunFolder, like: Nets) -> Nets:
    """The networks that learn [S, ...], from the newest checkpoint."""
    newest, *_ = list_checkpoints(folder.checkpoints) or [None]
    if newest is None:
        raise SystemExit(f"{folder}: it has no checkpoint, so only the policy that is kept; train it again")
    return read(newest, like, ".driver.learner.agent.online")


def rows(run: Path, episodes: int, starts: int, id: str | None) -> Sequence[str]:
    folder = RunFolder.at(run)
    config = folder.read_config()
    env = resolve_for(config, id)
    saved = [load_seed(folder, config, seed)[0] for seed in config.seed_range]
    kept: SavedNetworks = jax.tree.map(lambda *leaves: np.stack(leaves), *saved)
    evaluator = evaluator_for(config, env, episodes, starts)
    found = [np.asarray(evaluator(nets, kept.stats).returns) for nets in (kept.online, latest(folder, kept.online))]
    evaluator.close()
    cells = [[f"{mean:.0f}, {worst:.0f}" for mean, worst in zip(x.mean(1), x.min(1), strict=True)] for x in found]
    pairs = zip(config.seed_range, *cells, strict=True)
    return [f"| {config.env} | {run} | {seed} | {one} | {other} |" for seed, one, other in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("RUN", nargs="+", type=Path)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--starts", type=int, default=1_000, help="the seed of the first episode (1000)")
    parser.add_argument("--env", help="the environment, if a run's own imports a module")
    args = parser.parse_args()
    print("| environment | run | seed | kept: mean, worst | latest: mean, worst |\n|---|---|---|---|---|")
    for run in args.RUN:
        print("\n".join(rows(run, args.episodes, args.starts, args.env)))


if __name__ == "__main__":
    main()
