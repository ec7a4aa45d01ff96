"""Configurations from plain data and from options by path, with errors of one line."""

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ddpg.algorithm.agent import DPG
from ddpg.config.config import Config, check, short
from ddpg.mistake import Mistake
from ddpg.ranges import Choice


def to_data(config: Config) -> dict[str, Any]:
    return asdict(config)


def from_data(data: Mapping[str, Any]) -> Config:
    """Nested plain data -> Config. Mistake: one line with the field, its value, what was expected and the fix."""
    config = _validated(data)
    check(config)
    return config


def _validated(data: Mapping[str, Any]) -> Config:
    _refuse_unknown(Config, data, "")
    try:
        return _type_adapter().validate_python(data)
    except ValidationError as error:
        raise Mistake(_in_one_line(error)) from None


@cache
def _type_adapter() -> TypeAdapter[Config]:
    return TypeAdapter(Config)


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """Change fields by path, such as {"replay.batch": 128, "exploration": "ou", "exploration.sigma": "0.3"}.

    Paths may leave out "agent.". The name of a kind replaces a part by that kind with its own defaults, and "none" is
    None. Mistake: one line with the path or the value, what was expected and the fix.
    """
    data = to_data(config)
    for path in sorted(changes, key=lambda path: path.count(".")):  # parts before their fields
        *parents, name = _full_path(path).split(".")
        part: Any = data
        for parent in parents:
            part = part.get(parent) if isinstance(part, dict) else None
        if not isinstance(part, dict) or name not in part:
            raise Mistake(_missing_option(short(path)))
        value, is_part = changes[path], isinstance(part[name], dict)
        if is_part and "kind" not in part[name]:
            inner = ", ".join(f"--{short(path)}.{field}" for field in part[name])
            raise Mistake(f"{short(path)} {brief(value)}: {short(path)} is a group of options; use {inner}")
        if isinstance(value, str):
            value = {"kind": value} if is_part else None if value.lower() == "none" else value
        part[name] = value
        if is_part:
            data = to_data(_validated(data))
    return from_data(data)


class Option(NamedTuple):
    """A field as the command line shows it: `--path`, its value, its choices and the kinds of a part that have it."""

    path: str
    value: Any
    choices: tuple[str, ...] = ()  # all that it accepts, if that is a list of names; the kinds of a part
    kinds: tuple[str, ...] = ()  # of the part around it; empty if all kinds have it
    others: tuple[tuple[str, Any], ...] = ()  # kinds whose default differs from `value`, with that default


def options(part: Any, path: str = "") -> list[Option]:
    """Every option of a configuration, parts before their fields; of kinds not chosen, too, with their defaults."""
    listed: list[Option] = []
    hints = get_type_hints(type(part), include_extras=True)
    for name, hint in ((field.name, hints[field.name]) for field in fields(part)):
        value, here = getattr(part, name), f"{path}.{name}" if path else name
        alternatives = _part_types(hint)
        if not alternatives:
            listed += [Option(short(here), value, _choices(hint))] if name != "kind" else []
        elif not hasattr(value, "kind"):
            listed += options(value, here)
        else:
            listed += _options_of_kinds(value, alternatives, here)
    return listed


def _options_of_kinds(chosen: Any, alternatives: list[Any], path: str) -> list[Option]:
    alternatives = sorted(alternatives, key=lambda kind: not isinstance(chosen, kind))  # so that its values come first
    owners: dict[str, dict[str, Option]] = {}  # by path, then by kind
    for part in alternatives:
        for option in options(chosen if isinstance(chosen, part) else part(), path):
            owners.setdefault(option.path, {})[part.kind] = option
    merged = [_merged(owned, everywhere=len(owned) == len(alternatives)) for owned in owners.values()]
    return [Option(short(path), chosen.kind, tuple(part.kind for part in alternatives)), *merged]


def _merged(owned: Mapping[str, Option], everywhere: bool) -> Option:
    """One option of several kinds."""
    first, *_ = owned.values()
    others = tuple((kind, option.value) for kind, option in owned.items() if option.value != first.value)
    return first._replace(kinds=first.kinds or (() if everywhere else tuple(owned)), others=first.others + others)


def values(config: Config) -> dict[str, Any]:
    """The value of every option that this configuration has, by path."""

    def walk(data: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
        for name, value in data.items():
            here = f"{path}.{name}" if path else name
            if isinstance(value, Mapping):
                yield from walk(value, here)
            else:
                yield short(path if name == "kind" else here), value

    return dict(walk(to_data(config), ""))


def _full_path(path: str) -> str:
    return f"agent.{path}" if path.split(".")[0] in {field.name for field in fields(DPG)} else path


def _part_types(hint: Any) -> list[Any]:
    """The dataclasses that a field can hold: one, or one per kind."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return [arm for arm in get_args(bare) or (bare,) if is_dataclass(arm)]


def _choices(hint: Any) -> tuple[str, ...]:
    """The names that a field accepts, if it accepts nothing else but None."""
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return tuple(map(str, inner))
    if get_origin(hint) is Annotated:
        return next((tuple(mark.registry) for mark in inner if isinstance(mark, Choice)), _choices(inner[0]))
    return _choices(inner[0]) if type(None) in inner else ()


def _refuse_unknown(kind: Any, data: Mapping[str, Any], path: str) -> None:
    """Pydantic ignores unknown keys of plain dataclasses; a misspelt field must not be ignored silently."""
    hints = get_type_hints(kind, include_extras=True)
    for name, value in data.items():
        here = f"{path}.{name}" if path else name
        if name not in hints:
            names = [short(f"{path}.{field}" if path else field) for field in hints if field != "kind"]
            raise Mistake(_unknown(short(here), names))
        if isinstance(value, Mapping):
            parts = _part_types(hints[name])
            chosen = [part for part in parts if len(parts) == 1 or value.get("kind") == getattr(part, "kind", None)]
            for part in chosen[:1]:
                _refuse_unknown(part, value, here)


def _missing_option(path: str) -> str:
    """Why the configuration lacks an option: another kind of its part has it, or none."""
    known = options(Config())
    kinds = [option.kinds for option in known if option.path == path]
    if not kinds or not kinds[0]:
        return _unknown(path, [option.path for option in known])
    part = path.rpartition(".")[0]
    return f"option {path} belongs to {' or '.join(kinds[0])}; add --{part} {kinds[0][0]}"


def _unknown(path: str, known: list[str]) -> str:
    near = get_close_matches(path, known, n=3, cutoff=0.5)
    if not near:  # the right name in the wrong part
        near = [other for other in known if other.split(".")[-1] == path.split(".")[-1]][:3]
    hint = f"did you mean {' or '.join(near)}?" if near else "see `ddpg train --help`"
    return f"unknown option {brief(path).strip(QUOTES)}; {hint}"


QUOTES = "'\""

PLAIN_ENGLISH = {  # for pydantic's words
    "Input should be ": "",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
    "Unable to parse input string as an integer, exceeded maximum size": "a whole number",
}


def _in_one_line(error: ValidationError) -> str:
    """The first error: the option's path, its value and what was expected."""
    first = error.errors(include_url=False)[0]
    # For a union pydantic adds the alternative it tried to the path: `exploration.ou.sigma`, `sigma.constrained-float`.
    known = {"agent"}.union(*(option.path.split(".") for option in options(Config())))
    path = short(".".join(str(part) for part in first["loc"] if part in known))
    value = first["input"]["kind"] if isinstance(first["input"], dict) and "kind" in first["input"] else first["input"]
    expected = first["msg"].split(", unable")[0]
    for pydantics, ours in PLAIN_ENGLISH.items():
        expected = expected.replace(pydantics, ours)
    if first["type"] == "union_tag_invalid":
        expected = f"one of {first.get('ctx', {})['expected_tags']}"
    if first["type"] == "union_tag_not_found":
        expected = "a kind"
    return f"{path} {brief(value)}: expected {expected}"


def brief(value: Any) -> str:
    """Its repr on one short line, however long or deep it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    return short.repr(value).replace("\n", " ")
