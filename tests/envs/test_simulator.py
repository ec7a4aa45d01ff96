"""Simulators in JAX that are not ours: two functions as an environment, and ids by prefixes of their packages.

The packages are not installed here: stand-ins have their API, gymnax's of 1.0 and Playground's of 0.2.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import ddpg
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.doctor.examine import examine
from ddpg.environment import gymnasium_version, imports_module, resolve, resolve_for, was_stepped
from ddpg.envs import simulator_prefixes
from ddpg.envs.protocol import Environment
from ddpg.envs.simulator import Simulator, simulator
from ddpg.envs.vector import Vector
from ddpg.mistake import Mistake
from tests.tiny import TINY


class Ball(NamedTuple):
    x: Array
    time: Any


def start(key: Array) -> tuple[Ball, dict[str, Any]]:
    x = jax.random.uniform(key, minval=-0.1, maxval=0.1)
    return Ball(x, 0), {"z": x, "a": jnp.zeros(2, jnp.int32)}


def move(key: Array, ball: Ball, action: Array) -> tuple[Ball, dict[str, Any], Any, Any, Any]:
    """x moves by the action in its units; a true end beyond 8."""
    ball = Ball(ball.x + action[0], ball.time + 1)
    seen = {"z": ball.x, "a": jnp.full(2, ball.time)}
    return ball, seen, -jnp.abs(ball.x)[None], ball.x > 8, False


def ball(**changes: Any) -> Simulator:
    return simulator(**({"id": "ball", "start": start, "move": move, "low": 0.0, "high": 4.0, "limit": 5} | changes))


def played(env: Environment, *actions: float) -> list[tuple[Any, ...]]:
    """(obs, reward, terminated, truncated) of each step."""
    state, _ = env.reset(jax.random.key(0))
    steps, step = list[tuple[Any, ...]](), jax.jit(env.step)
    for action in actions:
        state, *answer = step(state, jnp.array([action]))
        steps.append(tuple(map(np.asarray, answer)))
    return steps


def test_two_functions_are_an_environment() -> None:
    env = ball()
    assert isinstance(env, Environment)
    assert (env.spec.obs_shape, env.spec.obs_dtype, env.max_episode_steps) == ((3,), "float32", 5)
    assert env == ball()
    assert hash(env) == hash(ball())
    assert ball(limit=None).max_episode_steps == 1_000
    state, obs = env.reset(jax.random.key(0))
    after, *_ = jax.eval_shape(env.step, state, jnp.zeros(1))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), after)
    assert obs.shape == (3,)
    assert not obs[:2].any()  # "a" comes before "z"


def test_making_one_does_not_start_jax() -> None:
    """Its devices and threads are chosen later, for the run."""
    lines = (
        "import jax",
        "from ddpg.envs.simulator import simulator",
        "step = lambda key, state, action: (state, state[None], 0.0, False, False)",
        "simulator('Still', lambda key: (jax.random.uniform(key), jax.random.uniform(key, (1,))), step, -1, 1)",
        "jax.config.update('jax_num_cpu_devices', 3)  # raises if JAX has started",
        "print(len(jax.devices()))",
    )
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    said = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, env=env)
    assert said.stdout == "3\n", said.stderr


def test_actions_are_scaled_and_ends_kept_apart() -> None:
    for obs, reward, *ends in (cut := played(ball(), *[-1.0] * 5)):  # -1 is 0 in its units
        assert abs(obs[2]) < 0.1
        assert reward == -abs(obs[2])
        assert ends == [False, obs[0] == 5]
    assert cut[-1][3]
    ends = [(bool(terminated), bool(truncated)) for *_, terminated, truncated in played(ball(), 1.0, 0.0, 1.0)]
    assert ends == [(False, False), (False, False), (True, False)]


def test_the_simulators_randomness_is_of_the_episode_and_step() -> None:
    def blown(key: Array, state: Ball, action: Array) -> tuple[Ball, dict[str, Any], Any, Any, Any]:
        return move(key, state, action + jax.random.normal(key))

    env = ball(move=blown)
    one, again = (np.array([obs[2] for obs, *_ in played(env, -1.0, -1.0, -1.0)]) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert len(np.unique(np.diff(one))) == 2
    states, _ = Vector(env, 4).fresh(jax.random.key(0))
    obs = jax.vmap(env.step)(states, -jnp.ones((4, 1)))[1]
    assert len(np.unique(np.asarray(obs)[:, 2])) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": [0.0, 0.0]}, "expected finite ones for each dimension"),
        ({"high": np.inf}, "expected finite ones for each dimension"),
        ({"high": 0.0}, "leave nothing to choose"),
        ({"start": lambda key: (_ for _ in ()).throw(OSError("no table"))}, "its reset raised OSError: no table"),
        ({"move": lambda key, ball, action: None}, "its step raised TypeError"),
        ({"move": lambda *of: (jnp.zeros(3), *move(*of)[1:])}, "TypeError: its state has another structure"),
        ({"move": lambda *of: (Ball(jnp.zeros(3), 1), *move(*of)[1:])}, "keep the shapes of the state"),
        ({"move": lambda *of: (move(*of)[0], jnp.zeros(2), 0.0, False, False)}, "keep the shapes of the state"),
    ],
)
def test_functions_that_do_not_fit_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Mistake, match=message) as caught:
        ball(**changes)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Params:
    max_steps_in_episode: int = 50
    power: float = 2.0

    replace = replace


class FakeGymnax:
    """A stand-in for an environment of gymnax 1.0; its `step` resets by itself and must not be called."""

    space: Any = SimpleNamespace(low=-2.0, high=2.0, shape=(1,))

    def action_space(self, params: Params) -> Any:
        return self.space

    def reset_env(self, key: Array, params: Params) -> tuple[Array, Ball]:
        state = Ball(jax.random.uniform(key, minval=-1.0), 0)
        return state.x[None], state

    def step_env(self, key: Array, state: Ball, action: Array, params: Params) -> tuple[Any, ...]:
        state = Ball(state.x + params.power * action[0], state.time + 1)
        return state.x[None], state, -(state.x**2), jnp.abs(state.x) > 3, {"discount": 1.0}

    def is_truncated(self, state: Ball, params: Params) -> Array:
        return state.time >= params.max_steps_in_episode


class FakePlayground:
    """A stand-in for an environment of Playground 0.2; NaN is what physics that blew up answers."""

    action_size = 1

    def reset(self, key: Array) -> Any:
        return self.state(jax.random.uniform(key), jnp.bool_(False))

    def step(self, state: Any, action: Array) -> Any:
        x = state["x"] + action[0]
        return self.state(jnp.where(x > 3, jnp.nan, x), x > 3)

    @staticmethod
    def state(x: Array, done: Array) -> Any:
        seen = {"state": jnp.stack([x, 2 * x]), "privileged_state": jnp.zeros(9)}
        return State(x=x, obs=seen, reward=x, done=done.astype(jnp.float32))


class State(dict[str, Any]):
    """With items as attributes."""

    __getattr__ = dict.__getitem__


jax.tree_util.register_pytree_node(State, lambda s: (tuple(s.values()), tuple(s)), lambda k, v: State(zip(k, v)))  # noqa: B905


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Both stand-ins; what was loaded is under `loaded`."""
    loaded, gymnax, playground = {}, ModuleType("gymnax"), ModuleType("mujoco_playground")
    made: dict[str, Any] = {"Ball-v1": FakeGymnax(), "Switch-v0": FakeGymnax()}
    made["Switch-v0"].space = "Discrete(2)"
    vars(gymnax).update(registered_envs=list(made), make=lambda name: (made[name], Params()))

    def load(name: str, config_overrides: dict[str, Any]) -> FakePlayground:
        loaded[name] = config_overrides
        return FakePlayground()

    config = {"impl": "warp", "episode_length": 40}
    registry = SimpleNamespace(ALL_ENVS=("Hop", "Jump"), get_default_config=lambda name: config, load=load)
    vars(playground)["registry"] = registry
    monkeypatch.setitem(sys.modules, "gymnax", gymnax)
    monkeypatch.setitem(sys.modules, "mujoco_playground", playground)
    simulator_prefixes.by_prefix.cache_clear()
    yield loaded
    simulator_prefixes.by_prefix.cache_clear()


def test_gymnax_by_its_step_that_does_not_reset(packages: dict[str, Any]) -> None:
    env = resolve("gymnax:Ball-v1")
    assert isinstance(env, Simulator)
    assert resolve("gymnax:Ball-v1") is env
    assert (env.id, env.spec.action_high, env.max_episode_steps) == ("gymnax:Ball-v1", (2.0,), 50)
    (obs, _, terminated, truncated), *_ = played(env, 1.0)
    assert (obs[0] > 3, terminated, truncated) == (True, True, False)
    short = resolve("gymnax:Ball-v1", ["max_steps_in_episode=2", "power=0"])
    assert isinstance(short, Simulator)
    assert [(bool(end), bool(cut)) for _, _, end, cut in played(short, 1.0, 1.0)] == [(False, False), (False, True)]


def test_playgrounds_done_is_a_true_end_and_nan_is_not_stored(packages: dict[str, Any]) -> None:
    env = resolve("playground:Hop", ["vision=true"])
    assert packages == {"Hop": {"impl": "jax", "vision": True}}
    assert isinstance(env, Simulator)
    assert (env.spec.obs_shape, env.spec.action_low, env.max_episode_steps) == ((2,), (-1.0,), 40)
    *_, last = played(env, 1.0, 1.0, 1.0)
    obs, reward, terminated, truncated = last
    np.testing.assert_array_equal(obs, [0, 0])
    assert (float(reward), bool(terminated), bool(truncated)) == (0.0, True, False)
    assert resolve("playground:Hop", ["episode_length=7"]).max_episode_steps == 7


@pytest.mark.parametrize(
    ("id", "args", "message"),
    [
        ("gymnax:Bal-v1", [], r"unknown environment 'gymnax:Bal-v1'; did you mean gymnax:Ball-v1\?"),
        ("playground:xyz", [], "unknown environment 'playground:xyz'; see its own list"),
        ("gymnax:Ball-v1", ["weight=3"], "cannot be made: TypeError: .*unexpected keyword argument 'weight'"),
        ("gymnax:Switch-v0", [], r"has the action space Discrete\(2\), but ddpg controls continuous ones"),
    ],
)
def test_what_cannot_be_made_is_one_line(packages: dict[str, Any], id: str, args: list[str], message: str) -> None:
    with pytest.raises(Mistake, match=message) as caught:
        resolve(id, args)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("id", "fix"), [("gymnax:X", "'gymnax>=1.0'"), ("playground:X", "playground")])
def test_a_package_that_is_missing_is_named_with_its_pip_line(
    id: str, fix: str, packages: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gymnax", "mujoco_playground"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Mistake, match=rf"environment '{id}' needs \w+, which is not installed: pip install {fix}$"):
        resolve(id)


def test_an_old_gymnax_is_refused(packages: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FakeGymnax, "is_truncated")
    with pytest.raises(Mistake, match=r"older than 1\.0 and has one flag"):
        resolve("gymnax:Ball-v1")


def test_a_prefix_imports_no_module_of_anyones_and_is_not_stepped_by_python(packages: dict[str, Any]) -> None:
    assert [imports_module(id) for id in ("gymnax:X", "playground:X", "gym:gymnax:X", "mine:X")] == [
        False,
        False,
        True,
        True,
    ]
    config = override(PRESETS["ddpg"], {"env": "gymnax:Ball-v1", "env_args": "power=1"})
    assert isinstance(resolve_for(config), Simulator)
    assert not was_stepped(config)


def test_doctor_examines_it_as_python_steps_it(packages: dict[str, Any]) -> None:
    gym = gymnasium_version(resolve("gymnax:Ball-v1", ["power=0"]))
    found = examine(gym, steps=200)
    assert (found.compiled, found.truncated, found.terminated, found.differs_at) == (True, 4, 0, None)
    assert found.seed_matters
    assert not found.actions_matter


def test_a_run_is_trained_resumed_and_evaluated(
    packages: dict[str, Any],
    tmp_path: Path,
    no_pictures: None,
    one_device: None,
    newer_emitters: None,
    assert_identical: Callable[..., None],
) -> None:
    options = {**TINY, "eval.every": 150, "checkpoint.every": 150, "collect.envs": 3, "action_repeat": 2}
    whole = ddpg.train("gymnax:Ball-v1", steps=300, run=tmp_path / "whole", options=options, quiet=True)
    part = ddpg.train("gymnax:Ball-v1", steps=150, run=tmp_path / "part", options=options, quiet=True)
    assert whole.config.env == "gymnax:Ball-v1"
    ddpg.resume(part.path, steps=300, quiet=True)
    assert_identical(*(ddpg.load(run.path).nets for run in (whole, part)))
    assert ddpg.evaluate(whole.path, episodes=3)["episodes"] == 3


def test_one_of_ones_own_is_resolved_like_any_environment() -> None:
    assert resolve(ball()) == resolve(lambda: ball()) == ball()
