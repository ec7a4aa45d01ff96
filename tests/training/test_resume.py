"""A run that was stopped, once or again and again, and resumed is bit for bit the run that was not."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import jax
import pytest
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ddpg
from ddpg.cli import main
from ddpg.config.config import Config
from ddpg.config.reading import override
from ddpg.envs.pendulum import Pendulum
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.display import Display
from ddpg.records.log import TAGS
from ddpg.records.tree_file import read_header
from ddpg.training import train as beginning
from ddpg.training.backend import driver_for
from ddpg.training.folder import RunFolder, load_config
from ddpg.training.restore import Progress
from ddpg.training.saving import Saver
from ddpg.training.watch import init_watch
from tests.gym_worlds import GymPointGoal
from tests.tiny import MORE_PARTS, SMALL_TD7, TURNS
from tests.worlds import Windy

pytestmark = pytest.mark.usefixtures("no_pictures", "one_device")

Stopping = Callable[[int | None], None]
# Every preset is tried with both drivers, by `pytest -m slow` all but the plain one and the one of most parts.
QUICK = ("ddpg", "d4pg", "pixels", "td7", "her")
COMPILED, IN_PYTHON = ("ddpg", "td7", "her"), ("ddpg", "d4pg", "her")  # the others are slow


def every(quick: tuple[str, ...]) -> list[Any]:
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in ddpg.PRESETS]


# What no preset has, and a few environments where there would be many.
BESIDES: dict[str, dict[str, Any]] = {
    "simba": {"exploration": "pink"},
    "d4pg": MORE_PARTS,
    "fasttd3": {"collect.envs": 2},
    "her": {"replay.n_step": 2, "preactivation": 0.01},
    "td7": SMALL_TD7 | {"collect.envs": 2},
    "pixels": {"pixels.size": 16, "encoder.filters": "4"},
    "drqv2": {"pixels.size": 16, "encoder.filters": "4"},
    "lillicrap-pixels": {"pixels.size": 16, "encoder.filters": "4"},
}
SCAN = TURNS | {"collect.updates": 10}


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Stopping:
    """Makes the next runs stop when they are asked for the nth time whether to: by compiled chunks, or by turns."""

    def at(n: int | None) -> None:
        @contextmanager
        def interruptible() -> Iterator[Callable[[], int]]:
            asked = iter(range(1, 10**9))
            told = list[int]()

            def stopped() -> int:
                if n is not None and next(asked) >= n:
                    told.append(signal.SIGINT)
                return told[0] if told else 0

            yield stopped

        monkeypatch.setattr(beginning, "interruptible", interruptible)

    return at


def same(one: Path, other: Path) -> None:
    """Asserts that two runs left the same in networks, metrics and the whole state."""
    newest = [list_checkpoints(run / "checkpoints")[0] for run in (one, other)]
    assert newest[0].name == newest[1].name
    arrays = [load_file(path) for path in newest]
    assert arrays[0].keys() == arrays[1].keys()
    for name, array in arrays[0].items():
        assert array.tobytes() == arrays[1][name].tobytes(), name
    for path in sorted(one.glob("models/*/*.hdf5")):
        assert path.read_bytes() == (other / path.relative_to(one)).read_bytes(), path.name
    rows = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, other)]
    for row in rows[0] + rows[1]:
        del row["steps_per_second"]
        row.update({name: -1.0 for name, value in row.items() if value is None})
    assert rows[0] == rows[1]
    for folder in sorted(one.glob("tensorboard/*")):
        boards = [EventAccumulator(str(run / folder.relative_to(one))).Reload() for run in (one, other)]
        for tag in set(TAGS.values()) - {TAGS["steps_per_second"]}:
            if tag in boards[0].Tags()["scalars"]:
                said = [{event.step: event.value for event in board.Scalars(tag)} for board in boards]
                assert said[0] == said[1], tag


def stopped_and_resumed(
    env: Any,
    preset: str,
    options: dict[str, Any],
    folder: Path,
    stop_at: Stopping,
    stops: tuple[int, int],
    alone: str = "windy",
) -> None:
    again = None if isinstance(env, str) else env
    stop_at(stops[0])
    assert ddpg.train(env, preset=preset, run=folder, options=options).interrupted
    if again is not None:
        with pytest.raises(ValueError, match=alone):
            ddpg.resume(folder)
    stop_at(stops[1])
    assert ddpg.resume(folder, env=again).interrupted
    stop_at(None)
    run = ddpg.resume(folder, env=again)
    assert (run.interrupted, run.summary["steps"]) == (False, 800)


@pytest.mark.parametrize("preset", every(COMPILED))
def test_the_compiled_loop_resumes_exactly(preset: str, tmp_path: Path, stop_at: Stopping) -> None:
    options = SCAN | {"seeds": 3 if preset in QUICK and preset != "her" else 1} | BESIDES.get(preset, {})
    # JAX's keys in an environment's state are restored as keys.
    env = {"d4pg": Windy(), "her": "jax:PointGoal-v0"}.get(preset, "Pendulum-v1")
    ddpg.train(env, preset=preset, run=tmp_path / "whole", options=options)
    stopped_and_resumed(env, preset, options, tmp_path / "parts", stop_at, (2, 3))
    same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("preset", every(IN_PYTHON))
def test_gymnasiums_environments_resume_exactly(preset: str, tmp_path: Path, stop_at: Stopping) -> None:
    """Stopped within warm-up and, but for d4pg, within learning; ddpg's go on in processes of their own."""
    own = {"d4pg": {"seeds": 2}, "ddpg": {"collect.envs": 2}}
    options = TURNS | own.get(preset, {}) | BESIDES.get(preset, {})
    env = GymPointGoal if preset == "her" else "gym:Pendulum-v1"
    ddpg.train(env, preset=preset, run=tmp_path / "whole", options=options)
    vector = {"collect.vector": "async"} if preset == "ddpg" else {}
    stops = (2, 13 if preset == "d4pg" else 10)
    stopped_and_resumed(env, preset, options | vector, tmp_path / "parts", stop_at, stops, "GymPointGoal")
    same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    ("env", "steps"),
    [
        pytest.param("Pendulum-v1", 400, marks=pytest.mark.slow),
        ("Pendulum-v1", 450),
        pytest.param("Pendulum-v1", 410, marks=pytest.mark.slow),  # one iteration of a chunk
        pytest.param("gym:Pendulum-v1", 530, marks=pytest.mark.slow),
    ],
)
def test_a_longer_run_is_the_run_of_that_length(env: str, steps: int, tmp_path: Path) -> None:
    """Also where the shorter one ends between two log points."""
    options = SCAN
    ddpg.train(env, run=tmp_path / "whole", options=options)
    ddpg.train(env, run=tmp_path / "parts", options=options | {"steps": steps})
    last = json.loads((tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == steps
    assert main(["resume", str(tmp_path / "parts"), "--steps", "800"]) == 0
    assert load_config(tmp_path / "parts").steps == 800
    same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(("env", "asked"), [("Pendulum-v1", 30), ("gym:Pendulum-v1", 24)])
def test_the_best_policy_is_that_of_a_run_that_was_never_stopped(
    env: str, asked: int, tmp_path: Path, stop_at: Stopping
) -> None:
    """Also if the killed run had kept a later one, which its checkpoint does not know, or was evaluated in between."""
    whole = ddpg.train(env, run=tmp_path / "whole", options=SCAN)
    stop_at(asked)
    parts = ddpg.train(env, run=tmp_path / "parts", options=SCAN).path
    newest, *_ = list_checkpoints(parts / "checkpoints")
    if env == "Pendulum-v1":
        newest.unlink()
    else:
        assert ddpg.read_metrics(parts)[-1]["step"] % 100 != 0
    stop_at(None)
    again = ddpg.resume(parts)
    assert again.summary["best"] == whole.summary["best"]
    for run in (whole, again):
        best = [(point["return"], point["step"]) for point in ddpg.read_metrics(run.path)]
        top = max(returned for returned, _ in best)
        assert run.summary["best"] == {"iqm": top, "returns": [top], "steps": [dict(best)[top]]}
    files = [run.path / "models/seed-0/best.safetensors" for run in (whole, again)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert read_header(files[0])["step"] == whole.summary["best"]["steps"][0]


def test_stopped_for_good_at_the_step_it_had_reached(tmp_path: Path, stop_at: Stopping) -> None:
    stop_at(38)
    options = TURNS | {"collect.envs": 2}
    run = ddpg.train("gym:Pendulum-v1", run=tmp_path / "run", options=options)
    (step,) = {run.summary["steps"]} - set(range(0, 801, 100))
    before = (run.path / "metrics.jsonl").read_text()
    stop_at(None)
    again = ddpg.resume(run.path, steps=step)
    assert (again.summary["steps"], again.summary["interrupted"]) == (step, False)
    assert again.summary["returns"] == run.summary["returns"]
    rows, were = (
        [json.loads(row) for row in text.splitlines()] for text in ((run.path / "metrics.jsonl").read_text(), before)
    )
    assert [row | {"steps_per_second": 0} for row in rows] == [row | {"steps_per_second": 0} for row in were]


@pytest.mark.slow
def test_stops_do_not_decide_what_has_diverged(tmp_path: Path, stop_at: Stopping) -> None:
    """Chunks are judged whole, however often they were cut."""
    options = TURNS | {"critic.lr": 1e2, "actor.lr": 1e-3}
    said = list[str]()
    for name, stops in (("whole", ()), ("parts", (25, 3, 4, 5))):
        folder = tmp_path / name
        for n in (*stops, None):
            stop_at(n)
            try:
                run = (
                    ddpg.resume(folder)
                    if folder.exists()
                    else ddpg.train("gym:Pendulum-v1", run=folder, options=options)
                )
                said += [f"{run.summary['steps']}"] if n is None else []
            except ValueError as error:
                assert n is None
                said.append(str(error).replace(str(folder), ""))
    assert said[0] == said[1]


def test_a_run_goes_on_in_its_own_environment_alone(tmp_path: Path, stop_at: Stopping) -> None:
    stop_at(2)
    run = ddpg.train("gym:Pendulum-v1", run=tmp_path / "run", options=TURNS | {"collect.envs": 2})
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(ValueError, match=r"env MountainCarContinuous-v0: .* was trained in gym:Pendulum-v1, and can"):
        ddpg.resume(run.path, steps=900, env="MountainCarContinuous-v0")
    assert (run.path / "config.json").read_bytes() == before


def test_nothing_to_do_and_nothing_to_go_on_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    ddpg.train("Pendulum-v1", run=folder, options=SCAN)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for line, said in [
        ([], "has had its 800 steps; use --steps above 800"),
        (["--steps", "600"], "is at step 800 already; use --steps above that"),
    ]:
        assert main(["resume", str(folder), *line]) == 2
        assert said in capsys.readouterr().err
    assert main(["resume", str(tmp_path / "nowhere")]) == 2
    assert "is no run folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for path in list_checkpoints(folder / "checkpoints"):
        path.unlink()
    assert main(["resume", str(folder), "--steps", "9e2"]) == 2
    assert "cannot be resumed: it has no checkpoint" in capsys.readouterr().err
    assert (folder / "config.json").read_bytes() == before[folder / "config.json"]


def test_a_checkpoint_follows_the_first_evaluation_and_then_what_the_last_one_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = override(ddpg.PRESETS["ddpg"], TURNS | {"checkpoint.every": "none", "checkpoint.share": 0.1})
    now = 1e6

    def writing(*_: Any) -> None:
        nonlocal now
        now += 3

    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("time.time", lambda: 0.0)  # a clock that somebody has set
    monkeypatch.setattr("ddpg.training.saving.save_networks", writing)
    saver = Saver(RunFolder.at(tmp_path), config, Pendulum.spec, Display("", 800, quiet=True), 0, {})
    with closing(driver_for(config, Pendulum())) as driver, closing(saver):
        driver.start(jax.numpy.stack([jax.random.key(0)]))
        assert not saver.due(100, evaluated=False)
        assert saver.due(100, evaluated=True)
        saver.save(100, driver, Progress(), init_watch(Config()), last=False)  # waits for imports, which cost once
        assert len(list_checkpoints(tmp_path / "checkpoints")) == 1
        assert not saver.due(101, evaluated=True)
        now += 10  # many times what writing took
        assert saver.due(150, evaluated=True)
        saver.save(200, driver, Progress(), init_watch(Config()), last=False)
        vars(saver)["_checkpoints"].wait()
        for passed, expected in [(29, False), (1, True)]:
            now += passed
            assert saver.due(250, evaluated=True) is expected


@pytest.mark.parametrize(("every", "announced"), [(100, True), (None, False)])
def test_checkpoints_that_the_user_asked_for_are_announced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], every: int | None, announced: bool
) -> None:
    config = override(ddpg.PRESETS["ddpg"], TURNS | {"checkpoint.every": every or "none"})
    with (
        closing(driver_for(config, Pendulum())) as driver,
        closing(Saver(RunFolder.at(tmp_path), config, Pendulum.spec, Display("", 800), 0, {})) as saver,
    ):
        driver.start(jax.numpy.stack([jax.random.key(0)]))
        for step in (100, 200):
            saver.save(step, driver, Progress(), init_watch(Config()), last=False)
    lines = capsys.readouterr().err
    assert "checkpoint of step 100: " in lines  # the first always
    assert ("checkpoint of step 200: " in lines) is announced


def test_what_is_damaged_does_not_count_among_those_to_keep(tmp_path: Path, stop_at: Stopping) -> None:
    options = SCAN
    ddpg.train("Pendulum-v1", run=tmp_path / "whole", options=options)
    stop_at(4)
    folder = ddpg.train("Pendulum-v1", run=tmp_path / "parts", options=options).path
    newest, before, *_ = list_checkpoints(folder / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-1])
    stop_at(1)
    ddpg.resume(folder)
    assert newest.with_suffix(".damaged").exists()
    assert before in list_checkpoints(folder / "checkpoints")
    stop_at(None)
    ddpg.resume(folder)
    same(tmp_path / "whole", folder)
