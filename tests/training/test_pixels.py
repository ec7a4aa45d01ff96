"""Whole runs from pictures, tiny: their folder, policies, exports and films."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import ddpg
from ddpg.algorithm.augment import RandomShift, augment_parts
from ddpg.algorithm.encoders import Conv, Patches
from ddpg.cli import main
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.environment import resolve_as
from ddpg.envs.gymnasium_factory import GymFactory, by_callable
from ddpg.envs.view import View, has_pictures, seen_spec
from ddpg.mistake import Mistake
from ddpg.pictures import picture_parts
from ddpg.records.frames import KEY
from ddpg.training.film import Beside
from ddpg.training.memory import check_memory, replay_bytes
from ddpg.types import Leaf, Spec
from tests.tiny import TURNS

SEEN: dict[str, Any] = TURNS | {"pixels.size": 16, "encoder.filters": "4", "actor.trunk": 8, "critic.trunk": 8}
SEEN |= {"steps": 300, "checkpoint.every": "none"}


class Lamp(gymnasium.Env):
    """A bright column is to be brought to the middle; it observes pictures of its own, with channels first."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (3, 24, 20), np.uint8)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
        self.render_mode, self.x, self.t = render_mode, 0.0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.t = self.np_random.uniform(-1, 1), 0
        return self._picture(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.x, self.t = float(np.clip(self.x + 0.2 * action[0], -1, 1)), self.t + 1
        return self._picture(), -abs(self.x), False, self.t == 20, {}

    def render(self) -> np.ndarray:
        return np.moveaxis(self._picture(), 0, -1)

    def _picture(self) -> np.ndarray:
        picture = np.zeros((3, 24, 20), np.uint8)
        picture[:, :, round(9.5 + 9 * self.x)] = 255
        return picture


class LampAndMoves(Lamp):
    """Two cameras see it, one of them grey, and numbers stand beside."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        colour, grey = self.observation_space, gymnasium.spaces.Box(0, 255, (24, 20), np.uint8)
        numbers = gymnasium.spaces.Box(-1.0, 1.0, (2,))
        self.observation_space: Any = gymnasium.spaces.Dict({"camera": colour, "grey": grey, "moves": numbers})

    def _picture(self) -> Any:
        picture = super()._picture()
        return {"camera": picture, "grey": picture[0], "moves": np.array([self.x, 1.0], np.float32)}

    def render(self) -> np.ndarray:
        return np.moveaxis(super()._picture(), 0, -1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ddpg.Run:
    return ddpg.train("Pendulum-v1", run=tmp_path_factory.mktemp("pixels") / "run", options=SEEN | {"pixels": "drawn"})


def test_pixels_choose_their_preset(run: ddpg.Run) -> None:
    assert (run.config.preset, run.config.stack, run.config.view.pixels.kind) == ("pixels", 3, "drawn")
    assert run.summary["start"] == ["observations are pictures: preset pixels"]
    own = ddpg.train(run=run.path.parent / "own", options=TURNS | {"steps": 200})
    assert run.summary["optimum"] == pytest.approx(own.summary["optimum"])  # of the very same starts
    last = ddpg.read_metrics(run.path)[-1]
    assert np.isfinite([last[key] for key in ("q", "critic_loss", "dq_da", "saturation")]).all()


def test_a_policy_takes_what_the_environment_gives(run: ddpg.Run) -> None:
    policy = ddpg.load(run.path)
    env = resolve_as(run.config, "gym:Pendulum-v1")
    assert isinstance(env, GymFactory)
    with closing(env.make()) as gym:
        obs, _ = gym.reset(seed=0)
        assert policy(obs).shape == (1,)
        assert policy(np.stack([obs, obs])).shape == (2, 1)
    with pytest.raises(Mistake, match="expected bytes from 0 to 255"):
        policy(obs.astype(np.float32))
    assert ddpg.evaluate(run.path, episodes=3)["gap_to_optimum"] > 0


@pytest.mark.parametrize("format", ["onnx", "hdf5", "numpy"])
def test_every_form_is_the_policy(format: str, run: ddpg.Run, tmp_path: Path) -> None:
    exported = ddpg.export(run.path, format)
    assert exported.path.stat().st_size > 1000
    assert exported.difference < 1e-5


def test_a_film_shows_what_the_agent_sees(run: ddpg.Run, tmp_path: Path) -> None:
    pytest.importorskip("pygame")
    ddpg.film(run.path, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.width == pytest.approx(2 * film.height, abs=2)


def test_the_replay_gives_stacks(run: ddpg.Run) -> None:
    stored = ddpg.replay(run.path)
    assert stored["obs"].shape[1:] == (16, 16, 3)
    np.testing.assert_array_equal(stored["obs"][1:5, ..., :2], stored["obs"][:4, ..., 1:])
    np.testing.assert_array_equal(stored["next_obs"][0], stored["obs"][1])


def test_an_environment_that_observes_pictures(tmp_path: Path) -> None:
    """With channels first, which come last in a stack."""
    options = TURNS | {"steps": 300, "encoder.filters": "4", "encoder.patches": "4"}
    run = ddpg.train(Lamp, run=tmp_path / "run", options=options)
    assert run.config.preset == "pixels"
    assert ddpg.load(run.path)(np.zeros((24, 20, 9), np.uint8)).shape == (1,)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> ddpg.Run:
    small = {"encoder.filters": "4", "encoder.patches": "4", "actor.trunk": 8, "critic.trunk": 8}
    return ddpg.train(
        LampAndMoves, run=tmp_path_factory.mktemp("beside") / "run", options=TURNS | small | {"steps": 300}
    )


def test_a_film_shows_every_picture_that_the_agent_sees() -> None:
    gym = by_callable(LampAndMoves, LampAndMoves())
    with closing(gym.make(render_mode="rgb_array")) as env:
        shown = Beside(env, gym.spec)
        obs, _ = shown.reset(seed=0)
        ours, *theirs = np.split(shown.render(), [20, 40], axis=1)
        assert len(theirs) == len(picture_parts(gym.spec)) == 2
        for (begin, end, shape), seen in zip(picture_parts(gym.spec), theirs, strict=True):
            picture = obs[begin:end].reshape(shape)
            assert seen.shape[0] == ours.shape[0]
            assert (seen == 255).mean() == pytest.approx((picture == picture.max()).mean(), abs=0.02)


def test_a_film_shows_the_newest_of_pictures_in_a_row() -> None:
    """Of which each has its channels first."""
    env: Any = Lamp(render_mode="rgb_array")
    shown = Beside(env, Spec((3, 3, 24, 20), (-1.0,), (1.0,), "uint8"))
    shown._seen = np.stack([np.full((3, 24, 20), level, np.uint8) for level in (10, 20, 30)])
    assert set(np.unique(shown.render()[:, 20:])) == {30}


def test_a_film_shows_bits_in_black_and_white() -> None:
    env: Any = Lamp(render_mode="rgb_array")
    shown = Beside(env, Spec((24, 20), (-1.0,), (1.0,), "uint8", (Leaf((), (24, 20), high=(1.0,)),)))
    shown._seen = np.eye(24, 20, dtype=np.uint8)
    assert set(np.unique(shown.render()[:, 20:])) == {0, 255}


def test_pictures_beside_numbers_are_stored_as_bytes(beside: ddpg.Run, tmp_path: Path) -> None:
    """In files that checkpoints name; they are those of their steps, after a run has gone on, too."""
    run = shutil.copytree(beside.path, tmp_path / "run")
    ddpg.resume(run, steps=400, env=LampAndMoves, quiet=True)
    written = sum(path.stat().st_size for path in (run / "checkpoints" / KEY).glob("rows-*"))
    assert 380 * 4 * 24 * 20 < written < 2_000 + 400 * 4 * 24 * 20
    for one in (ddpg.replay(beside.path), ddpg.replay(run)):
        colour, grey, moves = np.split(one["obs"], [1440, 1920], axis=1)
        colour, grey = colour.reshape(-1, 3, 24, 20), grey.reshape(-1, 24, 20)
        np.testing.assert_array_equal(colour.min(axis=1), grey)
        np.testing.assert_array_equal(grey[:, 0].argmax(axis=1), np.round(9.5 + 9 * moves[:, 0]))
    assert len(ddpg.replay(run)["reward"]) > 360


@pytest.mark.parametrize("format", ["onnx", "hdf5", "numpy"])
def test_pictures_beside_numbers(format: str, beside: ddpg.Run) -> None:
    """Each picture has its own encoder, in its place; so it is in what is exported."""
    assert (beside.config.preset, beside.config.stack) == ("pixels", 1)
    assert beside.summary["start"] == ["observations have pictures: preset pixels"]
    policy, env = ddpg.load(beside.path), LampAndMoves()
    obs: Any = env.reset(seed=0)[0]
    assert policy(obs).shape == (1,)
    assert policy(obs | {"moves": obs["moves"] + 1}) != policy(obs) != policy(obs | {"grey": obs["grey"] // 2})
    assert ddpg.export(beside.path, format).difference < 1e-5


def test_pictures_beside_numbers_are_moved_alone() -> None:
    board, camera = Leaf(("a",), (5, 5), high=(1.0,)), Leaf(("b",), (16, 16), high=(255.0,))
    spec = Spec((281,), (-1.0,), (1.0,), leaves=(board, camera))
    shift, words = RandomShift(pixels=2, groups=1), jnp.array([1 << 16], jnp.uint32)
    obs = jnp.arange(562.0).reshape(2, 281)
    moved = augment_parts(shift, obs, picture_parts(spec), words)
    np.testing.assert_array_equal(moved[:, :25], obs[:, :25])
    np.testing.assert_array_equal(moved[:, 25:], shift(obs[:, 25:].reshape(2, 16, 16), words).reshape(2, -1))
    assert not np.array_equal(moved, obs)


def test_numbers_alone_are_no_pictures() -> None:
    numbers = Spec((5,), (-1.0,), (1.0,), leaves=(Leaf(("a",), (2,)), Leaf(("b",), (3,))))
    with pytest.raises(Mistake, match="no part of an observation is a picture"):
        Patches().sizes(numbers)


def test_a_board_is_no_picture() -> None:
    """Bytes of less than 16 in a direction, alone or among others; whoever asks for convolutions gets them."""
    board = Spec((5, 5, 3), (-1.0,), (1.0,), "uint8")
    parts = Spec((75,), (-1.0,), (1.0,), leaves=(Leaf(("a",), (5, 5, 3), high=(255.0,)),))
    assert not has_pictures(board)
    assert not has_pictures(parts)
    assert has_pictures(replace(board, obs_shape=(16, 16, 3)))
    assert Conv(kernels=(2,), strides=(1,)).sizes(board)[0] == 32


def test_what_does_not_fit_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (
            ["--encoder", "conv"],
            "encoder conv: an observation of shape (3,) is no picture; use --encoder flat, or --pixels",
        ),
        (["--augment", "shift"], "augment shift: an observation of shape (3,) is no picture; use --augment none"),
        (
            ["--pixels", "--pixels.size", "16", "--encoder.patches", "32"],
            "layer 0 looks at 32 x 32 of what has 16 x 16 then",
        ),
        (
            ["--smoothing.actor", "true"],
            "smoothing.sigma 0 is no noise; use --smoothing.sigma 0.2",
        ),
        (
            ["--preset", "td7", "--pixels"],
            "encoder sale: it is for numbers, and Pendulum-v1 observes pictures; use --encoder patches, or conv",
        ),
        (["--stack", "3"], "stack 3: it is single pictures that are stacked"),
    ):
        assert main(["train", *words]) == 2
        assert said in capsys.readouterr().err


def test_of_several_parts_none_is_stacked() -> None:
    spec = by_callable(LampAndMoves, LampAndMoves()).spec
    with pytest.raises(Mistake, match="an observation of 3 parts is none; use --stack 1, or stack them in"):
        seen_spec(spec, View(stack=3))


def test_memory_is_that_of_single_pictures() -> None:
    config = override(PRESETS["pixels"], {"pixels.size": 84, "pixels.colour": True, "replay.capacity": 100_000})
    env = resolve_as(config, "Pendulum-v1")
    assert replay_bytes(config, env) < 2.2e9
    million = override(PRESETS["pixels"], {"replay.capacity": 1_000_000})
    assert replay_bytes(million, resolve_as(million, "Pendulum-v1")) < 2.4e9
    with pytest.raises(Mistake, match=r"use a smaller --replay\.capacity"):
        check_memory(override(config, {"replay.capacity": 100_000_000}), env)
