"""Sizes for small tasks such as Pendulum: presets that were made for robots and a million steps, in a minute."""

from collections.abc import Mapping
from typing import Any

from ddpg.config.config import Config
from ddpg.mistake import Mistake

# The replay is as long as the longest run here; random steps are five episodes of 200 steps instead of MuJoCo's 1 000.
_SHORT = {"replay.capacity": 100_000, "collect.warmup": 1_000}
_NARROW = {
    "encoder.size": 64,
    "encoder.widths": (64, 64),
    "actor.lift": 64,
    "actor.widths": (64, 64),
    "critic.lift": 64,
    "critic.widths": (64, 64),
    "replay.batch": 64,
}

SMALL: Mapping[str, Mapping[str, Any]] = {
    "mujoco": {"steps": 20_000, **_SHORT},
    "lillicrap": {"steps": 50_000, "replay.capacity": 100_000},
    "td3": {"steps": 20_000, **_SHORT},
    "td3_plus": {"steps": 20_000, **_SHORT},
    "d4pg": {"steps": 30_000, "replay.capacity": 100_000, "replay.batch": 64},
    # Half the actor's width and an eighth of the critic's: there are 3 observations and 1 action here.
    "simba": {"steps": 10_000, **_SHORT, "actor.widths": (64,), "critic.widths": (64, 64), "replay.batch": 64},
    "fasttd3": {
        "steps": 100_000,
        "actor.widths": (128, 64, 32),
        "critic.widths": (256, 128, 64),
        "replay.batch": 256,  # of 32 768, which are for an accelerator
        "replay.capacity": 102_400,
        "collect.envs": 16,  # of 128: else 100 000 steps would have 1 560 updates
        "collect.learning_starts": 1_024,  # four minibatches
        "reward_scale": 0.1,  # returns here reach down to -1 630, and its atoms from -250 to 250
    },
    "td7": {"steps": 20_000, **_SHORT, **_NARROW},
    "td7_plus": {"steps": 20_000, **_SHORT, **_NARROW},
}


def small_options(config: Config) -> Mapping[str, Any]:
    """The options that make this preset small. Raises Mistake if it is already."""
    if config.preset not in SMALL:
        raise Mistake(f"small: preset {config.preset} has one size; leave out --small, or choose {', '.join(SMALL)}")
    return SMALL[config.preset]
