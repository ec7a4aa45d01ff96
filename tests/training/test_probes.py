"""Every probe environment is learned by every kind of agent; a failure names the part that is broken.

All probes are one program: which of them is played is an argument of it, so an agent is compiled once. Parts are tried
in pairs: a few agents are chosen so that every two alternatives of different parts are in one of them together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jaxtyping import Float

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.exploration import Gaussian, OrnsteinUhlenbeck, PerEnvGaussian
from ddpg.algorithm.initialisers import Normal
from ddpg.algorithm.nets import Nets
from ddpg.algorithm.networks import NetworkConfig, Plain, Residual
from ddpg.algorithm.normaliser import normalise
from ddpg.algorithm.parameter_noise import ParameterNoise
from ddpg.algorithm.pink_noise import Pink
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import Categorical, Scalar
from ddpg.config.config import CollectionConfig, Config
from ddpg.config.config import check as check_parts
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
from ddpg.experience.sampling import Prioritised, Uniform
from ddpg.schedules import Constant, Exponential, Linear
from ddpg.training.backend import loop_for
from ddpg.types import Key, Spec
from tests.training.pairs import covering

GAMMA, SEEDS = 0.6, 2

# What the presets are made of, in small: initialisation, exploration, where the action enters, decay, critics.
AGENTS = {
    "ddpg": DPG(
        actor=NetworkConfig(widths=(16,), lr=5e-3),
        critic=NetworkConfig(widths=(16, 16), activation="tanh", lr=1e-2),
        exploration=Gaussian(sigma=0.3),
        tau=0.05,
    ),
    "article": DPG(
        actor=NetworkConfig(widths=(16,), init=Normal(), lr=5e-3),
        critic=NetworkConfig(widths=(16, 16), activation="tanh", init=Normal(), lr=1e-2),
        exploration=Gaussian(sigma=1.0, schedule=Exponential(rate=0.9995, begin=1000, final=0.2)),
        tau=0.05,
    ),
    "lillicrap, two critics": DPG(
        actor=NetworkConfig(widths=(16,), final_init=3e-3, lr=5e-3),
        critic=NetworkConfig(widths=(16, 16), activation="tanh", final_init=3e-3, action_layer=1, lr=1e-2, l2=1e-5),
        critics=2,
        exploration=OrnsteinUhlenbeck(theta=0.15, sigma=0.2),
        tau=0.05,
    ),
    "td3": DPG(
        actor=NetworkConfig(widths=(16,), lr=5e-3),
        critic=NetworkConfig(widths=(16, 16), activation="tanh", lr=1e-2),
        critics=2,
        smoothing=TargetSmoothing(sigma=0.1, clip=0.2),
        policy_delay=2,
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


Learned = tuple[Nets, Any, Any]  # networks, statistics of observations, and what returns were scaled by


def learner(config: Config, iterations: int = 600) -> Callable[[int], Learned]:
    """Index of a probe -> what seeds 0 and 1 learn on it with this configuration, leaves [SEEDS, ...]."""

    def learn(which: Array, key: Key) -> Learned:
        of_probe = loop_for(config, Choice(which))
        zero, n = jnp.int32(0), jnp.int32(iterations)
        state = of_probe.chunk(of_probe.init(key), zero, n, iterations, True)[0].learner
        return state.agent.online, state.stats, state.return_scale

    keys = jnp.stack([jax.random.key(seed) for seed in range(SEEDS)])
    compiled = jax.jit(lambda which: jax.lax.map(lambda key: learn(which, key), keys))
    return lambda which: jax.device_get(compiled(jnp.int32(which)))


CONFIG = Config(
    gamma=GAMMA,
    replay=Replay(capacity=4000, batch=32),
    collect=CollectionConfig(steps=4, envs=4, updates=4, warmup=1000),
)


@cache
def program(kind: str) -> Callable[[int], Learned]:
    return learner(replace(CONFIG, agent=AGENTS[kind]))


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.id)
@pytest.mark.parametrize("kind", AGENTS)
def test_probe_is_learned(kind: str, probe: Probe) -> None:
    check(AGENTS[kind], program(kind)(PROBES.index(probe)), probe, kind)


def check(agent: DPG, learned: Learned, probe: Probe, name: str, atol: float = 0.1) -> None:
    values, actions = SOLUTIONS[probe]
    for seed in range(SEEDS):
        (nets, stats, earned) = jax.tree.map(lambda x, seed=seed: jnp.asarray(x[seed]), learned)
        obs = normalise(jnp.array(list(values))[:, None], stats)
        action = nets.mu(obs)
        scale = 1 if earned is None else earned.scale
        for member in agent.value.mean(nets.q(obs, action)) / scale:
            said = f"values on {probe.id}, seed {seed}, {name}"
            np.testing.assert_allclose(member, list(values.values()), atol=atol, err_msg=said)
        found = dict(zip(values, np.asarray(action)[:, 0], strict=True))
        for s, best in actions.items():
            assert abs(found[s] - best) < atol, f"mu({s}) = {found[s]}, best {best}, seed {seed}, {name}"


def layers(block: Plain | Residual, action_layer: Any = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Networks of such blocks: fields of the actor, and of the critic."""
    width = (32,) if isinstance(block, Residual) else (32, 32)
    return {"block": block}, {"block": block, "widths": width, "action_layer": action_layer}


SOFT = {"tau": 0.05}
FALLING = {"schedule": Linear(steps=8000, final=0.3)}
# Every part with its alternatives, the plain one first: fields of the agent, or of what is named before the dot.
PARTS: dict[str, dict[str, dict[str, Any]]] = {
    "critics": {
        "one": {},
        "two": {"critics": 2},
        "two, smallest": {"critics": 2, "actor_q": "min"},
        "three, mean": {"critics": 3, "actor_q": "mean"},
    },
    "policy_delay": {"none": {}, "2": {"policy_delay": 2}},
    "smoothing": {"none": {}, "0.1": {"smoothing": TargetSmoothing(sigma=0.1, clip=0.2)}},
    "value": {
        "squared": {},
        "huber": {"value": Scalar(huber=1.0)},
        "categorical": {"value": Categorical(atoms=21, low=-2.0, high=4.0)},
        "categorical, found": {"value": Categorical(atoms=21)},
    },
    "targets": {
        "soft": SOFT,
        "hard": {"tau": 1.0, "target_period": 20},
        "every update": {"tau": 0.05, "target_period": 1},
        "no target actor": SOFT | {"tau_actor": 1.0},
    },
    "networks": {
        "plain": {},
        "layer norm": dict(zip(("actor.", "critic."), layers(Plain(norm="layer")), strict=True)),
        "batch norm": dict(zip(("actor.", "critic."), layers(Plain(norm="batch"), 1), strict=True)),
        "residual": dict(zip(("actor.", "critic."), layers(Residual(expansion=2)), strict=True)),
    },
    "activation": {"tanh": {}, "elu": {"critic.": {"activation": "elu"}}},
    "optimiser": {
        "Adam": {},
        "AdamW": {"actor.": {"weight_decay": 1e-3}, "critic.": {"weight_decay": 1e-3}},
        "l2, falling": {"actor.": FALLING | {"l2": 1e-4}, "critic.": FALLING | {"l2": 1e-5}},
    },
    "noise": {
        "gaussian": {},
        "ou": {"exploration": OrnsteinUhlenbeck()},
        "pink": {"exploration": Pink(sigma=0.3)},
        "per_env": {"exploration": PerEnvGaussian(low=0.1, high=0.5)},
        "parameters": {"exploration": ParameterNoise(sigma=0.3, steps=16)},
    },
    "schedule": {"constant": {"schedule.": Constant()}, "falling": {"schedule.": Linear(steps=4000, final=0.5)}},
    "replay": {
        "uniform": {"sampling.": Uniform()},
        "prioritised": {"sampling.": Prioritised(anneal=5_000)},
        "loss-adjusted": {"sampling.": Prioritised(alpha=0.4, beta=0.0, anneal=0, floor=0.1)},
    },
    "return": {"one step": {"n_step.": 1}, "two": {"n_step.": 2}},
    "observations": {"as they are": {"normalise.": False}, "normalised": {"normalise.": True}},
    "updates": {"a quarter": {"updates.": 4}, "two": {"updates.": 32}},
}
NEVER = {("networks", "batch norm"): ("noise", "parameters")}  # refused by DPG.check
Chosen = dict[str, str]  # part -> alternative


# Which alternative of each part the combinations have: few with every pair of alternatives of two parts.
# `python -m tests.training.pairs` makes such a table of today's parts.
CHOSEN = {
    "critics": "031210312200000333331112200",
    "policy_delay": "100101101000011101111111010",
    "smoothing": "010110110010010000011111000",
    "value": "312030211320131022321002313",
    "targets": "021303122013211030323211201",
    "networks": "031223102121030203313010312",
    "activation": "111110000000100000001010111",
    "optimiser": "120012120021110200221201220",
    "noise": "340122013431042041320432041",
    "schedule": "100101100100100011001011011",
    "replay": "210021202112100021221000000",
    "return": "011011001011100111101101000",
    "observations": "101001010100001111000110110",
    "updates": "101001011000011101101010000",
}
PAIRS: list[Chosen] = [
    {part: list(PARTS[part])[int(number)] for part, number in zip(CHOSEN, row, strict=True)}
    for row in zip(*CHOSEN.values(), strict=True)
]


def assembled(chosen: Chosen) -> Config:
    fields: dict[str, Any] = {"actor.": {}, "critic.": {}, "tau": 0.05, "exploration": AGENTS["ddpg"].exploration}
    for part, name in chosen.items():
        for field, value in PARTS[part][name].items():
            fields[field] = fields[field] | value if field in ("actor.", "critic.") else value
    fields["exploration"] = replace(fields["exploration"], schedule=fields["schedule."])
    own = {name: value for name, value in fields.items() if not name.endswith(".")}
    agent = replace(
        AGENTS["ddpg"],
        actor=replace(NetworkConfig(widths=(16,), lr=5e-3), **fields["actor."]),
        # Wider than elsewhere: with 16 a critic of probabilities can stay flat where it is to bend.
        critic=replace(NetworkConfig(widths=(32, 32), activation="tanh", lr=5e-3), **fields["critic."]),
        **own,
    )
    check_parts(agent)
    replay = Replay(capacity=4000, batch=32, n_step=fields["n_step."], sampling=fields["sampling."])
    collect = replace(CONFIG.collect, updates=fields["updates."])
    return replace(CONFIG, agent=agent, replay=replay, collect=collect, normalise=fields["normalise."])


def test_every_pair_of_parts_is_tried() -> None:
    levels = [(part, name) for part, names in PARTS.items() for name in names]
    wanted = {frozenset(pair) for pair in combinations(levels, 2) if pair[0][0] != pair[1][0]}
    tried = {frozenset(pair) for row in PAIRS for pair in combinations(row.items(), 2)}
    assert wanted - tried == {frozenset(pair) for pair in NEVER.items()}
    assert all(row.keys() == PARTS.keys() for row in PAIRS)


def test_a_table_of_pairs_has_them_all_but_what_is_refused() -> None:
    parts = {"a": ["1", "2", "3"], "b": ["1", "2", "3"], "c": ["1", "2"]}
    rows = covering(parts, {("a", "3"): ("b", "1")})
    tried = {pair for row in rows for pair in combinations(sorted(row.items()), 2)}
    assert len(tried) == 9 + 6 + 6 - 1
    assert (("a", "3"), ("b", "1")) not in tried
    assert len(rows) <= 10  # 8 can be enough


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    PAIRS,
    ids=[f"pairs-{i}" for i in range(len(PAIRS))],
)
def test_parts_learn_every_probe_together(chosen: Chosen) -> None:
    config = assembled(chosen)
    # As many updates for all: those that make few of them per iteration have more iterations.
    learned = learner(config, 1000 if config.collect.updates == 4 else 250)
    for probe in PROBES:
        # Of what is always the same the deviation is 0, and batch normalisation would divide by it.
        if chosen["networks"] != "batch norm" or len(SOLUTIONS[probe][0]) > 1:
            check(config.agent, learned(PROBES.index(probe)), probe, str(chosen), atol=0.15)


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
