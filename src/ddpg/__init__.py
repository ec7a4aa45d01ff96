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
    from ddpg.training.evaluate import evaluate_run as evaluate
    from ddpg.training.export import export_run as export
    from ddpg.training.policy import Policy, load
    from ddpg.training.policy import film_run as film
    from ddpg.training.presets import PRESETS
    from ddpg.training.run import Run
    from ddpg.training.train import resume, train

__all__ = ["PRESETS", "Config", "Policy", "Run", "evaluate", "export", "film", "load", "resume", "train"]
__version__ = "0.1.0"

_HOMES = {
    "PRESETS": "presets.PRESETS",
    "Config": "config.Config",
    "Policy": "policy.Policy",
    "Run": "run.Run",
    "evaluate": "evaluate.evaluate_run",
    "export": "export.export_run",
    "film": "policy.film_run",
    "load": "policy.load",
    "resume": "train.resume",
    "train": "train.train",
}


def __getattr__(name: str) -> Any:
    """Import JAX with the first name that is asked for: `ddpg --help` need not wait the second it takes."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, name = _HOMES[name].split(".")
    return getattr(import_module(f"ddpg.training.{room}"), name)
