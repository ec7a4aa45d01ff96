"""Gymnasium's environments at the edge: observations become one array, actions reach exactly their bounds."""

from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

from ddpg.algorithm.normaliser import byte_scale, normalise
from ddpg.envs.foreign import EnvironmentFailure
from tests.gym_worlds import PLANE, UNIT, Puppet, checked, factory_of

BOOL: Any = np.bool_  # a Box can have it, though its types say not


def test_pair_of_numbers() -> None:
    edge, _ = checked(says=np.array([1.5, -2.5]))
    obs, info = edge.reset()
    assert (obs.tolist(), obs.dtype, info) == ([1.5, -2.5], np.float32, {})
    obs, reward, terminated, truncated, info = edge.step(np.zeros(1, np.float32))
    assert (obs.tolist(), reward, terminated, truncated, info) == ([1.5, -2.5], 1.0, False, False, {})


BOXES = [
    (spaces.Box(-1, 1, (3,), np.float64), np.array([0.1, 0.2, 0.3]), "float32"),
    (spaces.Box(-np.inf, np.inf, (2, 3, 1), np.float32), np.arange(6.0).reshape(2, 3, 1), "float32"),
    (spaces.Box(0, 9, (2, 2), np.int64), np.array([[1, 2], [3, 4]]), "float32"),
    (spaces.Box(0, 1000, (2,), np.int32), np.array([0.5, 7.25]), "float32"),  # floats in a space of integers
    (spaces.Box(0, 1, (3,), BOOL), np.array([True, False, True]), "float32"),
    (spaces.Box(0, 255, (4, 4, 3), np.uint8), np.arange(48, dtype=np.uint8).reshape(4, 4, 3), "uint8"),
    (spaces.Box(-np.inf, np.inf, (2,), np.float16), np.array([1, 2], np.float16), "float32"),
]


@pytest.mark.parametrize(("space", "says", "dtype"), BOXES)
def test_boxes_keep_their_shape_and_only_bytes_their_dtype(space: spaces.Box, says: np.ndarray, dtype: str) -> None:
    edge, _ = checked(obs=space, says=says)
    spec = factory_of(lambda: Puppet(obs=space)).spec
    assert (spec.obs_shape, spec.obs_dtype) == (space.shape, dtype)
    for obs in (edge.reset()[0], edge.step(np.zeros(1, np.float32))[0]):
        assert obs.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(obs, says.astype(dtype))
        assert edge.observation_space.contains(obs)


NESTED = spaces.Dict(  # whose keys Gymnasium sorts, but not those of keywords; we sort both
    {
        "d": spaces.MultiBinary(2),
        "b": spaces.Box(-np.inf, np.inf, (2,)),
        "a": spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 1, (1, 2), np.float64))),
        "c": spaces.Discrete(2, start=5),
        "e": spaces.Dict(z=spaces.MultiDiscrete([2, 3]), y=spaces.Box(0, 255, (), np.uint8)),
    }
)
NESTED_OBS = {
    "b": np.array([1, 2], np.float32),
    "a": (1, np.array([[0.25, 0.75]])),
    "e": {"y": np.array(7, np.uint8), "z": np.array([1, 0])},
    "d": np.array([1, 0], np.int8),
    "c": 6,
}
FLAT = [0, 1, 0, 0.25, 0.75, *(1, 2), *(0, 1), *(1, 0), 7, *(0, 1, 1, 0, 0)]


@pytest.mark.parametrize(
    ("space", "says", "flat"),
    [
        (NESTED, NESTED_OBS, FLAT),
        (spaces.Tuple((PLANE, spaces.Discrete(2))), (np.array([3, 4], np.float32), 1), [3, 4, 0, 1]),
        (spaces.Box(-np.inf, np.inf, ()), np.float32(2.5), [2.5]),
        (spaces.Discrete(4, start=-1), 1, [0, 0, 1, 0]),
        (spaces.MultiBinary((2, 2)), np.array([[1, 0], [0, 1]], np.int8), [1, 0, 0, 1]),
    ],
)
def test_what_is_nested_or_discrete_is_flattened(space: spaces.Space, says: Any, flat: list[float]) -> None:
    edge, _ = checked(obs=space, says=says)
    assert factory_of(lambda: Puppet(obs=space)).spec.obs_shape == (len(flat),)
    for obs in (edge.reset()[0], edge.step(np.zeros(1, np.float32))[0]):
        assert obs.dtype == np.float32
        np.testing.assert_array_equal(obs, flat)
    drawn, _ = checked(obs=space, says=lambda: space.sample())
    assert drawn.reset()[0].shape == (len(flat),)


LOW, HIGH = [[-3.0, 0.1, -0.7], [-1e-3, 5.0, -2.0]], [[1.0, 0.3, 1.1], [1e3, 7.0, -1.9]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_actions_reach_the_bounds_and_the_middle(dtype: Any) -> None:
    low, high = np.array(LOW, dtype), np.array(HIGH, dtype)
    edge, puppet = checked(action=spaces.Box(low, high, dtype=dtype))
    spec = factory_of(lambda: Puppet(action=spaces.Box(low, high, dtype=dtype))).spec
    assert spec.action_low == tuple(map(float, low.ravel()))
    assert spec.action_high == tuple(map(float, high.ravel()))
    edge.reset()
    for value in (-1, 1, 0):
        edge.step(np.full(6, value, np.float32))
    lowest, highest, middle = puppet.got
    for action in puppet.got:
        assert (action.shape, action.dtype) == ((2, 3), dtype)
        assert puppet.action_space.contains(action)
    rounding = 1e-12 if dtype == np.float64 else 0
    np.testing.assert_allclose(lowest, low, rtol=0, atol=rounding)
    np.testing.assert_allclose(highest, high, rtol=0, atol=rounding)
    np.testing.assert_allclose(middle, (np.float64(low) + high) / 2, rtol=2 * np.finfo(dtype).eps)


def test_actions_never_leave_their_bounds() -> None:
    rng = np.random.default_rng(0)
    low = rng.normal(size=500).astype(np.float32) * np.float32(10) ** rng.integers(-4, 4, 500)
    high = low + np.abs(rng.normal(size=500)).astype(np.float32) * np.float32(10) ** rng.integers(-2, 4, 500)
    low, high = low.astype(np.float32), high.astype(np.float32)
    edge, puppet = checked(action=spaces.Box(low, high))
    edge.reset()
    for unit in (np.ones(500), -np.ones(500), np.nextafter(np.float32(1), np.float32(0)) * np.ones(500)):
        edge.step(unit.astype(np.float32))
        assert puppet.action_space.contains(puppet.got[-1])
    np.testing.assert_array_equal(puppet.got[0], high)
    np.testing.assert_array_equal(puppet.got[1], low)
    edge.step(np.full(500, np.nan, np.float32))  # of a network that diverged: the environment is not to blame
    assert puppet.action_space.contains(puppet.got[-1])


def test_dicts_are_flattened_by_sorted_keys_whatever_order_the_space_has() -> None:
    space = spaces.Dict(b=spaces.Box(-1, 1, (1,)), a=spaces.Dict(d=spaces.Discrete(2), c=spaces.Box(-1, 1, (2,))))
    obs = {"b": np.array([0.5], np.float32), "a": {"d": 1, "c": np.array([0.1, 0.2], np.float32)}}
    edge, _ = checked(obs=space, says=obs | {"log": "more than the space has"})
    np.testing.assert_allclose(edge.reset()[0], [0.1, 0.2, 0, 1, 0.5], atol=1e-7)
    parts: Any = {"x": UNIT, 10: UNIT, 9: UNIT}
    mixed = spaces.Dict(parts)
    edge, _ = checked(obs=mixed, says={"x": [0.1], 10: [0.2], 9: [0.3]})
    np.testing.assert_allclose(edge.reset()[0], [0.3, 0.2, 0.1], atol=1e-7)


def test_parts_are_what_gymnasium_makes_of_them() -> None:
    space = spaces.Dict(
        a=spaces.Discrete(3, start=-1),
        b=spaces.MultiDiscrete(np.array([[2, 3], [1, 4]]), start=np.array([[5, 6], [7, 8]])),
        c=spaces.MultiBinary((2, 3)),
        d=spaces.Tuple((spaces.Text(4), spaces.Box(-1, 1, (), np.float64), spaces.OneOf((UNIT, spaces.Discrete(2))))),
        e=spaces.Box(0, 9, (2, 2), np.int64),
    )
    space.seed(3)
    spec = factory_of(lambda: Puppet(obs=space)).spec
    paths = [("a",), ("b",), ("c",), ("d", 0), ("d", 1), ("d", 2), ("e",)]
    assert [leaf.path for leaf in spec.leaves] == paths
    for _ in range(5):
        obs: Any = space.sample()
        edge, _ = checked(obs=space, says=obs)
        expected: Any = spaces.flatten(space, obs)
        np.testing.assert_allclose(edge.reset()[0], expected, rtol=1e-6)


PIXELS = spaces.Box(0, 255, (1, 2), np.uint8)


@pytest.mark.parametrize(
    ("seeding", "seeds"),
    [
        ("episode", [100, 101, 102, 2**31 - 1, 4]),
        ("once", [100, None, None, None, None]),
        ("7:10", [8, 9, 7, 8, 7]),
        ("never", [None] * 5),
    ],
)
def test_resets_are_seeded_as_they_are_to_be(seeding: str, seeds: list[int | None]) -> None:
    puppet = Puppet()
    gym = replace(factory_of(lambda: puppet), seeding=seeding)
    edge = gym.make(0, lambda episode: 100 + episode)
    for seed in (None, None, None, 2**31 - 1, 2**31 + 4):
        edge.reset(seed=seed)
    assert puppet.seeds == seeds


class Odd(Puppet):
    metadata: Any = None

    def __getattribute__(self, name: str) -> Any:
        if name == "render_mode":
            raise RuntimeError("no screen")
        return super().__getattribute__(name)


def test_what_is_read_of_drawing_may_be_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    for metadata, left in (
        (None, {}),
        ({"render_fps": "fast", "render_modes": None, "own": 3}, {"own": 3}),
        ({"render_fps": 0}, {"render_fps": 30}),
        ({"render_fps": 12.5, "render_modes": ["human"]}, {"render_fps": 12.5, "render_modes": ["human"]}),
    ):
        monkeypatch.setattr(Odd, "metadata", metadata)
        edge = factory_of(Odd).make()
        assert edge.metadata == left
    with pytest.raises(EnvironmentFailure, match="render_mode raised RuntimeError: no screen"):
        assert edge.render_mode


BITS = np.array([1, 0, 1], np.uint8)


@pytest.mark.parametrize(
    ("space", "says", "dtype", "divided"),
    [
        (spaces.Box(0, 1, (3,), np.uint8), BITS, "uint8", [1, 0, 1]),
        (spaces.Box(0, 10, (3,), np.uint8), 10 * BITS, "uint8", [1, 0, 1]),
        (spaces.Box(0, 255, (3, 1), np.uint8), 51 * BITS[:, None], "uint8", [[0.2], [0], [0.2]]),
        (spaces.Box(0, np.array([1, 5, 255], np.uint8), (3,), np.uint8), np.full(3, 5), "uint8", [5, 1, 1 / 51]),
        (
            spaces.Dict(a=spaces.Box(0, 1, (3,), np.uint8), b=spaces.Box(0, 255, (1,), np.uint8)),
            {"a": BITS, "b": [51]},
            "uint8",
            [1, 0, 1, 0.2],
        ),
        (spaces.Dict(a=UNIT, b=PIXELS), {"a": [9], "b": [[51, 255]]}, "float32", [9, 0.2, 1]),
        (spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 4, (1,), np.uint8))), (1, [2]), "float32", [0, 1, 0.5]),
        (spaces.Box(0, 0, (2,), np.uint8), [0, 0], "uint8", [0, 0]),
    ],
)
def test_bytes_are_divided_by_the_bound_of_their_space(
    space: spaces.Space, says: Any, dtype: str, divided: list[Any]
) -> None:
    edge, _ = checked(obs=space, says=says)
    spec = factory_of(lambda: Puppet(obs=space)).spec
    obs = edge.reset()[0]
    assert obs.dtype == spec.obs_dtype == dtype
    scaled = normalise(obs[None], byte_scale(spec))
    assert (scaled.dtype, scaled.shape[1:]) == (np.float32, spec.obs_shape)
    np.testing.assert_allclose(scaled[0], divided, rtol=1e-6)
    compiled = jax.jit(normalise)(obs[None], byte_scale(spec))
    np.testing.assert_allclose(compiled, scaled, rtol=1e-6)


def test_observations_are_copies_of_what_a_simulator_fills_again() -> None:
    buffer = np.zeros(2, np.float32)
    edge, _ = checked(says=buffer)
    obs, _ = edge.reset()
    buffer[:] = 7
    assert obs.tolist() == [0, 0]


@pytest.mark.parametrize("reward", [3, 3.0, np.float16(3), np.array(3), np.array([3]), np.array([[3.0]]), [3]])
def test_rewards_of_one_number(reward: Any) -> None:
    edge, _ = checked(rewards=reward)
    edge.reset()
    assert edge.step(np.zeros(1, np.float32))[1] == 3.0


def test_a_dimension_without_a_choice_is_held() -> None:
    space = spaces.Box(np.array([-1, 0.5, -1], np.float32), np.array([1, 0.5, 2], np.float32))
    edge, puppet = checked(action=space)
    edge.reset()
    edge.step(np.array([-1, 0.3, 1], np.float32))
    assert puppet.got[0].tolist() == [-1, 0.5, 2]


def test_a_spec_of_ones_own_is_not_gymnasiums() -> None:
    class Robot(Puppet):
        def __init__(self) -> None:
            super().__init__()
            own: Any = {"mass": 1.0}
            self.spec = own

    assert factory_of(Robot).limit is None
    assert factory_of(lambda: gymnasium.Wrapper(Robot())).limit is None
    assert factory_of(partial(gymnasium.make, "Pendulum-v1")).limit == 200


def test_action_repeat_adds_rewards_and_stops_at_an_end() -> None:
    counts = iter(range(1, 100))
    edge, puppet = checked(repeat=3, length=5, rewards=lambda: next(counts), terminated=False, truncated=True)
    edge.reset()
    said = [edge.step(np.full(1, x, np.float32))[1:4] for x in (0.25, 0.5)]
    assert said == [(1 + 2 + 3, False, False), (4 + 5, False, True)]
    assert np.ravel(puppet.got).tolist() == [0.25, 0.25, 0.25, 0.5, 0.5]
    assert edge.reset()[0].shape == (2,)
    assert edge.step(np.zeros(1, np.float32))[1] == 6 + 7 + 8
    limited = partial(gymnasium.make, "Pendulum-v1", max_episode_steps=50)
    assert factory_of(limited, repeat=3).max_episode_steps == 17
    assert factory_of(Puppet).max_episode_steps == 1_000
