"""The log is valid JSON and the same numbers for TensorBoard, and survives a kill and a resume."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ddpg.records.log import TAGS, Log, Record, read_records

CONTRACT = {
    "return": "eval/return",
    "gap_to_optimum": "eval/gap_to_optimum",
    "episode_return": "train/episode_return",
    "q": "critic/q",
    "critic_loss": "critic/loss",
    "actor_loss": "actor/loss",
    "dq_da": "critic/dq_da",
    "saturation": "actor/saturation",
    "q_bias": "eval/q_minus_monte_carlo",
    "noise_scale": "train/noise_scale",
    "steps_per_second": "train/steps_per_second",
}


def record(step: int, seed: int, **changed: float) -> Record:
    """Every key, each with a number of its own."""
    numbers = {key: 100.0 * seed + i + step / 1000 for i, key in enumerate(CONTRACT)}
    return {"step": step, "seed": seed, **numbers, **changed}


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
    with Log(*files(tmp_path), [3, 5]) as log:
        log.write(1000, [record(1000, 3), record(1000, 5)], {})
        log.write(2000, [record(2000, 3), record(2000, 5)], {})
    assert lines(tmp_path) == read_records(files(tmp_path)[0])
    assert lines(tmp_path) == [record(step, seed) for step in (1000, 2000) for seed in (3, 5)]
    assert list(lines(tmp_path)[0]) == ["step", "seed", *CONTRACT]
    for seed in (3, 5):
        board = events(tmp_path, seed)
        assert set(board.Tags()["scalars"]) == set(CONTRACT.values())
        for key, tag in CONTRACT.items():
            found = [(event.step, event.value) for event in board.Scalars(tag)]
            assert found == [(s, pytest.approx(record(s, seed)[key])) for s in (1000, 2000)]


def test_unknown_numbers_are_null_and_not_in_tensorboard(tmp_path: Path) -> None:
    with Log(*files(tmp_path), [0]) as log:
        log.write(1, [{"step": 1, "seed": 0, "q": math.nan, "critic_loss": math.inf, "return": -2.0}])
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
    samples = np.stack([np.linspace(0, 1, 100), np.linspace(5, 7, 100), np.full(100, np.nan)]).reshape(3, 10, 10)
    samples[1, 0, 0] = np.inf
    with Log(*files(tmp_path), [0, 1, 2]) as log:
        log.write(500, [record(500, seed) for seed in (2, 1, 0)], {"dq_da": samples})
    for seed, (low, high, count) in {0: (0, 1, 100), 1: (samples[1, 0, 1], 7, 99)}.items():
        (event,) = events(tmp_path, seed).Histograms("critic/dq_da_histogram")
        drawn = event.histogram_value
        assert event.step == 500
        assert (drawn.min, drawn.max, drawn.num, sum(drawn.bucket)) == pytest.approx((low, high, count, count))
    assert events(tmp_path, 2).Tags()["histograms"] == []


def test_a_write_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    with Log(*files(tmp_path), [0]) as log:
        log.write(1, [record(1, 0)], {})
        assert lines(tmp_path) == [record(1, 0)]
        assert [event.step for event in events(tmp_path, 0).Scalars("critic/q")] == [1]


def test_a_line_cut_off_by_a_kill_is_left_out_and_then_removed(tmp_path: Path) -> None:
    with Log(*files(tmp_path), [0]) as log:
        log.write(1, [record(1, 0)])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "se')
    assert [r["step"] for r in read_records(files(tmp_path)[0])] == [1]
    with Log(*files(tmp_path), [0]) as log:
        log.write(3, [record(3, 0)])
    assert [r["step"] for r in lines(tmp_path)] == [1, 3]


def test_a_resumed_run_says_later_steps_once(tmp_path: Path) -> None:
    with Log(*files(tmp_path), [0]) as log:
        for step in (1, 2, 3):
            log.write(step, [record(step, 0, q=-1.0)])
    with Log(
        tmp_path / "metrics.jsonl", tmp_path / "tensorboard", [0], resume_at=2
    ) as log:  # within the second: the first file must not be overwritten
        for step in (3, 4):
            log.write(step, [record(step, 0, q=-2.0)])
    expected = [(1, -1.0), (2, -1.0), (3, -2.0), (4, -2.0)]
    assert [(r["step"], r["q"]) for r in lines(tmp_path)] == expected
    assert [(event.step, event.value) for event in events(tmp_path, 0).Scalars("critic/q")] == expected


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
    path.write_text(json.dumps(record(1, 0)) + "\n" + rubbish + "\n" + json.dumps(record(2, 0)) + "\n")
    with pytest.raises(ValueError, match="line 2: ") as error:
        read_records(files(tmp_path)[0])
    assert f"{path}, line 2: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"metrics\.jsonl: no such file"):
        read_records(files(tmp_path)[0])
