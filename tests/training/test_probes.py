"""Every probe environment is learned by every kind of agent; a failure names the part that is broken.

All probes are one program: which of them is played is an argument of it, so an agent is compiled once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jaxtyping import Float

from ddpg.algorithm.agent import DPG, Nets
from ddpg.algorithm.nets import Network, Normal
from ddpg.algorithm.noise import Exponential, Gaussian, OrnsteinUhlenbeck, Smoothing
from ddpg.envs.base import Vector
from ddpg.envs.probes import (
    ACTION,
    CONSTANT_VALUE,
    DEPENDS_ON_OBS,
    DISCOUNT,
    POLICY,
    PROBES,
    SPEC,
    TIME_LIMIT,
    Probe,
    ProbeState,
)
from ddpg.experience.replay import Replay
from ddpg.training.loop import Loop
from ddpg.types import Key, Spec

GAMMA, SEEDS = 0.6, 2

# What the presets are made of, in small: initialisation, exploration, where the action enters, decay, critics.
AGENTS = {
    "ddpg": DPG(
        actor=Network(widths=(16,), lr=5e-3),
        critic=Network(widths=(16, 16), activation="tanh", lr=1e-2),
        exploration=Gaussian(sigma=0.3),
        tau=0.05,
    ),
    "article": DPG(
        actor=Network(widths=(16,), init=Normal(), lr=5e-3),
        critic=Network(widths=(16, 16), activation="tanh", init=Normal(), lr=1e-2),
        exploration=Gaussian(sigma=1.0, schedule=Exponential(rate=0.9995, begin=1000, final=0.2)),
        tau=0.05,
    ),
    "lillicrap, two critics": DPG(
        actor=Network(widths=(16,), final_init=3e-3, lr=5e-3),
        critic=Network(widths=(16, 16), activation="tanh", final_init=3e-3, action_layer=1, lr=1e-2, l2=1e-5),
        critics=2,
        exploration=OrnsteinUhlenbeck(theta=0.15, sigma=0.2),
        tau=0.05,
    ),
    "td3": DPG(
        actor=Network(widths=(16,), lr=5e-3),
        critic=Network(widths=(16, 16), activation="tanh", lr=1e-2),
        critics=2,
        smoothing=Smoothing(sigma=0.1, clip=0.2),
        delay=2,
        exploration=Gaussian(sigma=0.3),
        tau=0.1,
    ),
}

# What must come out: {observation: value}, {observation: action}.
SOLUTIONS: dict[Probe, tuple[dict[float, float], dict[float, float]]] = {
    CONSTANT_VALUE: ({0.0: 1.0}, {}),
    DEPENDS_ON_OBS: ({-1.0: -1.0, 1.0: 1.0}, {}),
    DISCOUNT: ({0.0: GAMMA, 0.5: 1.0}, {}),
    TIME_LIMIT: ({0.0: 1 / (1 - GAMMA)}, {}),
    ACTION: ({0.0: 1.0}, {0.0: 0.5}),
    POLICY: ({-1.0: 1.0, 1.0: 1.0}, {-1.0: -0.5, 1.0: 0.5}),
}


def test_every_probe_has_its_solution() -> None:
    assert tuple(SOLUTIONS) == PROBES


@dataclass(frozen=True)
class Choice:
    """The probe of this index, known only when the program runs."""

    which: Array
    id: str = "choice"
    spec: Spec = SPEC
    max_episode_steps: int = max(probe.length for probe in PROBES)

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        return jax.lax.switch(self.which, [probe.reset for probe in PROBES], key)

    def step(self, state: ProbeState, action: Float[Array, "1"]) -> tuple[ProbeState, Array, Array, Array, Array]:
        steps: list[Callable[..., Any]] = [_strongly_typed(probe) for probe in PROBES]
        return jax.lax.switch(self.which, steps, state, action)


def _strongly_typed(probe: Probe) -> Callable[..., Any]:
    return lambda *x: jax.tree.map(jnp.asarray, probe.step(*x))


@cache
def program(kind: str) -> Callable[[int], Nets]:
    """Index of a probe -> the networks that seeds 0 and 1 learn on it, leaves [SEEDS, ...]."""

    def learn(which: Array, key: Key) -> Nets:
        loop = Loop(AGENTS[kind], Replay(capacity=4000, batch=32), Vector(Choice(which), 4), GAMMA, 4, 4, warmup=1000)
        return loop.chunk(loop.init(key), jnp.int32(0), 600, True)[0].agent.online

    keys = jnp.stack([jax.random.key(seed) for seed in range(SEEDS)])
    compiled = jax.jit(lambda which: jax.lax.map(lambda key: learn(which, key), keys))
    return lambda which: jax.device_get(compiled(jnp.int32(which)))


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.id)
@pytest.mark.parametrize("kind", AGENTS)
def test_probe_is_learned(kind: str, probe: Probe) -> None:
    learned = program(kind)(PROBES.index(probe))
    values, actions = SOLUTIONS[probe]
    for seed in range(SEEDS):
        nets: Nets = jax.tree.map(lambda x, seed=seed: x[seed], learned)
        obs = jnp.array(list(values))[:, None]
        action = nets.actor(obs)
        for member in nets.critic(obs, action)[..., 0]:
            np.testing.assert_allclose(member, list(values.values()), atol=0.1, err_msg=f"values, seed {seed}")
        found = dict(zip(values, np.asarray(action)[:, 0], strict=True))
        for s, best in actions.items():
            assert abs(found[s] - best) < 0.1, f"mu({s}) = {found[s]}, best {best}, seed {seed}"


def play(probe: Probe, key: Key, action: float) -> tuple[list[float], list[float], bool, bool]:
    """One episode of a held action: (observations, rewards, terminated, truncated)."""
    state, obs = probe.reset(key)
    seen, rewards, terminated, truncated = [float(obs[0])], [], False, False
    for _ in range(probe.max_episode_steps):
        state, obs, reward, terminated, truncated = probe.step(state, jnp.array([action]))
        seen.append(float(obs[0]))
        rewards.append(float(reward))
    return seen, rewards, bool(terminated), bool(truncated)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.id)
def test_probes_are_right_themselves(probe: Probe) -> None:
    values, actions = SOLUTIONS[probe]
    first_seen = set()
    for seed in range(6):
        start = float(probe.reset(jax.random.key(seed))[1][0])
        first_seen.add(start)
        best = actions.get(start, 0.3)
        seen, rewards, terminated, truncated = play(probe, jax.random.key(seed), best)
        assert (terminated, truncated) == (probe.ends, not probe.ends)
        # The value of the observation before the last is what follows it, and so on back to the start.
        value = 0.0 if terminated else values[seen[-1]]
        for s, reward in zip(reversed(seen[:-1]), reversed(rewards), strict=True):
            value = reward + GAMMA * value
            assert value == pytest.approx(values[s])
        if actions:
            for other in (best - 0.2, best + 0.2, -1.0, 1.0):
                assert sum(play(probe, jax.random.key(seed), other)[1]) < sum(rewards)
    assert first_seen == (set(values) if probe is not DISCOUNT else {0.0}), "both observations were met"
