"""Deterministic policy gradients: DDPG as one readable update, compiled end to end.

In short:

    import ddpg
    run = ddpg.train("Pendulum-v1", steps=20_000, seed=0)
    policy = ddpg.load(run.path)
    action = policy(obs)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ddpg.version import __version__

if TYPE_CHECKING:
    from ddpg.commands.compare import compare_runs as compare
    from ddpg.commands.evaluate import evaluate_run as evaluate
    from ddpg.commands.export import export_run as export
    from ddpg.commands.report import report_runs as report
    from ddpg.commands.study import study
    from ddpg.commands.sweep import sweep
    from ddpg.config.config import Config
    from ddpg.config.presets import PRESETS
    from ddpg.mistake import Mistake
    from ddpg.records.observer import LogPoint, Observer, StopTraining
    from ddpg.records.plot import curve_of, learning_curve
    from ddpg.records.statistics import iqm
    from ddpg.schedules import schedule
    from ddpg.training.film import film_run as film
    from ddpg.training.folder import load_config, read_metrics
    from ddpg.training.policy import Policy, load
    from ddpg.training.run import Run
    from ddpg.training.stored import replay
    from ddpg.training.train import resume, train

_HOMES = {
    "PRESETS": "config.presets.PRESETS",
    "Config": "config.config.Config",
    "LogPoint": "records.observer.LogPoint",
    "Mistake": "mistake.Mistake",
    "Observer": "records.observer.Observer",
    "Policy": "training.policy.Policy",
    "Run": "training.run.Run",
    "StopTraining": "records.observer.StopTraining",
    "compare": "commands.compare.compare_runs",
    "curve_of": "records.plot.curve_of",
    "evaluate": "commands.evaluate.evaluate_run",
    "export": "commands.export.export_run",
    "film": "training.film.film_run",
    "iqm": "records.statistics.iqm",
    "learning_curve": "records.plot.learning_curve",
    "load": "training.policy.load",
    "load_config": "training.folder.load_config",
    "read_metrics": "training.folder.read_metrics",
    "replay": "training.stored.replay",
    "report": "commands.report.report_runs",
    "resume": "training.train.resume",
    "study": "commands.study.study",
    "sweep": "commands.sweep.sweep",
    "schedule": "schedules.schedule",
    "train": "training.train.train",
}
__all__ = ["PRESETS", "Config", "LogPoint", "Mistake", "Observer", "Policy", "Run", "StopTraining", "compare"]
__all__ += ["curve_of", "evaluate", "export", "film", "iqm", "learning_curve", "load", "load_config", "read_metrics"]
__all__ += ["__version__", "replay", "report", "resume", "schedule", "study", "sweep", "train"]


def __getattr__(name: str) -> Any:
    """Import JAX with the first name that is asked for: `ddpg --help` need not wait the second it takes."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, name = _HOMES[name].rpartition(".")
    return getattr(import_module(f"ddpg.{module}"), name)
