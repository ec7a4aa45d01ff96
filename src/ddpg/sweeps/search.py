"""The search: Optuna suggests settings, workers train the trials, and all of it goes on after a kill.

What a trial is told depends on the trials before it alone, never on time: with n at once, trial k is suggested, and its
bar is set, when exactly the trials 0 to k - 2n + 1 are known. So a search with several workers can be repeated, and one
that was killed ends as if it had not been.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpg.mistake import Mistake
from ddpg.sweeps.sweep import Sweep, trial_folder
from ddpg.sweeps.trial import Outcome
from ddpg.sweeps.workers import Ended, Workers

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

STARTED = 10  # trials of random settings, before any is suggested
UNPRUNED = 5  # trials that are not pruned before the first is
JOURNAL = "optuna.log"
BAR = "bar"  # the attribute of a trial that was suggested whole


@dataclass(frozen=True)
class Trained:
    """A trial that has ended, by its place among those that have."""

    index: int
    options: Mapping[str, Any]
    outcome: Outcome
    value: float
    seconds: float


def check_optuna() -> None:
    """Raise Mistake if the package that searches is missing."""
    if find_spec("optuna") is None:
        raise Mistake("a sweep needs optuna: pip install 'ddpg-jax[sweep]'")


def search(
    sweep: Sweep,
    folder: Path,
    trials: int,
    note: Callable[["list[Trained]"], None],
    workers: Workers,
) -> tuple["Study", int]:
    """Do as many trials as are missing to `trials`, and call `note` with all so far after each.

    The signal that ended it early, or 0. `folder` is locked by this process.
    """
    study = open_study(sweep, folder)
    under_way, known, waiting = _under_way(study), ended(study), dict[int, Ended]()
    for index, trial in enumerate(under_way[: trials - len(known)], start=len(known)):
        bar = {int(step): value for step, value in trial.user_attrs[BAR].items()}  # JSON has no other keys than text
        workers.begin(index, sweep.task(index, trial.params, bar, folder))
    while (complete := len(known)) < trials:
        begun = complete + len(under_way)
        if begun < min(trials, complete + 2 * sweep.at_once - 1):  # some wait beside those that are trained
            bar = bar_of(known, sweep) if sweep.pruning == "median" else {}
            trial = _ask(study, sweep, begun, bar)
            workers.begin(begun, sweep.task(begun, trial.params, bar, folder))
            under_way.append(trial)
        elif complete in waiting:
            _tell(study, under_way.pop(0), sweep, waiting.pop(complete))
            _drop_checkpoints(trial_folder(folder, complete))
            known = ended(study)
            note(known)
        else:
            last = workers.take()
            if isinstance(last, int):
                return study, last
            waiting[last.index] = last
    return study, 0


def bar_of(trials: list[Trained], sweep: Sweep) -> dict[int, float]:
    """By environment step the return that the best one of another trial must reach: the median of those not pruned.

    That is the median stopping rule (Golovin et al. 2017, section 3.2.2) with returns at the step instead of their
    running means, as in Optuna. There is no bar before a third of the steps, or before five trials were not pruned.
    """
    whole = [dict(trial.outcome.curve) for trial in trials if not trial.outcome.pruned]
    if len(whole) < UNPRUNED:
        return {}
    steps = sorted({step for curve in whole for step in curve if step >= sweep.base.steps // 3})
    return {step: float(np.median([curve[step] for curve in whole if step in curve])) for step in steps}


def open_study(sweep: Sweep, folder: Path) -> "Study":
    """The search in a folder, which is new or this sweep's own.

    Raises Mistake if the folder is another's, or its journal is damaged.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweep.claim(folder)
    journal = folder / JOURNAL
    _drop_half_line(journal)
    held: Any = _Held()
    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal), held)),
            study_name="sweep",
            direction="maximize",
            load_if_exists=True,
        )
    except OSError:
        raise
    except Exception:  # what Optuna raises on lines that are not its own has no end
        raise Mistake(f"{journal} is damaged; choose another -o, or move it away") from None


def ended(study: "Study") -> list[Trained]:
    """The trials that have ended, in the order in which they began."""
    from optuna.trial import TrialState

    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [_trained(i, trial) for i, trial in enumerate(whole)]


def best_of(trials: list[Trained]) -> Trained | None:
    """The whole trial with the highest value, the first of several; None if every one has diverged."""
    whole = [trial for trial in trials if not trial.outcome.pruned and np.isfinite(trial.value)]
    return max(whole, key=lambda trial: trial.value, default=None)


def _under_way(study: "Study") -> "list[Trial]":
    """The trials that had begun when the search was interrupted, in their order.

    One that was not suggested whole is dropped: it will be suggested again, and the same.
    """
    from optuna.trial import Trial, TrialState

    begun = study.get_trials(states=(TrialState.RUNNING,))
    for trial in begun:
        if BAR not in trial.user_attrs:
            study.tell(trial.number, state=TrialState.FAIL)
    return [Trial(study, trial._trial_id) for trial in begun if BAR in trial.user_attrs]


def _ask(study: "Study", sweep: Sweep, index: int, bar: Mapping[int, float]) -> "Trial":
    study.sampler = _sampler(sweep.seed, index)
    trial = study.ask()
    sweep.space.suggest(trial, sweep.base)
    trial.set_user_attr(BAR, bar)
    return trial


def _sampler(seed: int, index: int) -> Any:
    """That of one trial; those under way count as bad, so that several at once are not the same."""
    from optuna.samplers import TPESampler

    own = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    return TPESampler(seed=own, n_startup_trials=STARTED, constant_liar=True)


def _tell(study: "Study", trial: "Trial", sweep: Sweep, done: Ended) -> None:
    from optuna.trial import TrialState

    outcome, reported = done.outcome, study.get_trials(deepcopy=False)[trial.number].intermediate_values
    for step, value in outcome.curve:
        if step not in reported:  # before a kill
            trial.report(value, step)
    fields = outcome._asdict()
    del fields["curve"]  # which the trial has
    trial.set_user_attr("outcome", fields)
    trial.set_user_attr("seconds", done.seconds)
    value = outcome.value(sweep.objective)
    trial.set_user_attr("value", value)
    if outcome.pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, value)


def _trained(index: int, trial: "FrozenTrial") -> Trained:
    fields, curve = trial.user_attrs, tuple(sorted(trial.intermediate_values.items()))
    return Trained(index, trial.params, Outcome(**fields["outcome"], curve=curve), fields["value"], fields["seconds"])


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
