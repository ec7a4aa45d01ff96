"""The host driver: the scan driver's learning, exact ends of episodes, and a whole run folder whatever happens."""

import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array

import ddpg
from ddpg.algorithm.agent import DPG
from ddpg.algorithm.exploration import OrnsteinUhlenbeck
from ddpg.algorithm.networks import Network, Normal, Plain
from ddpg.algorithm.parameter_noise import ParameterNoise
from ddpg.algorithm.schedules import Linear
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import Categorical
from ddpg.cli import main
from ddpg.commands.evaluate import evaluate_run
from ddpg.config.config import CollectionConfig, Config
from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.envs.gymnasium_factory import GymFactory, by_callable
from ddpg.envs.pendulum import Pendulum, PendulumState
from ddpg.envs.python_vector import History, PythonStepResult, PythonVector
from ddpg.experience.replay import Replay
from ddpg.experience.ring import unpack
from ddpg.experience.sampling import Prioritised
from ddpg.training.backend import behaviour_for, learner_for, loop_for
from ddpg.training.devices import gathered
from ddpg.training.driver import Learned, Report
from ddpg.training.folder import read_metrics
from ddpg.training.host import Host
from ddpg.training.learner import LearnerState
from ddpg.training.loop import Loop
from ddpg.training.python_collector import SteppedEnvs
from ddpg.training.randomness import ActionRandomness
from ddpg.training.reports import PendingReports, mean_report
from ddpg.training.scan import Scan
from ddpg.types import Key, Row, Transition

NETWORKS = ["actor", "actor_target", "critic", "critic_target"]
FILES = [f"{name}.hdf5" for name in NETWORKS] + ["networks.safetensors"]


@dataclass(frozen=True)
class Short:
    """The Pendulum, ended where it turns fast and cut after 7 steps."""

    id = "short"
    spec = Pendulum.spec
    max_episode_steps = 7

    def reset(self, key: Key) -> tuple[PendulumState, Array]:
        return Pendulum().reset(key)

    def step(self, state: PendulumState, action: Array) -> tuple[PendulumState, Array, Array, Array, Array]:
        state, obs, reward, _, _ = Pendulum().step(state, action)
        return state, obs, reward, jnp.abs(state.theta_dot) > 3, state.t >= 7


AGENT = DPG(
    actor=Network(widths=(8, 8), init=Normal()),
    critic=Network(widths=(8, 8), l2=0.01),
    exploration=OrnsteinUhlenbeck(schedule=Linear(steps=100)),
)
CONFIG = Config(
    agent=AGENT,
    replay=Replay(capacity=1000, batch=8, n_step=2),
    gamma=0.9,
    collect=CollectionConfig(steps=5, envs=2, updates=3, warmup=30),
)
PARTS = replace(
    CONFIG,
    agent=DPG(
        actor=Network(widths=(8, 8), block=Plain(norm="layer")),
        critic=Network(widths=(8, 8), block=Plain(norm="layer")),
        critics=2,
        actor_q="min",
        value=Categorical(atoms=5),
        exploration=ParameterNoise(sigma=0.3),
        smoothing=TargetSmoothing(sigma=0.2),
        policy_delay=2,
        target_period=3,
    ),
    replay=Replay(capacity=1000, batch=8, n_step=2, sampling=Prioritised(anneal=50)),
    normalise=True,
    collect=replace(CONFIG.collect, updates=4),  # the actor moves as often in each: a host's report is a mean of means
)


class Compiled:
    """The loop's own environments as a host has them, in the very episodes that the scan driver draws."""

    def __init__(self, loop: Loop, keys: Array) -> None:
        self.loop, self.keys, self.steps = loop, keys, 0
        self.fresh = jax.jit(jax.vmap(loop.collector.fresh, in_axes=(0, None)))
        self.move = jax.jit(jax.vmap(loop.collector.vector.step))

    def reset(self) -> np.ndarray:
        start = jax.jit(jax.vmap(self.loop.init))(self.keys)
        self.state, self.boundary = start.env.env, np.asarray(start.env.boundary)
        return np.asarray(start.env.obs)

    def step(self, action: np.ndarray) -> PythonStepResult:
        t, k = divmod(self.steps, self.loop.learner.steps)
        fresh = jax.tree.map(lambda x: x[:, k], self.fresh(self.keys, jnp.int32(t)))
        self.state, said = self.move(self.state, jnp.asarray(action), jnp.asarray(self.boundary), fresh)
        self.steps += 1
        self.boundary = np.asarray(said.terminated | said.truncated)
        return PythonStepResult(*map(np.asarray, said))

    def history(self) -> History:
        raise NotImplementedError

    def replay_history(self, history: History, obs: np.ndarray, over: np.ndarray) -> PythonStepResult:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


def stored(host: Host) -> tuple[LearnerState, Row]:
    """What a host has of every seed: the learner with its ring, and the block not yet stored."""
    states, blocks = vars(host)["_states"], vars(host)["_blocks"]
    whole = [(state._replace(key=None), block) for state, block in zip(states, blocks, strict=True)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *whole)


# A shift between two batch normalisations changes nothing; its gradient is rounding, of which Adam makes whole steps.
WITHOUT_EFFECT = "layers[0].before.shift"


def close(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        if not (name := jax.tree_util.keystr(path)).endswith(WITHOUT_EFFECT):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)


def of_preset(name: str) -> Config:
    """Its parts, in small."""
    small = {"actor.widths": (8, 8), "critic.widths": (8, 8), "replay.capacity": 1000, "replay.batch": 8}
    config = override(PRESETS[name], small)
    return replace(config, collect=replace(CONFIG.collect, updates=4))


@pytest.mark.parametrize(
    "config",
    [
        *(pytest.param(of_preset(name), marks=pytest.mark.slow, id=name) for name in PRESETS),
        pytest.param(CONFIG, marks=pytest.mark.slow, id="two steps"),
        pytest.param(replace(CONFIG, normalise=True), marks=pytest.mark.slow, id="normalised"),
        pytest.param(PARTS, id="parts"),
    ],
)
def test_it_learns_what_the_scan_driver_learns(config: Config) -> None:
    loop = loop_for(config, Short())
    keys = jnp.stack([jax.random.key(seed) for seed in (5, 6, 7, 8)])
    scan, host = Scan(loop), Host(loop.learner, loop.collector.behaviour, Compiled(loop, keys))
    done = 0
    for driver in (scan, host):
        driver.start(keys)
    for iterations, learning in ((3, False), (6, True), (6, True)):
        said, heard = (
            driver.compile(iterations=iterations, learning=learning)(np.int32(done)) for driver in (scan, host)
        )
        done += iterations
        assert len(heard.episodes) == iterations
        close(mean_report(PendingReports(heard, np.ones(iterations))), said)
        learner, block = gathered([(s.learner._replace(key=None), s.block) for s in vars(scan)["_states"]])
        close(stored(host), (learner, block))
        close(host.read(), scan.read())
        assert (np.asarray(said.episodes) > 0).all()
    rows = unpack(jnp.asarray(learner.ring.obs[0]), jnp.asarray(learner.ring.columns[0]), loop.learner.spec.obs_shape)
    assert np.asarray(rows.terminated).any()
    assert np.asarray(rows.truncated & ~rows.terminated).any()
    assert optax.tree_utils.tree_get(learner.agent.critic_opt, "count").tolist() == [12 * loop.learner.updates] * 4


ENDS = {"terminated": (True, False), "truncated": (False, True), "both": (True, True)}
Script = Sequence[tuple[int, str]]  # of each episode, its steps and how it ends


class Scripted(gymnasium.Env):
    """Plays its script again and again; observations are (environment, episode, step), rewards a function of them."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float64)

    def __init__(self, number: int, script: Script) -> None:
        self.number, self.script, self.episode = number, script, -1
        self.got = dict[tuple[int, int], np.ndarray]()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.episode, self.t = self.episode + 1, 0
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        length, how = self.script[self.episode % len(self.script)]
        assert self.t < length, "stepped after its end"
        self.got[self.episode, self.t] = action
        self.t += 1
        terminated, truncated = ENDS[how] if self.t == length else (False, False)
        return self.observe(), paid(self.number, self.episode, self.t), terminated, truncated, {}

    def observe(self) -> np.ndarray:
        return np.array([self.number, self.episode, self.t], np.float64)


def paid(number: int, episode: int, t: int) -> float:
    """The reward of the step that leads to t."""
    return float(np.sin(100 * number + 10 * episode + t))


K, BLOCKS, ENVS, GAMMA = 5, 4, 2, 0.9
ROWS = K * BLOCKS


def scripted(scripts: Sequence[Script]) -> tuple[GymFactory, list[Scripted]]:
    """One environment for each script; the first is made once more, for its spaces."""
    envs = [Scripted(i, script) for i, script in enumerate(scripts)]
    coming = iter(envs)
    return by_callable(lambda: next(coming), Scripted(-1, scripts[0])), envs


@cache
def tools(n_step: int) -> tuple[Config, Callable[..., Any], Callable[..., Transition]]:
    """A configuration, and its replay compiled: add, and every window there is as a transition."""
    spec, replay = scripted([[(1, "both")]])[0].spec, Replay(1000, 8, n_step)
    collect = CollectionConfig(steps=K, envs=ENVS, updates=1, warmup=10)
    bits = jnp.arange((ROWS - n_step) * ENVS, dtype=jnp.uint32)
    everything = jax.jit(lambda ring: replay.sample(ring, bits, jnp.int32(0), GAMMA, spec.obs_shape)[0])
    return Config(agent=AGENT, replay=replay, gamma=GAMMA, collect=collect), jax.jit(replay.add), everything


def slow(script: Script, number: int, row: int, n: int) -> tuple[int, int, float, float, list[float]] | None:
    """(episode, step, return, discount, next observation) of what begins in this row, from the script alone."""
    episode = 0
    while row > script[episode % len(script)][0]:  # an episode takes a row for each step, and one for its last obs
        row -= script[episode % len(script)][0] + 1
        episode += 1
    length, how = script[episode % len(script)]
    if row == length:
        return None
    steps = min(n, length - row)
    total = sum(GAMMA**i * paid(number, episode, row + i + 1) for i in range(steps))
    ended = row + steps == length and how != "truncated"
    return episode, row, total, 0.0 if ended else GAMMA**steps, [number, episode, row + steps]


def host_of(config: Config, env: GymFactory, envs: SteppedEnvs) -> Host:
    return Host(learner_for(config, env.spec), behaviour_for(config, env.spec), envs)


episodes = st.tuples(st.integers(1, 9), st.sampled_from(sorted(ENDS)))
scripts = st.lists(episodes, min_size=1, max_size=5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(scripts, min_size=2 * ENVS, max_size=2 * ENVS), st.integers(1, 4))
def test_every_transition_is_the_scripts(scripts: list[Script], n_step: int) -> None:
    config, add, everything = tools(n_step)
    gym, envs = scripted(scripts)
    host = host_of(config, gym, PythonVector(gym, [0, 1], ENVS))
    host.start(jnp.stack([jax.random.key(seed) for seed in (0, 1)]))
    policies = [jax.tree.map(np.asarray, state.acting) for state in vars(host)["_states"]]
    rng = np.random.default_rng(0)
    blocks = list[Row]()
    for t in range(BLOCKS):
        normal = rng.normal(size=(2, K, ENVS, 2)).astype(np.float32)
        draws = [ActionRandomness(each, np.tanh(each)) for each in normal]
        blocks.append(host.collector.collect(policies, np.int32(t), draws))
    for s in range(2):
        own = [jax.tree.map(lambda x, s=s: x[s], block) for block in blocks]
        ring = config.replay.init(own[0])
        for block in own:
            ring = add(ring, block)
        got = jax.device_get(everything(ring))
        expected = [
            slow(scripts[s * ENVS + i % ENVS], s * ENVS + i % ENVS, i // ENVS, n_step) for i in range(len(got.obs))
        ]
        np.testing.assert_array_equal(got.weight > 0, [one is not None for one in expected])
        for i, one in enumerate(expected):
            if one is None:
                continue
            episode, step, total, discount, next_obs = one
            number = s * ENVS + i % ENVS
            assert got.obs[i].tolist() == [number, episode, step]
            assert got.next_obs[i].tolist() == next_obs
            np.testing.assert_allclose(got.action[i], envs[number].got[episode, step], atol=1e-7)
            np.testing.assert_allclose(got.reward[i], total, atol=1e-5)
            np.testing.assert_allclose(got.discount[i], discount, rtol=1e-6)


class Recorded(PythonVector):
    """Environments, and everything they said."""

    def __init__(self, gym: GymFactory) -> None:
        super().__init__(gym, [0, 1], ENVS)
        self.obs, self.said = list[np.ndarray](), list[PythonStepResult]()

    def reset(self) -> np.ndarray:
        self.obs.append(super().reset())
        return self.obs[0]

    def step(self, action: np.ndarray) -> PythonStepResult:
        said = super().step(action)
        self.obs.append(said.obs)
        self.said.append(said)
        return said


SEVERAL = [[(3, "both"), (1, "truncated")], [(7, "terminated")], [(60, "truncated")], [(1, "both"), (26, "truncated")]]


@pytest.fixture(scope="module")
def played() -> tuple[Recorded, list[Report], Learned]:
    """Two seeds of two environments: three chunks of four blocks, the last two learning."""
    config, env = replace(tools(1)[0], normalise=True), scripted(SEVERAL)[0]
    recorded = Recorded(env)
    host, reports = host_of(config, env, recorded), list[Report]()
    host.start(jnp.stack([jax.random.key(seed) for seed in (0, 1)]))
    for chunk in range(3):
        report = host.compile(iterations=BLOCKS, learning=chunk > 0)(np.int32(chunk * BLOCKS))
        assert len(report.episodes) == BLOCKS
        reports.append(mean_report(PendingReports(report, np.ones(BLOCKS))))
    return recorded, reports, host.read()


def test_the_report_is_a_plain_sum(played: tuple[Recorded, list[Report], Learned]) -> None:
    recorded, reports, _ = played
    running = np.zeros((2, ENVS))
    for chunk, report in enumerate(reports):
        finished: list[list[float]] = [[], []]
        rows = recorded.said[chunk * ROWS : (chunk + 1) * ROWS]
        for said in rows:
            running += said.reward
            for seed, env in np.argwhere(said.terminated | said.truncated):
                finished[seed].append(running[seed, env])
                running[seed, env] = 0
        assert np.asarray(report.episodes).tolist() == [len(returns) for returns in finished]
        means = [np.mean(returns) if returns else np.nan for returns in finished]
        np.testing.assert_allclose(report.episode_return, np.array(means), atol=1e-5)
        np.testing.assert_allclose(report.largest_reward, np.abs([said.reward for said in rows]).max(axis=(0, 2)))
        assert all(np.isnan(values).all() != (chunk > 0) for values in report.metrics)
    assert np.isnan(reports[0].episode_return).tolist() == [False, False]
    assert len(recorded.said) == 3 * ROWS


def test_statistics_are_numpys_over_what_was_stored(played: tuple[Recorded, list[Report], Learned]) -> None:
    recorded, _, carry = played
    ended = [np.zeros((2, ENVS), bool), *(said.terminated | said.truncated for said in recorded.said)]
    count = 3 * ROWS - K  # the block collected last is stored with the next iteration
    assert carry.stats is not None
    for seed in range(2):
        seen = np.concatenate([recorded.obs[i][seed][~ended[i][seed]] for i in range(count)]).astype(np.float64)
        assert carry.stats.count[seed] == len(seen)
        np.testing.assert_allclose(carry.stats.mean[seed], seen.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(carry.stats.variance[seed], seen.var(axis=0), rtol=1e-4, atol=1e-6)


class Drift(gymnasium.Env):
    """x <- 0.9 x + 0.1 a, rewarded by -x^2, ten steps long. The `victim`, counted as made, has `trouble` at a step."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(np.array([-2.0]), np.array([1.0]), dtype=np.float64)
    made = 0

    def __init__(self, trouble: str = "none", victim: int = -1, at: int = 0) -> None:
        self.trouble = trouble if victim == Drift.made else "none"
        self.at, self.life = at, 0
        Drift.made += 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.t = self.np_random.normal(), 0
        if self.trouble == "reset" and self.life >= self.at:
            raise RuntimeError("door is shut")
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.life, self.t = self.life + 1, self.t + 1
        self.x = 0.9 * self.x + 0.1 * action[0]
        obs, reward = self.observe(), -(float(self.x) ** 2)
        if self.life == self.at:
            match self.trouble:
                case "raise":
                    raise RuntimeError("out of\nfuel")
                case "exit":
                    os._exit(3)
                case "press":
                    os.kill(os.getpid(), signal.SIGINT)
                case "obs":
                    obs = np.array([0.0, np.nan])
                case "shape":
                    obs = np.zeros(3)
                case "dtype":
                    obs = np.array(["a", "b"])
                case "reward":
                    reward = np.inf
        return obs, reward, False, self.t >= 10, {}

    def observe(self) -> np.ndarray:
        scale = 1e30 if self.trouble == "huge" else 1.0
        return scale * np.array([self.x, 0.5 + self.t / 10])


@pytest.fixture
def drift() -> Iterator[str]:
    """The id of Drift."""
    Drift.made = 0
    gymnasium.register("Drift-v0", lambda **kwargs: Drift(**kwargs), disable_env_checker=True)
    yield "Drift-v0"
    del gymnasium.registry["Drift-v0"]


SMALL: dict[str, Any] = {
    "actor.widths": 8,
    "critic.widths": (8, 8),
    "replay.batch": 16,
    "replay.capacity": 1000,
    "collect.envs": 2,
    "collect.steps": 10,
    "collect.updates": 5,
    "collect.warmup": 100,
    "eval.every": 100,
    "eval.episodes": 3,
}


def trouble(kind: str, victim: int, at: int) -> dict[str, Any]:
    return SMALL | {"env_args": f"trouble={kind},victim={victim},at={at}"}


def whole(folder: Path, seeds: Sequence[int] = (0,), drawn: bool = True) -> dict[str, Any]:
    """Asserts that nothing is missing that can be there, and answers the summary."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    models = {f"models/seed-{seed}/{name}" for seed in seeds for name in FILES}
    own = {"config.json", "metrics.jsonl", "summary.json", *(["learning_curve.png"] if drawn else [])}
    assert {file for file in files if not file.startswith(("tensorboard/", "checkpoints/"))} == models | own
    return json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.slow
def test_a_seed_among_several_is_that_seed_alone(drift: str, tmp_path: Path) -> None:
    several = ddpg.train(drift, steps=400, seed=3, seeds=3, run=tmp_path / "several", options=SMALL)
    whole(several.path, [3, 4, 5])
    for seed in (3, 4, 5):
        alone = ddpg.train(drift, steps=400, seed=seed, run=tmp_path / f"{seed}", options=SMALL)
        for name in NETWORKS:
            one, other = (run.path / "models" / f"seed-{seed}" / f"{name}.hdf5" for run in (several, alone))
            assert one.read_bytes() == other.read_bytes()
        said = [[record for record in read_metrics(run.path) if record["seed"] == seed] for run in (several, alone)]
        assert len(said[0]) == 4
        for one, other in zip(*said, strict=True):
            np.testing.assert_equal(one | {"steps_per_second": 0}, other | {"steps_per_second": 0})


# Environment 1 of the two that train is made third: the first is for its spaces.
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("raise", r"environment 1 at its step 120 \(episode 12\): step raised RuntimeError: out of fuel"),
        ("obs", r"environment 1 at its step 120 \(episode 12\): observation nan at index 1, expected finite numbers"),
        ("shape", r"environment 1 at its step 120 \(episode 12\): observation of shape \(3,\), expected \(2,\)"),
        ("dtype", r"environment 1 at its step 120 \(episode 12\): observation of dtype <U1, expected float64"),
        ("reward", r"environment 1 at its step 120 \(episode 12\): reward -?inf, expected a finite number"),
        ("reset", r"environment 1 at its step 120 \(episode 13\): reset raised RuntimeError: door is shut"),
    ],
)
def test_misbehaviour_leaves_the_run_so_far(
    kind: str, said: str, drift: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match=f"^{said}.*; the run until then is in {folder}$") as caught:
        ddpg.train(drift, steps=400, run=folder, options=trouble(kind, 2, 120))
    assert "\n" not in str(caught.value)
    summary = whole(folder, drawn=False)
    assert summary["failure"] in str(caught.value)
    assert (summary["steps"], summary["interrupted"]) == (280, False)
    assert [record["step"] for record in read_metrics(folder)] == [100, 200]
    assert evaluate_run(folder, episodes=2)["episodes"] == 2
    assert main(["eval", str(folder), "--episodes", "2", "--json"]) == 0
    assert np.isfinite(json.loads(capsys.readouterr().out)["return_mean"])


def test_the_networks_are_those_of_the_last_update(drift: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="environment 1 at its step 120"):
        ddpg.train(drift, steps=400, run=tmp_path / "bad", options=trouble("obs", 2, 120))
    ddpg.train(drift, steps=280, run=tmp_path / "good", options=SMALL)  # what was collected last is not yet learned
    for name in NETWORKS:
        one, other = (tmp_path / run / "models" / "seed-0" / f"{name}.hdf5" for run in ("bad", "good"))
        assert one.read_bytes() == other.read_bytes()


def test_misbehaviour_before_anything_is_logged(drift: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^environment 0 at its step 20 \(episode 2\): .*the run until then is in"):
        ddpg.train(drift, steps=400, run=tmp_path / "run", options=trouble("raise", 1, 20))
    summary = whole(tmp_path / "run", drawn=False)
    assert (summary["steps"], summary["iqm"], summary["returns"]) == (60, None, [None])
    assert read_metrics(tmp_path / "run") == []
    assert evaluate_run(tmp_path / "run", episodes=2)["episodes"] == 2


def test_misbehaviour_in_evaluation_only(drift: str, tmp_path: Path) -> None:
    said = r"^in evaluation, environment 0 at its step 15 \(episode 2\): step raised RuntimeError: out of fuel; the run"
    with pytest.raises(ValueError, match=said):
        ddpg.train(drift, steps=400, run=tmp_path / "run", options=trouble("raise", 3, 15))
    summary = whole(tmp_path / "run", drawn=False)
    assert (summary["steps"], summary["failure"][:13]) == (200, "in evaluation")
    records = read_metrics(tmp_path / "run")
    assert [record["step"] for record in records] == [100, 200]
    assert np.isfinite(records[0]["return"])
    assert np.isnan(records[1]["return"])
    assert np.isfinite(records[1]["q"])  # what was learned until then is told
    assert evaluate_run(tmp_path / "run", episodes=2)["episodes"] == 2


def test_an_environment_that_cannot_even_start(drift: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^environment 1 at its step 0 \(episode 1\): reset raised RuntimeError: door"
    ):
        ddpg.train(drift, steps=400, run=tmp_path / "run", options=trouble("reset", 2, 0))
    assert not (tmp_path / "run").exists()


def test_a_function_that_makes_what_misbehaves(tmp_path: Path) -> None:
    Drift.made = 0
    with pytest.raises(ValueError, match=r"^environment 0 at its step 150 \(episode 15\): step raised RuntimeError"):
        ddpg.train(lambda: Drift("raise", victim=1, at=150), steps=400, run=tmp_path / "run", options=SMALL)
    assert whole(tmp_path / "run", drawn=False)["env"] == "Drift"
    action = ddpg.load(tmp_path / "run")(np.zeros((3, 2)))
    assert action.shape == (3, 1)


def test_a_worker_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imports = "import os, signal, gymnasium\nimport numpy as np\nfrom typing import Any\nfrom gymnasium import spaces\n"
    register = "gymnasium.register('Drift-v1', Drift, disable_env_checker=True)\n"
    (tmp_path / "ddpg_test_drift.py").write_text(imports + inspect.getsource(Drift) + register)
    monkeypatch.syspath_prepend(tmp_path)
    env, folder = "ddpg_test_drift:Drift-v1", tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    # Every process counts anew: both workers die, and what is made here first is never stepped.
    options = trouble("exit", 0, 120) | {"collect.vector": "async"}
    with pytest.raises(
        ValueError, match=r"^environment [01] at step 131: its worker process died \(exit status 3\); the"
    ):
        ddpg.train(env, steps=400, run=folder, options=options)
    assert signal.getsignal(signal.SIGINT) is before
    assert whole(folder, drawn=False)["steps"] == 280
    with pytest.raises(ValueError, match=f"imports a module, .* add --env {env} if you trust it"):
        evaluate_run(folder, episodes=2)
    assert evaluate_run(folder, episodes=2, env=env)["episodes"] == 2
    del gymnasium.registry["Drift-v1"], sys.modules["ddpg_test_drift"]


def test_divergence_is_diagnosed(drift: str, tmp_path: Path) -> None:
    said = r"^training diverged by step \d+: seed 0: Q is .*use a smaller --critic.lr, .*; the run until then is in"
    with pytest.raises(ValueError, match=said) as caught:
        ddpg.train(drift, steps=800, run=tmp_path / "run", options=SMALL | {"critic.lr": 1e4})
    assert "\n" not in str(caught.value)
    assert "diverged" in whole(tmp_path / "run", drawn=False)["failure"]


def test_a_network_without_numbers_is_divergence_and_no_misbehaviour(drift: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^training diverged by step \d+: seed 0: Q is "):
        ddpg.train(drift, steps=800, run=tmp_path / "run", options=trouble("huge", 1, 0))
    whole(tmp_path / "run", drawn=False)


def test_one_lost_seed_does_not_stop_the_others(drift: str, tmp_path: Path) -> None:
    options = trouble("huge", 3, 0)  # environment 0 of the second seed: its critic overflows
    lost = ddpg.train(drift, steps=400, seeds=3, run=tmp_path / "lost", options=options)
    summary = whole(lost.path, [0, 1, 2])
    assert (summary["steps"], "failure" in summary) == (400, False)
    well = ddpg.train(drift, steps=400, seeds=3, run=tmp_path / "well", options=SMALL)
    assert not np.isfinite(ddpg.load(lost.path, seed=1).nets.critic.layers[0].weight).all()
    for seed in (0, 2):
        one, other = (run.path / "models" / f"seed-{seed}" / "actor.hdf5" for run in (lost, well))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("at", "steps"), [(5, 20), (120, 280)])
def test_ctrl_c_while_an_environment_steps(at: int, steps: int, drift: str, tmp_path: Path) -> None:
    run = ddpg.train(drift, steps=400, run=tmp_path / "run", options=trouble("press", 2, at))
    summary = whole(run.path)
    assert run.interrupted
    assert (summary["steps"], summary["interrupted"], "failure" in summary) == (steps, True, False)
    assert read_metrics(run.path)[-1]["step"] == steps
    assert np.isfinite(summary["mean"])
    assert evaluate_run(run.path, episodes=2)["episodes"] == 2


def test_the_saved_policy_normalises(drift: str, tmp_path: Path) -> None:
    run = ddpg.train(drift, steps=400, run=tmp_path / "run", options=SMALL | {"normalise": True})
    policy = ddpg.load(run.path)
    nets, stats, spec = policy.nets, policy.greedy.stats, policy.spec
    assert stats is not None
    rows = 400 // 2 - 10  # of each environment, but for the block collected last
    assert stats.count == 2 * (rows - rows // 11)  # every episode has ten steps and a row for its last observation
    obs = np.random.default_rng(0).normal(size=(6, 2)) * [1.0, 0.3] + [0.0, 0.5]
    obs[5] = 1e6  # cut at ten standard deviations
    x = np.clip((obs - np.float64(stats.mean)) / np.sqrt(np.float64(stats.variance) + 1e-8), -10, 10)
    for layer in nets.actor.layers[:-1]:
        x = np.maximum(x @ np.float64(layer.weight) + np.float64(layer.bias), 0)
    x = np.tanh(x @ np.float64(nets.actor.layers[-1].weight) + np.float64(nets.actor.layers[-1].bias))
    np.testing.assert_allclose(ddpg.load(run.path)(obs), -2 + (x + 1) * 1.5, atol=1e-4)
    assert (spec.action_low, spec.action_high) == ((-2.0,), (1.0,))
    assert len(stats.mean) == 2
    assert stats.mean[1] == pytest.approx(0.5 + 0.45, abs=0.02)  # the mean over t = 0 … 9
