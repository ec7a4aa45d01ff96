"""What each part costs: time per update, or per step where a part acts, over that of plain DDPG.

    python benchmarks/parts.py [PART ...] [--rounds 9] [--updates 500] [--out benchmarks/results] [--table]

The learner alone, compiled as training compiles it: preset `mujoco` (256-256, minibatches of 256), a full replay of a
million random rows of HalfCheetah's spaces, one stored row and one update an iteration, no environment. One part is
changed at a time. Plain and changed learner alternate in one process, which of them goes first as well; a part's ratio
is the median over the rounds, beside the smallest and the largest. `nothing` is plain DDPG twice, and says how far
ratios may be trusted. Parts of exploration have a step's acting in the time, on both sides. What is measured is merged
into the result; `--table` prints that in Markdown, and measures nothing.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.training.devices import configure_jax
from ddpg.types import Spec

BASE = PRESETS["mujoco"]
TD3 = {"critics": "2", "policy_delay": "2", "smoothing.sigma": "0.2"}
PRIORITISED = {"replay.sampling": "prioritised"}
CATEGORICAL = {"value": "categorical", "value.atoms": "51"}
LAP = {
    "replay.sampling.alpha": "0.4",
    "replay.sampling.beta": "0",
    "replay.sampling.anneal": "0",
    "replay.sampling.floor": "1",
    "value.huber": "1",
}
LAYER_NORM = {"actor.block.norm": "layer", "critic.block.norm": "layer"}
BATCH_NORM = {"actor.block.norm": "batch", "critic.block.norm": "batch", "critic.action_layer": "1"}
D4PG = {
    "replay.n_step": "5",
    "replay.sampling.beta": "1",
    "replay.sampling.anneal": "0",
    "tau": "1",
    "target_period": "100",
}
SALE = {"encoder": "sale", "encoder.activation": "elu", "target_period": "250", "tau": "1"}
LIFT = {"actor.lift": "256", "critic.lift": "256"}
TD7 = TD3 | SALE | LIFT | {"actor_q": "mean", "critic.activation": "elu"}
NARROW = {"encoder.size": "128", "encoder.widths": "128,128", "actor.lift": "128", "critic.lift": "128"}
RESIDUAL = {"actor.block": "residual", "critic.block": "residual"}


class Part(NamedTuple):
    options: dict[str, str]
    acting: bool = False  # whether a step's acting is in the time
    share: float = 1.0  # of the updates a round, where each takes much longer
    note: str = ""


PARTS = {
    "nothing": Part({}),
    "two critics": Part({"critics": "2"}),
    "policy_delay 2": Part({"policy_delay": "2"}),
    "smoothing": Part({"smoothing.sigma": "0.2"}),
    "n-step 3": Part({"replay.n_step": "3"}),
    "Huber": Part({"value.huber": "1"}),
    "categorical 51": Part(CATEGORICAL),
    "prioritised": Part(PRIORITISED),
    "LAP": Part(PRIORITISED | LAP),
    "hard target, target_period 250": Part({"tau": "1", "target_period": "250"}),
    "no target actor, target_period 1": Part({"tau_actor": "1", "target_period": "1"}),
    "ReLU in the critic": Part({"critic.activation": "relu"}),
    "ELU in the critic": Part({"critic.activation": "elu"}),
    "layer norm": Part(LAYER_NORM),
    "batch norm, action at layer 1": Part(BATCH_NORM),
    "residual, 96": Part(RESIDUAL | {"actor.widths": "96", "critic.widths": "96"}, note="about as many weights"),
    "residual, SimBa's sizes": Part(
        RESIDUAL | {"actor.widths": "128", "critic.widths": "512,512"}, share=0.05, note="60 times the critic's weights"
    ),
    "AdamW": Part({"actor.weight_decay": "1e-2", "critic.weight_decay": "1e-2"}),
    "normalised observations": Part({"normalise": "true"}),
    "pink noise": Part({"exploration": "pink"}, acting=True),
    "per-environment noise": Part({"exploration": "per_env"}, acting=True),
    "parameter noise": Part({"exploration": "parameters"}, acting=True),
    "td3, all of it": Part(TD3),
    "clip_values targets": Part({"clip_values": "targets"}),
    "preactivation": Part({"preactivation": "1e-3"}),
    "lift 256": Part(LIFT, share=0.5),
    "SALE, 256": Part(SALE, share=0.2),
    "td7, all of it": Part(TD7 | PRIORITISED | LAP | {"clip_values": "targets"}, share=0.1),
    "td7_plus, all of it": Part(
        TD7 | NARROW | CATEGORICAL | {"value.atoms": "101", "replay.batch": "128"}, share=0.3, note="minibatches of 128"
    ),
    "d4pg, all of it": Part(CATEGORICAL | PRIORITISED | LAYER_NORM | D4PG),
}
BARS = {"two critics": 1.6, "prioritised": 1.3}  # times plain DDPG


SPEC = Spec(obs_shape=(17,), action_low=(-1.0,) * 6, action_high=(1.0,) * 6)  # HalfCheetah's


def updating(config: Config, acting: bool, updates: int) -> Callable[[], float]:
    """A function that makes so many updates, and answers the seconds that each has taken."""
    import jax
    import jax.numpy as jnp
    from jax import Array

    from ddpg.training.backend import behaviour_for, learner_for
    from ddpg.training.devices import jit_loop
    from ddpg.training.driver import mean_metrics
    from ddpg.training.learner import LearnerState
    from ddpg.training.randomness import ActionRandomness, IterationRandomness
    from ddpg.types import Metrics, Row

    config = replace(config, collect=replace(config.collect, steps=1, envs=1, updates=1, warmup=0))
    learner, beta = learner_for(config, SPEC), behaviour_for(config, SPEC)

    def rows(t: int) -> Row:
        """[t, 1] of episodes of 1 000 steps, and one more row for the last observation."""
        random = np.random.default_rng(0)
        obs, action = random.normal(size=(t, 1, 17)), random.uniform(-1, 1, (t, 1, 6))
        when, none = np.arange(t)[:, None] % 1001, np.zeros((t, 1), bool)
        obs, action, reward = (x.astype(np.float32) for x in (obs, action, random.normal(size=(t, 1))))
        return Row(obs, action, reward, none, when == 999, when == 1000)

    block = rows(1)
    obs, start = jnp.asarray(block.obs[0]), jnp.zeros(1, bool)

    def filled(key: Array, whole: Row) -> tuple[LearnerState, Array]:
        state = learner.init(key, jax.tree.map(jnp.asarray, block))
        return state._replace(ring=learner.replay.add(state.ring, whole, learner.spec)), jnp.asarray(beta.init_noise())

    def chunk(state: tuple[LearnerState, Array], t0: Array) -> tuple[tuple[LearnerState, Array], Metrics]:
        t, key = t0 + jnp.arange(updates), state[0].key
        draws = jax.vmap(lambda t: IterationRandomness(beta.randomness(key, t), learner.randomness(key, t)))(t)

        def iterate(
            state: tuple[LearnerState, Array], x: tuple[Array, IterationRandomness]
        ) -> tuple[tuple[LearnerState, Array], Metrics | None]:
            (state_of_learner, noise), (t, draws) = state, x
            stored = jax.tree.map(jnp.asarray, block)
            if acting:
                now = ActionRandomness(draws.actions.normal[0], draws.actions.uniform[0])
                policy = state_of_learner.acting
                action, noise = beta.select_action(policy, obs, noise, start, t, jnp.int32(0), now)
                stored = stored._replace(action=action[None])
            state_of_learner, metrics = learner.learn(state_of_learner, stored, t, draws.updates, True)
            return (state_of_learner, noise), metrics

        state, metrics = jax.lax.scan(iterate, state, (t, draws))
        assert metrics is not None
        return state, mean_metrics(metrics)

    begun = jax.block_until_ready(jit_loop(filled)(jax.random.key(0), rows(config.replay.capacity)))
    program = jit_loop(chunk, donate=True).lower(begun, np.int32(0)).compile()
    state = [begun, 0]
    del begun  # its memory is the program's from now on

    def once() -> float:
        began = perf_counter()
        state[0], metrics = jax.block_until_ready(program(state[0], np.int32(state[1])))
        seconds = perf_counter() - began
        state[1] += updates
        assert np.isfinite(np.asarray(metrics.q)).all()
        return seconds / updates

    once()  # the first is never like the others
    return once


def measure(part: Part, plain: Callable[[], float], rounds: int, updates: int) -> dict[str, Any]:
    updates_of_part = max(1, round(part.share * updates))
    changed = updating(override(BASE, part.options), part.acting, updates_of_part)
    times = list[tuple[float, float]]()
    for i in range(rounds):
        if i % 2:
            of_changed = changed()
            times.append((plain(), of_changed))
        else:
            times.append((plain(), changed()))
    ratios = [of_changed / of_plain for of_plain, of_changed in times]
    return {
        "options": part.options,
        **({"note": part.note} if part.note else {}),
        "of": "step and update" if part.acting else "update",
        "ratio": {"median": round(median(ratios), 3), "min": round(min(ratios), 3), "max": round(max(ratios), 3)},
        "microseconds": round(1e6 * median(of_changed for _, of_changed in times), 1),
        "plain_microseconds": round(1e6 * median(of_plain for of_plain, _ in times), 1),
        "rounds": rounds,
        "updates": updates_of_part,
    }


def said_of_bars(parts: dict[str, Any]) -> dict[str, Any]:
    ratios = {name: parts[name]["ratio"]["median"] for name in BARS if name in parts}
    return {name: {"below": BARS[name], "ratio": ratio, "met": ratio < BARS[name]} for name, ratio in ratios.items()}


def table(parts: dict[str, Any]) -> str:
    head = ("part", "of", "times plain", "least", "most", "µs", "bar")
    rows = [head, ("---",) * len(head)]
    bars = said_of_bars(parts)
    for name, said in parts.items():
        numbers = [f"{said['ratio'][key]:.2f}" for key in ("median", "min", "max")]
        title = f"{name} ({said['note']})" if "note" in said else name
        bar = f"< {bars[name]['below']}: {'met' if bars[name]['met'] else 'missed'}" if name in bars else ""
        rows.append((title, said["of"], *numbers, f"{said['microseconds']:.0f}", bar))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--updates", type=int, default=500, help="a round; of 500 a hard target's period is a whole share (500)"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--table", action="store_true", help="print the result in Markdown, and measure nothing")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in PARTS]:
        parser.error(f"unknown part {', '.join(unknown)}; available: {', '.join(PARTS)}")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "parts.json"
    parts: dict[str, Any] = json.loads(path.read_text())["parts"] if path.exists() else {}
    if args.table:
        if old := [name for name in PARTS if parts.get(name, {}).get("options") != PARTS[name].options]:
            print(f"not measured as they are now: {', '.join(old)}", file=sys.stderr)
        print(table(parts))
        return
    configure_jax(1, 2.0 * BASE.replay.batch * max(i * o for i, o in pairwise(BASE.agent.critic.widths)))
    plain = dict[bool, Callable[[], float]]()
    for name in args.names or PARTS:
        part = PARTS[name]
        if part.acting not in plain:
            plain[part.acting] = updating(BASE, part.acting, args.updates)
        parts[name] = measure(part, plain[part.acting], args.rounds, args.updates)
        parts = {each: parts[each] for each in PARTS if each in parts}
        result = {
            "command": "python benchmarks/parts.py PART --rounds ROUNDS --updates UPDATES",
            "machine": f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}",
            "cores": len(os.sched_getaffinity(0)),
            "bars": said_of_bars(parts),
            "parts": parts,
        }
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{name}: {parts[name]['ratio']}, {parts[name]['microseconds']} µs", flush=True)
    for name, bar in said_of_bars(parts).items():
        print(f"{name}: {bar['ratio']:.2f}, bar {bar['below']}: {'met' if bar['met'] else 'missed'}")


if __name__ == "__main__":
    main()
