"""The learner: what the update gets, and what changes with the targets."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.sale import Sale
from ddpg.algorithm.values import Categorical
from ddpg.config.config import CollectionConfig, Config
from ddpg.envs.pendulum import Pendulum
from ddpg.experience.replay import Replay
from ddpg.training.backend import learner_for
from ddpg.training.driver import Learned
from ddpg.training.learner import Learner, LearnerState
from ddpg.types import Row, Spec

NETWORK = NetworkConfig(widths=(4,))
CONFIG = Config(
    agent=DPG(actor=NETWORK, critic=NETWORK, value=Categorical(atoms=11), tau=1.0, target_period=3),
    replay=Replay(capacity=100, batch=4),
    collect=CollectionConfig(steps=4, updates=1, warmup=8),
)


def block_of(learner: Learner, reward: float) -> Row:
    block = learner.empty_block(jnp.zeros((1, 3)))
    return block._replace(reward=jnp.full_like(block.reward, reward), boundary=jnp.zeros_like(block.boundary))


def scales(state: LearnerState) -> tuple[float, float, float]:
    assert state.return_scale is not None
    newest, now, of_targets = (state.return_scale.newest_scale, *state.return_scale[-2:])
    return float(newest), float(now), float(of_targets)


def target_of(state: LearnerState) -> np.ndarray:
    return np.asarray(state.agent.target.critic.layers[-1].bias)


def test_the_scale_changes_with_the_targets() -> None:
    learner = learner_for(CONFIG, Pendulum().spec)
    learn = jax.jit(
        lambda state, block, index, key, learning: learner.learn(
            state, block, index, learner.randomness(key, index), learning
        )[0],
        static_argnums=4,
    )
    state, key = jax.jit(learner.init)(jax.random.key(0), block_of(learner, 1.0)), jax.random.key(0)
    moves = 0
    for t in range(12):
        learning, before = t >= 3, state
        state = learn(state, block_of(learner, 1.0 + t), jnp.int32(t), key, learning)
        (newest, now, of_targets), (_, now_before, _) = scales(state), scales(before)
        if not learning:
            assert now == of_targets == newest
        elif (target_of(state) != target_of(before)).any():
            moves += 1
            assert (now, of_targets) == (newest, now_before)
            assert now < now_before, "returns have grown"
        else:
            assert scales(state)[1:] == scales(before)[1:]
            assert newest < now
    assert moves == 3


def test_the_critic_of_a_kept_policy_keeps_its_scale() -> None:
    """What it says of returns is in the unit in which it learned, however large they have become since."""
    learner = learner_for(replace(CONFIG, collect=replace(CONFIG.collect, assess=1)), Pendulum().spec)
    learn = jax.jit(
        lambda state, block, t, learning: learner.learn(state, block, t, learner.randomness(state.key, t), learning)[0],
        static_argnums=3,
    )
    good, bad = (block_of(learner, reward) for reward in (1.0, -100.0))
    good, bad = (block._replace(truncated=block.truncated.at[-1].set(True)) for block in (good, bad))

    def learned_of(state: LearnerState) -> Learned:
        return Learned.of(jax.tree.map(lambda x: x[None], state))

    state = learn(jax.jit(learner.init)(jax.random.key(0), good), good, jnp.int32(0), False)
    assert learned_of(state).reward_scales(1.0).item() == scales(state)[1] != 1, "before any is assessed"
    for t, block in enumerate([good] * 3 + [bad] * 30, start=1):
        state = learn(state, block, jnp.int32(t), True)
    assert state.assessed is not None
    assert float(state.assessed.best_score) == 4.0
    _, now, of_targets = scales(state)
    learned = learned_of(state)
    assert learned.reward_scales_of_updates(1.0).item() == now
    assert learned.reward_scales(1.0).item() > 10 * now
    assert learned.reward_scales_of_targets(1.0).item() == pytest.approx(of_targets)
    newest, kept = (nets.critic.layers[-1].bias for nets in (state.agent.online, learned.online))
    assert not np.array_equal(newest, kept[0])


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("encoder", [None, Sale(size=4, widths=(4,))])
def test_bytes_with_returns_of_several_steps(encoder: Sale | None, normalise: bool) -> None:
    spec = Spec((5,), (-1.0,), (1.0,), obs_dtype="uint8")
    agent = DPG(actor=NETWORK, critic=NETWORK) if encoder is None else DPG(encoder, NETWORK, NETWORK)
    config = replace(CONFIG, agent=agent, normalise=normalise, replay=Replay(capacity=100, batch=4, n_step=3))
    learner, key, index = learner_for(config, spec), jax.random.key(0), jnp.int32(9)
    block = learner.empty_block(jnp.full((1, 5), 200, jnp.uint8))

    @jax.jit
    def learn(key: jax.Array, block: Row) -> Any:
        state = learner.store(learner.init(key, block), block._replace(boundary=jnp.zeros_like(block.boundary)))
        return learner.learn(state, block, index, learner.randomness(key, index), learning=True)

    after, metrics = learn(key, block)
    assert metrics is not None
    assert np.isfinite(metrics.critic_loss).all()
    assert (after.agent.encoder_training is None) == (encoder is None)
