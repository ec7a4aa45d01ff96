"""Whole episodes, played side by side."""

import jax.numpy as jnp
import numpy as np

from ddpg.envs.episodes import play, starts
from tests.worlds import Cart


def test_an_episode_stops_counting_at_its_end() -> None:
    env = Cart()
    begin = starts(env, 30, seed=3)
    played = play(env, lambda obs: jnp.sign(obs[:, :1]), begin, gamma=0.5)
    ended = 0
    for i, x in enumerate(np.asarray(begin[1])[:, 0].astype(float)):
        total = discounted = 0.0
        discount, terminated = 1.0, False
        for _ in range(7):
            action = np.sign(x)
            reward, x = x - 2 * action, x / 2 + action
            total, discounted, discount = total + reward, discounted + discount * reward, discount / 2
            if terminated := abs(x) > 1.2:
                break
        ended += terminated
        np.testing.assert_allclose(played.returns[i], total, rtol=1e-5)
        np.testing.assert_allclose(played.discounted[i], discounted, rtol=1e-5)
        np.testing.assert_allclose(played.tail[i], 0 if terminated else discount, rtol=1e-5)
        np.testing.assert_allclose(played.last[i, 0], x, rtol=1e-5)
    assert ended > 0


def test_the_starts_depend_on_their_seed_alone() -> None:
    one, other = starts(Cart(), 5), starts(Cart(), 5, seed=1)
    np.testing.assert_array_equal(one[1], starts(Cart(), 5)[1])
    assert (np.asarray(one[1]) != np.asarray(other[1])).any()
