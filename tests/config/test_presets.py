"""Each preset has the constants of its source, and differs from the default only in them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.encoders import Conv
from ddpg.algorithm.exploration import Gaussian, OrnsteinUhlenbeck, PerEnvGaussian
from ddpg.algorithm.initialisers import Normal, Orthogonal
from ddpg.algorithm.networks import Plain, Residual
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import Categorical, Scalar
from ddpg.config.config import Config
from ddpg.config.presets import PRESETS, by_name
from ddpg.config.reading import from_data, override, to_data, values
from ddpg.config.small import SMALL, small_options
from ddpg.envs.pendulum import Pendulum
from ddpg.experience.relabel import Future
from ddpg.experience.sampling import Prioritised
from ddpg.mistake import Mistake
from ddpg.schedules import Constant, Exponential, Linear


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_survive_json(name: str) -> None:
    preset = PRESETS[name]
    assert preset.preset == name
    assert from_data(json.loads(json.dumps(to_data(preset)))) == preset


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


def test_hands_on_rl() -> None:
    """boyu-ai/Hands-on-RL@4a151a4, the notebook of chapter 13 and its rl_utils.py."""
    book = PRESETS["hands_on_rl"]
    agent = book.agent
    assert (agent.actor.widths, agent.critic.widths) == ((64,), (64, 64))  # PolicyNet has one hidden layer
    for network in (agent.actor, agent.critic):
        assert (network.activation, network.action_layer) == ("relu", 0)  # torch.cat([x, a])
        assert network.init.kind == "fan_in"  # what torch.nn.Linear draws, weights and biases
        assert (network.final_init, network.l2) == (None, 0)
    assert (agent.actor.lr, agent.critic.lr) == (3e-4, 3e-3)  # actor_lr, critic_lr
    assert (book.gamma, agent.tau) == (0.98, 0.005)
    assert (book.replay.capacity, book.replay.batch, book.replay.n_step) == (10_000, 64, 1)  # buffer_size, batch_size
    assert (book.collect.steps, book.collect.updates, book.collect.envs) == (1, 1, 1)
    assert (book.learning_starts, book.collect.warmup) == (1_000, 0)  # minimal_size, and no random actions before
    assert agent.exploration == Gaussian(sigma=0.01 / Pendulum().spec.action_high[0])  # sigma, in N m
    assert book.steps == 200 * Pendulum().max_episode_steps  # num_episodes


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


def test_drqv2() -> None:
    """Yarats et al. 2022, section 3 and the authors' code, of medium difficulty."""
    config = PRESETS["drqv2"]
    agent, (height, width, _) = config.agent, config.view.pixels.shape  # pyright: ignore[reportAttributeAccessIssue]
    assert (height, width, config.stack, config.action_repeat, config.gamma) == (84, 84, 3, 2, 0.99)
    encoder: Any = agent.encoder
    assert (encoder.filters, encoder.kernels, encoder.strides) == ((32,) * 4, (3,) * 4, (2, 1, 1, 1))
    assert (encoder.activation, encoder.init) == ("relu", Orthogonal(2**0.5))
    for network in (agent.actor, agent.critic):
        assert (network.trunk, network.widths, network.activation, network.lr) == (50, (1024, 1024), "relu", 1e-4)
        assert network.init == Orthogonal(1.0)
    assert (agent.critics, agent.actor_q, agent.tau, agent.tau_actor, agent.tau_encoder) == (2, "min", 0.01, 1.0, 1.0)
    assert (agent.smoothing.clip, agent.smoothing.actor) == (0.3, True)
    # 500 000 steps of the agent: an update every second.
    for schedule, steps in ((agent.exploration.schedule, 500_000), (agent.smoothing.schedule, 250_000)):
        assert schedule == Linear(final=0.1, steps=steps)
    assert agent.exploration.sigma == agent.smoothing.sigma == 1.0
    augment: Any = agent.augment
    assert (augment.pixels, augment.groups) == (4, config.replay.batch)
    assert (config.replay.batch, config.replay.n_step, config.replay.capacity) == (256, 3, 1_000_000)
    assert (config.collect.steps, config.collect.updates) == (2, 1)
    assert (config.collect.warmup, config.collect.learning_starts) == (2_000, 2_000)


def test_lillicrap_pixels() -> None:
    """Lillicrap et al. 2016, section 7."""
    config = PRESETS["lillicrap-pixels"]
    agent, encoder = config.agent, config.agent.encoder
    assert isinstance(encoder, Conv)
    # "3 convolutional layers (no pooling) with 32 filters at each layer"; kernels and strides are ours.
    assert (encoder.filters, encoder.kernels, encoder.strides) == ((32,) * 3, (3,) * 3, (2,) * 3)
    assert agent.exploration == OrnsteinUhlenbeck(theta=0.15, sigma=0.2, dt=1.0, schedule=Constant())
    assert (config.view.pixels.shape, config.stack, config.action_repeat) == ((64, 64, 3), 3, 3)  # pyright: ignore[reportAttributeAccessIssue]
    assert (agent.actor.widths, agent.actor.final_init, agent.actor.lr) == ((200, 200), 3e-4, 1e-4)
    assert (agent.critic.widths, agent.critic.final_init, agent.critic.lr) == ((200, 200), 3e-4, 1e-3)
    assert (agent.critic.action_layer, agent.critic.l2, agent.tau) == (1, 1e-2, 0.001)
    assert (config.replay.batch, config.replay.capacity, config.gamma) == (16, 1_000_000, 0.99)


def test_her() -> None:
    """Plappert et al. 2018, appendix B, and openai/baselines@152971d, baselines/her/experiment/config.py."""
    paper = PRESETS["her"]
    agent, collect = paper.agent, paper.collect
    for network in (agent.actor, agent.critic):  # layers, hidden, pi_lr, Q_lr
        assert (network.widths, network.activation, network.lr) == ((256,) * 3, "relu", 1e-3)
    assert (paper.replay.batch, paper.replay.capacity, paper.replay.n_step) == (256, 1_000_000, 1)
    assert paper.replay.relabel == Future(k=4.0)  # replay_strategy, replay_k
    assert (collect.envs, collect.steps, collect.updates) == (2, 50, 40)  # rollout_batch_size, T, n_batches
    assert (agent.exploration, collect.random_actions) == (Gaussian(sigma=0.2), 0.3)  # noise_eps, random_eps
    assert (agent.tau, agent.target_period) == (pytest.approx(1 - 0.95), 40)  # polyak, once after n_batches
    assert paper.gamma == 1 - 1 / 50  # of T
    assert (agent.preactivation, agent.clip_values) == (1.0, "rewards")  # action_l2, clip_return
    assert (paper.normalise, paper.log) == (True, ("is_success",))


def test_d4pg() -> None:
    """Barth-Maron et al. 2018, with details of Tassa et al. 2018 ("Algorithm and Architecture Details") and Acme."""
    paper = PRESETS["d4pg"]
    agent = paper.agent
    assert (agent.actor.widths, agent.critic.widths) == ((300, 200), (400, 300))
    assert (agent.actor.action_layer, agent.critic.action_layer) == (0, 1)  # summed into its second layer
    assert (agent.actor.lr, agent.critic.lr) == (1e-4, 1e-4)
    assert (agent.actor.activation, agent.critic.activation) == ("relu", "relu")
    assert agent.actor.block == agent.critic.block == Plain(norm="layer")  # Acme's LayerNormMLP, in its first layer
    assert (paper.collect.steps, paper.collect.updates, paper.collect.warmup) == (1, 1, 1_000)
    assert agent.value == Categorical(atoms=51)  # as C51; its bounds follow the returns
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
    # Without its parts it is DDPG.
    assert replace(agent, critics=1, smoothing=TargetSmoothing(sigma=0.0), policy_delay=1) == replace(
        DPG(), actor=agent.actor, critic=agent.critic, tau=agent.tau
    )


def test_td3_plus() -> None:
    """TD3 plus what benchmarks/td3_plus.py favours: layer normalisation and ELU in the critics, and LAP."""
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


# The options in which a preset differs from plain DDPG, beside steps and replay size.
NETWORKS = "actor.widths critic.widths critic.activation critic.lr"
CHANGED = {
    "hands_on_rl": "gamma actor.widths actor.lr critic.activation critic.lr exploration.sigma tau collect.warmup "
    "collect.learning_starts",
    "lillicrap": f"{NETWORKS} actor.lr actor.block.norm critic.block.norm actor.final_init critic.final_init "
    "critic.action_layer critic.l2 exploration exploration.theta exploration.sigma exploration.dt "
    "tau collect.warmup collect.learning_starts",
    "td3": f"{NETWORKS} critics smoothing.sigma policy_delay tau replay.batch collect.warmup",
    "td3_plus": f"{NETWORKS} critic.block.norm critics value.huber smoothing.sigma policy_delay tau "
    "collect.updates replay.sampling replay.sampling.alpha replay.sampling.beta "
    "replay.sampling.anneal replay.sampling.floor replay.sampling.recount collect.warmup",
    "d4pg": f"{NETWORKS} actor.lr actor.block.norm critic.block.norm critic.action_layer value value.atoms "
    "value.low value.high exploration.sigma tau target_period replay.batch replay.n_step "
    "replay.sampling replay.sampling.alpha replay.sampling.beta replay.sampling.anneal "
    "replay.sampling.floor replay.sampling.recount",
    "td7": f"{NETWORKS} actor.lr actor.lift critic.lift encoder encoder.size encoder.widths encoder.activation "
    "encoder.init encoder.lr critics actor_q value.huber clip_values smoothing.sigma policy_delay tau target_period "
    "replay.batch replay.sampling replay.sampling.alpha replay.sampling.beta replay.sampling.anneal "
    "replay.sampling.floor replay.sampling.recount collect.steps collect.updates collect.warmup collect.assess",
    "td7_plus": f"{NETWORKS} actor.lr actor.lift critic.lift encoder encoder.size encoder.widths encoder.activation "
    "encoder.init encoder.lr critics actor_q value value.atoms value.low value.high smoothing.sigma "
    "policy_delay tau target_period replay.batch collect.steps collect.updates collect.warmup collect.assess",
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


@pytest.mark.parametrize("preset", SMALL)
def test_a_small_preset_differs_in_sizes_alone(preset: str) -> None:
    small = override(by_name(preset), SMALL[preset])
    sizes = (
        "steps",
        "widths",
        "size",
        "lift",
        "batch",
        "capacity",
        "envs",
        "warmup",
        "learning_starts",
        "reward_scale",
    )
    assert all(path.rpartition(".")[2] in sizes for path in SMALL[preset])
    assert small.steps <= 100_000
    assert small.replay.capacity <= 102_400
    assert small.replay.batch <= by_name(preset).replay.batch


def test_a_preset_of_one_size_has_no_small_one() -> None:
    with pytest.raises(Mistake, match=r"small: preset ddpg has one size; leave out --small, or choose mujoco, "):
        small_options(by_name("ddpg"))
