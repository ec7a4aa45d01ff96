"""A run on an environment that misbehaves, or that diverges or is stopped, leaves a whole folder and one line."""

import json
import re
import signal
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddpg
from ddpg.cli import main
from ddpg.commands.evaluate import evaluate_run
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.training.folder import read_metrics
from tests.gym_worlds import Drift
from tests.tiny import PAIR

NETWORKS = ["actor", "actor_target", "critic", "critic_target"]
FILES = [f"{name}.hdf5" for name in NETWORKS] + ["networks.safetensors"]
BEGINNING = "step-000000000000.safetensors"  # and later ones, as far as the run came
pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def drift() -> str:
    """The id of Drift, of which no instance was made yet."""
    Drift.instances = 0
    return "Drift-v0"


def trouble(kind: str, victim: int, at: int) -> dict[str, Any]:
    return PAIR | {"env_args": f"trouble={kind},victim={victim},at={at}"}


def whole(folder: Path, seeds: Sequence[int] = (0,), drawn: bool = True) -> dict[str, Any]:
    """Asserts that nothing is missing that can be there, and answers the summary."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    summary = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    evaluated = [returned is not None for returned in summary.get("best", {}).get("returns", [])]
    best = {f"models/seed-{seed}/best.safetensors" for seed in compress(seeds, evaluated)}
    models = {f"models/seed-{seed}/{name}" for seed in seeds for name in (*FILES, BEGINNING)} | best
    models |= {file for file in files if re.fullmatch(r"models/seed-\d+/step-\d{12}\.safetensors", file)}
    own = {"config.json", "metrics.jsonl", "summary.json", *(["learning_curve.png"] if drawn else [])}
    assert {file for file in files if not file.startswith(("tensorboard/", "checkpoints/"))} == models | own
    return summary


@pytest.mark.slow
def test_a_seed_among_several_is_that_seed_alone(drift: str, tmp_path: Path) -> None:
    several = ddpg.train(drift, steps=400, seed=3, seeds=3, run=tmp_path / "several", options=PAIR)
    whole(several.path, [3, 4, 5])
    for seed in (3, 4, 5):
        alone = ddpg.train(drift, steps=400, seed=seed, run=tmp_path / f"{seed}", options=PAIR)
        for name in NETWORKS:
            one, other = (run.path / "models" / f"seed-{seed}" / f"{name}.hdf5" for run in (several, alone))
            assert one.read_bytes() == other.read_bytes()
        said = [[record for record in read_metrics(run.path) if record["seed"] == seed] for run in (several, alone)]
        assert len(said[0]) == 4
        for one, other in zip(*said, strict=True):
            np.testing.assert_equal(one | {"steps_per_second": 0}, other | {"steps_per_second": 0})


# Environment 1 of the two that train is made third: the first is for its spaces.
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("raise", r"environment 1 at its step 120 \(episode 12\): step raised RuntimeError: out of fuel"),
        ("obs", r"environment 1 at its step 120 \(episode 12\): observation nan at index 1, expected finite numbers"),
        ("shape", r"environment 1 at its step 120 \(episode 12\): observation of shape \(3,\), expected \(2,\)"),
        ("dtype", r"environment 1 at its step 120 \(episode 12\): observation of dtype <U1, expected numbers"),
        ("reward", r"environment 1 at its step 120 \(episode 12\): reward -?inf, expected a finite number"),
        ("reset", r"environment 1 at its step 120 \(episode 13\): reset raised RuntimeError: door is shut"),
    ],
)
def test_misbehaviour_leaves_the_run_so_far(
    kind: str, said: str, drift: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match=f"^{said}.*; the run until then is in {folder}$") as caught:
        ddpg.train(drift, steps=400, run=folder, options=trouble(kind, 2, 120))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, EnvironmentFailure)  # and the environment's own exception behind it
    if kind in ("raise", "reset"):
        assert isinstance(caught.value.__cause__.__cause__, RuntimeError)
    summary = whole(folder, drawn=False)
    assert summary["failure"] in str(caught.value)
    assert (summary["steps"], summary["interrupted"]) == (280, False)
    assert [record["step"] for record in read_metrics(folder)] == [100, 200]
    assert evaluate_run(folder, episodes=2)["episodes"] == 2
    assert main(["eval", str(folder), "--episodes", "2", "--json"]) == 0
    assert np.isfinite(json.loads(capsys.readouterr().out)["return_mean"])


def test_the_networks_are_those_of_the_last_update(drift: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="environment 1 at its step 130"):
        ddpg.train(drift, steps=400, run=tmp_path / "bad", options=trouble("obs", 2, 130))
    ddpg.train(drift, steps=300, run=tmp_path / "good", options=PAIR)  # what was collected last is not yet learned
    for name in NETWORKS:
        one, other = (tmp_path / run / "models" / "seed-0" / f"{name}.hdf5" for run in ("bad", "good"))
        assert one.read_bytes() == other.read_bytes()


def test_misbehaviour_before_anything_is_logged(drift: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^environment 0 at its step 20 \(episode 2\): .*the run until then is in"):
        ddpg.train(drift, steps=400, run=tmp_path / "run", options=trouble("raise", 1, 20))
    summary = whole(tmp_path / "run", drawn=False)
    assert (summary["steps"], summary["iqm"], summary["returns"]) == (60, None, [None])
    assert read_metrics(tmp_path / "run") == []
    assert evaluate_run(tmp_path / "run", episodes=2)["episodes"] == 2


def test_misbehaviour_in_evaluation_only(drift: str, tmp_path: Path) -> None:
    said = (
        r"^in evaluation, environment 0 at its step 15 \(episode 2\): step raised RuntimeError: out of fuel .*; the run"
    )
    with pytest.raises(ValueError, match=said):
        ddpg.train(drift, steps=400, run=tmp_path / "run", options=trouble("raise", 3, 15))
    summary = whole(tmp_path / "run", drawn=False)
    assert (summary["steps"], summary["failure"][:13]) == (200, "in evaluation")
    records = read_metrics(tmp_path / "run")
    assert [record["step"] for record in records] == [100, 200]
    assert np.isfinite(records[0]["return"])
    assert np.isnan(records[1]["return"])
    assert np.isfinite(records[1]["q"])  # what was learned until then is told
    assert evaluate_run(tmp_path / "run", episodes=2)["episodes"] == 2


def test_an_environment_that_cannot_even_start(drift: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^environment 1 at its step 0 \(episode 1\): reset raised RuntimeError: door"
    ):
        ddpg.train(drift, steps=400, run=tmp_path / "run", options=trouble("reset", 2, 0))
    assert not (tmp_path / "run").exists()


def test_a_function_that_makes_what_misbehaves(tmp_path: Path) -> None:
    Drift.instances = 0
    with pytest.raises(ValueError, match=r"^environment 0 at its step 150 \(episode 15\): step raised RuntimeError"):
        ddpg.train(lambda: Drift("raise", victim=1, at=150), steps=400, run=tmp_path / "run", options=PAIR)
    assert whole(tmp_path / "run", drawn=False)["env"] == "Drift"
    action = ddpg.load(tmp_path / "run")(np.zeros((3, 2)))
    assert action.shape == (3, 1)


@pytest.mark.usefixtures("drift")
def test_a_worker_that_dies(tmp_path: Path) -> None:
    env, folder = "tests.gym_worlds:Drift-v0", tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    # Every process counts for itself: both workers die, and the instance made here is never stepped.
    options = trouble("exit", 0, 120) | {"collect.vector": "async"}
    with pytest.raises(
        ValueError, match=r"^environment [01] at step 131: its worker process died \(exit status 3\); the"
    ):
        ddpg.train(env, steps=400, run=folder, options=options)
    assert signal.getsignal(signal.SIGINT) is before
    assert whole(folder, drawn=False)["steps"] == 280
    with pytest.raises(ValueError, match=f"imports a module, .* add --env {env} if you trust it"):
        evaluate_run(folder, episodes=2)
    assert evaluate_run(folder, episodes=2, env=env)["episodes"] == 2


def test_divergence_is_diagnosed(drift: str, tmp_path: Path) -> None:
    said = r"^training diverged by step \d+: seed 0: Q is .*use a smaller --critic.lr, .*; the run until then is in"
    with pytest.raises(ValueError, match=said) as caught:
        ddpg.train(drift, steps=800, run=tmp_path / "run", options=PAIR | {"critic.lr": 1e6})
    assert "\n" not in str(caught.value)
    assert "diverged" in whole(tmp_path / "run", drawn=False)["failure"]


def test_a_network_without_numbers_is_divergence_and_no_misbehaviour(drift: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^training diverged by step \d+: seed 0: Q is "):
        ddpg.train(drift, steps=800, run=tmp_path / "run", options=trouble("huge", 1, 0))
    whole(tmp_path / "run", drawn=False)


@pytest.mark.usefixtures("one_device")
def test_one_lost_seed_does_not_stop_the_others(drift: str, tmp_path: Path) -> None:
    options = trouble("huge", 3, 0)  # environment 0 of the second seed: its critic overflows
    lost = ddpg.train(drift, steps=400, seeds=3, run=tmp_path / "lost", options=options)
    summary = whole(lost.path, [0, 1, 2])
    assert (summary["steps"], "failure" in summary) == (400, False)
    well = ddpg.train(drift, steps=400, seeds=3, run=tmp_path / "well", options=PAIR)
    assert not np.isfinite(ddpg.load(lost.path, seed=1).nets.critic.layers[0].weight).all()
    for seed in (0, 2):
        one, other = (run.path / "models" / f"seed-{seed}" / "actor.hdf5" for run in (lost, well))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("at", "steps"), [(5, 20), (120, 280)])
def test_ctrl_c_while_an_environment_steps(at: int, steps: int, drift: str, tmp_path: Path) -> None:
    run = ddpg.train(drift, steps=400, run=tmp_path / "run", options=trouble("press", 2, at))
    summary = whole(run.path)
    assert run.interrupted
    assert (summary["steps"], summary["interrupted"], "failure" in summary) == (steps, True, False)
    assert read_metrics(run.path)[-1]["step"] == steps
    assert np.isfinite(summary["mean"])
    assert evaluate_run(run.path, episodes=2)["episodes"] == 2


def test_the_saved_policy_normalises(drift: str, tmp_path: Path) -> None:
    run = ddpg.train(drift, steps=400, run=tmp_path / "run", options=PAIR | {"normalise": True})
    policy = ddpg.load(run.path)
    nets, stats, spec = policy.nets, policy.greedy.stats, policy.spec
    assert stats is not None
    rows = 400 // 2 - 10  # of each environment, but for the block collected last
    assert stats.count == 2 * (rows - rows // 11)  # every episode has ten steps and a row for its last observation
    obs = np.random.default_rng(0).normal(size=(6, 2)) * [1.0, 0.3] + [0.0, 0.5]
    obs[5] = 1e6  # cut at ten standard deviations
    x = np.clip((obs - np.float64(stats.mean)) / np.sqrt(np.float64(stats.variance) + 1e-8), -10, 10)
    for layer in nets.actor.layers[:-1]:
        x = np.maximum(x @ np.float64(layer.weight) + np.float64(layer.bias), 0)
    x = np.tanh(x @ np.float64(nets.actor.layers[-1].weight) + np.float64(nets.actor.layers[-1].bias))
    np.testing.assert_allclose(ddpg.load(run.path)(obs), -2 + (x + 1) * 1.5, atol=1e-4)
    assert (spec.action_low, spec.action_high) == ((-2.0,), (1.0,))
    assert len(stats.mean) == 2
    assert stats.mean[1] == pytest.approx(0.5 + 0.45, abs=0.02)  # the mean over t = 0 … 9
