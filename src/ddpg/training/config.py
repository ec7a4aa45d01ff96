"""A run's configuration: one frozen value, read from Python, JSON or a command line with the same checks."""

import json
import os
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.nets import Network, Plain, Residual
from ddpg.algorithm.noise import Mixed, Parameters
from ddpg.algorithm.values import Categorical
from ddpg.experience.replay import Replay
from ddpg.records.given import check_plain
from ddpg.records.settle import flush_folder, write_text
from ddpg.types import Natural, Positive, UnitInterval, Whole, Words

FORMAT = 2  # of everything in a run folder; raise it when an older reader would misread
READ = (1, FORMAT)  # formats that are understood; 1 had no checkpoints
LARGEST = 2**20  # bytes of a config.json, which has a few thousand


@dataclass(frozen=True)
class Collection:
    """How acting and learning alternate: `steps` of `envs` environments, then `updates` gradient steps.

    (steps, updates) = (1, 1) is textbook DDPG, (50, 50) Spinning Up's schedule, (200, 25) the article's. The first
    `warmup` environment steps are uniformly random; updates begin after `learning_starts` (default: `warmup`).
    Environments that Python steps do so one after the other (`vector` sync) or in a process each (async).
    """

    steps: Natural = 1
    updates: Natural = 1
    envs: Natural = 1
    warmup: Whole = 1_000
    learning_starts: Whole | None = None
    vector: Literal["sync", "async"] = "sync"


@dataclass(frozen=True)
class Evaluation:
    """Every `every` environment steps, `episodes` greedy episodes from fixed starts that depend on `seed` alone."""

    every: Natural = 1_000
    episodes: Natural = 100
    seed: Whole = 0


@dataclass(frozen=True)
class Checkpoints:
    """What `ddpg resume` goes on from: written every `minutes`, or every `every` environment steps, and at the end.

    The last `keep` stay, and the one of the policy that earned most. `none` is never.
    """

    every: Natural | None = None
    minutes: Positive | None = 5.0
    keep: Natural = 2


@dataclass(frozen=True)
class Config:
    """Everything that determines a run. `preset` is the name it started from; the fields are what counts.

    `env_args` are the environment's keyword arguments as key=value. Every action is held for `action_repeat` steps of
    it, which count as one here. The update sees rewards times `reward_scale`, and with `normalise` observations of
    mean 0 and variance 1 by running statistics, which evaluation and the saved policy apply as they are.
    """

    env: str = "Pendulum-v1"
    env_args: Words = ()
    action_repeat: Natural = 1
    reward_scale: Positive = 1.0
    normalise: bool = False
    preset: str = "ddpg"
    steps: Natural = 20_000
    seed: Whole = 0
    seeds: Natural = 1
    gamma: UnitInterval = 0.99
    agent: DPG = DPG()
    replay: Replay = Replay()
    collect: Collection = Collection()
    eval: Evaluation = Evaluation()
    checkpoint: Checkpoints = Checkpoints()

    @property
    def learning_starts(self) -> int:
        """Environment steps before the first update; a minibatch's worth must be stored."""
        chosen = self.collect.learning_starts
        return self.collect.warmup if chosen is None else chosen


def check(config: Config) -> Config:
    """What no single field can know. ValueError: one line with the value, what was expected and the fix."""
    stride = config.collect.steps * config.collect.envs
    start, replay = config.learning_starts, config.replay
    if config.collect.warmup > config.steps:
        raise ValueError(
            f"collect.warmup {config.collect.warmup} is longer than the run of {config.steps} steps; "
            f"use --steps above {config.collect.warmup} or a shorter --collect.warmup"
        )
    if replay.batch > replay.capacity:
        raise ValueError(
            f"replay.batch {replay.batch} is larger than replay.capacity {replay.capacity}; "
            f"use a batch of at most {replay.capacity} or a larger capacity"
        )
    if replay.capacity < (replay.n_step + 1) * stride:
        raise ValueError(
            f"replay.capacity {replay.capacity} cannot hold {replay.n_step + 1} blocks of collect.steps x collect.envs "
            f"= {stride} steps; use at least {(replay.n_step + 1) * stride}"
        )
    if start < (need := max((replay.n_step + 1) * stride, replay.batch)):
        raise ValueError(
            f"learning starts after {start} steps, before a minibatch is stored; "
            f"use --collect.learning_starts (or --collect.warmup) of at least {need}"
        )
    if -(-start // stride) >= -(-config.steps // stride):
        raise ValueError(
            f"learning starts after {start} steps, but the run has {config.steps}: nothing would be learned; "
            f"use --steps above {start} or a smaller --collect.learning_starts or --collect.warmup"
        )
    if config.agent.value.unit and config.reward_scale != 1:
        raise ValueError(
            f"reward_scale {config.reward_scale:g}: a categorical value without bounds scales rewards itself; "
            f"use --reward_scale 1, or say --value.low and --value.high"
        )
    check_agent(config.agent)
    for name, network in (("actor", config.agent.actor), ("critic", config.agent.critic)):
        if batch_normed(network) and replay.batch == 1:
            raise ValueError(f"replay.batch 1: {name}.block.norm batch needs more than one; use --replay.batch 64")
    return config


def batch_normed(network: Network) -> bool:
    return isinstance(network.block, Plain) and network.block.norm == "batch"


def check_agent(agent: DPG) -> None:
    """ValueError if parts of it do not go together."""
    if agent.actor.action_layer != 0:
        raise ValueError("actor.action_layer 1: only a critic takes actions in; use --critic.action_layer 1")
    for name, network in (("actor", agent.actor), ("critic", agent.critic)):
        if isinstance(network.block, Residual) and len(set(network.widths)) > 1:
            widths = ",".join(map(str, network.widths))
            same = ",".join([str(max(network.widths))] * len(network.widths))
            raise ValueError(f"{name}.widths {widths}: residual blocks are all as wide; use --{name}.widths {same}")
        if isinstance(network.block, Residual) and network.action_layer:
            raise ValueError(
                "critic.action_layer 1: residual blocks take the action in first; use --critic.action_layer 0"
            )
    if batch_normed(agent.critic) and not agent.critic.action_layer:
        raise ValueError(
            "critic.block.norm batch: beside the observation the actions' mean and scale would be normalised away; "
            "use --critic.action_layer 1"
        )
    if isinstance(agent.exploration, Parameters) and batch_normed(agent.actor):
        raise ValueError(
            "exploration parameters: noise on weights is for layer normalisation, not for that of a batch; "
            "use --actor.block.norm layer"
        )
    if isinstance(agent.exploration, Mixed) and agent.exploration.low > agent.exploration.high:
        low, high = agent.exploration.low, agent.exploration.high
        raise ValueError(
            f"exploration.low {low:g} is above exploration.high {high:g}; use an --exploration.low of at most {high:g}"
        )
    if isinstance(agent.value, Categorical):
        low, high = agent.value.low, agent.value.high
        if (low is None) != (high is None):
            name, other = ("low", "high") if low is None else ("high", "low")
            raise ValueError(f"value.{name} is not said, value.{other} is; use both, or none to have them found")
        if low is not None and high is not None and low >= high:
            raise ValueError(f"value.low {low:g} is not below value.high {high:g}; use a smaller --value.low")


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
        raise ValueError(_explain(error)) from None


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
            raise ValueError(_misplaced(short(path)))
        change, is_part = changes[path], isinstance(place[name], dict)
        if is_part and "kind" not in place[name]:
            fields_of = ", ".join(f"--{short(path)}.{field}" for field in place[name])
            raise ValueError(f"{short(path)} {_brief(change)}: {short(path)} is a group of options; use {fields_of}")
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


def versions() -> dict[str, str]:
    """Of the packages that a run's numbers depend on."""
    return {name: version(name) for name in ("ddpg", "jax", "jaxlib", "optax", "numpy", "gymnasium")}


def write(config: Config, path: Path) -> None:
    """FileExistsError if it is there: never over another run's, even one that begins at this moment."""
    with path.open("x", encoding="utf-8") as file:
        file.write(_text(config))
        file.flush()
        os.fsync(file.fileno())
    flush_folder(path.parent)


def rewrite(config: Config, path: Path) -> None:
    """Over that of the same run, atomically."""
    write_text(path, _text(config))


def _text(config: Config) -> str:
    return json.dumps({"format": FORMAT, "versions": versions(), **to_data(config)}, indent=2) + "\n"


def load(folder: Path) -> Config:
    """The configuration of a run folder. ValueError, in one line, if it holds none that can be read."""
    path = folder / "config.json"
    try:
        check_plain(path, LARGEST)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{folder} is no run folder: cannot read {path.name} ({error.strerror})") from None
    except ValueError as error:  # not UTF-8, either
        raise ValueError(f"{path} is no run's configuration: {error}") from None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no run's configuration: not JSON ({error})") from None
    if not isinstance(data, dict) or data.get("format") not in READ:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"{path}: format {_brief(found)}, expected {FORMAT}; it is not a run of this version of ddpg")
    try:
        config = from_data({key: value for key, value in data.items() if key not in ("format", "versions")})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for name in ("env", "env_args", "preset"):  # which are shown, and must not drive the terminal that shows them
        if not "".join(getattr(config, name)).isprintable():
            raise ValueError(f"{path}: {name} {_brief(getattr(config, name))}: expected printable characters")
    return config


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
            raise ValueError(_unknown(short(here), near))
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
