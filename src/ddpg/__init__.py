"""Deterministic policy gradients: DDPG as one readable update, compiled end to end.

In short:

    import ddpg
    run = ddpg.train("Pendulum-v1", steps=20_000, seed=0)
    policy = ddpg.load(run.path)
    action = policy(obs)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddpg.training.config import Config
    from ddpg.training.policy import Policy, load
    from ddpg.training.presets import PRESETS
    from ddpg.training.run import Run
    from ddpg.training.train import train

__all__ = ["PRESETS", "Config", "Policy", "Run", "load", "train"]
__version__ = "0.1.0"

_HOMES = {
    "PRESETS": "presets",
    "Config": "config",
    "Policy": "policy",
    "Run": "run",
    "load": "policy",
    "train": "train",
}


def __getattr__(name: str) -> Any:
    """Import JAX with the first name that is asked for: `ddpg --help` need not wait the second it takes."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"ddpg.training.{_HOMES[name]}"), name)
