"""Q(s, mu(s)) and mu(s) over the two numbers of a state, as small pictures; on Pendulum beside the optimum."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import pi
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from PIL import Image

from ddpg.algorithm.normaliser import normalise
from ddpg.config.config import Config
from ddpg.environment import split_id
from ddpg.envs.pendulum_plan import SPEEDS, THETAS, pendulum_plan
from ddpg.report_page.axes import Tick
from ddpg.training.policy import Policy

EVERY = 4  # points of the plan, one is a pixel
ACROSS, UPWARDS = THETAS // EVERY, SPEEDS // EVERY + 1


@dataclass(frozen=True)
class Plane:
    """All states of an environment: their two numbers, `low` to `high`, and the observation [b, *obs] of each."""

    names: tuple[str, str]
    low: tuple[float, float]
    high: tuple[float, float]
    across: tuple[Tick, ...]
    upwards: tuple[Tick, ...]
    unit: str  # of the action
    observe: Callable[[np.ndarray, np.ndarray], np.ndarray]
    periodic: bool = False  # whether the first number comes back to where it began

    def states(self) -> tuple[np.ndarray, np.ndarray]:
        """Both numbers at every pixel, [ACROSS * UPWARDS] each, the second one changing first."""
        x = np.linspace(self.low[0], self.high[0], ACROSS, endpoint=not self.periodic)
        y = np.linspace(self.low[1], self.high[1], UPWARDS)
        one, other = np.meshgrid(x, y, indexing="ij")
        return one.ravel(), other.ravel()


PLANES = {
    "Pendulum-v1": Plane(
        ("θ", "θ̇"),
        (-pi, -8.0),
        (pi, 8.0),
        (Tick(0, "−π"), Tick(0.5, "0"), Tick(1, "π")),
        (Tick(0, "−8"), Tick(0.5, "0"), Tick(1, "8")),
        "N m",
        lambda theta, speed: np.stack([np.cos(theta), np.sin(theta), speed], axis=-1),
        periodic=True,
    ),
    "MountainCarContinuous-v0": Plane(
        ("x", "ẋ"),
        (-1.2, -0.07),
        (0.6, 0.07),
        (Tick(0, "−1.2"), Tick(2 / 3, "0"), Tick(1, "0.6")),
        (Tick(0, "−0.07"), Tick(0.5, "0"), Tick(1, "0.07")),
        "",
        lambda position, velocity: np.stack([position, velocity], axis=-1),
    ),
}


class Surface(NamedTuple):
    """Over the pixels of a plane, NaN where a network answers so: Q in discounted reward, mu in the action's units."""

    step: int | None  # None is the best there can be
    value: Float[np.ndarray, "x y"]
    action: Float[np.ndarray, "x y"]


def plane_of(config: Config) -> Plane | None:
    """The plane of a run's states, if it has two numbers and the agent observes them, not pictures."""
    return None if config.pixels.kind != "own" else PLANES.get(split_id(config.env)[1])


def surface(policy: Policy, plane: Plane, config: Config, step: int) -> Surface | None:
    """What the networks of a moment answer; the first of several critics, as in the log. None if they see more."""
    obs = plane.observe(*plane.states()).astype(np.float32)
    if policy.spec.obs_shape != obs.shape[1:] or policy.spec.action_dim != 1:
        return None
    normalised = normalise(jnp.asarray(obs), policy.greedy.stats)
    action = policy.nets.mu(normalised)
    q = config.agent.value.mean(policy.nets.q(normalised, action))[0]
    shape = (ACROSS, UPWARDS)
    units = np.asarray(policy.spec.to_units(np.asarray(action)), float)
    return Surface(step, np.asarray(q, float).reshape(shape) / config.reward_scale, units.reshape(shape))


def best_surface(config: Config) -> Surface | None:
    """The best value and action of Pendulum as Gymnasium has it; None for anything else.

    Where a critic learns scaled rewards of an unknown scale there is nothing to compare either.
    """
    unchanged = not config.env_args and config.action_repeat == 1 and not config.agent.value.scales_returns
    if split_id(config.env)[1] != "Pendulum-v1" or not unchanged:
        return None
    plan = pendulum_plan(config.gamma)
    return Surface(None, plan.value[::EVERY, ::EVERY], 2.0 * plan.action[::EVERY, ::EVERY])


def limits(surfaces: list[Surface]) -> tuple[float, float]:
    """The lowest and the highest Q of the colours: of the last policy and the best one, since earlier ones may err."""
    shown = np.concatenate([each.value.ravel() for each in surfaces if each.step is None] or [np.zeros(0)])
    last = max((each for each in surfaces if each.step is not None), key=lambda each: each.step or 0)
    shown = np.concatenate([shown, last.value.ravel()])
    shown = shown[np.isfinite(shown)]
    return (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)


def picture(numbers: Float[np.ndarray, "x y"], low: float, high: float, colours: str) -> bytes:
    """A PNG of one pixel per number, in matplotlib's colours of that name; NaN is the lowest colour."""
    share = np.nan_to_num((numbers - low) / (high - low if high > low else 1.0), nan=0.0, posinf=1.0, neginf=0.0)
    index = np.round(255 * share.clip(0, 1)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(index.T[::-1]))
    image.putpalette(_palette(colours).ravel().tolist())
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def ramp(colours: str) -> bytes:
    """A PNG of the colours from the lowest to the highest."""
    return picture(np.linspace(0, 1, 256)[:, None], 0.0, 1.0, colours)


def _palette(colours: str) -> np.ndarray:
    from matplotlib import colormaps

    return np.round(255 * colormaps[colours](np.arange(256))[:, :3]).astype(np.uint8)
