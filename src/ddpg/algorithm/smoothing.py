"""Target policy smoothing: noise on the target's action (TD3, section 5.3)."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ddpg.mistake import Mistake
from ddpg.ranges import NonNegative
from ddpg.schedules import Constant, Schedule, StepCount


@dataclass(frozen=True)
class TargetSmoothing:
    """N(0, sigma^2), clipped, on the target's action (Fujimoto et al. 2018, section 5.3); none if sigma is 0.

    `schedule` is of sigma over updates. With `actor` the actor's own action has such noise, too, where Q is asked for
    its gradient (DrQ-v2: Yarats et al. 2022, section 3.1).
    """

    sigma: NonNegative = 0.0
    clip: NonNegative = 0.5
    schedule: Schedule = Constant()
    actor: bool = False

    def check(self, path: str) -> None:
        """Noise on the actor's action needs a sigma."""
        if self.actor and not self.sigma:
            raise Mistake(f"{path}.actor true: {path}.sigma 0 is no noise; use --{path}.sigma 0.2")

    def __call__(
        self, action: Float[Array, "b m"], normal: Float[Array, "b m"], update: StepCount
    ) -> Float[Array, "b m"]:
        sigma = self.sigma if isinstance(self.schedule, Constant) else self.sigma * self.schedule(update)
        noise = jnp.clip(sigma * normal, -self.clip, self.clip)
        return jnp.clip(action + noise, -1.0, 1.0)
