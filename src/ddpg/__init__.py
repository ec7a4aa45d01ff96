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
    from ddpg.commands.evaluate import evaluate_run as evaluate
    from ddpg.commands.export import export_run as export
    from ddpg.commands.train import resume, train
    from ddpg.config.config import Config
    from ddpg.config.presets import PRESETS
    from ddpg.records.observer import LogPoint, Observer, StopTraining
    from ddpg.training.film import film_run as film
    from ddpg.training.policy import Policy, load
    from ddpg.training.run import Run

__all__ = ["PRESETS", "Config", "LogPoint", "Observer", "Policy", "Run", "StopTraining"]
__all__ += ["evaluate", "export", "film", "load", "resume", "train"]
__version__ = "0.1.0"

_HOMES = {
    "PRESETS": "config.presets.PRESETS",
    "Config": "config.config.Config",
    "LogPoint": "records.observer.LogPoint",
    "Observer": "records.observer.Observer",
    "Policy": "training.policy.Policy",
    "Run": "training.run.Run",
    "StopTraining": "records.observer.StopTraining",
    "evaluate": "commands.evaluate.evaluate_run",
    "export": "commands.export.export_run",
    "film": "training.film.film_run",
    "load": "training.policy.load",
    "resume": "commands.train.resume",
    "train": "commands.train.train",
}


def __getattr__(name: str) -> Any:
    """Import JAX with the first name that is asked for: `ddpg --help` need not wait the second it takes."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, name = _HOMES[name].rpartition(".")
    return getattr(import_module(f"ddpg.{module}"), name)
