"""The search, with trials that are a formula: what is tried, pruned, found, and what a kill changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpg.mistake import Mistake
from ddpg.sweeps.results import draw, importances, state, table, write_results
from ddpg.sweeps.search import JOURNAL, Trained, best_of, ended, open_study, search
from ddpg.sweeps.space import Choices, Range, Space
from ddpg.sweeps.sweep import Sweep
from ddpg.sweeps.trial import Outcome, Task
from ddpg.sweeps.workers import Ended, Here, Workers

SPACE = Space({"tau": Range(1e-3, 1e-1, log=True), "gamma": Choices((0.9, 0.99)), "replay.n_step": Range(1, 4)})
SWEEP = Sweep("Pendulum-v1", "ddpg", SPACE, steps=3000)
UNPRUNED, THREE = replace(SWEEP, pruning="none"), replace(SWEEP, at_once=3)
Train = Callable[[Task], Outcome]


def formula(task: Task) -> Outcome:
    """The return grows in six evaluations to what is best at tau 0.01 and gamma 0.99."""
    value = float(-abs(np.log10(task.options["tau"]) + 2) - (task.options["gamma"] == 0.9))
    curve = list[tuple[int, float]]()
    for i in range(1, 7):
        curve.append((500 * i, value - 1 / i))
        if value - 1 / i < task.bar.get(500 * i, -np.inf):
            return Outcome(value - 1 / i, value - 1 / i, 500 * i, pruned=True, curve=tuple(curve))
    return Outcome(value - 1 / 6, value, 3000, curve=tuple(curve))


class Jumbled:
    """Several trials at once, which end in an order drawn at random."""

    def __init__(self, seed: int, number: int = 3) -> None:
        self._number, self._waiting = number, list[tuple[int, Task]]()
        self._rng = np.random.default_rng(seed)

    def begin(self, index: int, task: Task) -> None:
        self._waiting.append((index, task))

    def take(self) -> Ended:
        index, task = self._waiting.pop(self._rng.integers(min(len(self._waiting), self._number)))
        return Ended(index, formula(task), 0.0)

    def close(self) -> None:
        pass


def searched(folder: Path, trials: int, workers: Train | Workers = formula, sweep: Sweep = SWEEP) -> list[Trained]:
    folder.mkdir(exist_ok=True)
    workers = Here(workers) if callable(workers) else workers
    study, signal = search(sweep, folder, trials, lambda done: None, workers)
    assert signal == 0
    return ended(study)


def without_time(trials: list[Trained]) -> list[Any]:
    return [(each.index, each.options, each.outcome, each.value) for each in trials]


class Killed(BaseException):
    pass


class Mortal:
    """Workers whose process a kill ends after `at` trials: nothing is written any more."""

    def __init__(self, of: Workers, at: int) -> None:
        self._of, self._left = of, at

    def begin(self, index: int, task: Task) -> None:
        self._of.begin(index, task)

    def take(self) -> Ended | int:
        if not self._left:
            raise Killed
        self._left -= 1
        return self._of.take()

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("workers", "sweep"), [(lambda: Here(formula), SWEEP), (lambda: Jumbled(1), THREE)], ids=["one", "three"]
)
def test_a_killed_search_goes_on_as_if_it_had_not_been(
    workers: Callable[[], Workers], sweep: Sweep, tmp_path: Path
) -> None:
    whole = searched(tmp_path / "whole", 18, workers(), sweep)
    folder = tmp_path / "killed"
    folder.mkdir()
    for at in (0, 3, 9):  # trials after which the next process dies; the last one in the suggested trials
        with pytest.raises(Killed):
            search(sweep, folder, 18, lambda done: None, Mortal(workers(), at))
        with (folder / JOURNAL).open("ab") as file:
            file.write(b'{"op_code":')  # half a line
    assert without_time(searched(folder, 18, workers(), sweep)) == without_time(whole)
    assert len({trial.options["tau"] for trial in whole}) == 18


def test_a_kill_while_a_trial_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a line of its journal, each of which Optuna writes at once."""
    whole = searched(tmp_path / "whole", 14)
    lines = (tmp_path / "whole" / JOURNAL).read_bytes().splitlines(keepends=True)
    for kept in range(len(lines) // 2, len(lines), 3):
        folder = tmp_path / str(kept)
        folder.mkdir()
        SWEEP.claim(folder)
        (folder / JOURNAL).write_bytes(b"".join(lines[:kept]))
        assert without_time(searched(folder, 14)) == without_time(whole)


def test_the_order_in_which_trials_end_changes_nothing(tmp_path: Path) -> None:
    first, second = (searched(tmp_path / str(seed), 20, Jumbled(seed), THREE) for seed in range(2))
    assert without_time(first) == without_time(second)
    assert {"pruned", "whole"} == {state(trial) for trial in first}
    assert len({trial.options["tau"] for trial in first}) == 20


def test_a_longer_search_begins_as_a_shorter_one(tmp_path: Path) -> None:
    short = without_time(searched(tmp_path / "sweep", 4))
    assert without_time(searched(tmp_path / "sweep", 4)) == short
    assert without_time(searched(tmp_path / "sweep", 8))[:4] == short
    other = searched(tmp_path / "other", 4, sweep=replace(SWEEP, seed=1))
    assert {trial.options["tau"] for trial in other}.isdisjoint(options["tau"] for _, options, _, _ in short)


def test_bad_trials_are_pruned_and_the_best_is_whole(tmp_path: Path) -> None:
    trials = searched(tmp_path / "sweep", 20)
    pruned = [trial for trial in trials if state(trial) == "pruned"]
    assert pruned
    for trial in pruned:
        assert trial.index >= 5  # the first ones are all whole
        assert trial.outcome.steps >= 1000  # a third
    best = best_of(trials)
    assert best is not None
    assert best.value == max(trial.value for trial in trials if not trial.outcome.pruned)
    assert best.value > -0.5
    unpruned = searched(tmp_path / "all", 20, sweep=UNPRUNED)
    assert all(state(trial) == "whole" for trial in unpruned)


def test_objective_is_what_was_asked_for(tmp_path: Path) -> None:
    best = searched(tmp_path / "best", 2, sweep=replace(SWEEP, objective="best"))
    last = searched(tmp_path / "last", 2)
    assert [trial.value for trial in best] == [trial.outcome.best for trial in best]
    assert [trial.value for trial in last] == [trial.outcome.last for trial in last]


def diverging(task: Task) -> Outcome:
    if task.options["gamma"] == 0.99:
        return Outcome(-np.inf, -np.inf, 500, failure="Q is 1e9", curve=((500, -np.inf),))
    return formula(task)


def test_a_diverged_trial_is_the_worst(tmp_path: Path) -> None:
    trials = searched(tmp_path / "sweep", 14, diverging)
    ways = {state(trial) for trial in trials}
    assert {"diverged", "whole"} <= ways
    best = best_of(trials)
    assert best is not None
    assert best.options["gamma"] == 0.9
    assert best_of([trial for trial in trials if state(trial) == "diverged"]) is None
    later = [trial.options["gamma"] for trial in trials[10:]]
    assert later.count(0.9) >= later.count(0.99)  # the sampler has learned it


def test_table_and_figure(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    trials = searched(folder, 16, diverging, UNPRUNED)
    for trial in trials:
        (folder / "trials" / f"{trial.index:04d}").mkdir(parents=True)
        (folder / "trials" / f"{trial.index:04d}" / "config.json").write_text(str(trial.index))
    write_results(folder, trials, SPACE)
    header, *rows = (folder / "trials.csv").read_text().splitlines()
    assert header == "trial,state,value,last,best,steps,seconds,tau,gamma,replay.n_step"
    assert [row.split(",")[0] for row in rows] == [str(i) for i in range(16)]
    best = best_of(trials)
    assert best is not None
    assert (folder / "preset.json").read_text() == str(best.index)
    assert len(table(trials, SPACE).rows) == 16
    study = open_study(UNPRUNED, folder)
    shares = importances(study, trials)
    assert max(shares, key=lambda path: shares[path]) == "tau"
    draw(folder / "sweep.png", study, trials, SPACE, "last")
    draw(folder / "few.png", study, trials[:1], SPACE, "last")
    assert (folder / "sweep.png").stat().st_size > (folder / "few.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (replace(SWEEP, steps=4000), "steps"),
        (replace(SWEEP, seeds=2), "seeds"),
        (replace(SWEEP, space=Space({"tau": Range(0.1, 0.2)})), "space"),
        (replace(SWEEP, preset="hands_on_rl"), "preset"),
        (THREE, "--jobs or --population"),
    ],
)
def test_another_sweep_is_refused(other: Sweep, word: str, tmp_path: Path) -> None:
    searched(tmp_path / "sweep", 1)
    with pytest.raises(Mistake, match=f"another {word}"):
        searched(tmp_path / "sweep", 2, sweep=other)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(Mistake, match="other files"):
        searched(tmp_path, 1)


@pytest.mark.parametrize("line", ["garbage", "[]", "{}", '{"op_code": 99, "worker_id": "x"}', "\x00"])
def test_a_damaged_journal_is_one_line(line: str, tmp_path: Path) -> None:
    searched(tmp_path, 1)
    first, _, *rest = (tmp_path / JOURNAL).read_text().splitlines()
    (tmp_path / JOURNAL).write_text("\n".join([first, line, *rest]) + "\n")
    with pytest.raises(Mistake, match=r"optuna\.log is damaged; choose another -o, or move it away"):
        open_study(SWEEP, tmp_path)
