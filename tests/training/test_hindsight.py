"""Runs that relabel goals: both drivers alike, logged, refused where they cannot be, and learning what they are for."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import SingleDeviceSharding
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ddpg
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.envs.goals import GoalReward
from ddpg.envs.point_goal import PointGoal
from ddpg.hyperparameters import split
from ddpg.training.backend import loop_for
from ddpg.training.devices import gathered
from ddpg.training.host import Host
from ddpg.training.loop import Loop
from ddpg.training.scan import Scan, _program
from tests.gym_worlds import GymPointGoal, GymStep
from tests.tiny import TURNS
from tests.training.test_host import Compiled, close, stored
from tests.training.test_loop import of_ring, ring_copies

pytestmark = pytest.mark.usefixtures("no_pictures", "one_device")
SMALL: dict[str, Any] = {
    "actor.widths": (8, 8),
    "critic.widths": (8, 8),
    "replay.capacity": 300,
    "replay.batch": 8,
    "collect.steps": 5,
    "collect.updates": 4,
    "collect.learning_starts": 30,
}
CONFIG = override(PRESETS["her"], SMALL | {"replay.n_step": 2, "target_period": 3})


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class EndingPoint(PointGoal):
    """Its episodes end at the goal."""

    def step(self, state: Any, action: Array) -> Any:
        state, obs, reward, _, truncated = PointGoal.step(self, state, action)
        return state, obs, reward, reward == 0, truncated

    def compute_terminated(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Array:
        return self.compute_reward(achieved_goal, desired_goal, info) == 0


class GymEndingPoint(GymPointGoal):
    """The same."""

    def compute_terminated(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return self.compute_reward(achieved_goal, desired_goal, info) == 0


@pytest.mark.parametrize("ends", [False, True], ids=["cut", "ended"])
def test_a_host_that_is_asked_for_rewards_learns_what_compiled_rewards_teach(ends: bool) -> None:
    env = (EndingPoint if ends else PointGoal)(length=9, radius=0.5)
    asked = (GymEndingPoint if ends else GymPointGoal)(length=9, radius=0.5)
    loop, keys = loop_for(CONFIG, env), jnp.stack([jax.random.key(seed) for seed in (5, 6)])
    reward = GoalReward(asked, "it", (2,))
    scan = Scan(loop)
    host = Host(loop.learner, loop.collector.behaviour, Compiled(loop, keys), goal_reward=reward)
    done = 0
    for driver in (scan, host):
        driver.start(keys)
    for iterations, learning in ((3, False), (20, True)):
        said, heard = (
            driver.compile(longest=iterations, learning=learning)(np.int32(done), iterations) for driver in (scan, host)
        )
        done += iterations
        close(heard, said._replace(own=()))
        learner, block = gathered([(s.learner._replace(key=None), s.block) for s in vars(scan)["_states"]])
        close(stored(host), (learner, block))
    (own,) = said.own
    assert own.episodes.sum() > 0
    assert (np.asarray(said.metrics.q) < 0).any()


def test_relabelling_never_copies_the_ring() -> None:
    loop = loop_for(override(CONFIG, {"replay.capacity": 3_210}), PointGoal())
    first = SingleDeviceSharding(jax.devices()[0])
    start = jax.eval_shape(loop.init, jax.random.key(7))
    start = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=first), start)
    structure, numbers = split(loop)
    program: Any = _program(structure, 10, True).lower(start, numbers, np.int32(0), np.int32(0)).compile()
    columns = start.learner.ring.columns.shape
    for shape in (columns, columns[:2]):
        assert of_ring(program.as_text(), shape) > 3
        assert ring_copies(program.as_text(), shape) == []


def actions_of(loop: Loop, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each step, whether its action was to be random, and the uniform one [t, n, m]."""
    draw = jax.jit(loop.collector.behaviour.randomness)
    drawn = [draw(jax.random.key(1), jnp.int32(t)) for t in range(iterations)]
    random, uniform = [np.asarray(draw.random) for draw in drawn], [np.asarray(draw.uniform) for draw in drawn]
    return np.concatenate(random), np.concatenate(uniform)


def test_a_share_of_the_actions_is_random() -> None:
    loop = loop_for(
        override(CONFIG, {"collect.steps": 400, "replay.capacity": 10_000, "collect.learning_starts": 3_000}),
        PointGoal(),
    )
    random, uniform = actions_of(loop, 2)
    assert random.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / random.size))
    behaviour, state = loop.collector.behaviour, jax.jit(loop.init)(jax.random.key(1))
    draw = jax.device_get(jax.jit(behaviour.randomness)(jax.random.key(1), jnp.int32(0)))
    policy, env, select_action = state.learner.acting, state.env, jax.jit(behaviour.select_action)
    for k in range(20):
        own = jax.tree.map(lambda x, k=k: jnp.asarray(x[k]), draw)
        action, _ = select_action(policy, env.obs, env.noise, env.start, jnp.int32(0), jnp.int32(k), own)
        np.testing.assert_array_equal((np.asarray(action) == uniform[k]).all(axis=-1), random[k])


OPTIONS = TURNS | {"collect.envs": 2, "eval.seed": 9}


@pytest.mark.parametrize("env", [PointGoal(radius=0.6), lambda: GymPointGoal(radius=0.6)], ids=["compiled", "Python"])
def test_the_success_rate_is_logged_and_evaluated(env: Any, tmp_path: Path) -> None:
    run = ddpg.train(env, preset="her", run=tmp_path / "run", options=OPTIONS, quiet=True)
    rows = records(run.path)
    for row in rows:
        assert row["success_rate"] == row["info/is_success"]
        assert row["episode_success_rate"] == row["episode_info/is_success"]
        assert row["success_rate"] in (0, 0.25, 0.5, 0.75, 1)  # of four episodes
    assert any((row["episode_success_rate"] or 0) > 0 for row in rows)
    board = EventAccumulator(str(run.path / "tensorboard/seed-0")).Reload()
    for tag, key in (("eval/success_rate", "success_rate"), ("train/success_rate", "episode_success_rate")):
        assert [event.value for event in board.Scalars(tag)] == pytest.approx(
            [row[key] for row in rows if row[key] is not None]
        )
    said = ddpg.evaluate(run.path, 4, 9, env=env)
    assert said["success_rate"] == said["info"]["is_success"] == rows[-1]["success_rate"]
    with pytest.raises(ValueError, match=r"no render mode rgb_array|unexpected keyword .*'render_mode'"):
        ddpg.film(run.path, tmp_path / "film.gif", env=env)


class NoReward(gymnasium.Wrapper):
    """Without the method: `has_wrapper_attr` finds none."""

    def has_wrapper_attr(self, name: str) -> bool:
        return not name.startswith("compute") and super().has_wrapper_attr(name)


class Lame(GymPointGoal):
    """Its compute_reward fails after a while."""

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        if np.ndim(achieved_goal) > 1 or getattr(self, "asked", False):
            self.asked = True
            raise RuntimeError("no\nscale")
        return super().compute_reward(achieved_goal, desired_goal, info)

    def step(self, action: np.ndarray) -> GymStep:
        self.asked = False
        return super().step(action)


@pytest.mark.parametrize(
    ("env", "options", "line"),
    [
        ("Pendulum-v1", {}, r"^replay\.relabel future: Pendulum-v1 has no goals, .* preset than her$"),
        ("gym:Pendulum-v1", {}, r"^replay\.relabel future: Pendulum-v1 has no goals, .* preset than her$"),
        (GymPointGoal, {"action_repeat": 2}, r"^action_repeat 2: replay\.relabel future .*; use --action_repeat 1$"),
        (
            lambda: NoReward(GymPointGoal()),
            {},
            r"^replay\.relabel: .* no method compute_reward.*--replay\.relabel none$",
        ),
        (Lame, {}, r"compute_reward raised RuntimeError: no scale \(in .*test_hindsight\.py, line \d+\); the run "),
        ("jax:PointGoal-v0", {"log": "speed"}, r"^log speed: not in the info of PointGoal-v0, which has is_success$"),
    ],
)
def test_mistakes_are_one_line(env: Any, options: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=line) as raised:
        ddpg.train(env, preset="her", run=tmp_path / "run", options=OPTIONS | options, quiet=True)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("relabel", ["future", "none"])
def test_only_with_hindsight_the_goal_is_learned(relabel: str, tmp_path: Path) -> None:
    """The command of docs/goals.md, three seeds."""
    options = {"actor.widths": (64, 64), "critic.widths": (64, 64), "replay.batch": 128, "replay.capacity": 100_000}
    options |= {"preactivation": 0.01, "target_period": 1, "tau": 0.01, "replay.relabel": relabel, "eval.every": 2_000}
    run = ddpg.train("jax:PointGoal-v0", preset="her", steps=10_000, seeds=3, run=tmp_path / "run", options=options)
    success = [row["success_rate"] for row in records(run.path)[-3:]]
    assert all(rate > 0.95 for rate in success) if relabel == "future" else all(rate < 0.2 for rate in success)
