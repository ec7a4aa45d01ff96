"""Networks of a few moments are kept: which, what they are, and that a resumed run leaves the same."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

import ddpg
from ddpg.config.reading import override
from ddpg.envs.pendulum import Pendulum
from ddpg.records.networks.safetensors import saved_moments
from ddpg.training.folder import RunFolder
from ddpg.training.moments import is_moment, midway, moments_of
from tests.networks import init_agent
from tests.tiny import TINY

OBS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_the_beginning_and_parts_of_the_run(trained: ddpg.Run) -> None:
    folder = RunFolder.at(trained.path)
    for seed in (3, 4, 5):
        assert list(saved_moments(folder.networks(seed))) == [0, 200, 300, 500]
    found = moments_of(folder, trained.config, 4, 600)
    assert list(found) == [0, 200, 300, 500, 600]
    np.testing.assert_array_equal(found[600]()(OBS), ddpg.load(trained.path, 4)(OBS))
    untrained = init_agent(trained.config.agent, jax.random.key(0), Pendulum.spec).online
    first = found[0]()
    assert jax.tree.structure(first.nets) == jax.tree.structure(untrained)
    assert np.abs(first(OBS) - found[500]()(OBS)).max() > 1e-3


def test_log_points_one_two_four_after_learning_began() -> None:
    def kept(preset: str, steps: range, options: dict[str, Any] | None = None) -> list[int]:
        config = override(ddpg.PRESETS[preset], options or {})
        return [step for step in steps if is_moment(config, step)]

    assert kept("ddpg", range(0, 40_001, 1000)) == [2000, 3000, 5000, 9000, 17_000, 33_000]
    assert kept("article", range(0, 20_001, 1000)) == [11_000, 12_000, 14_000, 18_000]
    turns: dict[str, Any] = {"collect.steps": 300, "eval.every": 1000}  # rounded to 900, or three iterations
    assert kept("ddpg", range(0, 9_000, 900), turns) == [1800, 2700, 4500, 8100]
    assert midway(ddpg.PRESETS["ddpg"], [0, 2000, 3000, 5000, 9000, 17_000, 20_000]) == 9000


def test_a_seed_begins_among_several_as_alone(trained: ddpg.Run, tmp_path: Path) -> None:
    again = ddpg.train(steps=200, seed=4, run=tmp_path / "run", options=TINY, quiet=True)
    one, other = (load_file(saved_moments(run.path / "models/seed-4")[0]) for run in (trained, again))
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)
    assert not any(name.startswith(".target") for name in one)


@pytest.mark.usefixtures("no_pictures")
def test_a_run_that_goes_on_leaves_the_same_moments(trained: ddpg.Run, tmp_path: Path) -> None:
    def stop(point: ddpg.LogPoint) -> None:
        if point["step"] == 300:
            raise ddpg.StopTraining("for now")

    part = ddpg.train(
        "Pendulum-v1", steps=600, seed=3, seeds=3, run=tmp_path / "run", options=TINY, observers=[stop], quiet=True
    )
    assert list(saved_moments(part.path / "models/seed-3")) == [0, 200, 300]
    ddpg.resume(part.path, quiet=True)
    for seed in (3, 4, 5):
        one, other = (saved_moments(run.path / f"models/seed-{seed}") for run in (trained, part))
        assert list(one) == list(other)
        for step in one:
            assert one[step].read_bytes() == other[step].read_bytes(), step


def test_a_damaged_moment_is_one_line(trained: ddpg.Run, tmp_path: Path) -> None:
    folder = RunFolder.at(trained.path)
    whole = saved_moments(folder.networks(3))[200].read_bytes()
    place = RunFolder.at(tmp_path).networks(3)
    place.mkdir(parents=True)
    (place / "step-000000000200.safetensors").write_bytes(whole[: len(whole) // 2])
    (place / "step-7.safetensors").write_bytes(whole)
    (place / "step-000000000300.safetensors").symlink_to(saved_moments(folder.networks(3))[200])
    found = moments_of(RunFolder.at(tmp_path), trained.config, 3, 600)
    assert list(found) == [200, 300, 600]
    for step, why in ((200, "cannot be used"), (300, "link"), (600, "does not exist")):
        with pytest.raises(ddpg.Mistake, match=why) as error:
            found[step]()
        assert "\n" not in str(error.value)
