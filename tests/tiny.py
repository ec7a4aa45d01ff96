"""The smallest runs: with the same networks and lengths of chunks everywhere, so that each program is compiled once."""

from typing import Any

SIZES: dict[str, Any] = {
    "collect.warmup": 100,
    "actor.widths": 8,
    "critic.widths": "8,8",
    "replay.batch": 16,
    "eval.every": 100,
    "eval.episodes": 4,
}
TINY = SIZES | {"exploration": "ou", "exploration.schedule": "linear"}
# Two environments that Python steps, of the tests' own.
PAIR = SIZES | {"replay.capacity": 1000, "collect.envs": 2, "collect.steps": 10, "collect.updates": 5}
# Ten steps, then as many updates; the replay is full before the end.
TURNS = SIZES | {
    "steps": 800,
    "collect.steps": 10,
    "collect.learning_starts": 100,
    "replay.capacity": 500,
    "checkpoint.every": 100,
    "checkpoint.share": "none",
}
# For d4pg, the preset of most parts: what no preset has.
MORE_PARTS = {
    "exploration": "parameters",
    "exploration.steps": 70,
    "collect.envs": 2,
    "collect.learning_starts": 200,
    "normalise": True,
    "action_repeat": 2,
}
SMALL_TD7 = {"encoder.size": 4, "encoder.widths": 8, "actor.lift": 8, "critic.lift": 8, "target_period": 7}


def words(options: dict[str, Any]) -> list[str]:
    """As they are typed."""
    return [f"--{path}={value}" for path, value in options.items()]
