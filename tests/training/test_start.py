"""A run that begins with another's networks, or with transitions in its replay."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import ddpg
from ddpg.algorithm.normaliser import RunningStats
from ddpg.cli import main
from ddpg.config.file import write_config
from ddpg.config.presets import by_name
from ddpg.config.reading import override
from ddpg.training.folder import RunFolder
from ddpg.training.plan import _chose_evaluations, _differing, _evaluated_every
from ddpg.training.policy import load_seed
from tests.tiny import SMALL_TD7, TINY
from tests.worlds import Cart

pytestmark = pytest.mark.usefixtures("no_pictures", "one_device")

SMALL = TINY | {"replay.capacity": 2000}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ddpg.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddpg.training.session.Session.draw", lambda self, note: self.folder.curve.touch())
        folder = tmp_path_factory.mktemp("source") / "run"
        return ddpg.train(steps=600, seed=3, seeds=3, run=folder, options=SMALL, quiet=True)


@pytest.mark.parametrize("env", ["Pendulum-v1", "gym:Pendulum-v1"])
def test_it_begins_with_the_networks_of_the_run(env: str, source: ddpg.Run, tmp_path: Path) -> None:
    """The first evaluation comes before any update here: it is the old run's last one."""
    options = {"collect.learning_starts": 210, "eval.every": 100}
    run = ddpg.train(env, steps=400, run=tmp_path / "run", options=options, from_run=source.path, quiet=True)
    assert run.config.collect.warmup == 0
    assert run.config.agent == source.config.agent
    first = [record["return"] for record in ddpg.read_metrics(run.path)][:3]
    if env == "Pendulum-v1":
        np.testing.assert_allclose(first, source.summary["returns"], rtol=1e-5)
    assert run.summary["start"] == [f"begins with the last networks of {source.path} (3 seeds); optimisers are new"]
    again = ddpg.resume(run.path, steps=500, quiet=True)
    whole = ddpg.train(env, steps=500, run=tmp_path / "whole", options=options, from_run=source.path, quiet=True)
    assert again.summary["start"] == run.summary["start"]
    for seed in source.config.seed_range:
        one, other = (load_seed(RunFolder.at(x.path), x.config, seed)[0] for x in (again, whole))
        assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


def test_what_a_run_learned_of_embeddings_goes_on(tmp_path: Path) -> None:
    """They are trained further, not anew, and what is shown before the first assessment is what the run ended with."""
    options = SMALL | SMALL_TD7 | {"exploration": "gaussian", "collect.steps": 10, "collect.updates": 10}
    before = ddpg.train(preset="td7", steps=600, run=tmp_path / "before", options=options, quiet=True)
    options = {"collect.learning_starts": 210, "eval.every": 100, "target_period": 1}
    run = ddpg.train(steps=240, run=tmp_path / "run", options=options, from_run=before.path, quiet=True)
    first = [record["return"] for record in ddpg.read_metrics(run.path)][:2]
    np.testing.assert_allclose(first, before.summary["returns"] * 2, rtol=1e-5)
    begun, ended = (load_seed(RunFolder.at(x.path), x.config, 0)[0] for x in (before, run))
    pairs = zip(*map(jax.tree.leaves, (begun.online.encoder, ended.target.encoder)), strict=True)
    assert 0 < max(np.abs(x - y).max() for x, y in pairs) < 0.05  # thirty steps of Adam


@pytest.mark.parametrize("env", ["Pendulum-v1", "gym:Pendulum-v1"])
def test_iterations_and_evaluations_that_the_run_chose_are_kept(env: str, tmp_path: Path) -> None:
    """Others become those that suit an environment that Python steps."""
    chosen = {"eval.every": 150, "collect.warmup": 200} | ({"collect.steps": 1} if env[:4] == "gym:" else {})
    first = ddpg.train(env, steps=300, run=tmp_path / "first", options=SMALL | chosen, quiet=True)
    run = ddpg.train("gym:Pendulum-v1", steps=300, run=tmp_path / "run", from_run=first.path, quiet=True)
    assert run.config.collect.steps == (1 if env[:4] == "gym:" else 100)
    assert (run.config.eval.every, run.config.eval.episodes) == (150, first.config.eval.episodes)


def test_a_short_run_has_twenty_evaluations(tmp_path: Path) -> None:
    options = {path: value for path, value in SMALL.items() if path != "eval.every"} | {"collect.warmup": 100}
    short = ddpg.train(steps=400, run=tmp_path / "short", options=options, quiet=True)
    assert [record["step"] for record in ddpg.read_metrics(short.path)] == [*range(20, 401, 20)]
    every = ddpg.train(steps=200, run=tmp_path / "chosen", options=options | {"eval.every": 200}, quiet=True)
    assert every.config.eval.every == 200
    given = ddpg.train(config=replace(short.config, steps=200), run=tmp_path / "given", quiet=True)
    assert given.config.eval.every == 20


def test_evaluations_of_a_run_that_goes_on_from_another_follow_from_its_own_steps() -> None:
    config = by_name("ddpg")
    assert [_evaluated_every(config, steps) for steps in (10, 2000, 20_000, 1_000_000)] == [1, 100, 1000, 1000]
    short = replace(config, steps=2000, eval=replace(config.eval, every=100))
    assert not _chose_evaluations(config)
    assert not _chose_evaluations(short)
    assert _evaluated_every(short, 50_000) == 1000
    assert _differing(short) == {}
    chosen = replace(short, eval=replace(config.eval, every=50))
    assert _chose_evaluations(chosen)
    assert _differing(chosen) == {"eval.every": 50}


def test_more_seeds_than_the_run_has_begin_with_the_first_again(source: ddpg.Run, tmp_path: Path) -> None:
    options = {"collect.learning_starts": 110, "eval.every": 100}
    run = ddpg.train(
        steps=200, seed=0, seeds=4, run=tmp_path / "run", options=options, from_run=source.path, best=True, quiet=True
    )
    first = [record["return"] for record in ddpg.read_metrics(run.path)][:4]
    best = source.summary["best"]["returns"]
    np.testing.assert_allclose(first, [*best, best[0]], rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--from {run} --critic.widths 16",
            "critic.widths 16: the networks of {run} have 8,8; use --critic.widths 8,8",
        ),
        ("--from {run} --critics 2", "critics 2: the networks of {run} have 1; use --critics 1"),
        ("--from {run} --normalise true", "{run} was trained with false, and its networks need it; use --normalise fa"),
        ("--from nowhere", "nowhere is no run folder"),
        (
            "MountainCarContinuous-v0 --from {run} --collect.learning_starts 300",
            "was trained for observations of shape (3,)",
        ),
        ("--best", "best: of which run? It needs from_run (ddpg train --from RUN --best)"),
        ("--from-run {run}", "unknown option --from-run; did you mean --from?"),
        ("--demonstrations {run}/config.json", "config.json cannot be read"),
        ("--demonstrations nowhere.npz", "nowhere.npz cannot be read"),
        ("--demonstrations {bad}", "demonstrations lack action, reward, next_obs, terminated, truncated; expected"),
    ],
)
def test_mistakes(
    words: str, message: str, source: ddpg.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"run": str(source.path), "bad": str(tmp_path / "bad.npz")}
    np.savez(places["bad"], obs=np.zeros((3, 3)))
    assert main(["train", *words.format(**places).split(), "--run", str(tmp_path / "run"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert message.format(**places) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_replay_of_a_run_is_what_its_environment_gave(source: ddpg.Run) -> None:
    """Each next observation follows from its observation and action."""
    stored = ddpg.replay(source.path, 4)
    assert list(stored) == ["obs", "action", "reward", "next_obs", "terminated", "truncated"]
    # 600 steps: the resets after two episodes of 200 steps, and the last row, which has no next one yet.
    assert 590 <= len(stored["reward"]) <= 598
    assert stored["truncated"].sum() == 2
    env: Any = __import__("gymnasium").make("Pendulum-v1").unwrapped
    for i in (0, 57, 199, 311):
        cos, sin, speed = stored["obs"][i].astype(float)
        env.reset()
        env.state = np.array([np.arctan2(sin, cos), speed])
        obs, reward, *_ = env.step(stored["action"][i])
        np.testing.assert_allclose(stored["next_obs"][i], obs, atol=1e-4)
        assert stored["reward"][i] == pytest.approx(reward, abs=1e-3)
    with pytest.raises(ddpg.Mistake, match=r"seed 9: .* holds seeds 3 to 5"):
        ddpg.replay(source.path, 9)


def test_rewards_of_demonstrations_may_come_again(source: ddpg.Run, tmp_path: Path) -> None:
    """What their Q is must not count as impossible."""
    given, seen = ddpg.replay(source.path), list[Any]()
    given["reward"] = np.where(np.arange(len(given["reward"])) % 50, given["reward"], 1e4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddpg.training.watch.Watch.end_chunk", lambda watch, *_: bool(seen.append(watch.state)))
        ddpg.train(steps=200, run=tmp_path / "run", options=SMALL, demonstrations=given, quiet=True)
    assert seen[0].divergence.largest_reward.tolist() == [1e4]
    assert seen[0].health.highest_reward.tolist() == [1e4]
    assert seen[0].health.lowest_reward[0] == pytest.approx(given["reward"].min())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros(3), "demonstrations of type ndarray: expected an NPZ file or a mapping of arrays obs, action"),
        ({"terminated": 0.5}, "terminated of dtype float64, expected true or false, 1 or 0"),
        ({"reward": 1e300}, "reward of dtype float64, expected finite numbers of 32 bits"),
    ],
)
def test_wrong_demonstrations(given: Any, said: str, source: ddpg.Run, tmp_path: Path) -> None:
    arrays = ddpg.replay(source.path)
    if isinstance(given, dict):
        given = arrays | {name: np.full(len(arrays["reward"]), value) for name, value in given.items()}
    with pytest.raises(ddpg.Mistake, match=said):
        ddpg.train(run=tmp_path / "run", options=SMALL, demonstrations=given)


@pytest.mark.parametrize("env", ["Pendulum-v1", "gym:Pendulum-v1"])
def test_demonstrations_lie_in_the_replay_of_every_seed(env: str, source: ddpg.Run, tmp_path: Path) -> None:
    given = ddpg.replay(source.path)
    path = tmp_path / "given.npz"
    np.savez(path, allow_pickle=False, **given)
    options = SMALL | {"normalise": True, "replay.sampling": "prioritised", "collect.envs": 2, "collect.steps": 5}
    run = ddpg.train(env, steps=200, seeds=2, run=tmp_path / "run", options=options, demonstrations=path, quiet=True)
    for seed in (0, 1):
        stored = ddpg.replay(run.path, seed)
        there = {row.tobytes() for row in np.concatenate([stored["obs"], stored["next_obs"]], axis=1)}
        asked = {row.tobytes() for row in np.concatenate([given["obs"], given["next_obs"]], axis=1)}
        assert asked <= there
        assert len(there) > len(asked) + 150
    saved, _ = load_seed(RunFolder.at(run.path), run.config, 0)
    assert isinstance(saved.stats, RunningStats)
    assert float(np.asarray(saved.stats.count)) > len(given["reward"])
    assert run.summary["start"] == [f"begins with {len(given['reward'])} transitions in the replay"]
    with pytest.raises(ddpg.Mistake, match=r"take \d+ steps of the replay, which has 400; use --replay.capacity \d+"):
        ddpg.train(
            config=replace(run.config, replay=replace(run.config.replay, capacity=400)),
            run=tmp_path / "small",
            demonstrations=given,
        )


def test_a_preset_file_is_for_any_environment_and_imports_none(tmp_path: Path) -> None:
    """Its environment's arguments are of that environment alone."""
    found = override(by_name("ddpg"), TINY | {"env": "gym:Pendulum-v1", "env_args": ("g=5",), "steps": 200})
    write_config(found, tmp_path / "preset.json")
    run = ddpg.train(Cart(), preset=tmp_path / "preset.json", run=tmp_path / "run", quiet=True)
    assert (run.config.env_args, run.config.steps) == ((), 200)
    write_config(replace(found, env="no_such_module:Env-v0", env_args=()), tmp_path / "own.json")
    with pytest.raises(ddpg.Mistake, match=r"imports a module, which is not done .* --preset .*own\.json"):
        ddpg.train(preset=tmp_path / "own.json", run=tmp_path / "other")
