"""A configuration is the same from Python, JSON and the command line; invalid ones are refused in one line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ddpg.algorithm.agent import ACTOR_Q
from ddpg.algorithm.exploration import Gaussian, OrnsteinUhlenbeck
from ddpg.algorithm.initialisers import Normal
from ddpg.algorithm.layers import ACTIVATIONS
from ddpg.algorithm.networks import NORMS
from ddpg.arguments import parser
from ddpg.config.config import Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import Option, from_data, options, override, to_data, values
from ddpg.mistake import Mistake
from ddpg.ranges import Choice

OPTIONS = options(Config())
# ddpg train has options of its own for them
NAMED = ("env", "env_args", "env_seeds", "log", "pixels", "preset", "steps", "seed", "seeds")
BY_PATH = [option for option in OPTIONS if option.path not in NAMED]
UNSET = {"every": "500", "final_init": "0.5", "max_grad_norm": "0.5", "learning_starts": "3000"}  # None by default
UNSET |= {"address": "10.0.0.1:6379", "tau_encoder": "0.5", "trunk": "50", "lift": "50", "recount": "100"}
UNSET |= {"huber": "0.5", "low": "0.5", "high": "0.5", "tau_actor": "0.5", "target_period": "100"}
CAPPED = {"alpha", "gamma", "tau", "beta", "rate", "assess_rate"}  # at most 1
TOGETHER = {  # options that are valid only beside another
    "smoothing.actor": {"smoothing.sigma": "0.2"},
    "value.low": {"value.high": "9"},
    "value.high": {"value.low": "-9"},
    "exploration.low": {"exploration.high": "9"},
    "encoder.filters": {"encoder": "patches"},
    "encoder.kernels": {"encoder": "conv", "encoder.filters": "8", "encoder.strides": "1"},
    "encoder.strides": {"encoder": "conv", "encoder.filters": "8", "encoder.kernels": "1"},
    "encoder.init.gain": {"encoder": "conv"},
    "encoder.init.std": {"encoder": "conv"},
    "encoder.init.bias": {"encoder": "conv"},
    "critic.block.norm": {"critic.action_layer": "1"},
    "collect.assess_rate": {"collect.assess": "1"},
    "devices": {"replay.batch": "66"},
    **{o.path: {"replay.n_step": "3"} for o in OPTIONS if o.path.startswith("replay.n_step_schedule")},
}


def another(option: Option) -> list[str]:
    """Values other than the default, as typed on a command line."""
    if option.choices:
        allowed = option.choices[:1] if option.path == "actor.action_layer" else option.choices
        return [*allowed, *["none"] * (option.value is None)]
    name = option.path.rpartition(".")[2]
    if option.value is None:
        return [UNSET[name], *([] if option.path in TOGETHER else ["none"])]
    if isinstance(option.value, bool):
        return ["true"]
    if name == "env_args":
        return ["g=9.8", "g=9.8,mode=easy"]
    if name == "log":
        return ["is_success", "is_success,episode.r"]
    if name == "env_seeds":
        return ["never", "0:100"]
    if isinstance(option.value, tuple):
        return ["32,16", "7", "(8, 8)"]
    if isinstance(option.value, str):
        return ["other"]
    return ["0.5"] if name in CAPPED else [str(2 * option.value + 1)]


def words_of(value: Any) -> list[str]:
    """A value as words, so that typed and configured values can be compared."""
    words = value if isinstance(value, tuple) else str(value).strip("()").replace(" ", "").lower().split(",")
    return [str(float(word)) if str(word).replace(".", "").isdigit() else word for word in words]


@pytest.mark.parametrize("option", OPTIONS, ids=[option.path for option in OPTIONS])
def test_every_path_round_trips(option: Option) -> None:
    part = option.path.rpartition(".")[0]
    owners = dict([(part, kind) for kind in option.kinds][:1]) | TOGETHER.get(option.path, {})
    for text in another(option):
        changed = override(Config(), owners | {option.path: text})
        assert words_of(values(changed)[option.path]) == words_of(text)
        assert from_data(json.loads(json.dumps(to_data(changed)))) == changed


@pytest.mark.parametrize("option", BY_PATH, ids=[option.path for option in BY_PATH])
def test_every_path_is_an_option_of_train(option: Option) -> None:
    (text, *_) = another(option)
    args, rest = parser(of_train=True).parse_known_args(["train", f"--{option.path}", text])
    assert not rest
    assert getattr(args, option.path) == text
    assert args.ENV is None


def test_parts_are_chosen_before_their_fields() -> None:
    changes = {"exploration.schedule.final": "0.2", "exploration.sigma": "0.3", "exploration": "ou"}
    changed = override(Config(), changes | {"exploration.schedule": "linear"}).agent.exploration
    assert isinstance(changed, OrnsteinUhlenbeck)
    assert (changed.theta, changed.sigma) == (0.15, 0.3)
    assert (changed.schedule.kind, getattr(changed.schedule, "final", None)) == ("linear", 0.2)


def test_python_passes_parts_and_numbers_as_they_are() -> None:
    changes = {"exploration": Gaussian(sigma=(0.1, 0.2)), "actor.widths": (8,), "replay.batch": 16}
    changed = override(Config(), changes | {"critic.init": {"kind": "normal", "std": 0.1}, "gamma": 0.5})
    assert changed.agent.exploration == Gaussian(sigma=(0.1, 0.2))
    assert changed.agent.actor.widths == (8,)
    assert changed.agent.critic.init == Normal(std=0.1)
    assert (changed.replay.batch, changed.gamma) == (16, 0.5)


def test_a_part_is_not_a_value() -> None:
    with pytest.raises(ValueError, match=r"replay '3': replay is a group of options; use --replay\.capacity"):
        override(Config(), {"replay": "3"})
    with pytest.raises(ValueError, match="exploration None: expected"):
        override(Config(), {"exploration": None})


@pytest.mark.parametrize(
    ("path", "registry"), [("actor.activation", ACTIVATIONS), ("actor.block.norm", NORMS), ("actor_q", ACTOR_Q)]
)
def test_a_registry_is_all_that_its_option_accepts(path: str, registry: Mapping[str, Any]) -> None:
    (option,) = [option for option in OPTIONS if option.path == path]
    assert option.choices == tuple(registry)
    for name in registry:
        assert values(override(Config(), {path: name}))[path] == name
    *others, last = map(repr, registry)
    with pytest.raises(Mistake) as error:
        override(Config(), {path: "other"})
    assert str(error.value) == f"{path} 'other': expected {', '.join(others)} or {last}"


def test_a_new_entry_of_a_registry_needs_no_other_edit() -> None:
    registry = {"layer": object}

    @dataclass(frozen=True)
    class Part:
        norm: Annotated[str, Choice(registry)] | None = None

    with pytest.raises(ValidationError, match="'layer'"):
        TypeAdapter(Part).validate_python({"norm": "rms"})
    registry["rms"] = object
    assert TypeAdapter(Part).validate_python({"norm": "rms"}) == Part(norm="rms")
    assert options(Part()) == [Option("norm", None, ("layer", "rms"))]


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = sorted({name for option in OPTIONS for name in option.path.split(".")} | {"agent", "kind", "gaussian", "ou"})
NAMES = st.sampled_from(WORDS) | st.text(max_size=5)
JUNK = st.recursive(
    LEAVES | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def check_junk(data: dict[str, Any]) -> None:
    try:
        understood = from_data(data)
    except ValueError as error:
        (line,) = str(error).splitlines()
        assert 5 < len(line) < 1_000
    else:
        assert isinstance(understood, Config)
        assert from_data(json.loads(json.dumps(to_data(understood), allow_nan=False))) == understood


@given(st.dictionaries(NAMES, JUNK, max_size=4))
def test_junk_is_a_config_or_one_line(data: dict[str, Any]) -> None:
    check_junk(data)


@given(st.sampled_from(sorted(PRESETS)), st.sampled_from(OPTIONS), JUNK, st.integers(0, 3))
def test_junk_in_one_place_is_a_config_or_one_line(preset: str, option: Option, junk: Any, above: int) -> None:
    """A preset with junk where one of its values, or the part around it, should be."""
    data = to_data(PRESETS[preset])
    where = option.path.split(".")
    where = where if where[0] in data else ["agent", *where]
    place = data
    *parents, name = where[: max(1, len(where) - above)]
    for parent in parents:
        place = place[parent] if isinstance(place.get(parent), dict) else place
    place[name] = junk
    check_junk(data)


@given(st.dictionaries(st.sampled_from([option.path for option in OPTIONS]) | st.text(max_size=8), LEAVES, max_size=3))
def test_junk_options_are_a_config_or_one_line(changes: dict[str, Any]) -> None:
    try:
        data = to_data(override(PRESETS["article"], changes))
    except ValueError as error:
        (line,) = str(error).splitlines()
        assert 5 < len(line) < 1_000
    else:
        check_junk(data)
