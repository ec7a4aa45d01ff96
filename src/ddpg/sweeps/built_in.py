"""The spaces that `ddpg sweep` has for every preset: numbers alone, so that all trials share one program.

Learning rates, tau and sigma span a decade or two around what the presets have; gamma is a horizon of 10 to 200 steps.
"""

from collections.abc import Mapping

from ddpg.mistake import Mistake
from ddpg.sweeps.space import Choices, Range, Space

RATE = Range(1e-4, 1e-2, log=True)
DISCOUNT = Choices((0.9, 0.95, 0.98, 0.99, 0.995))
_RATES = {"actor.lr": RATE, "critic.lr": RATE}
_DDPG = _RATES | {
    "tau": Range(1e-3, 1e-1, log=True),
    "gamma": DISCOUNT,
    "exploration.sigma": Range(0.05, 1.0, log=True),
}
_SMOOTH = {"smoothing.sigma": Range(0.05, 0.5, log=True)}
_SLOW = {"actor.lr": Range(3e-5, 3e-3, log=True), "critic.lr": Range(3e-5, 3e-3, log=True)}
_DECAY = Range(1e-3, 1e-1, log=True)
_NO_TAU = {path: domain for path, domain in _DDPG.items() if path != "tau"}  # targets that are copied
_TD7 = _NO_TAU | _SLOW | _SMOOTH | {"encoder.lr": Range(3e-5, 3e-3, log=True)}

SPACES: Mapping[str, Space] = {
    "ddpg": Space(_DDPG),
    "mujoco": Space(_DDPG),
    "sparse": Space(_DDPG | {"exploration.theta": Range(0.02, 0.3, log=True)}),
    "article": Space(_DDPG),
    "hands_on_rl": Space(_DDPG),
    "lillicrap": Space(_DDPG | _SLOW | {"critic.l2": Range(1e-4, 1e-1, log=True)}),
    "td3": Space(_DDPG | _SMOOTH),
    "td3_plus": Space(_DDPG | _SMOOTH),
    "d4pg": Space(_NO_TAU | _SLOW),
    "td7": Space(_TD7),
    "td7_plus": Space(_TD7),
    "simba": Space(_DDPG | _SLOW | {"actor.weight_decay": _DECAY, "critic.weight_decay": _DECAY}),
    "fasttd3": Space(
        {path: domain for path, domain in (_DDPG | _SLOW).items() if path != "exploration.sigma"}
        | {"exploration.high": Range(0.1, 1.0, log=True), "critic.weight_decay": Range(1e-3, 0.5, log=True)}
    ),
    "her": Space(_DDPG | {"preactivation": Range(1e-3, 1.0, log=True)}),
    "pixels": Space(_DDPG | _SLOW | {"preactivation": Range(1e-4, 1e-2, log=True)}),
    "drqv2": Space({**_SLOW, "tau": Range(1e-3, 1e-1, log=True), "gamma": DISCOUNT}),
    "lillicrap-pixels": Space(_DDPG | _SLOW | {"critic.l2": Range(1e-4, 1e-1, log=True)}),
}


def built_in(name: str) -> Space:
    """The space of a preset. Raises Mistake if there is none of that name."""
    if name not in SPACES:
        raise Mistake(f"space {name!r}: neither a .toml file nor one of {', '.join(SPACES)}")
    return SPACES[name]
