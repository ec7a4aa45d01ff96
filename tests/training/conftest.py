"""One tiny run for all tests of training."""

from typing import Any

import pytest

import ddpg

TINY: dict[str, Any] = {
    "collect.warmup": 100,
    "actor.widths": 8,
    "critic.widths": (8, 8),
    "replay.batch": 16,
    "eval.every": 250,
    "eval.episodes": 4,
    "exploration": "ou",
    "exploration.schedule": "linear",
}


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Options of networks so small that a run takes seconds, nearly all of them compilation."""
    return dict(TINY)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ddpg.Run:
    """600 steps of seeds 3, 4 and 5, evaluated after 250, 500 and 600."""
    return ddpg.train(
        "Pendulum-v1", steps=600, seed=3, seeds=3, run=tmp_path_factory.mktemp("tiny") / "run", options=TINY
    )
