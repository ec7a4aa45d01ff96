"""Chunks in pieces of measured length, iterations that are abandoned, and runs that go on exactly after either."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

import ddpg
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.log import read_records
from ddpg.training import interruption, session, signals
from ddpg.training.driver import ChunkInterrupted, Report
from ddpg.training.finish import draw_pictures
from ddpg.training.folder import RunFolder
from ddpg.training.host import Host
from ddpg.training.interruption import Cancelled, Interruption, Pace, wait_for
from ddpg.training.python_evaluate import PythonEvaluator
from ddpg.training.scan import Scan
from ddpg.types import Metrics
from tests.tiny import TURNS
from tests.training.test_resume import same
from tests.worlds import Cart

pytestmark = pytest.mark.usefixtures("no_pictures", "one_device")
DRIVERS = ("Pendulum-v1", "gym:Pendulum-v1")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Seconds that pass when a test says so, and the product's own lengths of pieces."""
    clock = Clock()
    monkeypatch.setattr(interruption, "perf_counter", clock)
    monkeypatch.setattr(interruption, "PIECE", 0.5)
    monkeypatch.setattr(interruption, "FIRST", 1)
    return clock


def report(n: int) -> Report:
    numbers = np.arange(n, dtype=float)[:, None]
    return Report(Metrics(*[numbers] * len(Metrics._fields)), numbers, numbers, numbers, numbers)


@pytest.mark.parametrize(
    ("seconds", "pieces"), [(0.01, [1, 50, 49]), (0.3, [1] * 100), (0.001, [1, 99]), (3.0, [1] * 100)]
)
def test_a_piece_takes_half_a_second(seconds: float, pieces: list[int], clock: Clock) -> None:
    done = list[tuple[int, int]]()
    held = list[bool]()

    def do(i: int, n: int, hold: bool) -> Callable[[], Report]:
        clock.now += n * seconds
        done.append((i, n))
        held.append(hold)
        return partial(report, n)

    whole = Interruption().chunk(100, Pace(), lambda: "state", do)
    assert [n for _, n in done] == pieces
    assert [i for i, _ in done] == [0, *np.cumsum(pieces)[:-1]]
    assert len(whole.episodes) == 100
    # The first may be slow; the others are, from a second and a half on.
    assert held == [True, *[seconds > interruption.SLOW] * (len(pieces) - 1)]


def test_a_report_is_asked_for_after_the_next_iteration(clock: Clock) -> None:
    asked = list[int]()

    def do(i: int, n: int, hold: bool) -> Callable[[], Report]:
        # The first iteration may be slow, so it is waited for.
        assert asked == [0] * (i > 0) + list(range(1, i - 1))
        clock.now += 0.1

        def ask() -> Report:
            asked.append(i)
            return report(n)

        return ask

    assert len(Interruption().chunk(5, Pace(most=1), lambda: "state", do).episodes) == 5
    assert asked == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("length", [18, 1])
def test_learning_beside_what_is_done_is_seen_to_become_slow(length: int, clock: Clock) -> None:
    """Updates of 0.2 s, of 2 s and of 25 s, beside 0.1 s of collecting; to hold the state takes 0.01 s."""
    seconds, end, held = [*[0.2] * 5, *[2] * 10, *[25] * 3], 0.0, ""

    def wait(until: float) -> None:
        clock.now = max(clock.now, until)

    def snapshot() -> str:
        wait(end)
        clock.now += 0.01
        return "state"

    def do(i: int, n: int, hold: bool) -> Callable[[], Report]:
        nonlocal end, held
        wait(end)  # for the policy
        end = own = clock.now + seconds[len(held)]
        held += "H" if hold else "."
        clock.now += 0.1

        def ask() -> Report:
            wait(own)
            return report(n)

        return ask

    one, pace = Interruption(), Pace(most=1)
    for _ in range(18 // length):
        one.chunk(length, pace, snapshot, do)
    # In one chunk updates are seen an iteration later.
    assert held == ("H......HHHHHHHHHHH" if length == 18 else "H.....HHHHHHHHHHHH")


def test_long_iterations_are_not_begun_ahead(clock: Clock) -> None:
    """Or a stop would wait for two of them."""
    asked = list[int]()

    def do(i: int, n: int, hold: bool) -> Callable[[], Report]:
        assert asked == list(range(i))
        clock.now += 0.6

        def ask() -> Report:
            asked.append(i)
            return report(n)

        return ask

    Interruption().chunk(4, Pace(most=1), lambda: "state", do)


def test_holding_the_state_costs_a_twentieth_at_most(clock: Clock) -> None:
    pace, held = Pace(), list[float]()

    def snapshot() -> str:
        clock.now += 0.2
        held.append(clock.now)
        return "state"

    for seconds, holds in ((3.0, True), (3.0, False), (4.1, False), (4.1, True), (1.0, True), (1.0, False)):
        before = len(held)
        assert (pace.hold(snapshot) is not None) == (len(held) > before) == holds
        began = clock.now
        clock.now += seconds
        pace.done(1, began)


def test_who_is_to_stop_soon_ends_after_a_piece() -> None:
    one = Interruption()
    one.soon = lambda: True
    with pytest.raises(ChunkInterrupted) as cut:
        one.chunk(5, Pace(most=1), lambda: "state", lambda i, n, held: partial(report, n))
    assert (cut.value.iterations, cut.value.error) == (1, None)
    assert cut.value.report is not None
    assert len(cut.value.report.episodes) == 1
    assert one.left is None


def test_what_is_abandoned_leaves_the_state_before_it(clock: Clock) -> None:
    one, states = Interruption(), iter("abc")

    def do(i: int, n: int, held: bool) -> Callable[[], Report]:
        clock.now += 2 * n
        if i == 2:
            raise Cancelled
        return partial(report, n)

    with pytest.raises(ChunkInterrupted) as cut:
        one.chunk(5, Pace(), lambda: next(states), do)
    assert (cut.value.iterations, one.left) == (2, "c")
    assert cut.value.report is not None
    assert len(cut.value.report.episodes) == 2


def test_waiting_ends_with_the_result_the_error_or_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "POLL", 0.01)
    with ThreadPoolExecutor() as pool:
        ready, asked = Event(), count()
        late = pool.submit(ready.wait)
        assert wait_for(late, lambda: bool(next(asked) == 3 and ready.set())) is True

        def fails() -> None:
            raise TimeoutError("its own")

        with pytest.raises(TimeoutError, match="its own"):
            wait_for(pool.submit(fails), lambda: False)
    with pytest.raises(Cancelled):
        wait_for(Future(), lambda: True)


@pytest.mark.parametrize("env", DRIVERS)
def test_however_a_chunk_is_cut_the_run_is_the_same(env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ddpg.train(env, run=tmp_path / "whole", options=TURNS)
    pieces = iter((1, 3, 2, 4, 1, 1) * 100)
    monkeypatch.setattr(Pace, "iterations", lambda self, left: min(left, next(pieces)) if env == "Pendulum-v1" else 1)
    ddpg.train(env, run=tmp_path / "cut", options=TURNS)
    same(tmp_path / "whole", tmp_path / "cut")


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("env", DRIVERS)
@pytest.mark.parametrize("pixels", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_abandoned_iteration_is_done_again(
    env: str, pixels: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though by then the state has moved on, and the environments have; of pictures only those not saved are held."""
    small = {"pixels": "drawn", "pixels.size": 16, "encoder": "patches", "encoder.filters": 4, "stack": 2}
    options = TURNS | small if pixels else TURNS
    ddpg.train(env, run=tmp_path / "whole", options=options)
    calls, real = count(1), Interruption.wait

    def wait(self: Interruption, work: Callable[[], Any]) -> Any:
        result = real(self, work)
        if next(calls) == 34:
            press()
            raise Cancelled
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Pace, "iterations", lambda self, left: 1)
        patch.setattr(Pace, "hold", lambda self, snapshot: snapshot())
        patch.setattr(session, "MAX_CHUNK", 100)  # there is an evaluation so often
        patch.setattr(Interruption, "wait", wait)
        run = ddpg.train(env, run=tmp_path / "parts", options=options)
    assert (run.interrupted, run.summary["steps"]) == (True, 330)
    assert ddpg.read_metrics(run.path)[-1]["step"] == 330  # of the policy as it was then
    assert not ddpg.resume(run.path).interrupted
    same(tmp_path / "whole", tmp_path / "parts")


def test_steps_of_an_environment_are_abandoned_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ddpg.train("gym:Pendulum-v1", run=tmp_path / "whole", options=TURNS)
    asked = count()

    def now(self: Any) -> bool:
        if next(asked) == 5:
            press()
        return bool(self.soon())

    with monkeypatch.context() as patch:
        patch.setattr(signals.Stop, "now", now)
        run = ddpg.train("gym:Pendulum-v1", run=tmp_path / "parts", options=TURNS)
    assert (run.interrupted, run.summary["steps"]) == (True, 0)
    ddpg.resume(run.path)
    same(tmp_path / "whole", tmp_path / "parts")


def test_an_evaluation_that_was_cut_short_is_done_when_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, plays, real = "gym:Pendulum-v1", count(1), PythonEvaluator.play
    ddpg.train(env, run=tmp_path / "whole", options=TURNS)

    def play(self: PythonEvaluator, policy: Any) -> Any:
        if next(plays) >= 3:
            press()
        return real(self, policy)

    with monkeypatch.context() as patch:
        patch.setattr(PythonEvaluator, "play", play)
        patch.setattr(signals.Stop, "now", signals.Stop.soon)
        run = ddpg.train(env, run=tmp_path / "parts", options=TURNS)
    assert (run.interrupted, run.summary["steps"]) == (True, 300)
    assert [row["step"] for row in ddpg.read_metrics(run.path)] == [100, 200]
    assert run.summary["returns"] == [ddpg.read_metrics(run.path)[-1]["return"]]
    assert not ddpg.resume(run.path).interrupted
    same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(("env", "driver"), [(DRIVERS[0], Scan), (DRIVERS[1], Host)])
def test_who_stops_waits_for_no_compiler(
    env: str, driver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, compile = Event(), driver.compile

    def slow(self: Any, **shape: Any) -> Any:
        press()
        ended.wait()
        return compile(self, **shape)

    with monkeypatch.context() as patch:
        patch.setattr(driver, "compile", slow)
        patch.setattr(signals.Stop, "now", signals.Stop.soon)
        run = ddpg.train(env, run=tmp_path / "run", options=TURNS | {"steps": 200})
        ended.set()
    assert (run.interrupted, run.summary["steps"], run.summary["iqm"]) == (True, 0, None)
    assert len(list_checkpoints(run.path / "checkpoints")) == 1
    assert ddpg.evaluate(run.path, episodes=1)["episodes"] == 1
    assert ddpg.resume(run.path).summary["steps"] == 200


def test_a_run_of_no_log_point_has_no_curve(trained: ddpg.Run, tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    assert read_records(folder.metrics) == []
    draw_pictures(folder, trained.config, Cart(), None, 1.0, print, pytest.fail)
    assert not folder.curve.exists()
