"""The presets: papers and our own choices as values.

Each repeats the constants of its source, even if one equals the default, so that it can be checked against the paper.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.augment import RandomShift
from ddpg.algorithm.encoders import Conv, Patches
from ddpg.algorithm.exploration import Gaussian, OrnsteinUhlenbeck, PerEnvGaussian
from ddpg.algorithm.initialisers import FanIn, Normal, Orthogonal
from ddpg.algorithm.networks import NetworkConfig, Plain, Residual
from ddpg.algorithm.sale import Sale
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import Categorical, Scalar
from ddpg.config.config import CollectionConfig, Config
from ddpg.envs.view import Drawn, is_picture, is_stack
from ddpg.experience.relabel import Future
from ddpg.experience.replay import Replay
from ddpg.experience.sampling import Prioritised
from ddpg.mistake import Mistake
from ddpg.schedules import Exponential, Linear
from ddpg.types import Spec

PRESETS = {
    # Our best plain DDPG, whose Q' is bounded by what rewards allow; docs/algorithms/ddpg.md gives the reasons.
    "ddpg": Config(preset="ddpg", agent=DPG(clip_values="rewards")),
    # Robots in MuJoCo and similar: the widths, batch and tau of most later code; docs/algorithms/ddpg.md.
    "mujoco": Config(
        preset="mujoco",
        gamma=0.99,
        agent=DPG(
            actor=NetworkConfig(widths=(256, 256)),
            critic=NetworkConfig(widths=(256, 256), activation="silu"),
            exploration=Gaussian(sigma=0.1),
            tau=0.005,
        ),
        steps=1_000_000,
        replay=Replay(capacity=1_000_000, batch=256),
        collect=CollectionConfig(warmup=5_000),
    ),
    # Rare rewards after motions that need momentum: noise that keeps its direction from the first step on, and L2,
    # without which Q drives the actor into its bounds; docs/algorithms/ddpg.md.
    "sparse": Config(
        preset="sparse",
        reward_scale=0.1,
        normalise=True,
        agent=DPG(
            actor=NetworkConfig(l2=1e-2),
            critic=NetworkConfig(activation="silu"),
            exploration=OrnsteinUhlenbeck(theta=0.05, sigma=0.5),
        ),
        steps=60_000,
        collect=CollectionConfig(warmup=0, learning_starts=5_000),
    ),
    # Hindsight experience replay: Plappert et al. 2018, appendix B, and the authors' code; docs/goals.md numbers what
    # differs. The squared preactivations are those of Andrychowicz et al. 2017, appendix A.
    "her": Config(
        preset="her",
        gamma=0.98,
        normalise=True,
        log=("is_success",),
        agent=DPG(
            actor=NetworkConfig(widths=(256, 256, 256), activation="relu", lr=1e-3),
            critic=NetworkConfig(widths=(256, 256, 256), activation="relu", lr=1e-3),
            exploration=Gaussian(sigma=0.2),
            preactivation=1.0,
            tau=0.05,
            target_period=40,
            clip_values="rewards",
        ),
        steps=100_000,
        replay=Replay(capacity=1_000_000, batch=256, relabel=Future(k=4.0)),
        collect=CollectionConfig(steps=50, updates=40, envs=2, warmup=0, random_actions=0.3, learning_starts=1_000),
    ),
    # From pictures, on a laptop's two cores; docs/pixels.md gives the reasons.
    "pixels": Config(
        preset="pixels",
        pixels=Drawn(size=48),
        stack=3,
        reward_scale=0.1,
        agent=DPG(
            encoder=Patches(filters=(64,), patches=(8,)),
            actor=NetworkConfig(trunk=50, widths=(128, 128), lr=5e-4, schedule=Linear(final=0.1, steps=20_000)),
            critic=NetworkConfig(
                trunk=50,
                widths=(128, 128),
                activation="silu",
                block=Plain(norm="layer"),
                lr=5e-4,
                schedule=Linear(final=0.1, steps=20_000),
            ),
            critics=2,
            actor_q="min",
            exploration=Gaussian(sigma=1.0, schedule=Linear(final=0.1, steps=10_000)),
            smoothing=TargetSmoothing(sigma=0.2, clip=0.3),
            augment=RandomShift(pixels=4, groups=8),
            preactivation=1e-3,
            tau=0.01,
            tau_actor=1.0,
            tau_encoder=1.0,
        ),
        replay=Replay(n_step=3),
    ),
    # Yarats et al. 2022, section 3 and appendix B, and the authors' code: tasks of medium difficulty.
    "drqv2": Config(
        preset="drqv2",
        gamma=0.99,
        action_repeat=2,
        pixels=Drawn(size=84, colour=True),
        stack=3,
        agent=DPG(
            encoder=Conv(filters=(32, 32, 32, 32), kernels=(3, 3, 3, 3), strides=(2, 1, 1, 1)),
            actor=NetworkConfig(trunk=50, widths=(1024, 1024), init=Orthogonal(), lr=1e-4),
            critic=NetworkConfig(trunk=50, widths=(1024, 1024), init=Orthogonal(), lr=1e-4),
            critics=2,
            actor_q="min",
            exploration=Gaussian(sigma=1.0, schedule=Linear(final=0.1, steps=500_000)),
            smoothing=TargetSmoothing(sigma=1.0, clip=0.3, schedule=Linear(final=0.1, steps=250_000), actor=True),
            augment=RandomShift(pixels=4, groups=256),
            tau=0.01,
            tau_actor=1.0,
            tau_encoder=1.0,
        ),
        steps=500_000,
        replay=Replay(capacity=1_000_000, batch=256, n_step=3),
        collect=CollectionConfig(steps=2, updates=1, warmup=2_000, learning_starts=2_000),
    ),
    # Lillicrap et al. 2016, section 7, pixel tasks: three convolutions of 32, then 200 and 200.
    "lillicrap-pixels": Config(
        preset="lillicrap-pixels",
        gamma=0.99,
        action_repeat=3,
        pixels=Drawn(size=64, colour=True),
        stack=3,
        agent=DPG(
            encoder=Conv(filters=(32, 32, 32), kernels=(3, 3, 3), strides=(2, 2, 2), init=FanIn()),
            actor=NetworkConfig(widths=(200, 200), activation="relu", final_init=3e-4, lr=1e-4),
            critic=NetworkConfig(
                widths=(200, 200), activation="relu", final_init=3e-4, action_layer=1, lr=1e-3, l2=1e-2
            ),
            exploration=OrnsteinUhlenbeck(theta=0.15, sigma=0.2),
            tau=0.001,
        ),
        replay=Replay(capacity=1_000_000, batch=16),
        collect=CollectionConfig(warmup=0, learning_starts=1_000),
    ),
    # The tutorial: sigma 2 in torque units is 1 in half action ranges; learning begins when the buffer is full.
    "article": Config(
        preset="article",
        gamma=0.9,
        agent=DPG(
            actor=NetworkConfig(widths=(64, 64), activation="relu", init=Normal(std=0.3, bias=0.1), lr=1e-3),
            critic=NetworkConfig(widths=(64, 64), activation="relu", init=Normal(std=0.3, bias=0.1), lr=2e-3),
            exploration=Gaussian(sigma=1.0, schedule=Exponential(rate=0.9995, begin=10_000)),
            tau=0.01,
        ),
        replay=Replay(capacity=10_000, batch=32),
        collect=CollectionConfig(warmup=0, learning_starts=10_000),
    ),
    # "Hands-on RL" (动手学强化学习), chapter 13: sigma 0.01 in torque units is 0.005 in half action ranges.
    "hands_on_rl": Config(
        preset="hands_on_rl",
        gamma=0.98,
        agent=DPG(
            actor=NetworkConfig(widths=(64,), activation="relu", lr=3e-4),
            critic=NetworkConfig(widths=(64, 64), activation="relu", lr=3e-3),
            exploration=Gaussian(sigma=0.005),
            tau=0.005,
        ),
        steps=40_000,
        replay=Replay(capacity=10_000, batch=64),
        collect=CollectionConfig(warmup=0, learning_starts=1_000),
    ),
    # Lillicrap et al. 2016, section 7, low-dimensional tasks, and section 3: batch normalisation.
    "lillicrap": Config(
        preset="lillicrap",
        gamma=0.99,
        agent=DPG(
            actor=NetworkConfig(
                widths=(400, 300), activation="relu", block=Plain(norm="batch"), final_init=3e-3, lr=1e-4
            ),
            critic=NetworkConfig(
                widths=(400, 300),
                activation="relu",
                block=Plain(norm="batch"),
                final_init=3e-3,
                action_layer=1,
                lr=1e-3,
                l2=1e-2,
            ),
            exploration=OrnsteinUhlenbeck(theta=0.15, sigma=0.2),
            tau=0.001,
        ),
        replay=Replay(capacity=1_000_000, batch=64),
        collect=CollectionConfig(warmup=0, learning_starts=1_000),
    ),
    # Fujimoto et al. 2018, sections 5 and 6.1.
    "td3": Config(
        preset="td3",
        gamma=0.99,
        agent=DPG(
            actor=NetworkConfig(widths=(400, 300), activation="relu", lr=1e-3),
            critic=NetworkConfig(widths=(400, 300), activation="relu", lr=1e-3),
            critics=2,
            smoothing=TargetSmoothing(sigma=0.2, clip=0.5),
            policy_delay=2,
            exploration=Gaussian(sigma=0.1),
            tau=0.005,
        ),
        steps=1_000_000,
        replay=Replay(capacity=1_000_000, batch=100),
        collect=CollectionConfig(warmup=10_000),
    ),
    # TD3 plus the parts that our measurements on MuJoCo's robots favour; docs/algorithms/td3.md.
    "td3_plus": Config(
        preset="td3_plus",
        gamma=0.99,
        agent=DPG(
            actor=NetworkConfig(widths=(256, 256), activation="relu", lr=1e-3),
            critic=NetworkConfig(widths=(256, 256), activation="elu", block=Plain(norm="layer"), lr=1e-3),
            critics=2,
            value=Scalar(huber=1.0),
            smoothing=TargetSmoothing(sigma=0.2, clip=0.5),
            policy_delay=2,
            exploration=Gaussian(sigma=0.1),
            tau=0.005,
        ),
        steps=1_000_000,
        replay=Replay(capacity=1_000_000, batch=64, sampling=Prioritised(alpha=0.4, beta=0.0, anneal=0, floor=1.0)),
        collect=CollectionConfig(updates=2, warmup=5_000),
    ),
    # Barth-Maron et al. 2018, with the constants and networks that Tassa et al. 2018 and Acme give.
    "d4pg": Config(
        preset="d4pg",
        gamma=0.99,
        agent=DPG(
            actor=NetworkConfig(widths=(300, 200), activation="relu", block=Plain(norm="layer"), lr=1e-4),
            critic=NetworkConfig(
                widths=(400, 300), activation="relu", block=Plain(norm="layer"), action_layer=1, lr=1e-4
            ),
            value=Categorical(atoms=51),
            exploration=Gaussian(sigma=0.3),
            tau=1.0,
            target_period=100,
        ),
        steps=1_000_000,
        replay=Replay(capacity=1_000_000, batch=256, n_step=5, sampling=Prioritised(alpha=0.6, beta=1.0, anneal=0)),
        collect=CollectionConfig(warmup=1_000),
    ),
    # Fujimoto et al. 2023, and the authors' code; docs/algorithms/td7.md numbers what differs.
    "td7": Config(
        preset="td7",
        gamma=0.99,
        agent=DPG(
            encoder=Sale(size=256, widths=(256, 256), activation="elu", lr=3e-4),
            actor=NetworkConfig(lift=256, widths=(256, 256), activation="relu", lr=3e-4),
            critic=NetworkConfig(lift=256, widths=(256, 256), activation="elu", lr=3e-4),
            critics=2,
            actor_q="mean",
            value=Scalar(huber=1.0),
            clip_values="targets",
            smoothing=TargetSmoothing(sigma=0.2, clip=0.5),
            policy_delay=2,
            exploration=Gaussian(sigma=0.1),
            target_period=250,
            tau=1.0,
        ),
        steps=1_000_000,
        replay=Replay(
            capacity=1_000_000,
            batch=256,
            sampling=Prioritised(alpha=0.4, beta=0.0, anneal=0, floor=1.0, recount=250),
        ),
        # Eleven times 91 is an episode of 1 000 steps with its reset, so that it ends with an iteration.
        collect=CollectionConfig(steps=91, updates=91, warmup=25_000, assess=1),
    ),
    # TD7 with half the width, half the minibatch, and D4PG's critic in place of its prioritised replay: why is in
    # docs/algorithms/td7.md.
    "td7_plus": Config(
        preset="td7_plus",
        gamma=0.99,
        agent=DPG(
            encoder=Sale(size=128, widths=(128, 128), activation="elu", lr=3e-4),
            actor=NetworkConfig(lift=128, widths=(256, 256), activation="relu", lr=3e-4),
            critic=NetworkConfig(lift=128, widths=(256, 256), activation="elu", lr=3e-4),
            critics=2,
            actor_q="mean",
            value=Categorical(atoms=101),
            smoothing=TargetSmoothing(sigma=0.2, clip=0.5),
            policy_delay=2,
            exploration=Gaussian(sigma=0.1),
            target_period=250,
            tau=1.0,
        ),
        steps=1_000_000,
        replay=Replay(capacity=1_000_000, batch=128),
        collect=CollectionConfig(steps=91, updates=91, warmup=5_005, assess=1),
    ),
    # DDPG with SimBa's networks: Lee et al. 2025, section 4 and the authors' settings for DDPG.
    "simba": Config(
        preset="simba",
        gamma=0.99,
        normalise=True,
        agent=DPG(
            actor=NetworkConfig(
                widths=(128,), activation="relu", block=Residual(expansion=4), lr=1e-4, weight_decay=1e-2
            ),
            critic=NetworkConfig(
                widths=(512, 512), activation="relu", block=Residual(expansion=4), lr=1e-4, weight_decay=1e-2
            ),
            critics=2,
            actor_q="min",
            smoothing=TargetSmoothing(sigma=0.1, clip=1.0),
            exploration=Gaussian(sigma=0.1),
            tau=0.005,
            tau_actor=1.0,
        ),
        steps=1_000_000,
        replay=Replay(capacity=1_000_000, batch=256),
        collect=CollectionConfig(updates=2, warmup=5_000),
    ),
    # FastTD3's learner: Seo et al. 2025, section 2, and the authors' settings for HumanoidBench.
    "fasttd3": Config(
        preset="fasttd3",
        gamma=0.99,
        normalise=True,
        agent=DPG(
            actor=NetworkConfig(widths=(512, 256, 128), activation="relu", lr=3e-4, weight_decay=0.1),
            critic=NetworkConfig(widths=(1024, 512, 256), activation="relu", lr=3e-4, weight_decay=0.1),
            critics=2,
            actor_q="min",
            value=Categorical(atoms=101, low=-250.0, high=250.0),
            smoothing=TargetSmoothing(sigma=0.001, clip=0.5),
            exploration=PerEnvGaussian(low=0.001, high=0.4),
            policy_delay=2,
            target_period=1,
            tau=0.1,
            tau_actor=1.0,
        ),
        steps=10_000_000,
        replay=Replay(capacity=128 * 51_200, batch=32_768),
        collect=CollectionConfig(steps=1, updates=2, envs=128, warmup=0, learning_starts=32_768),
    ),
}

HOST_STEPS = 100  # steps of Python environments per iteration, that is per call of the compiled learner
SEGMENT = 10  # rows of an actor's block per row at whose end a return is cut, or that is stored twice


def host_defaults(config: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options`, and what suits Python environments better than a preset, which is written for compiled ones.

    An iteration has HOST_STEPS steps, or `collect.steps` if that is among the options or the preset assesses episodes,
    with the preset's ratio of updates to steps, or that of `collect.updates`. With actors it has more if that makes
    blocks of fewer than SEGMENT rows per row that their ends cost. A run has twenty evaluations of ten episodes.
    """
    preset = PRESETS.get(config.preset, config).collect
    chosen = "collect.steps" in options or preset.assess
    steps = config.collect.steps if chosen else max(1, HOST_STEPS // config.collect.envs)
    if config.actors.number and not chosen:
        steps = max(steps, SEGMENT * (config.replay.n_step + config.stack))
    source = config.collect if "collect.updates" in options else preset
    updates_per_step = source.updates / (source.steps * source.envs)
    updates = max(1, round(steps * config.collect.envs * updates_per_step))
    evaluation = {"eval.every": max(1, config.steps // 20), "eval.episodes": 10}
    return {**evaluation, **options, "collect.steps": steps, "collect.updates": updates}


def picture_options(spec: Spec) -> dict[str, Any]:
    """What suits observations that are or have pictures better than a preset, which is written for one at a time.

    Numbers beside a picture may say where something in it is: shifts would falsify that.
    """
    alone = is_picture(spec)
    return ({} if alone and not is_stack(spec) else {"stack": 1}) | ({} if alone else {"augment": "none"})


def by_name(preset: str) -> Config:
    if preset not in PRESETS:
        near = get_close_matches(preset, PRESETS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "see `ddpg presets`"
        raise Mistake(f"unknown preset {preset!r}; available: {', '.join(PRESETS)}, or a .json file; {hint}")
    return PRESETS[preset]
