"""The host driver learns what the scan driver learns."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import Array

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.exploration import OrnsteinUhlenbeck
from ddpg.algorithm.initialisers import Normal
from ddpg.algorithm.networks import NetworkConfig, Plain
from ddpg.algorithm.parameter_noise import ParameterNoise
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import Categorical
from ddpg.config.config import CollectionConfig, Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.python_vector import History, PythonStepResult
from ddpg.experience.replay import Replay
from ddpg.experience.ring import all_rows
from ddpg.experience.sampling import Prioritised
from ddpg.schedules import Linear
from ddpg.training.backend import loop_for
from ddpg.training.devices import gathered
from ddpg.training.host import Host
from ddpg.training.learner import LearnerState
from ddpg.training.loop import Loop
from ddpg.training.scan import Scan
from ddpg.types import Row
from tests.tiny import SMALL_TD7
from tests.worlds import Cart

AGENT = DPG(
    actor=NetworkConfig(widths=(8, 8), init=Normal()),
    critic=NetworkConfig(widths=(8, 8), l2=0.01),
    exploration=OrnsteinUhlenbeck(schedule=Linear(steps=100)),
)
CONFIG = Config(
    agent=AGENT,
    replay=Replay(capacity=1000, batch=8, n_step=2),
    gamma=0.9,
    collect=CollectionConfig(steps=5, envs=2, updates=3, warmup=30),
)
PARTS = replace(
    CONFIG,
    agent=DPG(
        actor=NetworkConfig(widths=(8, 8), block=Plain(norm="layer")),
        critic=NetworkConfig(widths=(8, 8), block=Plain(norm="layer")),
        critics=2,
        actor_q="min",
        value=Categorical(atoms=5),
        exploration=ParameterNoise(sigma=0.3),
        smoothing=TargetSmoothing(sigma=0.2),
        policy_delay=2,
        target_period=3,
    ),
    replay=Replay(capacity=1000, batch=8, n_step=2, sampling=Prioritised(anneal=50)),
    normalise=True,
    collect=replace(CONFIG.collect, updates=4),  # the actor moves as often in each: a host's report is a mean of means
)
ASSESSED = override(
    replace(
        CONFIG, agent=PRESETS["td7"].agent, collect=replace(CONFIG.collect, steps=11, updates=4, warmup=66, assess=1)
    ),
    SMALL_TD7 | {"replay.n_step": 1, "actor.widths": 8, "critic.widths": 8, "replay.sampling": "prioritised"},
)


class Compiled:
    """The loop's own environments as a host has them, in the very episodes that the scan driver draws."""

    why_cut = ""

    def __init__(self, loop: Loop, keys: Array) -> None:
        self.loop, self.keys, self.steps = loop, keys, 0
        self.fresh = jax.jit(jax.vmap(loop.collector.fresh, in_axes=(0, None)))
        self.move = jax.jit(jax.vmap(loop.collector.vector.step))

    def reset(self) -> np.ndarray:
        start = jax.jit(jax.vmap(self.loop.init))(self.keys)
        self.state, self.boundary = start.env.env, np.asarray(start.env.boundary)
        return np.asarray(start.env.obs)

    def step(self, action: np.ndarray) -> PythonStepResult:
        t, k = divmod(self.steps, self.loop.learner.steps)
        fresh = jax.tree.map(lambda x: x[:, k], self.fresh(self.keys, jnp.int32(t)))
        self.state, said = self.move(self.state, jnp.asarray(action), jnp.asarray(self.boundary), fresh)
        self.steps += 1
        self.boundary = np.asarray(said.terminated | said.truncated)
        return PythonStepResult(*map(np.asarray, said))

    def history(self) -> History:
        """Unknown, and not needed but to go on elsewhere."""
        none = np.zeros(0, np.int64)
        return History(none, none, none, np.zeros((0, 1), np.float32))

    def lent(self) -> list[CheckedEnv]:
        raise NotImplementedError

    def truncate(self, mask: np.ndarray) -> None:
        self.boundary = self.boundary | mask

    def replay_history(self, history: History, obs: np.ndarray, done: np.ndarray) -> PythonStepResult:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


def stored(host: Host) -> tuple[LearnerState, Row]:
    """What a host has of every seed: the learner with its ring, and the block not yet stored."""
    states, blocks = vars(host)["_states"], vars(host)["_blocks"]
    whole = [(state._replace(key=None), block) for state, block in zip(states, blocks, strict=True)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *whole)


# A shift between two batch normalisations changes nothing; its gradient is rounding, of which Adam makes whole steps.
WITHOUT_EFFECT = "layers[0].before.shift"


def close(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        if not (name := jax.tree_util.keystr(path)).endswith(WITHOUT_EFFECT):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)


def of_preset(name: str) -> Config:
    """Its parts, in small."""
    small = {"actor.widths": (8, 8), "critic.widths": (8, 8), "replay.capacity": 1000, "replay.batch": 8}
    config = override(PRESETS[name], small | {"collect.steps": 1})
    return replace(config, collect=replace(CONFIG.collect, updates=4))


@pytest.mark.usefixtures("one_device")
@pytest.mark.parametrize(
    "config",
    [
        *(pytest.param(of_preset(name), marks=pytest.mark.slow, id=name) for name in PRESETS if name != "her"),
        pytest.param(CONFIG, marks=pytest.mark.slow, id="two steps"),
        pytest.param(replace(CONFIG, normalise=True), marks=pytest.mark.slow, id="normalised"),
        pytest.param(PARTS, id="parts"),
        pytest.param(ASSESSED, marks=pytest.mark.slow, id="assessed"),
    ],
)
def test_it_learns_what_the_scan_driver_learns(config: Config) -> None:
    loop = loop_for(config, Cart())
    keys = jnp.stack([jax.random.key(seed) for seed in (5, 6, 7, 8)])
    scan, host = Scan(loop), Host(loop.learner, loop.collector.behaviour, Compiled(loop, keys))
    done = 0
    for driver in (scan, host):
        driver.start(keys)
    for iterations, learning in ((6, False), (6, True), (6, True)):
        said, heard = (
            driver.compile(longest=iterations, learning=learning)(np.int32(done), iterations) for driver in (scan, host)
        )
        done += iterations
        assert heard.episodes.shape == said.episodes.shape == (iterations, len(keys))
        close(heard, said)
        learner, block = gathered([(s.learner._replace(key=None), s.block) for s in vars(scan)["_states"]])
        close(stored(host), (learner, block))
        close(host.read(), scan.read())
        assert (said.episodes.sum(axis=0) > 0).all()
    ring = jax.tree.map(lambda x: jnp.asarray(x[0]), learner.ring)
    rows = all_rows(ring, loop.learner.spec)
    assert np.asarray(rows.terminated).any()
    assert np.asarray(rows.truncated & ~rows.terminated).any()
    assert optax.tree_utils.tree_get(learner.agent.critic_opt, "count").tolist() == [12 * loop.learner.updates] * 4
