"""Pendulum beside Gymnasium's, and its optimum beside policies that must not beat it."""

import importlib.util
import sys
from collections.abc import Callable
from math import pi
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.typing import ArrayLike
from scipy import stats

from ddpg.envs.pendulum import Pendulum, PendulumState, optimum_table

ENV = Pendulum()
EPISODES, STEPS = 20, 200
Policy = Callable[[jax.Array, jax.Array], jax.Array]  # theta, theta_dot -> action in [-1, 1]


@pytest.fixture(scope="module")
def gym_env() -> Any:
    env = gymnasium.make("Pendulum-v1", disable_env_checker=True)  # the checker objects to torques beyond the bounds
    yield env
    env.close()


@pytest.fixture(scope="module")
def recorded(gym_env: Any) -> dict[str, np.ndarray]:
    """Gymnasium's side: 20 episodes of random torques, started within and beyond the reset range, in float64."""
    rng = np.random.default_rng(0)
    out: dict[str, list[Any]] = {name: [] for name in ("state", "action", "obs", "reward", "terminated", "truncated")}
    for episode in range(EPISODES):
        gym_env.reset(seed=episode)
        # Every other one is wound up, and as fast as can be.
        gym_env.unwrapped.state = rng.uniform(-1, 1, 2) * ([pi, 1] if episode % 2 else [20, 8])
        actions = np.repeat(rng.uniform(-1.3, 1.3, STEPS), rng.integers(1, 9))[:STEPS]  # held, so that it swings wide
        for action in actions.astype(np.float32):
            out["state"].append(gym_env.unwrapped.state)
            obs, reward, terminated, truncated, _ = gym_env.step(np.array([2 * action], np.float64))
            for name, x in zip(("action", "obs", "reward", "terminated", "truncated"),
                               ([action], obs, reward, terminated, truncated), strict=True):  # fmt: skip
                out[name].append(x)
    return {name: np.stack(x).reshape(EPISODES, STEPS, *np.shape(x[0])) for name, x in out.items()}


@jax.jit
def replay(theta: jax.Array, theta_dot: jax.Array, actions: jax.Array) -> Any:
    """Our side: one episode of given actions."""
    start = PendulumState(theta, theta_dot, jnp.zeros((), jnp.int32))

    def step(state: PendulumState, action: jax.Array) -> Any:
        state, *rest = ENV.step(state, action)
        return state, rest

    return jax.lax.scan(step, start, actions)[1]


def test_every_step_equals_gymnasium(recorded: dict[str, np.ndarray]) -> None:
    theta, theta_dot = np.float32(recorded["state"]).reshape(-1, 2).T
    state = PendulumState(jnp.array(theta), jnp.array(theta_dot), jnp.zeros(theta.shape, jnp.int32))
    _, obs, reward, *_ = jax.jit(jax.vmap(ENV.step))(state, recorded["action"].reshape(-1, 1))
    assert np.abs(recorded["state"][..., 1]).max() == 8.0, "no episode reached the speed limit"
    assert np.abs(recorded["state"][..., 0]).max() > 2 * pi, "no episode wound up"
    np.testing.assert_allclose(obs, recorded["obs"].reshape(-1, 3), atol=1e-5)
    np.testing.assert_allclose(reward, recorded["reward"].reshape(-1), atol=5e-5)


def test_whole_episodes_equal_gymnasium(recorded: dict[str, np.ndarray]) -> None:
    # In float64 like theirs: in float32 the rounding of the first steps grows to 0.02 along some episodes.
    with jax.enable_x64(True):
        first = recorded["state"][:, 0]
        episodes = jax.vmap(replay)(first[:, 0], first[:, 1], np.float64(recorded["action"]))
        obs, reward, terminated, truncated = jax.device_get(episodes)
    np.testing.assert_allclose(obs, recorded["obs"], atol=1e-6)  # they round their observations to float32
    np.testing.assert_allclose(reward, recorded["reward"], atol=1e-6)
    np.testing.assert_array_equal(terminated, recorded["terminated"])
    np.testing.assert_array_equal(truncated, recorded["truncated"])
    assert not terminated.any()
    assert np.flatnonzero(truncated[0]).tolist() == [199]


def test_shapes_and_types() -> None:
    state, obs = ENV.reset(jax.random.key(0))
    after, next_obs, reward, terminated, truncated = ENV.step(state, jnp.zeros(1))
    assert (obs.shape, obs.dtype) == (next_obs.shape, next_obs.dtype) == (ENV.spec.obs_shape, jnp.float32)
    assert (reward.shape, reward.dtype, terminated.dtype, truncated.dtype) == ((), jnp.float32, bool, bool)
    assert [(x.shape, x.dtype) for x in state] == [(x.shape, x.dtype) for x in after]  # a carry of lax.scan
    np.testing.assert_allclose(obs, [np.cos(state.theta), np.sin(state.theta), state.theta_dot], atol=1e-6)


def test_spec_is_gymnasiums(gym_env: Any) -> None:
    assert gym_env.spec.id == ENV.id
    assert gym_env.spec.max_episode_steps == ENV.max_episode_steps
    assert gym_env.observation_space.shape == ENV.spec.obs_shape
    assert (tuple(gym_env.action_space.low), tuple(gym_env.action_space.high)) == (
        ENV.spec.action_low,
        ENV.spec.action_high,
    )


@pytest.fixture(scope="module")
def starts() -> PendulumState:
    return jax.device_get(jax.jit(jax.vmap(ENV.reset))(jax.random.split(jax.random.key(1), 4000))[0])


def test_resets_are_distributed_like_gymnasiums(gym_env: Any, starts: PendulumState) -> None:
    theirs = np.array([(gym_env.reset(seed=seed), gym_env.unwrapped.state)[1] for seed in range(2000)])
    for ours, theirs_, bound in ((starts.theta, theirs[:, 0], pi), (starts.theta_dot, theirs[:, 1], 1.0)):
        assert np.abs(ours).max() <= np.float32(bound)
        assert stats.kstest(ours, theirs_).pvalue > 0.01
        assert stats.kstest(ours, stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01
    assert abs(np.corrcoef(starts.theta, starts.theta_dot)[0, 1]) < 0.05
    assert not starts.t.any()


def energy_controller(theta: jax.Array, theta_dot: jax.Array) -> jax.Array:
    """Astrom and Furuta (2000): pump energy towards that of the upright rest; near it, proportional-derivative."""
    theta = jnp.arctan2(jnp.sin(theta), jnp.cos(theta))
    lacking = 15.0 * (1.0 - jnp.cos(theta)) - 0.5 * theta_dot**2  # per unit of inertia
    catch = -(10.0 * theta + 2.5 * theta_dot) / 2.0
    pump = jnp.where(theta_dot < 0, -1.0, 1.0) * lacking
    return jnp.clip(jnp.where(jnp.abs(theta + theta_dot / 3.9) < 0.4, catch, pump), -1.0, 1.0)


def random_policy(theta: jax.Array, theta_dot: jax.Array) -> jax.Array:
    return jnp.sin(1e4 * theta + 1e4 * theta_dot)  # a hash of the state


def reach(policy: Policy, theta: ArrayLike, theta_dot: ArrayLike) -> np.ndarray:
    """The undiscounted returns of whole episodes."""

    def step(state: PendulumState, _: Any) -> tuple[PendulumState, jax.Array]:
        action = policy(state.theta, state.theta_dot)
        state, _, reward, _, _ = jax.vmap(ENV.step)(state, action[:, None])
        return state, reward

    start = PendulumState(jnp.float32(theta), jnp.float32(theta_dot), jnp.zeros(np.shape(theta), jnp.int32))
    return np.asarray(jax.jit(lambda s: jax.lax.scan(step, s, None, ENV.max_episode_steps)[1].sum(0))(start))


@pytest.mark.parametrize("policy", [lambda theta, _: 0 * theta, random_policy, energy_controller])
def test_no_policy_beats_the_optimum(policy: Policy, starts: PendulumState) -> None:
    excess = reach(policy, starts.theta, starts.theta_dot) - ENV.optimum(starts.theta, starts.theta_dot)
    # Reading between the table's points errs by up to 80 where the optimum falls off a cliff, in 0.3 % of the starts.
    assert (excess > 0.1).mean() < 0.006
    assert np.maximum(excess, 0).mean() < 0.15


def test_no_controller_beats_the_table_at_its_own_points() -> None:
    table = optimum_table()
    i, j = np.random.default_rng(0).integers(0, table.shape, (20_000, 2)).T
    theta, theta_dot = -pi + 2 * pi * i / table.shape[0], j / (table.shape[1] - 1)
    np.testing.assert_allclose(ENV.optimum(theta, theta_dot), table[i, j], atol=1e-6)
    excess = reach(energy_controller, theta, theta_dot) - table[i, j]
    assert (excess > 0.05).mean() < 0.001
    assert np.maximum(excess, 0).mean() < 0.01


def test_energy_controller_comes_close_to_the_optimum(starts: PendulumState) -> None:
    gap = ENV.optimum(starts.theta, starts.theta_dot) - reach(energy_controller, starts.theta, starts.theta_dot)
    assert 0 < np.median(gap) < 2.5
    assert 10 < gap.mean() < 15  # it pumps once more than needed from a tenth of the starts


def test_mean_optimum(starts: PendulumState) -> None:
    draws = ENV.optimum(starts.theta, starts.theta_dot)
    assert draws.shape == (4000,)
    assert abs(draws.mean() + 137.1) < 4  # standard error 1.2
    theta, theta_dot = np.meshgrid(np.linspace(-pi, pi, 997), np.linspace(-1, 1, 41))
    assert abs(ENV.optimum(theta, theta_dot).mean() + 137.1) < 0.5


def test_optimum_is_periodic_and_symmetric(starts: PendulumState) -> None:
    theta, theta_dot = np.float64(starts.theta), np.float64(starts.theta_dot)
    # Off by rounding, times a slope of up to 1e5 at the cliffs.
    np.testing.assert_allclose(ENV.optimum(theta + 6 * pi, theta_dot), ENV.optimum(theta, theta_dot), atol=1e-6)
    np.testing.assert_allclose(ENV.optimum(-theta, -theta_dot), ENV.optimum(theta, theta_dot), atol=1e-6)
    np.testing.assert_allclose(ENV.optimum(0.0, 0.0), 0.0, atol=1e-2)
    np.testing.assert_allclose(ENV.optimum(pi, theta_dot), ENV.optimum(-pi, -theta_dot), atol=1e-6)


@pytest.mark.parametrize("theta_dot", [1.01, -8.0, np.nan])
def test_optimum_is_known_only_where_episodes_start(theta_dot: float) -> None:
    with pytest.raises(ValueError, match=rf"theta_dot = {theta_dot}.*\[-1, 1\]"):
        ENV.optimum(0.0, np.array([0.5, theta_dot]))


@pytest.fixture(scope="module")
def programming() -> ModuleType:
    """The benchmark that makes the table, and serves as oracle."""
    path = Path(__file__).parents[2] / "benchmarks" / "pendulum_optimum.py"
    spec = importlib.util.spec_from_file_location("pendulum_optimum", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def coarse(programming: ModuleType) -> Any:
    return programming.solve(160, 129, 11)


def test_coarse_dynamic_programming_agrees_with_the_table(
    programming: ModuleType, coarse: Any, starts: PendulumState
) -> None:
    theta, theta_dot = starts.theta[:500], starts.theta_dot[:500]
    table = ENV.optimum(theta, theta_dot)
    gap = table - programming.rollout(coarse, theta, theta_dot)
    assert gap.mean() < 4
    assert np.median(gap) < 0.2
    assert np.median(np.abs(coarse.value(theta, theta_dot, 0) - table)) < 1.5


def test_oracle_obeys_bellmans_equation(coarse: Any, starts: PendulumState) -> None:
    theta, theta_dot = starts.theta[:200], 8 * starts.theta_dot[:200]
    # The last step has no future: no torque (to the rounding of costs of up to 16), and the cost of the state alone.
    np.testing.assert_allclose(coarse.act(theta, theta_dot, 199), 0.0, atol=0.03)
    np.testing.assert_allclose(coarse.value(theta, theta_dot, 199), -(theta**2) - 0.1 * theta_dot**2, rtol=1e-5)
    any_action = np.random.default_rng(0).uniform(-1, 1, (50, 200)).astype(np.float32)
    for t in (0, 100, 198):
        assert (coarse.q(theta, theta_dot, any_action, t) <= coarse.value(theta, theta_dot, t) + 0.01).all()
    np.testing.assert_allclose(coarse.value(0.0, 0.0, 0), 0.0, atol=1e-4)


def test_discounted_oracle_is_what_its_policy_reaches(programming: ModuleType, starts: PendulumState) -> None:
    theta, theta_dot = starts.theta[:500], starts.theta_dot[:500]
    stationary = programming.solve(160, 129, 11, gamma=0.95)
    value = stationary.value(theta, theta_dot, 0)
    np.testing.assert_array_equal(value, stationary.value(theta, theta_dot, 17))
    reached = programming.rollout(stationary, theta, theta_dot, steps=300)  # 0.95^300 = 2e-7
    assert abs((value - reached).mean()) < 1
    assert np.median(np.abs(value - reached)) < 0.5


def test_oracle_refuses_grids_without_the_upright_rest(programming: ModuleType) -> None:
    with pytest.raises(ValueError, match="160 x 128 x 11"):
        programming.solve(160, 128, 11)
