"""A search space: which options a sweep varies and in which range, which it fixes, and the file that says so."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ddpg.config.config import Config
from ddpg.config.reading import brief, override, values
from ddpg.mistake import Mistake
from ddpg.records.untrusted import check_plain
from ddpg.terminal import plain, reason

LARGEST_SPACE = 2**20  # bytes
EXAMPLE = '"critic.lr" = {low = 1e-4, high = 1e-2, log = true}'


class Suggester(Protocol):
    """What suggests values; Optuna's `Trial` does."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones if both are. With `log` by their order of magnitude."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.low, self.high

    def suggest(self, trial: Suggester, path: str) -> float:
        if self.whole:
            return trial.suggest_int(path, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(path, self.low, self.high, log=self.log)

    def __str__(self) -> str:
        return f"{plain(self.low)} to {plain(self.high)}{', whole' if self.whole else ''}{', log' if self.log else ''}"


@dataclass(frozen=True)
class Choices:
    """One of a few values."""

    ends: tuple[Any, ...]

    def suggest(self, trial: Suggester, path: str) -> Any:
        return trial.suggest_categorical(path, self.ends)

    def __str__(self) -> str:
        return ", ".join(map(plain, self.ends))


@dataclass(frozen=True)
class Space:
    """`varied` options by path, and `fixed` ones, which differ from the preset and stay."""

    varied: Mapping[str, Range | Choices]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def suggest(self, trial: Suggester, base: Config) -> dict[str, Any]:
        """A value for every varied option that the configuration then has: kinds of parts before their fields."""
        chosen = dict[str, Any]()
        for path in sorted(self.varied, key=lambda path: path.count(".")):
            if path in values(override(base, {**self.fixed, **chosen})):
                chosen[path] = self.varied[path].suggest(trial, path)
        return chosen

    def check(self, base: Config) -> None:
        """Raise Mistake if an option does not exist, or does not accept the ends of its range."""
        override(base, self.fixed)
        for path, domain in self.varied.items():
            for end in domain.ends:
                override(base, {**self.fixed, **self._kind_with(path, base), path: end})

    def _kind_with(self, path: str, base: Config) -> Mapping[str, Any]:
        """The kinds of the parts around an option under which it exists, as far as the space varies them."""
        parents = [parent for parent in self.varied if path.startswith(f"{parent}.")]
        for kind in self.varied[parents[-1]].ends if parents else ():
            if path in values(override(base, {**self.fixed, parents[-1]: kind})):
                return {parents[-1]: kind}
        return {}

    def described(self) -> dict[str, str]:
        """Every option with its range, its choices or its value, to read and to compare."""
        fixed = {path: f"= {plain(value)}" for path, value in self.fixed.items()}
        return {path: str(domain) for path, domain in self.varied.items()} | fixed


def read_space(path: Path) -> Space:
    """The space of a TOML file. Raises Mistake if there is none in it."""
    try:
        check_plain(path, LARGEST_SPACE)
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Mistake(f"space {path} cannot be read ({reason(error)})") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Mistake(f"space {path} is no TOML ({error}); expected lines such as {EXAMPLE}") from None
    varied, fixed = dict[str, Range | Choices](), dict[str, Any]()
    for option, value in data.items():
        domain = _domain(option, value)
        if domain is None:
            fixed[option] = value
        else:
            varied[option] = domain
    if not varied:
        raise Mistake(f"space {path} varies no option; expected lines such as {EXAMPLE}")
    return Space(varied, fixed)


def _domain(option: str, value: Any) -> Range | Choices | None:
    """What a value of the file says; None if it is one value, that stays."""
    if isinstance(value, list):
        if len(value) < 2 or not all(isinstance(each, str | int | float) for each in value):
            raise Mistake(f"space: {option} {brief(value)}: expected at least two choices, of names or numbers")
        return Choices(tuple(value))
    if not isinstance(value, dict):
        return None
    if not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        nested = f'; an option with a point is written with quotes, as "{option}.{next(iter(value), "lr")}"'
        raise Mistake(
            f"space: {option} {brief(value)}: expected low, high and perhaps log"
            f"{nested if any(isinstance(each, dict | list) for each in value.values()) else ''}"
        )
    low, high, log = value["low"], value["high"], value.get("log", False)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not isinstance(log, bool) or not low < high or (log and low <= 0):
        raise Mistake(f"space: {option} {brief(value)}: expected low below high, and above 0 with log = true")
    return (
        Range(low, high, log) if isinstance(low, int) == isinstance(high, int) else Range(float(low), float(high), log)
    )
