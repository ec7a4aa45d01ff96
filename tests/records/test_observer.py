"""Observers are all called, and remembered are the first reason to stop and the first error."""

from typing import Any

import pytest

from ddpg.records.log import HISTOGRAMS, OWN, TAGS
from ddpg.records.observer import LogPoint, Observers, StopTraining


def test_every_observer_is_called_and_the_first_reason_counts() -> None:
    called, point = list[str](), {"step": 5}
    error, later = ZeroDivisionError("no\nnumber"), KeyError("later")

    def observer(name: str, raised: Exception | None = None) -> Any:
        def observe(given: Any) -> None:
            assert given is point
            called.append(name)
            if raised is not None:
                raise raised

        return observe

    whole: Any = point
    calm = Observers([observer("a"), [].append])
    calm(whole)
    assert (calm.stopped, calm.error) == (None, None)
    stopped = Observers([observer("b", StopTraining("no progress")), observer("c", StopTraining("late"))])
    stopped(whole)
    assert (stopped.stopped, stopped.error) == ("no progress", None)
    failed = Observers([observer("d", StopTraining()), observer("e", error), observer("f", later)])
    failed(whole)
    assert (failed.stopped, failed.error) == ("StopTraining", error)
    failed = Observers([observer("g", error)])
    failed(whole)
    assert failed.stopped == "ZeroDivisionError: no number"
    assert called == list("abcdefg")


def test_an_observer_that_cannot_be_called_is_named() -> None:
    nonsense: Any = [3]
    with pytest.raises(ValueError, match=r"observer 3: expected a function of one log point"):
        Observers(nonsense)


def test_what_is_logged_is_in_the_log_point() -> None:
    keys = LogPoint.__required_keys__ | LogPoint.__optional_keys__
    assert keys == {"run", "step", "seeds", *TAGS, *HISTOGRAMS, *OWN}
