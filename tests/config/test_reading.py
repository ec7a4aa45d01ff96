"""A configuration is the same from Python, JSON and the command line, and whatever it cannot be is said in one line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.exploration import Gaussian, OrnsteinUhlenbeck, PerEnvGaussian
from ddpg.algorithm.networks import Normal, Plain, Residual
from ddpg.algorithm.schedules import Constant, Exponential
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import Categorical, Scalar
from ddpg.cli import parser
from ddpg.config.config import Config
from ddpg.config.file import load_config, write_config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import Option, from_data, options, override, to_data, values
from ddpg.envs.pendulum import Pendulum
from ddpg.experience.replay import Prioritised

OPTIONS = options(Config())
NAMED = ("env", "env_args", "preset", "steps", "seed", "seeds")  # which have an option of their own
BY_PATH = [option for option in OPTIONS if option.path not in NAMED]
UNSET = {"every": "500", "final_init": "0.5", "max_grad_norm": "0.5", "learning_starts": "3000"}  # None by default
UNSET |= {"huber": "0.5", "low": "0.5", "high": "0.5", "tau_actor": "0.5", "target_period": "100", "norm": "layer"}
CAPPED = {"alpha", "gamma", "tau", "beta", "rate"}  # at most 1
TOGETHER = {
    "value.low": {"value.high": "9"},
    "value.high": {"value.low": "-9"},
}  # one is not said without the other
TOGETHER["exploration.low"] = {"exploration.high": "9"}  # or is not above it


def another(option: Option) -> list[str]:
    """Values other than its own, as a command line has them."""
    if option.choices:
        allowed = option.choices[:1] if option.path == "actor.action_layer" else option.choices
        return [*allowed]
    name = option.path.rpartition(".")[2]
    if option.value is None:
        return [UNSET[name], *([] if option.path in TOGETHER else ["none"])]
    if isinstance(option.value, bool):
        return ["true"]
    if name == "env_args":
        return ["g=9.8", "g=9.8,mode=easy"]
    if isinstance(option.value, tuple):
        return ["32,16", "7", "(8, 8)"]
    if isinstance(option.value, str):
        return ["other"]
    return ["0.5"] if name in CAPPED else [str(2 * option.value + 1)]


def said(value: Any) -> list[str]:
    """A value as words, to compare what was given with what was understood."""
    words = value if isinstance(value, tuple) else str(value).strip("()").replace(" ", "").lower().split(",")
    return [str(float(word)) if str(word).replace(".", "").isdigit() else word for word in words]


@pytest.mark.parametrize("option", OPTIONS, ids=[option.path for option in OPTIONS])
def test_every_path_round_trips(option: Option) -> None:
    part = option.path.rpartition(".")[0]
    owners = dict([(part, kind) for kind in option.kinds][:1]) | TOGETHER.get(option.path, {})
    for text in another(option):
        changed = override(Config(), owners | {option.path: text})
        assert said(values(changed)[option.path]) == said(text)
        assert from_data(json.loads(json.dumps(to_data(changed)))) == changed


@pytest.mark.parametrize("option", BY_PATH, ids=[option.path for option in BY_PATH])
def test_every_path_is_an_option_of_train(option: Option) -> None:
    (text, *_) = another(option)
    args, rest = parser(of_train=True).parse_known_args(["train", f"--{option.path}", text])
    assert not rest
    assert getattr(args, option.path) == text
    assert args.ENV == "Pendulum-v1"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_survive_json(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    assert preset.preset == name
    assert from_data(to_data(preset)) == preset
    write_config(preset, tmp_path / "config.json")
    assert load_config(tmp_path) == preset
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["format"] == 2
    assert written["versions"].keys() >= {"ddpg", "jax", "numpy"}
    with pytest.raises(FileExistsError):
        write_config(preset, tmp_path / "config.json")


def test_parts_are_chosen_before_their_fields() -> None:
    changes = {"exploration.schedule.final": "0.2", "exploration.sigma": "0.3", "exploration": "ou"}
    changed = override(Config(), changes | {"exploration.schedule": "linear"}).agent.exploration
    assert isinstance(changed, OrnsteinUhlenbeck)
    assert (changed.theta, changed.sigma) == (0.15, 0.3)
    assert (changed.schedule.kind, getattr(changed.schedule, "final", None)) == ("linear", 0.2)


def test_python_says_parts_and_numbers_as_they_are() -> None:
    changes = {"exploration": Gaussian(sigma=(0.1, 0.2)), "actor.widths": (8,), "replay.batch": 16}
    changed = override(Config(), changes | {"critic.init": {"kind": "normal", "std": 0.1}, "gamma": 0.5})
    assert changed.agent.exploration == Gaussian(sigma=(0.1, 0.2))
    assert changed.agent.actor.widths == (8,)
    assert changed.agent.critic.init == Normal(std=0.1)
    assert (changed.replay.batch, changed.gamma) == (16, 0.5)


def refused(**changes: Any) -> str:
    with pytest.raises(ValueError, match=r"use|leave") as error:
        override(Config(), {name.replace("__", "."): value for name, value in changes.items()})
    (line,) = str(error.value).splitlines()
    return line


def test_parts_that_do_not_go_together() -> None:
    assert "actor.widths 16,32: residual blocks" in refused(actor__block="residual", actor__widths="16,32")
    assert "critic.action_layer 1" in refused(critic__block="residual", critic__action_layer="1")
    assert "exploration parameters" in refused(exploration="parameters", actor__block__norm="batch")
    assert "critic.block.norm batch" in refused(critic__block__norm="batch")
    assert "replay.batch 1: actor.block.norm" in refused(actor__block__norm="batch", replay__batch="1")
    assert "exploration.low 0.5 is above" in refused(exploration="per_env", exploration__low="0.5")
    assert "value.low is not said" in refused(value="categorical", value__high="3")
    assert "value.low 4 is not below" in refused(value="categorical", value__low="4", value__high="3")
    assert "reward_scale 0.1" in refused(value="categorical", reward_scale="0.1")


def test_a_part_is_no_value() -> None:
    with pytest.raises(ValueError, match=r"replay '3': replay is a group of options; use --replay\.capacity"):
        override(Config(), {"replay": "3"})
    with pytest.raises(ValueError, match="exploration None: expected"):
        override(Config(), {"exploration": None})


# The article's constants: TensorLayer's tutorial_DDPG.py and its text, "Step 1" (networks), "Step 2" (main loop) and
# "get_action" (noise). Its pendulum takes torques within 2 N m, so its sigma of 2 is 1 of half the range.


def test_article() -> None:
    article = PRESETS["article"]
    agent, exploration = article.agent, article.agent.exploration
    for network in (agent.actor, agent.critic):  # Step 1: Dense(64, relu) twice, the action beside the state
        assert (network.widths, network.activation, network.action_layer) == ((64, 64), "relu", 0)
        assert network.init == Normal(std=0.3, bias=0.1)
        assert (network.final_init, network.l2) == (None, 0)
    assert (agent.actor.lr, agent.critic.lr) == (1e-3, 2e-3)  # LR_A, LR_C
    assert (article.gamma, agent.tau) == (0.9, 0.01)  # GAMMA, TAU
    assert (article.replay.capacity, article.replay.batch, article.replay.n_step) == (10_000, 32, 1)
    assert (article.collect.steps, article.collect.updates, article.collect.envs) == (1, 1, 1)
    # Step 2: `if agent.pointer > MEMORY_CAPACITY: agent.learn()`, and no random actions before.
    assert article.learning_starts == article.replay.capacity
    assert article.collect.warmup == 0
    # get_action: N(a, VAR) with VAR = 2; learn: `self.var *= .9995` at every update.
    assert isinstance(exploration, Gaussian)
    (high,) = Pendulum().spec.action_high
    assert exploration.sigma == 2.0 / high
    assert exploration.schedule == Exponential(rate=0.9995, final=0.0, begin=article.learning_starts)


def test_lillicrap() -> None:
    """Lillicrap et al. 2016, section 7 ("Experiment details"), low-dimensional tasks."""
    paper = PRESETS["lillicrap"]
    agent = paper.agent
    for network in (agent.actor, agent.critic):  # "2 hidden layers with 400 and 300 units respectively", rectified
        assert network.block == Plain(norm="batch")  # section 3: of the input and of layers before the action
        assert (network.widths, network.activation) == ((400, 300), "relu")
        assert network.init.kind == "fan_in"  # "[-1/sqrt(f), 1/sqrt(f)] where f is the fan-in of the layer"
        assert network.final_init == 3e-3  # "from a uniform distribution [-3 x 10^-3, 3 x 10^-3]"
    assert (agent.actor.action_layer, agent.critic.action_layer) == (0, 1)  # "not included until the 2nd hidden layer"
    assert (agent.actor.lr, agent.critic.lr) == (1e-4, 1e-3)  # "Adam … 10^-4 and 10^-3"
    assert (agent.actor.l2, agent.critic.l2) == (0, 1e-2)  # "For Q we included L2 weight decay of 10^-2"
    assert (paper.gamma, agent.tau) == (0.99, 0.001)  # "discount factor of gamma = 0.99 … tau = 0.001"
    assert agent.exploration == OrnsteinUhlenbeck(theta=0.15, sigma=0.2, dt=1.0, schedule=Constant())
    assert (paper.replay.batch, paper.replay.capacity) == (64, 1_000_000)  # "minibatch sizes of 64 … 10^6"
    assert (paper.collect.steps, paper.collect.updates, paper.collect.envs) == (1, 1, 1)  # Algorithm 1


def test_d4pg() -> None:
    """Barth-Maron et al. 2018, as Tassa et al. 2018 ("Algorithm and Architecture Details") and Acme tell it."""
    paper = PRESETS["d4pg"]
    agent = paper.agent
    assert (agent.actor.widths, agent.critic.widths) == ((300, 200), (400, 300))
    assert (agent.actor.action_layer, agent.critic.action_layer) == (0, 1)  # summed into its second layer
    assert (agent.actor.lr, agent.critic.lr) == (1e-4, 1e-4)
    assert (agent.actor.activation, agent.critic.activation) == ("relu", "relu")
    assert agent.actor.block == agent.critic.block == Plain(norm="layer")  # Acme's LayerNormMLP, in its first layer
    assert (paper.collect.steps, paper.collect.updates, paper.collect.warmup) == (1, 1, 1_000)
    assert agent.value == Categorical(atoms=51)  # as C51; its bounds are found
    assert (agent.tau, agent.target_period, agent.policy_delay) == (1.0, 100, 1)  # copied every 100 updates
    assert agent.exploration == Gaussian(sigma=0.3)
    assert (paper.replay.batch, paper.replay.capacity, paper.replay.n_step) == (256, 1_000_000, 5)
    assert paper.replay.sampling == Prioritised(alpha=0.6, beta=1.0, anneal=0)  # weights 1 / (R p)
    assert paper.gamma == 0.99


def test_simba() -> None:
    """Lee et al. 2025, section 4 ("RSNorm", "residual feedforward block", "post-layer normalization"), its DDPG."""
    paper = PRESETS["simba"]
    agent = paper.agent
    assert (agent.actor.widths, agent.critic.widths) == ((128,), (512, 512))  # one block, and two
    for network in (agent.actor, agent.critic):
        assert network.block == Residual(expansion=4)
        assert (network.lr, network.weight_decay, network.activation) == (1e-4, 1e-2, "relu")
    assert paper.normalise
    assert (agent.critics, agent.actor_q) == (2, "min")  # clipped double Q where episodes end
    assert agent.tau_actor == 1.0  # no target actor
    assert (agent.tau, agent.policy_delay) == (0.005, 1)
    assert (agent.exploration, agent.smoothing) == (Gaussian(sigma=0.1), TargetSmoothing(sigma=0.1, clip=1.0))
    assert (paper.replay.batch, paper.replay.capacity) == (256, 1_000_000)
    assert (paper.collect.steps, paper.collect.updates, paper.collect.warmup) == (1, 2, 5_000)


def test_fasttd3() -> None:
    """Seo et al. 2025, section 2, and the authors' settings for HumanoidBench."""
    paper = PRESETS["fasttd3"]
    agent = paper.agent
    assert (agent.actor.widths, agent.critic.widths) == ((512, 256, 128), (1024, 512, 256))
    for network in (agent.actor, agent.critic):
        assert (network.lr, network.weight_decay, network.activation) == (3e-4, 0.1, "relu")
    assert agent.value == Categorical(atoms=101, low=-250.0, high=250.0)
    assert (agent.critics, agent.actor_q) == (2, "min")
    assert (agent.policy_delay, agent.target_period, agent.tau, agent.tau_actor) == (2, 1, 0.1, 1.0)
    assert agent.smoothing == TargetSmoothing(sigma=0.001, clip=0.5)
    assert agent.exploration == PerEnvGaussian(low=0.001, high=0.4)
    assert paper.normalise
    assert (paper.replay.batch, paper.replay.capacity) == (32_768, 128 * 50 * 1024)
    assert (paper.collect.envs, paper.collect.steps, paper.collect.updates) == (128, 1, 2)
    assert (paper.collect.warmup, paper.learning_starts) == (0, 32_768)


def test_td3() -> None:
    """Fujimoto et al. 2018, sections 5 and 6.1."""
    paper = PRESETS["td3"]
    agent = paper.agent
    for network in (agent.actor, agent.critic):  # "a two layer feedforward neural network of 400 and 300 hidden nodes"
        assert (network.widths, network.activation, network.lr) == ((400, 300), "relu", 1e-3)
        assert network.action_layer == 0  # "both the state and action as input to the first layer"
    assert agent.critics == 2  # section 4.2
    assert agent.smoothing == TargetSmoothing(sigma=0.2, clip=0.5)  # "epsilon ~ N(0, 0.2) … clipped to (-0.5, 0.5)"
    assert (agent.policy_delay, agent.tau) == (2, 0.005)  # "d = 2 … tau = 0.005"
    assert agent.exploration == Gaussian(sigma=0.1)  # "N(0, 0.1) to each action"
    assert (paper.replay.batch, paper.gamma) == (100, 0.99)  # "a mini-batch of a 100 transitions"
    assert paper.replay.capacity == 1_000_000
    assert paper.collect.warmup == 10_000  # "a purely exploratory policy for the first 10000 time steps"
    # With its parts off it is DDPG.
    assert replace(agent, critics=1, smoothing=TargetSmoothing(sigma=0.0), policy_delay=1) == replace(
        DPG(), actor=agent.actor, critic=agent.critic, tau=agent.tau
    )


def test_best() -> None:
    """TD3 and what benchmarks/best.py favours beside it: layer normalisation and ELU in the critics, and LAP."""
    best, td3 = PRESETS["td3_plus"], PRESETS["td3"].agent
    agent, wide = best.agent, (256, 256)
    assert (
        replace(
            agent,
            actor=replace(agent.actor, widths=td3.actor.widths),
            critic=replace(agent.critic, widths=td3.critic.widths, activation="relu", block=Plain()),
            value=Scalar(),
        )
        == td3
    )
    assert (agent.actor.widths, agent.critic.widths) == (wide, wide)
    assert (agent.critic.activation, agent.critic.block) == ("elu", Plain(norm="layer"))
    # Fujimoto et al. 2020: max(|error|, 1)^0.4, no weights, and a Huber loss that is linear from there on.
    assert best.replay.sampling == Prioritised(alpha=0.4, beta=0.0, anneal=0, floor=1.0)
    assert agent.value == Scalar(huber=1.0)
    assert (best.replay.batch, best.replay.capacity, best.gamma, best.replay.n_step) == (64, 1_000_000, 0.99, 1)
    assert (best.collect.updates, best.collect.warmup) == (2, 5_000)


# What of plain DDPG each preset changes, beside steps and memory: what is not here is the default.
NETWORKS = "actor.widths critic.widths critic.activation critic.lr"
CHANGED = {
    "lillicrap": f"{NETWORKS} actor.lr actor.block.norm critic.block.norm actor.final_init critic.final_init "
    "critic.action_layer critic.l2 exploration exploration.theta exploration.sigma exploration.dt "
    "tau collect.warmup collect.learning_starts",
    "td3": f"{NETWORKS} critics smoothing.sigma policy_delay tau replay.batch collect.warmup",
    "td3_plus": f"{NETWORKS} critic.block.norm critics value.huber smoothing.sigma policy_delay tau "
    "collect.updates replay.sampling replay.sampling.alpha replay.sampling.beta "
    "replay.sampling.anneal replay.sampling.floor collect.warmup",
    "d4pg": f"{NETWORKS} actor.lr actor.block.norm critic.block.norm critic.action_layer value value.atoms "
    "value.low value.high exploration.sigma tau target_period replay.batch replay.n_step "
    "replay.sampling replay.sampling.alpha replay.sampling.beta replay.sampling.anneal "
    "replay.sampling.floor",
    "simba": f"{NETWORKS} actor.lr actor.block actor.block.expansion critic.block critic.block.expansion "
    "actor.weight_decay critic.weight_decay normalise critics actor_q smoothing.sigma smoothing.clip "
    "tau tau_actor replay.batch collect.updates collect.warmup",
    "fasttd3": f"{NETWORKS} actor.lr actor.weight_decay critic.weight_decay normalise critics actor_q value "
    "value.atoms value.low value.high exploration exploration.low exploration.high smoothing.sigma "
    "policy_delay tau tau_actor target_period replay.batch collect.updates collect.envs "
    "collect.warmup collect.learning_starts",
}


@pytest.mark.parametrize("preset", CHANGED)
def test_a_preset_changes_nothing_else(preset: str) -> None:
    usual, of_preset = values(Config()), values(PRESETS[preset])
    assert (usual["gamma"], usual["replay.n_step"], usual["replay.sampling"]) == (0.99, 1, "uniform")
    changed = {path for path, value in of_preset.items() if path not in usual or usual[path] != value}
    assert changed - {"preset", "steps", "replay.capacity"} == set(CHANGED[preset].split())


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


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "3", "null", '{"format": 1, "env": 5}', '{"format": "1"}', "[" * 100_000, '{"a":' * 50_000]
)
def test_a_file_that_is_no_configuration(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json") as error:
        load_config(tmp_path)
    assert len(str(error.value).splitlines()) == 1
