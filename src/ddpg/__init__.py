"""Deterministic policy gradients: DDPG as one readable update, compiled end to end.

    import ddpg
    run = ddpg.train("Pendulum-v1", steps=20_000, seed=0)
    policy = ddpg.load(run.path)
    action = policy(obs)
"""

from ddpg.training.config import Config
from ddpg.training.policy import Policy, load
from ddpg.training.presets import PRESETS
from ddpg.training.train import Run, train

__all__ = ["PRESETS", "Config", "Policy", "Run", "load", "train"]
__version__ = "0.1.0"
