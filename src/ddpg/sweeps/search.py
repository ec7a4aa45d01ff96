"""The search: Optuna suggests settings, trials are trained in turn, and all of it goes on after a kill."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpg.mistake import Mistake
from ddpg.sweeps.sweep import Sweep
from ddpg.sweeps.trial import Outcome, Task, run_trial

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

STARTED = 10  # trials of random settings, before any is suggested
UNPRUNED = 5  # whole trials before the first is pruned
JOURNAL = "optuna.log"


@dataclass(frozen=True)
class Trained:
    """A trial that has ended, by its place among those that have."""

    index: int
    options: Mapping[str, Any]
    outcome: Outcome
    value: float
    seconds: float


def check_optuna() -> None:
    """Mistake if the package that searches is missing."""
    if find_spec("optuna") is None:
        raise Mistake("a sweep needs optuna: pip install 'ddpg-jax[sweep]'")


def search(
    sweep: Sweep,
    folder: Path,
    trials: int,
    note: Callable[["list[Trained]"], None],
    train: Callable[[Task, Callable[[int, float], bool]], Outcome] = run_trial,
) -> tuple["Study", int]:
    """Do as many trials as are missing to `trials`, and call `note` with all so far after each.

    Each gets a sampler seeded by the sweep's seed and its own place, so that a search that was killed goes on as if it
    had not been. `train` does one trial; another may do it elsewhere. The signal that ended it early, or 0. `folder`
    is locked by this process.
    """
    study = open_study(sweep, folder)
    while len(done := ended(study)) < trials:
        study.sampler = _sampler(sweep.seed, len(done))
        trial = study.ask()
        suggested = sweep.space.suggest(trial, sweep.base)
        task, began = sweep.task(len(done), suggested, folder), time.perf_counter()
        try:
            outcome = train(task, _Reports(trial))
        except BaseException:
            _fail(study, trial.number)
            raise
        if outcome.signal:
            _fail(study, trial.number)
            return study, outcome.signal
        _tell(study, trial, sweep, outcome, time.perf_counter() - began)
        _drop_checkpoints(task.folder)
        note(ended(study))
    return study, 0


def open_study(sweep: Sweep, folder: Path) -> "Study":
    """The search in a folder, which is new or this sweep's own. Trials that were under way are done again.

    Mistake if the folder is another's, or its journal is damaged.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweep.claim(folder)
    journal = folder / JOURNAL
    _drop_half_line(journal)
    steps = sweep.base.steps
    held: Any = _Held()
    never = optuna.pruners.NopPruner()
    median = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=steps // 3)
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal), held)),
            study_name="sweep",
            direction="maximize",
            load_if_exists=True,
            pruner=median if sweep.pruning == "median" else never,
        )
    except OSError:
        raise
    except Exception:  # what Optuna raises on lines that are not its own has no end
        raise Mistake(f"{journal} is damaged; choose another -o, or move it away") from None
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        _fail(study, trial.number)
    return study


def ended(study: "Study") -> list[Trained]:
    """The trials that have ended, in the order in which they began."""
    from optuna.trial import TrialState

    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [_trained(i, trial) for i, trial in enumerate(whole)]


def best_of(trials: list[Trained]) -> Trained | None:
    """The whole trial with the highest value, the first of several; None if every one has diverged."""
    whole = [trial for trial in trials if not trial.outcome.pruned and np.isfinite(trial.value)]
    return max(whole, key=lambda trial: trial.value, default=None)


class _Reports:
    """Reports the curve of a trial to its pruner."""

    def __init__(self, trial: "Trial") -> None:
        self._trial, self._known = trial, set[int]()

    def __call__(self, step: int, value: float) -> bool:
        if step not in self._known:
            self._known.add(step)
            self._trial.report(value if np.isfinite(value) else -np.inf, step)
        return not self._trial.should_prune()


def _sampler(seed: int, index: int) -> Any:
    from optuna.samplers import TPESampler

    own = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    return TPESampler(seed=own, n_startup_trials=STARTED)


def _tell(study: "Study", trial: "Trial", sweep: Sweep, outcome: Outcome, seconds: float) -> None:
    from optuna.trial import TrialState

    trial.set_user_attr("outcome", outcome._asdict())
    trial.set_user_attr("seconds", seconds)
    value = outcome.value(sweep.objective)
    trial.set_user_attr("value", value)
    if outcome.pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, value)


def _trained(index: int, trial: "FrozenTrial") -> Trained:
    kept = trial.user_attrs
    return Trained(index, trial.params, Outcome(**kept["outcome"]), kept["value"], kept["seconds"])


def _fail(study: "Study", number: int) -> None:
    """It has no value, and the search goes on as if it had not been."""
    from optuna.trial import TrialState

    study.tell(number, state=TrialState.FAIL)


class _Held:
    """A lock as Optuna asks for one, of a folder that is locked already: its own would outlive a kill."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _drop_half_line(journal: Path) -> None:
    """What a power cut has left of the last line; Optuna would write on behind it."""
    if journal.exists() and not (text := journal.read_bytes()).endswith(b"\n") and text:
        journal.write_bytes(text[: text.rfind(b"\n") + 1])


def _drop_checkpoints(folder: Path) -> None:
    """A trial that has ended is not gone on with, and a replay takes megabytes."""
    for path in (folder / "checkpoints").glob("*"):
        if path.name != "lock":
            path.unlink()
