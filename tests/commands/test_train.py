"""A run folder is complete, says the same everywhere, and is what Python and the command line read back."""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ddpg
from ddpg import cli
from ddpg.cli import main
from ddpg.commands.evaluate import evaluate_run
from ddpg.commands.export import FORMATS
from ddpg.commands.plot import plot_runs
from ddpg.commands.train import _report
from ddpg.config.presets import PRESETS, host_defaults
from ddpg.config.reading import override
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.probes import ACTION
from ddpg.mistake import Mistake
from ddpg.records.log import TAGS
from ddpg.records.statistics import iqm
from ddpg.training import finish
from ddpg.training.devices import SINGLE_THREAD_FLOPS
from ddpg.training.folder import load_config, read_metrics
from ddpg.training.saving import Saver
from ddpg.training.session import Session
from ddpg.training.signals import interruptible
from ddpg.types import Metrics
from tests.gym_worlds import GymPointGoal
from tests.tiny import MORE_PARTS, TINY, TURNS
from tests.worlds import TwoActions

SEEDS, STEPS = [3, 4, 5], [100, 200, 300, 400, 500, 600]
NETWORKS = ["actor", "actor_target", "critic", "critic_target"]
FILES = [f"{name}.hdf5" for name in NETWORKS] + ["networks.safetensors"]
MOMENTS = [f"step-{step:012d}.safetensors" for step in (0, 200, 300, 500)]  # of 600


def complete(folder: Path, seeds: list[int]) -> None:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    events = {file for file in files if file.startswith("tensorboard/")}
    models = {f"models/seed-{seed}/{name}" for seed in seeds for name in (*FILES, MOMENTS[0], "best.safetensors")}
    later = {f"models/seed-{seed}/{name}" for seed in seeds for name in MOMENTS[1:]}  # as far as the run came
    own = {"config.json", "metrics.jsonl", "learning_curve.png", "policy.gif", "summary.json"}
    checkpoints = {file for file in files if file.startswith("checkpoints/")}
    assert files - events - checkpoints - later == models | own
    assert {"checkpoints/lock"} < checkpoints
    assert sorted(file.split("/")[1] for file in events) == [f"seed-{seed}" for seed in seeds]


def test_resume_takes_what_may_be_another_than_before(monkeypatch: pytest.MonkeyPatch) -> None:
    given = list[Any]()

    def resume(*args: Any, options: Any, **named: Any) -> None:
        given.append(options)
        raise Mistake("no run")

    monkeypatch.setattr("ddpg.commands.train.resume", resume)
    for words in (["--devices", "2"], ["--actors", "3", "--ray-address", "here:1"], []):
        assert main(["resume", "RUN", *words]) == 2
    assert given == [{"devices": "2"}, {"actors.number": "3", "actors.address": "here:1"}, {}]


def test_the_run_folder_is_complete(trained: ddpg.Run) -> None:
    complete(trained.path, SEEDS)
    assert load_config(trained.path) == trained.config
    with Image.open(trained.path / "learning_curve.png") as curve:
        assert curve.width >= 800
    with Image.open(trained.path / "policy.gif") as film:
        assert getattr(film, "n_frames", 0) > 50


# Without goals and actors, of which the others are.
OWN_TAGS = {key: tag for key, tag in TAGS.items() if "success" not in key and not tag.startswith("actors/")}


def test_metrics_are_the_contracts(trained: ddpg.Run) -> None:
    lines = (trained.path / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [(record["step"], record["seed"]) for record in records] == [(t, s) for t in STEPS for s in SEEDS]
    for record in records:
        assert record.keys() == {"step", "seed", *OWN_TAGS}
        # The first episode ends at step 200, the next at 401, the third after the run: the reset is a step.
        assert (record["episode_return"] is not None) == (record["step"] in (200, 500))
        assert all((record[name] is not None) == (record["step"] > 100) for name in Metrics._fields)  # the warm-up
        known = [value for key, value in record.items() if key not in ("episode_return", *Metrics._fields)]
        assert all(math.isfinite(value) for value in known)
        assert record["saturation"] is None or 0 <= record["saturation"] <= 1
        assert record["noise_scale"] == pytest.approx(0.2 * (1 - 0.9 * record["step"] / 10_000))
        assert record["return"] + record["gap_to_optimum"] == pytest.approx(trained.summary["optimum"])
    assert len({record["return"] for record in records}) == len(records)


@pytest.mark.parametrize("seed", SEEDS)
def test_tensorboard_says_the_same(trained: ddpg.Run, seed: int) -> None:
    board = EventAccumulator(str(trained.path / "tensorboard" / f"seed-{seed}")).Reload()
    assert set(board.Tags()["scalars"]) == set(OWN_TAGS.values())
    assert board.Tags()["histograms"] == ["critic/dq_da_histogram"]
    records = [record for record in read_metrics(trained.path) if record["seed"] == seed]
    for key, tag in OWN_TAGS.items():
        expected = [(record["step"], pytest.approx(record[key])) for record in records if math.isfinite(record[key])]
        assert [(event.step, event.value) for event in board.Scalars(tag)] == expected


def test_the_summary(trained: ddpg.Run) -> None:
    said = json.loads((trained.path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert said == trained.summary
    assert (said["format"], said["env"], said["preset"]) == (3, "Pendulum-v1", "ddpg")
    assert (said["seeds"], said["steps"], said["interrupted"]) == (SEEDS, 600, False)
    last = [record["return"] for record in read_metrics(trained.path)[-3:]]
    assert said["returns"] == last
    assert said["iqm"] == pytest.approx(iqm(np.array(last)))
    assert said["ci_low"] <= said["iqm"] <= said["ci_high"]
    assert said["gap_to_optimum"] == pytest.approx(said["optimum"] - said["iqm"])
    assert said["steps_per_second"] > 0
    assert said["wall_seconds"] > 1_800 / said["steps_per_second"]


def test_load_gives_each_seed_its_policy(trained: ddpg.Run) -> None:
    obs = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    answers = []
    for seed in SEEDS:
        policy = ddpg.load(trained.path, seed=seed)
        actions = policy(obs)
        assert (actions.shape, actions.dtype) == ((7, 1), np.float32)
        assert (np.abs(actions) <= 2).all()
        np.testing.assert_allclose(actions, policy.spec.to_units(policy.nets.mu(jnp.asarray(obs))), atol=1e-6)
        one = policy(obs[0])
        assert one.shape == (1,)
        np.testing.assert_allclose(one, actions[0], atol=1e-6)
        np.testing.assert_array_equal(policy(obs.tolist()), actions)
        action, state = policy.predict(obs, deterministic=True)
        np.testing.assert_array_equal(action, actions)
        assert state is None
        answers.append(actions)
    assert not np.array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(ddpg.load(str(trained.path))(obs), answers[0])


def test_load_refuses_other_seeds_and_shapes(trained: ddpg.Run) -> None:
    with pytest.raises(ValueError, match=r"seed 0: .* holds seeds 3 to 5; choose one of them"):
        ddpg.load(trained.path, seed=0)
    with pytest.raises(ValueError, match=r"observation of shape \(4,\), expected \(3,\) or a batch of them"):
        ddpg.load(trained.path)(np.zeros(4))


def test_eval_of_three_seeds(trained: ddpg.Run) -> None:
    said = evaluate_run(trained.path, episodes=4)
    assert (said["episodes"], said["seeds"], len(said["returns"])) == (12, SEEDS, 3)
    # The very starts and policies of the last log point.
    np.testing.assert_allclose(said["returns"], trained.summary["returns"], rtol=1e-4)
    assert said["return_mean"] == pytest.approx(np.mean(said["returns"]))
    assert said["gap_to_optimum"] == pytest.approx(trained.summary["optimum"] - said["return_mean"])
    other = evaluate_run(trained.path, episodes=4, seed=1, env="jax:Pendulum-v1")
    assert other["returns"] != said["returns"]


def test_the_best_policy_of_each_seed_is_kept(trained: ddpg.Run, capsys: pytest.CaptureFixture[str]) -> None:
    best, records = trained.summary["best"], read_metrics(trained.path)
    for i, seed in enumerate(SEEDS):
        own = {record["return"]: record["step"] for record in records if record["seed"] == seed}
        assert (best["returns"][i], best["steps"][i]) == (max(own), own[max(own)])
    assert best["iqm"] == pytest.approx(np.mean(best["returns"]))
    np.testing.assert_allclose(evaluate_run(trained.path, 4, best=True)["returns"], best["returns"], rtol=1e-4)
    assert main(["eval", str(trained.path), "--best", "--episodes", "4", "--json"]) == 0
    np.testing.assert_allclose(json.loads(capsys.readouterr().out)["returns"], best["returns"], rtol=1e-4)
    obs = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    for i, seed in enumerate(SEEDS):
        same = (ddpg.load(trained.path, seed)(obs) == ddpg.load(trained.path, seed, best=True)(obs)).all()
        assert same == (best["steps"][i] == STEPS[-1])


SUMMARY: dict[str, Any] = {
    "steps": 20_000,
    "iqm": 12.1,
    "ci_low": None,
    "ci_high": None,
    "steps_per_second": None,
    "wall_seconds": 1.0,
    "interrupted": False,
}


@pytest.mark.parametrize(
    ("returns", "steps", "line"),
    [
        ([174.0], [7000], "best 174.0 at step 7 000 · last 12.1 "),
        ([3.0, 5.0], [7000, 9000], "best 4.0 at steps 7 000 to 9 000 · last 12.1 "),
        ([12.1], [20_000], "return 12.1 "),
    ],
)
def test_the_last_line_names_the_best_return_and_the_last(
    returns: list[float | None], steps: list[int], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known = [x for x in returns if x is not None]
    summary = SUMMARY | {"best": {"iqm": np.mean(known), "returns": returns, "steps": steps}}
    assert _report(ddpg.Run(tmp_path, ddpg.Config(), summary), tmp_path) == 0
    assert capsys.readouterr().err.startswith(line)


def test_the_last_lines_say_what_to_do_next(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = ddpg.Run(tmp_path / "my runs" / "a", ddpg.Config(), SUMMARY)
    run.path.mkdir(parents=True)

    def said(run: ddpg.Run, here: Path = tmp_path, status: int = 0, **given: bool) -> list[str]:
        assert _report(run, here, **given) == status
        return capsys.readouterr().err.splitlines()[2:]

    charts = f"to see all charts: tensorboard --logdir 'my runs/a{os.sep}tensorboard'"
    assert said(run) == [
        "to evaluate it: ddpg eval 'my runs/a'",
        charts,
        "to train on: ddpg resume 'my runs/a' --steps 40000",
        "one seed may be luck: compare with --seeds 4",
    ]
    (run.path / "policy.gif").touch()
    several = replace(run, config=ddpg.Config(env="own:Room-v0", seeds=2))
    assert said(several) == [
        "to evaluate it, with a film: ddpg eval 'my runs/a' --video film.gif --env own:Room-v0",
        charts,
        "to train on: ddpg resume 'my runs/a' --steps 40000 --env own:Room-v0",
    ]
    elsewhere = said(run, tmp_path / "elsewhere")
    assert elsewhere[0] == f"to evaluate it, with a film: ddpg eval {shlex.quote(str(run.path))} --video film.gif"
    assert said(run, quiet=True) == []
    stopped = replace(run, summary=SUMMARY | {"interrupted": True}, signal=2)
    assert said(stopped, status=130) == ["to go on: ddpg resume 'my runs/a'"]


@pytest.mark.usefixtures("no_pictures")
def test_a_seed_is_the_same_in_every_run(trained: ddpg.Run, tmp_path: Path) -> None:
    again = ddpg.train(config=replace(trained.config, seed=4), run=tmp_path / "run")  # seeds 4, 5 and 6
    for seed in (4, 5):
        said = [[record for record in read_metrics(run.path) if record["seed"] == seed] for run in (trained, again)]
        for one, other in zip(*said, strict=True):
            timed = {"steps_per_second": 0.0}
            np.testing.assert_equal(one | timed, other | timed)
        for name in NETWORKS:
            files = [run.path / "models" / f"seed-{seed}" / f"{name}.hdf5" for run in (trained, again)]
            assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("driver", [pytest.param("Pendulum-v1", marks=pytest.mark.slow), "gym:Pendulum-v1"])
@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=[] if name == "d4pg" else pytest.mark.slow) for name in PRESETS]
)
def test_a_seed_of_every_preset_is_that_seed_alone(preset: str, driver: str, tmp_path: Path) -> None:
    goals = GymPointGoal if driver.startswith("gym:") else "jax:PointGoal-v0"
    env, options = goals if preset == "her" else driver, TURNS | {"collect.updates": 10}
    options |= {"d4pg": MORE_PARTS, "fasttd3": {"collect.envs": 2}}.get(preset, {})
    alone, among = (
        ddpg.train(env, preset=preset, steps=400, seed=first, seeds=n, run=tmp_path / str(n), options=options)
        for first, n in ((4, 1), (3, 3))
    )
    for name in NETWORKS:
        files = [run.path / "models" / "seed-4" / f"{name}.hdf5" for run in (alone, among)]
        assert files[0].read_bytes() == files[1].read_bytes(), name
    for form in FORMATS:
        assert ddpg.export(among.path, form, seed=5).difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("width", "batch"), [(240, 86), (256, 100)], ids=["products of one thread", "of more"])
def test_a_seed_alone_in_its_process_is_that_seed_among_three(width: int, batch: int, tmp_path: Path) -> None:
    """Where XLA has as many devices and threads as it is given for one seed, and for three."""
    product = 2 * batch * width**2
    assert (0.9 * SINGLE_THREAD_FLOPS < product < SINGLE_THREAD_FLOPS) == (width == 240)
    assert product < 4 * SINGLE_THREAD_FLOPS  # where a second thread changed the sums
    sizes = ["--actor.widths", f"{width},{width}", "--critic.widths", f"{width},{width}", "--replay.batch", f"{batch}"]
    rest = ["--steps", "300", "--collect.warmup", "100", "--eval.every", "300", "--eval.episodes", "2"]
    for first, n in ((4, 1), (3, 3)):
        which = ["--seed", f"{first}", "--seeds", f"{n}", "--run", str(tmp_path / f"{n}")]
        subprocess.run([sys.executable, "-m", "ddpg", "train", *sizes, *rest, *which], check=True, capture_output=True)
    for name in NETWORKS:
        one, other = ((tmp_path / f"{n}" / "models" / "seed-4" / f"{name}.hdf5").read_bytes() for n in (1, 3))
        assert one == other, name


def test_runs_of_one_preset_are_one_curve(trained: ddpg.Run, tmp_path: Path) -> None:
    plot_runs([trained.path, trained.path], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_runs_get_numbers_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Session, "run", lambda self, folder, stopped: folder)
    folders = [str(ddpg.train(preset=preset)) for preset in ("ddpg", "ddpg", "article")]
    assert folders == ["runs/Pendulum-v1-ddpg-1", "runs/Pendulum-v1-ddpg-2", "runs/Pendulum-v1-article-1"]


def test_small_is_a_preset_in_other_sizes(tmp_path: Path) -> None:
    asked = ["train", "--preset", "td3", "--small", "--steps", "1000", "--collect.warmup", "200", "--run"]
    assert cli.main([*asked, str(tmp_path / "td3"), "--quiet", "--actor.widths", "8", "--critic.widths", "8"]) == 0
    config = ddpg.load_config(tmp_path / "td3")
    assert (config.preset, config.steps, config.replay.capacity, config.collect.warmup) == ("td3", 1_000, 100_000, 200)
    assert config.agent.policy_delay == 2


def test_what_train_takes_for_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "run", lambda self, folder, stopped: self)
    for i, env in enumerate([None, "Pendulum-v1", "jax:Pendulum-v1", Pendulum, Pendulum()]):
        found = ddpg.train(env, run=tmp_path / f"{i}")
        assert isinstance(found, Session)
        assert found.env == Pendulum()
        assert found.config.env == "Pendulum-v1"
    nonsense: Any = 3
    with pytest.raises(ValueError, match=r"env 3: expected an id, an environment as ddpg\.envs\.protocol describes"):
        ddpg.train(nonsense, run=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("preset", "given", "turn"),
    [  # docs/parts.md, "Acting and learning in turns"
        ("ddpg", {}, (100, 100)),
        ("simba", {}, (100, 200)),
        ("simba", {"collect.steps": 50}, (50, 100)),
        ("fasttd3", {}, (1, 2)),
        ("fasttd3", {"collect.envs": 8}, (12, 2)),
        ("ddpg", {"collect.updates": 2}, (100, 200)),
        ("ddpg", {"collect.envs": 8, "collect.updates": 8}, (12, 96)),
        ("ddpg", {"collect.steps": 100, "collect.updates": 2}, (100, 2)),
        ("ddpg", {"collect.envs": 8, "actors.number": 2}, (20, 160)),
        ("d4pg", {"collect.envs": 8, "actors.number": 2}, (60, 480)),  # ten rows for each that its end costs
    ],
)
def test_turns_with_environments_that_python_steps(
    preset: str, given: dict[str, object], turn: tuple[int, int]
) -> None:
    chosen = host_defaults(override(PRESETS[preset], given), given)
    assert (chosen["collect.steps"], chosen["collect.updates"]) == turn


def test_one_sigma_or_one_for_each_dimension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "run", lambda self, folder, stopped: self.config)
    for sigma in ("0.3", "0.3,0.1"):
        ddpg.train(TwoActions(), run=tmp_path / sigma, options={"exploration.sigma": sigma})
    with pytest.raises(ValueError, match=r"exploration.sigma 0.1,0.2,0.3: 3 values, but two has 2 action dimensions"):
        ddpg.train(TwoActions(), run=tmp_path / "none", options={"exploration.sigma": "0.1,0.2,0.3"})
    assert not (tmp_path / "none").exists()


def test_an_environment_of_ones_own_has_no_film(tmp_path: Path) -> None:
    run = ddpg.train(ACTION, steps=400, run=tmp_path / "run", options=TINY)
    assert run.config.env == "probe-action"
    assert "gap_to_optimum" not in run.summary
    assert not (run.path / "policy.gif").exists()
    assert (run.path / "learning_curve.png").exists()
    assert ddpg.load(run.path)(np.zeros((5, 1))).shape == (5, 1)


@pytest.fixture
def interrupting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
    """Sends Ctrl-C, twice, as a named method of Session or Saver begins for the nth time."""

    def at(name: str, n: int) -> None:
        owner = Saver if name == "save" else Session
        real, calls = getattr(owner, name), count(1)

        def pressed(self: Any, *args: Any) -> Any:
            for _ in range(2 if next(calls) == n else 0):
                os.kill(os.getpid(), signal.SIGINT)
            return real(self, *args)

        monkeypatch.setattr(owner, name, pressed)

    before = signal.getsignal(signal.SIGINT)
    yield at
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("moment", "n", "steps"), [("run", 1, 100), ("_observe", 3, 300), ("save", 1, 200), ("draw", 1, 600)]
)
def test_ctrl_c_leaves_a_complete_run(
    moment: str,
    n: int,
    steps: int,
    interrupting: Callable[[str, int], None],
    trained: ddpg.Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the first chunk, before an evaluation, and while saving: what is there is whole, and can be evaluated."""
    interrupting(moment, n)
    monkeypatch.setattr(finish, "film_policy", lambda policy, env, config, path, *_: path.touch())  # tested elsewhere
    run = ddpg.train(config=trained.config, run=tmp_path / "run")
    complete(run.path, SEEDS)
    assert run.interrupted
    assert json.loads((run.path / "summary.json").read_text())["steps"] == steps
    assert read_metrics(run.path)[-1]["step"] == steps
    assert evaluate_run(run.path, episodes=4)["episodes"] == 12
    with pytest.raises(ValueError, match="already holds this very run, not at its end; go on with `ddpg resume"):
        ddpg.train(config=trained.config, run=run.path)
    with pytest.raises(ValueError, match="already holds another run; choose another --run"):
        ddpg.train(config=replace(trained.config, gamma=0.5), run=run.path)


def test_ctrl_c_is_only_heeded_between_chunks(request: pytest.FixtureRequest) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with interruptible() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped() == signal.SIGINT
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):  # whoever insists
            os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_training_in_another_thread(trained: ddpg.Run, tmp_path: Path) -> None:
    done = list[ddpg.Run]()
    thread = threading.Thread(target=lambda: done.append(ddpg.train(config=trained.config, run=tmp_path / "run")))
    thread.start()
    thread.join()
    assert done[0].summary["returns"] == trained.summary["returns"]
    complete(tmp_path / "run", SEEDS)


@pytest.mark.usefixtures("no_pictures")
def test_a_run_on_normalised_observations_and_scaled_rewards(tmp_path: Path) -> None:
    options = TINY | {"normalise": True, "reward_scale": 0.5, "eval.every": 600}
    run = ddpg.train(steps=600, run=tmp_path / "run", options=options)
    policy = ddpg.load(run.path)
    stats = policy.greedy.stats
    assert stats is not None
    # The policy that is loaded, and the one evaluated later, apply the statistics of training.
    obs = np.array([[1.0, 0.0, 0.0], [-0.5, 0.8, 6.0]], np.float32)
    seen = (obs - np.asarray(stats.mean)) / np.sqrt(np.asarray(stats.variance) + 1e-8)
    np.testing.assert_allclose(policy(obs), policy.spec.to_units(policy.nets.mu(jnp.asarray(seen))), atol=1e-5)
    np.testing.assert_allclose(evaluate_run(run.path, episodes=4)["returns"], run.summary["returns"], rtol=1e-4)
    # Of 600 stored steps, less the block under way, two end an episode.
    assert stats.count == 600 - 1 - 2
    # Returns are in the environment's own units, Q in the update's.
    (record,) = read_metrics(run.path)
    assert record["return"] == run.summary["returns"][0] < -200
    assert run.summary["gap_to_optimum"] == pytest.approx(run.summary["optimum"] - record["return"])


@pytest.mark.usefixtures("no_pictures")
def test_a_support_that_does_not_hold_the_returns_is_noticed_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = TINY | {"value": "categorical", "value.atoms": 5, "value.low": -20, "value.high": 20}
    ddpg.train(steps=400, run=tmp_path / "run", options=options)
    _, err = capfd.readouterr()
    assert err.count("outside the support from -20 to 20") == err.count("outside the support") == 1
    assert err.count("step ") >= 3


@pytest.mark.usefixtures("one_device")
def test_a_run_whose_every_seed_diverges_stops_and_keeps_its_networks(tmp_path: Path) -> None:
    options = TINY | {"critic.lr": 1e6, "actor.lr": 1e3}
    with pytest.raises(ValueError, match=r"training diverged by step \d+: seed 0: Q is .*; use a smaller") as error:
        ddpg.train(steps=5_000, seeds=2, run=tmp_path / "run", options=options)
    assert len(str(error.value).splitlines()) == 1
    assert str(tmp_path / "run") in str(error.value)
    said = json.loads((tmp_path / "run" / "summary.json").read_text(), parse_constant=pytest.fail)
    assert said["failure"] in str(error.value)
    assert said["steps"] < 5_000
    assert said["returns"] == [None, None]
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"checkpoints", "config.json", "metrics.jsonl", "models", "summary.json", "tensorboard"}
    assert {path.name for path in (tmp_path / "run").glob("models/*/*")} == {*FILES, MOMENTS[0], "best.safetensors"}
