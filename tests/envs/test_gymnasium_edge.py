"""Gymnasium's environments at the edge: spaces, ids, autoreset, and every way to misbehave."""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ddpg.environment import resolve
from ddpg.envs.gymnasium_edge import CheckedEnv, Misbehaved, in_order
from ddpg.envs.gymnasium_factory import GymFactory, by_callable, by_id, episode_seed, parse_args
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.python_vector import PythonVector

ACTIONS = spaces.Box(-1.0, 1.0, (1,))
PAIR = spaces.Box(-np.inf, np.inf, (2,))
BOOL: Any = np.bool_  # a Box can have it, though its types say not


class Puppet(gymnasium.Env):
    """Answers what it is told to; episodes end after `length` steps, how, `terminated` and `truncated` say."""

    def __init__(
        self,
        obs: spaces.Space = PAIR,
        action: spaces.Space = ACTIONS,
        says: Any = (0.0, 0.0),
        rewards: Any = 1.0,
        length: int = 5,
        terminated: Any = True,
        truncated: Any = False,
    ) -> None:
        self.observation_space, self.action_space = obs, action
        self.says, self.rewards, self.length, self.ends = says, rewards, length, (terminated, truncated)
        self.got, self.seeds = list[Any](), list[int | None]()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.t = 0
        self.seeds.append(seed)
        return said(self.says), {}

    def step(self, action: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self.t += 1
        self.got.append(action)
        over = self.t >= self.length
        terminated, truncated = self.ends if over else (False, False)
        return said(self.says), said(self.rewards), terminated, truncated, {}


def gym_of(puppet: Callable[[], gymnasium.Env], repeat: int = 1) -> GymFactory:
    return by_callable(puppet, puppet(), repeat)


def one(repeat: int = 1, **fields: Any) -> tuple[CheckedEnv, Puppet]:
    puppet = Puppet(**fields)
    return gym_of(lambda: puppet, repeat).one(), puppet


def test_pair_of_numbers() -> None:
    edge, _ = one(says=np.array([1.5, -2.5]))
    obs, info = edge.reset()
    assert (obs.tolist(), obs.dtype, info) == ([1.5, -2.5], np.float32, {})
    obs, reward, terminated, truncated, info = edge.step(np.zeros(1, np.float32))
    assert (obs.tolist(), reward, terminated, truncated, info) == ([1.5, -2.5], 1.0, False, False, {})


BOXES = [
    (spaces.Box(-1, 1, (3,), np.float64), np.array([0.1, 0.2, 0.3]), "float32"),
    (spaces.Box(-np.inf, np.inf, (2, 3, 1), np.float32), np.arange(6.0).reshape(2, 3, 1), "float32"),
    (spaces.Box(0, 9, (2, 2), np.int64), np.array([[1, 2], [3, 4]]), "float32"),
    (spaces.Box(0, 1, (3,), BOOL), np.array([True, False, True]), "float32"),
    (spaces.Box(0, 255, (4, 4, 3), np.uint8), np.arange(48, dtype=np.uint8).reshape(4, 4, 3), "uint8"),
    (spaces.Box(-np.inf, np.inf, (2,), np.float16), np.array([1, 2], np.float16), "float32"),
]


@pytest.mark.parametrize(("space", "says", "dtype"), BOXES)
def test_boxes_keep_their_shape_and_only_bytes_their_dtype(space: spaces.Box, says: np.ndarray, dtype: str) -> None:
    edge, _ = one(obs=space, says=says)
    spec = gym_of(lambda: Puppet(obs=space)).spec
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
TOLD = {
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
        (NESTED, TOLD, FLAT),
        (spaces.Tuple((PAIR, spaces.Discrete(2))), (np.array([3, 4], np.float32), 1), [3, 4, 0, 1]),
        (spaces.Box(-np.inf, np.inf, ()), np.float32(2.5), [2.5]),
        (spaces.Discrete(4, start=-1), 1, [0, 0, 1, 0]),
        (spaces.MultiBinary((2, 2)), np.array([[1, 0], [0, 1]], np.int8), [1, 0, 0, 1]),
    ],
)
def test_what_is_nested_or_discrete_is_flattened(space: spaces.Space, says: Any, flat: list[float]) -> None:
    edge, _ = one(obs=space, says=says)
    assert gym_of(lambda: Puppet(obs=space)).spec.obs_shape == (len(flat),)
    for obs in (edge.reset()[0], edge.step(np.zeros(1, np.float32))[0]):
        assert obs.dtype == np.float32
        np.testing.assert_array_equal(obs, flat)
    drawn, _ = one(obs=space, says=lambda: space.sample())
    assert drawn.reset()[0].shape == (len(flat),)


LOW, HIGH = [[-3.0, 0.1, -0.7], [-1e-3, 5.0, -2.0]], [[1.0, 0.3, 1.1], [1e3, 7.0, -1.9]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_actions_reach_the_bounds_and_the_middle(dtype: Any) -> None:
    low, high = np.array(LOW, dtype), np.array(HIGH, dtype)
    edge, puppet = one(action=spaces.Box(low, high, dtype=dtype))
    spec = gym_of(lambda: Puppet(action=spaces.Box(low, high, dtype=dtype))).spec
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
    edge, puppet = one(action=spaces.Box(low, high))
    edge.reset()
    for unit in (np.ones(500), -np.ones(500), np.nextafter(np.float32(1), np.float32(0)) * np.ones(500)):
        edge.step(unit.astype(np.float32))
        assert puppet.action_space.contains(puppet.got[-1])
    np.testing.assert_array_equal(puppet.got[0], high)
    np.testing.assert_array_equal(puppet.got[1], low)
    edge.step(np.full(500, np.nan, np.float32))  # of a network that diverged: the environment is not to blame
    assert puppet.action_space.contains(puppet.got[-1])


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (spaces.Discrete(3), r"the action space Discrete\(3\), but ddpg controls continuous ones \(a Box\)"),
        (spaces.MultiBinary(2), r"the action space MultiBinary\(2\), but"),
        (spaces.Dict(a=ACTIONS), r"the action space Dict.*, but ddpg controls continuous ones"),
        (spaces.Box(-np.inf, np.inf, (2,)), r"actions without bounds \(Box\(-inf, inf.*give its action space finite"),
        (spaces.Box(np.zeros(2), np.array([1, np.inf]), dtype=np.float64), "actions without bounds"),
        (spaces.Box(0, 5, (2,), np.int64), "actions of dtype int64, but ddpg controls floating ones"),
        (spaces.Box(np.array([0.0, 1]), np.ones(2), dtype=np.float64), "of which some part cannot vary"),
        (spaces.Box(0, 1, (0,)), "of which some part cannot vary"),
    ],
)
def test_actions_that_ddpg_does_not_control(action: spaces.Space, said: str) -> None:
    with pytest.raises(ValueError, match=f"environment 'Puppet' has .*{said}") as caught:
        gym_of(lambda: Puppet(action=action))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "obs",
    [
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Dict(a=PAIR, b=spaces.Sequence(PAIR)),
        spaces.Graph(PAIR, None),
        spaces.Box(0, 1, (0,)),
        spaces.Dict({}),
        spaces.Tuple(()),
    ],
)
def test_observations_of_no_fixed_size(obs: spaces.Space) -> None:
    with pytest.raises(ValueError, match="of no fixed size; expected Box, Discrete, MultiBinary or") as caught:
        gym_of(lambda: Puppet(obs=obs))
    assert "\n" not in str(caught.value)


MODULE = '''
import os
import signal

import gymnasium
import numpy as np


class Walk(gymnasium.Env):
    """Ends beyond 1, is cut after `limit` steps; the episode with the seed `victim` has `trouble` at its step 3."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 3, (1,))

    def __init__(self, limit=6, mode="easy", trouble=None, victim=None, render_mode=None):
        if mode == "broken":
            raise OSError("no such\\nrobot")
        self.limit, self.mode, self.trouble, self.victim = limit, mode, trouble, victim

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t, self.seed = self.np_random.normal() / 2, 0, seed
        if self.trouble == "reset" and seed == self.victim:
            raise RuntimeError("door is shut")
        return np.array([self.x, 0.0]), {}

    def step(self, action):
        self.t += 1
        if self.seed == self.victim and self.t == 3:
            if self.trouble == "exit":
                os._exit(3)
            if self.trouble == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "raise":
                raise RuntimeError("out of\\nfuel")
        self.x += 0.5 * action[0] + 0.3 * self.np_random.normal()
        return np.array([self.x, self.t]), float(self.x), bool(self.x > 1), self.t >= self.limit, {}


gymnasium.register("Walk-v3", Walk, disable_env_checker=True)
'''
WALK = "ddpg_test_walks:Walk-v3"


@pytest.fixture
def walks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of one's own, which registers an environment."""
    (tmp_path / "ddpg_test_walks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    gymnasium.registry.pop("Walk-v3", None)
    sys.modules.pop("ddpg_test_walks", None)


def made(*args: Any, **kwargs: Any) -> GymFactory:
    found = resolve(*args, **kwargs)
    assert isinstance(found, GymFactory)
    return found


def test_ids_choose_between_native_and_gymnasium() -> None:
    assert resolve("Pendulum-v1") == resolve("jax:Pendulum-v1") == Pendulum()
    gym = made("gym:Pendulum-v1")
    assert (gym.id, gym.spec, gym.max_episode_steps, gym.changed) == ("Pendulum-v1", Pendulum.spec, 200, False)
    assert made("Pendulum-v1", ["g=5"]).changed
    with pytest.raises(
        ValueError, match=r"JAX-native environment 'Hopper-v5' does not exist; available: Pendulum-v1; use gym:"
    ):
        resolve("jax:Hopper-v5")
    with pytest.raises(ValueError, match="'Pendulum-v1' takes no env-args; use gym:Pendulum-v1"):
        resolve("jax:Pendulum-v1", ["g=5"])


@pytest.mark.usefixtures("walks")
@pytest.mark.parametrize("id", [WALK, f"gym:{WALK}"])
def test_a_module_of_ones_own(id: str) -> None:
    gym = made(id, ["limit=9", "mode=hard"], repeat=2)
    assert (gym.id, gym.spec.obs_shape, gym.spec.action_high, gym.repeat) == (WALK, (2,), (3.0,), 2)
    env: Any = gym.one().unwrapped
    assert (env.limit, env.mode) == (9, "hard")


@pytest.mark.usefixtures("walks")
def test_what_cannot_be_made_is_said_on_one_line() -> None:
    with pytest.raises(ValueError, match=r"cannot be made: OSError: no such robot$"):
        resolve(WALK, ["mode=broken"])
    with pytest.raises(ValueError, match=r"cannot be made: TypeError: .*unexpected keyword argument 'weight'"):
        resolve(WALK, ["weight=3"])
    for id in ("no_module_of_this_name:Walk-v3", "ddpg_test_walks:Walkk-v3"):
        with pytest.raises(ValueError, match=f"environment '{id}' cannot be made: .*(No module|Walkk|Error)") as caught:
            resolve(id)
        assert "\n" not in str(caught.value)


def test_unknown_ids_have_neighbours() -> None:
    with pytest.raises(ValueError, match=r"unknown environment 'Pendulum-v7'; did you mean .*Pendulum-v1"):
        resolve("Pendulum-v7")
    with pytest.raises(ValueError, match=r"unknown environment 'gym:Pendulun'; did you mean .*Pendulum-v1"):
        resolve("gym:Pendulun")
    with pytest.raises(ValueError, match=r"unknown environment 'zzz'; expected an id that gymnasium.make takes"):
        resolve("zzz")


def test_arguments_are_json_where_they_can_be() -> None:
    given = ["a=9.8", "b=3", "c=true", "d=False", "e=None", "f=[1, 2]", 'g={"x": 1}', "h=easy", "i=", "j=a=b", 'k="3"']
    said = {"a": 9.8, "b": 3, "c": True, "d": False, "e": None, "f": [1, 2], "g": {"x": 1}, "h": "easy", "i": ""}
    assert parse_args(given) == said | {"j": "a=b", "k": "3"}
    for bad in ("gravity", "=3", "9x=3", "a-b=3", ""):
        with pytest.raises(ValueError, match=f"env-args '{bad}': expected key=value"):
            parse_args([bad])


def play(hosted: PythonVector, steps: int, dim: int = 1) -> list[np.ndarray]:
    """All that S x N environments say, with the first observations and random actions."""
    rng, said = np.random.default_rng(0), [hosted.reset()]
    seeds, n = said[0].shape[:2]
    for _ in range(steps):
        action = rng.uniform(-1, 1, (seeds, n, dim)).astype(np.float32)
        said += [np.array(part) for part in hosted.step(action)]
    hosted.close()
    return said


@pytest.mark.usefixtures("walks")
def test_autoreset_is_gymnasiums() -> None:
    gym = by_id(WALK)
    seed, n, steps = 3, 4, 60
    hosted = PythonVector(gym, [seed], n)
    theirs = SyncVectorEnv(
        [partial(gym.one, i, partial(episode_seed, seed, i)) for i in range(n)], autoreset_mode=AutoresetMode.NEXT_STEP
    )
    np.testing.assert_array_equal(hosted.reset()[0], theirs.reset()[0])
    rng, ends = np.random.default_rng(0), []
    for _ in range(steps):
        action = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
        got, (obs, reward, *flags, _) = hosted.step(action[None]), theirs.step(action)
        np.testing.assert_array_equal(got.obs[0], obs)
        np.testing.assert_array_equal(got.reward[0], reward.astype(np.float32))
        np.testing.assert_array_equal([got.terminated[0], got.truncated[0]], flags)
        ends.append(flags)
    kinds = {tuple(pair) for pair in np.moveaxis(np.array(ends), 1, 2).reshape(-1, 2).tolist()}
    assert kinds == {(False, False), (True, False), (False, True), (True, True)}
    theirs.close()


@pytest.mark.usefixtures("walks")
def test_processes_say_what_one_process_says() -> None:
    gym, before = by_id(WALK), signal.getsignal(signal.SIGINT)
    hosted = PythonVector(gym, [5, 6], 1, "async")
    assert signal.getsignal(signal.SIGINT) is before  # ignored by the workers alone
    for one, other in zip(play(hosted, 20), play(PythonVector(gym, [5, 6], 1), 20), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def test_episodes_are_seeded_by_run_environment_and_number() -> None:
    puppets = list[Puppet]()

    def make() -> Puppet:
        puppets.append(Puppet(length=2))
        return puppets[-1]

    play(PythonVector(gym_of(make), [5, 6, 7], 2), 7)
    several, expected = [puppet.seeds for puppet in puppets[1:]], []
    for run in (5, 6, 7):
        expected += [[episode_seed(run, env, episode) for episode in range(3)] for env in (0, 1)]
    assert several == expected
    assert len({seed for seeds in several for seed in seeds}) == 18
    puppets.clear()
    play(PythonVector(gym_of(make), [7], 2), 7)
    assert [puppet.seeds for puppet in puppets[1:]] == several[4:]


@pytest.mark.usefixtures("walks")
def test_a_seed_among_several_meets_what_it_meets_alone() -> None:
    gym, action = by_id(WALK), np.full((3, 2, 1), 0.1, np.float32)
    several, alone = PythonVector(gym, [5, 6, 7], 2), PythonVector(gym, [7], 2)
    np.testing.assert_array_equal(several.reset()[2:], alone.reset())
    for _ in range(30):
        for one, other in zip(several.step(action), alone.step(action[2:]), strict=True):
            np.testing.assert_array_equal(one[2:], other)


def test_action_repeat_adds_rewards_and_stops_at_an_end() -> None:
    counts = iter(range(1, 100))
    edge, puppet = one(repeat=3, length=5, rewards=lambda: next(counts), terminated=False, truncated=True)
    edge.reset()
    said = [edge.step(np.full(1, x, np.float32))[1:4] for x in (0.25, 0.5)]
    assert said == [(1 + 2 + 3, False, False), (4 + 5, False, True)]
    assert np.ravel(puppet.got).tolist() == [0.25, 0.25, 0.25, 0.5, 0.5]
    assert edge.reset()[0].shape == (2,)
    assert edge.step(np.zeros(1, np.float32))[1] == 6 + 7 + 8
    limited = partial(gymnasium.make, "Pendulum-v1", max_episode_steps=50)
    assert gym_of(limited, repeat=3).max_episode_steps == 17
    assert gym_of(Puppet).max_episode_steps == 10_000


def test_episodes_of_one_step() -> None:
    hosted = PythonVector(gym_of(partial(Puppet, length=1)), [0], 2)
    hosted.reset()
    action = np.zeros((1, 2, 1), np.float32)
    for i in range(6):
        said = hosted.step(action)
        assert said.terminated.all() == said.terminated.any() == (i % 2 == 0)
        assert not said.truncated.any()
        np.testing.assert_array_equal(said.reward, (i + 1) % 2)


def test_environments_end_when_they_end() -> None:
    made, ends = iter([1, 2, 3, 5]), [(True, False), (False, True), (True, True)]
    kinds = iter([(False, False), *ends])

    def make() -> Puppet:
        terminated, truncated = next(kinds)
        return Puppet(length=next(made), terminated=terminated, truncated=truncated)

    hosted = PythonVector(gym_of(make), [0], 3)
    hosted.reset()
    said = [hosted.step(np.zeros((1, 3, 1), np.float32)) for _ in range(12)]
    for env, (length, (terminated, truncated)) in enumerate(zip([2, 3, 5], ends, strict=True)):
        ended = [(i + 1) % (length + 1) == length for i in range(12)]
        boundary = [i % (length + 1) == length for i in range(12)]
        assert [bool(s.terminated[0, env]) for s in said] == [terminated and end for end in ended]
        assert [bool(s.truncated[0, env]) for s in said] == [truncated and end for end in ended]
        assert [float(s.reward[0, env]) for s in said] == [0.0 if b else 1.0 for b in boundary]


def raises() -> Any:
    raise RuntimeError("out of\n   fuel")


BAD = [
    (raises, "{} raised RuntimeError: out of fuel"),
    ([0.5, np.nan], "observation nan at index 1, expected finite numbers"),
    (np.array([np.inf, 0], np.float32), "observation inf at index 0, expected finite numbers"),
    ([-np.inf, 0], "observation -inf at index 0, expected finite numbers"),
    ([0.0, 1e300], r"observation 1e\+300 at index 1, expected finite numbers"),
    (np.zeros(3), r"observation of shape \(3,\), expected \(2,\)"),
    (np.zeros((1, 2)), r"observation of shape \(1, 2\), expected \(2,\)"),
    (3.0, r"observation of shape \(\), expected \(2,\)"),
    (None, r"observation of shape \(\), expected \(2,\)"),
    ([[1.0], [1.0, 2.0]], r"observation \[\[1.0\], \[1.0, 2.0\]\] is not an array"),
    (np.zeros(2, np.complex64), "observation of dtype complex64, expected float32"),
    (["a", "b"], "observation of dtype <U1, expected float32"),
    (np.array([1, None]), "observation of dtype object, expected float32"),
]
BAD_IMAGES = [
    (np.zeros((2, 2, 1), np.float32), "observation of dtype float32, expected uint8"),
    (np.zeros((2, 2, 1), np.int64), "observation of dtype int64, expected uint8"),
    (np.zeros((1, 2, 2), np.uint8), r"observation of shape \(1, 2, 2\), expected \(2, 2, 1\)"),
]
PARTS = spaces.Dict(a=PAIR, b=spaces.Discrete(3), c=spaces.Tuple((spaces.MultiDiscrete([2, 3]),)))
GOOD = {"a": np.zeros(2, np.float32), "b": 1, "c": (np.array([1, 2]),)}
BAD_PARTS = [
    ({"a": GOOD["a"]}, r"observation .* is outside its space \(KeyError"),
    (GOOD | {"b": 7}, r"observation\['b'\] 7 is outside its space Discrete\(3\)"),
    (GOOD | {"b": -1}, r"observation\['b'\] -1 is outside its space Discrete\(3\)"),
    (GOOD | {"b": 1.0}, r"observation\['b'\] 1.0 is outside its space Discrete\(3\)"),
    (
        GOOD | {"c": (np.array([2, 0]),)},
        r"observation\['c'\]\[0\] array\(\[2, 0\]\) is outside its space MultiDiscrete",
    ),
    (GOOD | {"c": ()}, r"observation .* is outside its space \(IndexError"),
    (GOOD | {"a": np.array(["x", "y"])}, r"observation\['a'\] array.* is outside its space Box"),
    (GOOD | {"a": np.zeros(2, np.complex64)}, r"observation\['a'\] array.* is outside its space Box"),
    (GOOD | {"a": np.zeros(3, np.float32)}, r"observation\['a'\] array.* is outside its space Box"),
    (GOOD | {"a": np.zeros((2, 1), np.float32)}, r"observation\['a'\] array.* is outside its space Box"),
    (GOOD | {"a": np.array([0, np.nan])}, "observation nan at index 1, expected finite numbers"),
    (np.zeros(5), r"observation .* is outside its space"),
    (None, r"observation .* is outside its space"),
]
IMAGE = spaces.Box(0, 255, (2, 2, 1), np.uint8)
CASES = [
    *((PAIR, (0.0, 0.0), *case) for case in BAD),
    *((IMAGE, np.zeros((2, 2, 1), np.uint8), *case) for case in BAD_IMAGES),
    *((PARTS, GOOD, *case) for case in BAD_PARTS),
]


def said(what: Any) -> Any:
    return what() if callable(what) else what


def but(number: int, good: Any, bad: Any) -> Callable[[], Any]:
    """Says what is good, but the bad thing once, after `number` times."""
    count = iter(range(100))
    return lambda: said(bad if next(count) == number else good)


def third_of_four(bad: dict[str, Any], good: dict[str, Any]) -> PythonVector:
    """Two seeds with two environments each, whose episodes have 2 steps; number 2 says other things."""
    count = iter(range(100))

    def make() -> Puppet:  # the first is the one whose spaces are read
        fields: dict[str, Any] = good | (bad if next(count) == 3 else {})
        return Puppet(length=2, **fields)

    return PythonVector(gym_of(make), [0, 1], 2)


def caught(hosted: PythonVector) -> str:
    with pytest.raises(Misbehaved) as error:
        play(hosted, 10)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("space", "good", "bad", "line"), CASES)
def test_bad_observations_of_steps(space: spaces.Space, good: Any, bad: Any, line: str) -> None:
    says = but(4, good, bad)  # reset, step, step, reset, step
    message = caught(third_of_four({"says": says}, {"obs": space, "says": good}))
    assert re.match(rf"environment 2 at its step 3 \(episode 2\): {line.format('step')}", message)


@pytest.mark.parametrize(("space", "good", "bad", "line"), CASES)
@pytest.mark.parametrize("episode", [1, 2])
def test_bad_observations_of_resets(space: spaces.Space, good: Any, bad: Any, line: str, episode: int) -> None:
    says = but(3 * (episode - 1), good, bad)
    message = caught(third_of_four({"says": says}, {"obs": space, "says": good}))
    step = 2 * (episode - 1)
    assert re.match(rf"environment 2 at its step {step} \(episode {episode}\): {line.format('reset')}", message)


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        (np.nan, "reward nan, expected a finite number"),
        (np.float32(np.inf), "reward inf, expected a finite number"),
        (-1e300, r"reward -1e\+300, expected a finite number"),
        ("good", "reward 'good', expected a number"),
        (None, "reward None, expected a number"),
        (1 + 2j, r"reward \(1\+2j\), expected a number"),
        (np.zeros((2, 30)), r"reward array\(.*\.\.\., expected a number"),
        (raises, "step raised RuntimeError: out of fuel"),
    ],
)
def test_bad_rewards(bad: Any, line: str) -> None:
    message = caught(third_of_four({"rewards": but(2, 1.0, bad)}, {}))
    assert re.match(rf"environment 2 at its step 3 \(episode 2\): {line}", message)


def test_bad_rewards_are_seen_through_action_repeat() -> None:
    rewards = iter([1.0, 1.0, np.inf, -np.inf, 1.0, 1.0])
    edge, _ = one(repeat=2, rewards=lambda: next(rewards))
    edge.reset()
    edge.step(np.zeros(1, np.float32))
    with pytest.raises(Misbehaved, match=r"^environment 0 at its step 4 \(episode 1\): reward nan"):
        edge.step(np.zeros(1, np.float32))


def test_bad_ends_and_answers() -> None:
    edge, _ = one(length=1, terminated=np.array([True, False]))
    edge.reset()
    with pytest.raises(Misbehaved, match=r"at its step 1 \(episode 1\): terminated and truncated array.* two booleans"):
        edge.step(np.zeros(1, np.float32))

    class Old(Puppet):
        """Answers four things, as before Gymnasium."""

        def step(self, action: np.ndarray) -> Any:
            return super().step(action)[:4]

    old = gym_of(Old).one()
    old.reset()
    with pytest.raises(Misbehaved, match=r"at its step 1 \(episode 1\): step raised ValueError: not enough values"):
        old.step(np.zeros(1, np.float32))


def test_closing_what_misbehaves_is_silent() -> None:
    class Stuck(Puppet):
        def close(self) -> None:
            raise RuntimeError("the lid is stuck")

    puppets = iter([Puppet(), Stuck()])
    hosted = PythonVector(gym_of(lambda: next(puppets)), [0], 1)
    hosted.reset()
    hosted.close()


RAISED = r"environment 1 at its step 3 \(episode 1\): step raised RuntimeError: out of fuel$"
SHUT = r"environment 1 at its step 0 \(episode 1\): reset raised RuntimeError: door is shut$"
DIED = r"environment 1 at step 3: its worker process died \(exit status {}\)$"


@pytest.mark.usefixtures("walks")
@pytest.mark.parametrize(
    ("mode", "trouble", "said"),
    [
        ("sync", "raise", RAISED),
        ("sync", "reset", SHUT),
        ("async", "raise", RAISED),
        ("async", "reset", SHUT),
        ("async", "exit", DIED.format(3)),
        ("async", "kill", DIED.format(-signal.SIGKILL)),
    ],
)
def test_trouble_of_one_among_several(mode: Literal["sync", "async"], trouble: str, said: str) -> None:
    gym = by_id(WALK, {"trouble": trouble, "victim": episode_seed(4, 1, 0), "limit": 20})
    hosted = PythonVector(gym, [4], 2, mode)
    message, actions = "", np.full((1, 2, 1), -1.0, np.float32)
    try:
        hosted.reset()
        for _ in range(10):
            hosted.step(actions)
    except Misbehaved as error:
        message = str(error)
    finally:
        hosted.close()
    assert re.match(said, message)


@pytest.mark.usefixtures("walks")
def test_a_worker_killed_from_outside() -> None:
    hosted = PythonVector(by_id(WALK), [0], 2, "async")
    hosted.reset()
    processes: Any = vars(hosted)["_all"]._all.processes
    os.kill(processes[1].pid, signal.SIGKILL)
    with pytest.raises(Misbehaved, match=r"^environment 1 at step \d+: its worker process died \(exit status -9\)$"):
        play(hosted, 10)
    hosted.close()
    assert not any(process.is_alive() for process in processes)


def test_dicts_are_flattened_by_sorted_keys_whatever_order_the_space_has() -> None:
    space = spaces.Dict(b=spaces.Box(-1, 1, (1,)), a=spaces.Dict(d=spaces.Discrete(2), c=spaces.Box(-1, 1, (2,))))
    obs = {"b": np.array([0.5], np.float32), "a": {"d": 1, "c": np.array([0.1, 0.2], np.float32)}}
    flat: Any = spaces.flatten(in_order(space), obs)
    np.testing.assert_allclose(flat, [0.1, 0.2, 0, 1, 0.5], atol=1e-7)
