"""Configurations from plain data and from options by path, with errors of one line."""

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ddpg.algorithm.agent import DPG
from ddpg.config.config import Config, check
from ddpg.mistake import Mistake


def to_data(config: Config) -> dict[str, Any]:
    return asdict(config)


def from_data(data: Mapping[str, Any]) -> Config:
    """Nested plain data -> Config. ValueError: one line naming the field, its value, what was expected and the fix."""
    return check(_validated(data))


def _validated(data: Mapping[str, Any]) -> Config:
    _refuse_unknown(Config, data, "")
    try:
        return _reader().validate_python(data)
    except ValidationError as error:
        raise Mistake(_explain(error)) from None


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """Change fields by path, such as {"replay.batch": 128, "exploration": "ou", "exploration.sigma": "0.3"}.

    Paths may leave out "agent.". Naming a part's kind replaces the part by that kind with its own defaults, and
    "none" is None. ValueError: one line naming the path or the value, what was expected and the fix.
    """
    data = to_data(config)
    for path in sorted(changes, key=lambda path: path.count(".")):  # parts before their fields
        *parents, name = _spelled_out(path).split(".")
        place = data
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place:
            raise Mistake(_misplaced(short(path)))
        change, is_part = changes[path], isinstance(place[name], dict)
        if is_part and "kind" not in place[name]:
            fields_of = ", ".join(f"--{short(path)}.{field}" for field in place[name])
            raise Mistake(f"{short(path)} {_brief(change)}: {short(path)} is a group of options; use {fields_of}")
        if isinstance(change, str):
            change = {"kind": change} if is_part else None if change.lower() == "none" else change
        place[name] = change
        if is_part:
            data = to_data(_validated(data))
    return from_data(data)


class Option(NamedTuple):
    """A field as a command line has it: `--path`, its value, what else it can be, and which kinds of a part have it."""

    path: str
    value: Any
    choices: tuple[str, ...] = ()  # the kinds of a part, or the words of a field that takes no others
    kinds: tuple[str, ...] = ()  # of the part around it; empty if all of them have it


def options(value: Any, path: str = "") -> list[Option]:
    """Every option of a configuration, parts before their fields; of kinds not chosen too, with their defaults."""
    found: list[Option] = []
    for name, hint in get_type_hints(type(value)).items():
        chosen, here = getattr(value, name), f"{path}.{name}" if path else name
        parts = [part for part in _alternatives(hint) if is_dataclass(part)]
        if not parts:
            words = get_args(hint) if get_origin(hint) is Literal else ()
            found += [Option(short(here), chosen, tuple(map(str, words)))] if name != "kind" else []
        elif not hasattr(chosen, "kind"):
            found += options(chosen, here)
        else:
            found += _of_kinds(chosen, parts, here)
    return found


def _of_kinds(chosen: Any, parts: list[Any], path: str) -> list[Option]:
    parts = sorted(parts, key=lambda part: not isinstance(chosen, part))  # so that the chosen one's values come first
    merged: dict[str, Option] = {}
    owners: dict[str, list[str]] = {}
    for part in parts:
        for option in options(chosen if isinstance(chosen, part) else part(), path):
            merged.setdefault(option.path, option)
            owners.setdefault(option.path, []).append(part.kind)
    of_some = {path: kinds for path, kinds in owners.items() if len(kinds) < len(parts)}
    fields_of = [option._replace(kinds=tuple(of_some.get(p, option.kinds))) for p, option in merged.items()]
    return [Option(short(path), chosen.kind, tuple(part.kind for part in parts)), *fields_of]


def values(config: Config) -> dict[str, Any]:
    """Every option that this configuration has, by path."""

    def walk(data: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
        for name, value in data.items():
            here = f"{path}.{name}" if path else name
            if isinstance(value, Mapping):
                yield from walk(value, here)
            else:
                yield short(path if name == "kind" else here), value

    return dict(walk(to_data(config), ""))


def short(path: str) -> str:
    """agent.actor.lr is said as actor.lr."""
    return path.removeprefix("agent.")


def _spelled_out(path: str) -> str:
    return f"agent.{path}" if path.split(".")[0] in {f.name for f in fields(DPG)} else path


@cache
def _reader() -> TypeAdapter[Config]:
    return TypeAdapter(Config)


def _refuse_unknown(kind: Any, data: Mapping[str, Any], path: str) -> None:
    """Pydantic passes over unknown keys of plain dataclasses; a misspelt field must not be silently ignored."""
    hints = get_type_hints(kind)
    for name, value in data.items():
        here = f"{path}.{name}" if path else name
        if name not in hints:
            near = [short(f"{path}.{field}" if path else field) for field in hints if field != "kind"]
            raise Mistake(_unknown(short(here), near))
        if isinstance(value, Mapping):
            parts = [part for part in _alternatives(hints[name]) if is_dataclass(part)]
            chosen = [p for p in parts if len(parts) == 1 or value.get("kind") == getattr(p, "kind", None)]
            for part in chosen[:1]:
                _refuse_unknown(part, value, here)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (Union, UnionType):
        return get_args(hint)
    return (hint,)


def _misplaced(path: str) -> str:
    known = options(Config())
    kinds = [option.kinds for option in known if option.path == path]
    if not kinds or not kinds[0]:
        return _unknown(path, [option.path for option in known])
    part = path.rpartition(".")[0]
    return f"option {path} belongs to {' or '.join(kinds[0])}; add --{part} {kinds[0][0]}"


def _unknown(path: str, known: list[str]) -> str:
    near = get_close_matches(path, known, n=3, cutoff=0.5)
    if not near:  # a right name in the wrong place
        near = [other for other in known if other.split(".")[-1] == path.split(".")[-1]][:3]
    hint = f"did you mean {' or '.join(near)}?" if near else "see `ddpg train --help`"
    return f"unknown option {_brief(path).strip(QUOTES)}; {hint}"


QUOTES = "'\""

WORDS = {
    "Input should be ": "",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
    "Unable to parse input string as an integer, exceeded maximum size": "a whole number",
}


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    # A union adds the alternative it tried to the path: `exploration.ou.sigma`, `sigma.constrained-float`.
    known = {"agent"}.union(*(option.path.split(".") for option in options(Config())))
    path = short(".".join(str(part) for part in first["loc"] if part in known))
    value = first["input"]["kind"] if isinstance(first["input"], dict) and "kind" in first["input"] else first["input"]
    wanted = first["msg"].split(", unable")[0]
    for pydantics, ours in WORDS.items():
        wanted = wanted.replace(pydantics, ours)
    if first["type"] == "union_tag_invalid":
        wanted = f"one of {first.get('ctx', {})['expected_tags']}"
    if first["type"] == "union_tag_not_found":
        wanted = "a kind"
    return f"{path} {_brief(value)}: expected {wanted}"


def _brief(value: Any) -> str:
    """Its repr on one short line, however long or deep it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    return short.repr(value).replace("\n", " ")
