"""The log is valid JSON and the same numbers for TensorBoard, and survives a kill and a resume."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ddpg.records.log import TAGS, Log, read_records
from ddpg.records.observer import LogPoint

CONTRACT = {
    "return": "eval/return",
    "gap_to_optimum": "eval/gap_to_optimum",
    "episode_return": "train/episode_return",
    "success_rate": "eval/success_rate",
    "episode_success_rate": "train/success_rate",
    "q": "critic/q",
    "critic_loss": "critic/loss",
    "actor_loss": "actor/loss",
    "dq_da": "critic/dq_da",
    "saturation": "actor/saturation",
    "stuck": "actor/stuck",
    "q_bias": "eval/q_minus_monte_carlo",
    "noise_scale": "train/noise_scale",
    "steps_per_second": "train/steps_per_second",
    "staleness": "actors/staleness",
    "waiting": "actors/waiting",
    "replaced": "actors/replaced",
}
OPTIONS = {"env": "Pendulum-v1", "actor.lr": 1e-3, "steps": 20_000, "normalise": False, "sigma": (0.1, 0.2), "l2": None}
SHARED = ("noise_scale", "steps_per_second")  # by all seeds


def number(key: str, step: int, seed: int) -> float:
    """One of its own for every key, step and seed."""
    return 100.0 * (0 if key in SHARED else seed) + list(CONTRACT).index(key) + step / 1000


def point(step: int, *seeds: int, **changed: Any) -> LogPoint:
    """Every key of a log point."""
    numbers: Any = {key: np.array([number(key, step, seed) for seed in seeds]) for key in CONTRACT}
    numbers |= {key: number(key, step, 0) for key in SHARED}
    named: Any = {"run": Path(), "step": step, "seeds": seeds, "dq_da_at_starts": np.ones((len(seeds), 2))}
    return named | numbers | changed


def row(step: int, seed: int, **changed: float) -> dict[str, float]:
    """The same as a line of metrics.jsonl has it."""
    return {"step": step, "seed": seed} | {key: number(key, step, seed) for key in CONTRACT} | changed


def log_in(folder: Path, resume_at: int | None = None) -> Log:
    return Log(folder / "metrics.jsonl", folder / "tensorboard", OPTIONS, resume_at=resume_at)


def files(folder: Path) -> tuple[Path, Path]:
    return folder / "metrics.jsonl", folder / "tensorboard"


def lines(folder: Path) -> list[dict[str, float | None]]:
    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def events(folder: Path, seed: int) -> EventAccumulator:
    return EventAccumulator(str(folder / "tensorboard" / f"seed-{seed}")).Reload()


def test_tags_are_the_contracts() -> None:
    assert TAGS == CONTRACT


def test_every_number_is_in_json_and_in_tensorboard(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        log(point(1000, 3, 5))
        log(point(2000, 3, 5))
    assert lines(tmp_path) == read_records(files(tmp_path)[0])
    assert lines(tmp_path) == [row(step, seed) for step in (1000, 2000) for seed in (3, 5)]
    assert list(lines(tmp_path)[0]) == ["step", "seed", *CONTRACT]
    for seed in (3, 5):
        board = events(tmp_path, seed)
        assert set(board.Tags()["scalars"]) == set(CONTRACT.values())
        for key, tag in CONTRACT.items():
            found = [(event.step, event.value) for event in board.Scalars(tag)]
            assert found == [(s, pytest.approx(number(key, s, seed))) for s in (1000, 2000)]


def test_unknown_numbers_are_null_and_not_in_tensorboard(tmp_path: Path) -> None:
    values = dict.fromkeys(CONTRACT, np.array([math.nan])) | {"critic_loss": np.array([math.inf])}
    values |= {"return": np.array([-2.0])}
    whole: Any = point(1, 0, **values)
    del whole["gap_to_optimum"]
    with log_in(tmp_path) as log:
        log(whole)
    (line,) = lines(tmp_path)
    assert line == {"step": 1, "seed": 0, "return": -2.0} | {
        key: None for key in CONTRACT if key not in ("return", "gap_to_optimum")
    }  # the gap is absent, not null, where there is no optimum
    (read,) = read_records(files(tmp_path)[0])
    assert math.isnan(read["q"])
    assert math.isnan(read["actor_loss"])
    assert read["return"] == -2.0
    assert events(tmp_path, 0).Tags()["scalars"] == ["eval/return"]


def test_histograms_go_to_their_seed_without_what_is_not_finite(tmp_path: Path) -> None:
    samples = np.stack([np.linspace(0, 1, 100), np.linspace(5, 7, 100), np.full(100, np.nan)]).astype(np.float32)
    samples[1, 0] = np.inf
    with log_in(tmp_path) as log:
        log(point(500, 0, 1, 2, dq_da_at_starts=samples))
    for seed, (low, high, count) in {0: (0, 1, 100), 1: (samples[1, 1], 7, 99)}.items():
        (event,) = events(tmp_path, seed).Histograms("critic/dq_da_histogram")
        drawn, finite = event.histogram_value, np.float64(samples[seed][np.isfinite(samples[seed])])
        assert event.step == 500
        assert (drawn.min, drawn.max, drawn.num, sum(drawn.bucket)) == pytest.approx((low, high, count, count))
        assert (drawn.sum, drawn.sum_squares) == pytest.approx((finite.sum(), np.square(finite).sum()))
        below = [np.sum(finite <= limit + 1e-9) for limit in drawn.bucket_limit]
        assert np.abs(np.cumsum(drawn.bucket) - below).max() <= 1  # a bucket holds what lies up to its limit
    assert events(tmp_path, 2).Tags()["histograms"] == []


def test_a_write_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        log(point(1, 0))
        assert lines(tmp_path) == [row(1, 0)]
        assert [event.step for event in events(tmp_path, 0).Scalars("critic/q")] == [1]


def test_a_line_cut_off_by_a_kill_is_left_out_and_then_removed(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        log(point(1, 0))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "se')
    assert [r["step"] for r in read_records(files(tmp_path)[0])] == [1]
    with log_in(tmp_path) as log:
        log(point(3, 0))
    assert [r["step"] for r in lines(tmp_path)] == [1, 3]


def test_a_resumed_run_has_later_steps_once(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        for step in (1, 2, 3):
            log(point(step, 0, q=np.array([-1.0])))
    with log_in(tmp_path, resume_at=2) as log:  # within the second: the first file must not be overwritten
        for step in (3, 4):
            log(point(step, 0, q=np.array([-2.0])))
    expected = [(1, -1.0), (2, -1.0), (3, -2.0), (4, -2.0)]
    assert [(r["step"], r["q"]) for r in lines(tmp_path)] == expected
    assert [(event.step, event.value) for event in events(tmp_path, 0).Scalars("critic/q")] == expected


def test_no_file_of_events_takes_the_place_of_another(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        with log_in(tmp_path) as log:
            log(point(step, 0))
    first, _, last = sorted((tmp_path / "tensorboard/seed-0").iterdir())
    first.unlink()
    with log_in(tmp_path) as log:
        log(point(4, 0))
    assert sorted((tmp_path / "tensorboard/seed-0").iterdir())[-1] > last
    assert [event.step for event in events(tmp_path, 0).Scalars("critic/q")] == [2, 3, 4]


def test_writing_events_imports_no_tensorflow_and_warns_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('tensorflow was imported')")
    code = """
from pathlib import Path
from ddpg.records.tensorboard import EventFile
events = EventFile(Path("events"))
events.write(1, {"a": 1.0}, {})
events.close()
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "rubbish",
    [
        "hello",
        "",
        "[1, 2]",
        '{"step": 1}',
        '{"step": null, "seed": 0}',
        '{"step": 1, "seed": 0, "q": NaN}',
        '{"step": 1, "seed": 0, "q": [1]}',
        "\0",
    ],
)
def test_rubbish_is_named_by_path_and_line(tmp_path: Path, rubbish: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(row(1, 0)) + "\n" + rubbish + "\n" + json.dumps(row(2, 0)) + "\n")
    with pytest.raises(ValueError, match="line 2: ") as error:
        read_records(files(tmp_path)[0])
    assert f"{path}, line 2: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"metrics\.jsonl: no such file"):
        read_records(files(tmp_path)[0])
