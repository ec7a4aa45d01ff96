"""The presets, on one screen: papers and our own choices as values."""

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.nets import Network, Normal
from ddpg.algorithm.noise import Exponential, Gaussian, OrnsteinUhlenbeck, Smoothing
from ddpg.experience.replay import Replay
from ddpg.training.config import Collection, Config

PRESETS = {
    # Our best plain DDPG; docs/presets.md says how each constant was chosen.
    "ddpg": Config(preset="ddpg"),
    # Robots of MuJoCo and their like: the widths, batch and tau of every later paper; docs/presets.md.
    "mujoco": Config(
        preset="mujoco",
        gamma=0.99,
        agent=DPG(
            actor=Network(widths=(256, 256)),
            critic=Network(widths=(256, 256), activation="silu"),
            exploration=Gaussian(sigma=0.1),
            tau=0.005,
        ),
        steps=1_000_000,
        replay=Replay(capacity=1_000_000, batch=256),
        collect=Collection(warmup=5_000),
    ),
    # Rewards that are rare, at the end of motions that need momentum: noise that keeps its direction from the first
    # step on, and weights decayed where Q alone would drive the actor into its bounds; docs/presets.md.
    "sparse": Config(
        preset="sparse",
        reward_scale=0.1,
        normalise=True,
        agent=DPG(
            actor=Network(l2=1e-2),
            critic=Network(activation="silu"),
            exploration=OrnsteinUhlenbeck(theta=0.05, sigma=0.5),
        ),
        steps=60_000,
        collect=Collection(warmup=0, learning_starts=5_000),
    ),
    # The tutorial: sigma 2 in torque units is 1 of half the action range; learning begins once the buffer is full.
    "article": Config(
        preset="article",
        gamma=0.9,
        agent=DPG(
            actor=Network(widths=(64, 64), activation="relu", init=Normal(std=0.3, bias=0.1), lr=1e-3),
            critic=Network(widths=(64, 64), activation="relu", init=Normal(std=0.3, bias=0.1), lr=2e-3),
            exploration=Gaussian(sigma=1.0, schedule=Exponential(rate=0.9995, begin=10_000)),
            tau=0.01,
        ),
        replay=Replay(capacity=10_000, batch=32),
        collect=Collection(warmup=0, learning_starts=10_000),
    ),
    # Lillicrap et al. 2016, section 7, low-dimensional tasks; without its batch normalisation.
    "lillicrap": Config(
        preset="lillicrap",
        gamma=0.99,
        agent=DPG(
            actor=Network(widths=(400, 300), activation="relu", final_init=3e-3, lr=1e-4),
            critic=Network(widths=(400, 300), activation="relu", final_init=3e-3, action_layer=1, lr=1e-3, l2=1e-2),
            exploration=OrnsteinUhlenbeck(theta=0.15, sigma=0.2),
            tau=0.001,
        ),
        replay=Replay(capacity=1_000_000, batch=64),
        collect=Collection(warmup=0, learning_starts=1_000),
    ),
    # Fujimoto et al. 2018, sections 5 and 6.1.
    "td3": Config(
        preset="td3",
        gamma=0.99,
        agent=DPG(
            actor=Network(widths=(400, 300), activation="relu", lr=1e-3),
            critic=Network(widths=(400, 300), activation="relu", lr=1e-3),
            critics=2,
            smoothing=Smoothing(sigma=0.2, clip=0.5),
            delay=2,
            exploration=Gaussian(sigma=0.1),
            tau=0.005,
        ),
        steps=1_000_000,
        replay=Replay(capacity=1_000_000, batch=100),
        collect=Collection(warmup=10_000),
    ),
}
