"""Every kind of warning is given where it should be, once, and not on a run that learns."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ddpg
from ddpg.algorithm.layers import Dense
from ddpg.algorithm.networks import Actor
from ddpg.algorithm.saturation import actor_metrics
from ddpg.algorithm.values import Categorical
from ddpg.config.config import Config
from ddpg.config.reading import override
from ddpg.envs.pendulum import Pendulum
from ddpg.training.best import Best
from ddpg.training.driver import Learned, Report
from ddpg.training.evaluation import Evaluation
from ddpg.training.health import check_health, dormant_share, init_health, q_bounds
from ddpg.types import Metrics
from tests.tiny import TINY

SMALL = {"gamma": 0.9, "actor.widths": 8, "critic.widths": 8, "collect.warmup": 64}
CONFIG = replace(override(ddpg.PRESETS["ddpg"], SMALL), seeds=2, seed=4)


def learned(config: Config = CONFIG) -> Learned:
    keys = jnp.stack([jax.random.key(seed) for seed in config.seed_range])
    agent = jax.tree.map(np.asarray, jax.vmap(lambda key: config.agent.init(key, Pendulum.spec))(keys))
    return Learned(agent.online, agent.target, None, None)


LEARNED = learned()
ENDS = np.random.default_rng(0).normal(size=(2, 2, 30, 3)).astype(np.float32)


def report(q: float, low: float = -1.0, high: float = -0.5, stuck: float = 0.0) -> Report:
    """The second seed has these numbers, the first unsuspicious ones."""
    column = {name: np.array([-3.0, -3.0]) for name in Metrics._fields}
    column |= {"q": np.array([-3.0, q]), "stuck": np.array([0.0, stuck])}
    return Report(Metrics(**column), np.full(2, -40.0), np.ones(2), np.array([-1.0, low]), np.array([-0.5, high]))


def evaluation(returns: float = -20.0, bias: float = 0.0, spread: float = 1.0) -> Evaluation:
    noise = spread * np.linspace(-1, 1, 30)
    both = np.array([-20.0 + noise, returns + noise])
    return Evaluation(both, both / 4, np.array([np.zeros(30), np.full(30, bias)]), both, ENDS)


def warned(
    points: list[tuple[Report, Evaluation]], config: Config = CONFIG, networks: Learned = LEARNED, steps: int = 0
) -> list[dict[str, str]]:
    """What each log point warns of."""
    state, best, lines = init_health(2), Best(np.full(2, -np.inf), np.zeros(2, int)), []
    for step, (report, evaluation) in enumerate(points, start=1):
        mean = evaluation.mean_returns()
        best = Best(np.fmax(best.returns, mean), np.where(mean > best.returns, 100 * step, best.steps))
        own = replace(config, steps=steps or config.steps)
        state, given = check_health(state, own, Pendulum.spec, report, evaluation, networks, best, step)
        lines.append(given)
    return lines


def test_numbers_of_a_run_that_learns_warn_of_nothing() -> None:
    points = [(report(q), evaluation(returns)) for q, returns in [(0.0, -50.0), (-9.0, -30.0), (-5.0, -12.0)] * 2]
    assert warned(points) == [{}] * 6


@pytest.mark.parametrize(
    ("q", "low", "high", "options", "allowed"),
    [
        (1.5, -1.0, -0.5, {}, "-10 to 0"),  # positive, though no reward was
        (-12.0, -1.0, -0.5, {}, "-10 to 0"),
        (31.0, 1.0, 3.0, {}, "0 to 30"),
        (-1.0, 1.0, 3.0, {}, "0 to 30"),
        (16.0, 1.0, 3.0, {"reward_scale": 0.5}, "0 to 15"),
    ],
)
def test_q_beyond_what_rewards_allow(q: float, low: float, high: float, options: dict[str, Any], allowed: str) -> None:
    config = override(CONFIG, options)
    lines = warned([(report(q, low, high), evaluation(-2.0))] * 3, config)
    assert lines[:2] == [{}, {}]
    assert lines[2]["q_bounds"].startswith(f"seed 5: Q is {q:.3g}, but the rewards so far allow only {allowed}; use")
    inside = -0.1 if high < 0 else 0.5
    assert warned([(report(inside, low, high), evaluation(-2.0))] * 5, config) == [{}] * 5


def test_no_end_of_an_episode_leaves_the_first_policy_acting() -> None:
    """Not before a quarter of the updates, and not once one was assessed."""
    config = replace(CONFIG, collect=replace(CONFIG.collect, assess=2, warmup=8))
    points, none = [(report(-3.0), evaluation(-20.0))] * 20, np.full(2, -np.inf)
    some = np.array([-9.0, -np.inf])
    given = warned(points, config, LEARNED._replace(score=some), steps=20)
    assert [list(lines) for lines in given] == [[]] * 10 + [["assessment"]] * 10
    assert given[-1]["assessment"].startswith("seed 5: no policy has been assessed by step 20, so the first still acts")
    assert "collect.assess 2 waits for as many ends of episodes" in given[-1]["assessment"]
    assert warned(points, config, LEARNED._replace(score=none), steps=20)[-1].keys() == {"assessment"}
    assert warned(points, config, LEARNED._replace(score=np.zeros(2)), steps=20)[-1] == {}


def test_bounds_follow_the_units_that_the_critic_learns() -> None:
    state = init_health(2)._replace(lowest_reward=np.array([-2.0, 1.0]), highest_reward=np.array([4.0, np.nan]))
    low, high = q_bounds(state, override(CONFIG, {"reward_scale": 0.5}), LEARNED)
    np.testing.assert_allclose((low, high), ([-10.0, 0.0], [20.0, 0.0]))
    kept = LEARNED._replace(scale_of_updates=np.array([0.1, 1.0]))  # of an older critic: q is of the newest
    low, high = q_bounds(state, override(CONFIG, {"reward_scale": 0.5}), kept)
    np.testing.assert_allclose((low, high), ([-2.0, 0.0], [4.0, 0.0]))


def test_a_bias_that_grows_beyond_returns() -> None:
    growing = [(report(-3.0, -100.0), evaluation(bias=bias)) for bias in (5.0, 45.0, -50.0, 70.0)]
    *before, last = warned(growing)
    assert before == [{}] * 3
    ending_with_q = [(r, e._replace(discounted=e.discounted + 3 * e.q_bias)) for r, e in growing]
    assert warned(ending_with_q)[-1].keys() == {"q_bias"}
    assert last["q_bias"].startswith("seed 5: Q differs from the return that follows by +70, more at each evaluation")
    shrinking = [(report(-3.0, -100.0), evaluation(bias=bias)) for bias in (90.0, 80.0, 85.0, 70.0, 60.0)]
    assert warned(shrinking) == [{}] * 5


def test_actions_that_stay_at_one_bound() -> None:
    assert warned([(report(-3.0, stuck=0.6), evaluation())] * 3) == [{}] * 3  # the only dimension, in most updates
    *before, last = warned([(report(-3.0, stuck=0.95), evaluation())] * 3)
    assert before == [{}, {}]
    assert "95% of the action's dimensions stay at one bound" in last["stuck"]
    assert warned([(report(-3.0, stuck=stuck), evaluation()) for stuck in (0.6, 0.4) * 3]) == [{}] * 6


def test_stuck_counts_dimensions_of_which_all_states_have_the_same_bound() -> None:
    mu = jnp.array([[1.0, -1.0, 1.0, 0.5], [1.0, -0.995, -1.0, 0.5]])
    metrics = actor_metrics(mu, jnp.float32(6.0), jnp.array([[3.0, 0.0, 4.0, 0.0]] * 2))
    np.testing.assert_allclose(metrics, [-3.0, 5.0, 0.75, 0.5])


def test_a_return_that_collapses() -> None:
    points = [(report(-3.0), evaluation(returns)) for returns in (-100.0, -10.0, -90.0, -85.0)]
    *before, last = warned(points)
    assert before == [{}] * 3
    assert last["collapse"].startswith("seed 5: the return fell to -85.0, from -10.0 at step 200; that policy is kept")
    assert warned(points[:3], steps=3)[2].keys() == {"collapse"}  # the end of a run is not confirmed by another
    noisy = [(report(-3.0), evaluation(returns, spread=200.0)) for returns in (-100.0, -10.0, -90.0, -85.0)]
    assert warned(noisy) == [{}] * 4  # 30 episodes of such a spread do not tell these returns apart
    chance = replace(CONFIG, collect=replace(CONFIG.collect, warmup=200))  # before anything was learned
    assert warned(points, chance) == [{}] * 4
    recovered = [(report(-3.0), evaluation(returns)) for returns in (-100.0, -10.0, -90.0, -20.0, -90.0, -20.0)]
    assert warned(recovered) == [{}] * 6


def test_units_that_are_0_in_every_state() -> None:
    def killed(actor: Actor, alive: int) -> Actor:
        hidden, last = actor.layers
        assert isinstance(hidden, Dense)
        bias = np.where(np.arange(8) < alive, 1e-3, -1e4).astype(np.float32)
        return replace(actor, layers=(replace(hidden, bias=np.stack([hidden.bias[0], bias])), last))

    for alive, share in ((2, 0.75), (0, 1.0)):
        dead = LEARNED._replace(online=LEARNED.online._replace(actor=killed(LEARNED.online.actor, alive)))
        assert dormant_share(dead, 1, CONFIG, Pendulum.spec, ENDS) == (share, "actor")
        assert dormant_share(dead, 0, CONFIG, Pendulum.spec, ENDS)[0] < 0.5
        (line,) = warned([(report(-3.0), evaluation())], networks=dead)
        assert bool(line) is (share == 1)
    assert line["dormant"].startswith(
        "seed 5: all units of a layer of the actor are 0 in every state, so its output is"
    )


def test_a_support_that_does_not_hold_the_returns() -> None:
    config = replace(CONFIG, agent=replace(CONFIG.agent, value=Categorical(low=-6.0, high=6.0)))
    networks = learned(config)
    (line,) = warned([(report(-3.0), evaluation(-80.0, spread=0.0))], config, networks)
    assert line["support"].startswith("seed 5: a discounted return of -20 lies outside the support from -6 to 6 and is")
    assert line["support"].endswith("--value.low none --value.high none to have it found")
    (line,) = warned([(report(-3.0), evaluation(-80.0))], replace(config, reward_scale=0.1), networks)
    assert "--reward_scale 1 to" in line["support"]
    assert warned([(report(-3.0), evaluation(-19.0))], config, networks) == [{}]


def test_a_warning_is_given_once_and_is_in_the_summary_of_a_resumed_run_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A categorical value whose support is far too narrow warns at every log point."""
    options = TINY | {"value": "categorical", "value.low": -1.0, "value.high": 1.0, "checkpoint.every": 100}
    run = ddpg.train(steps=300, run=tmp_path / "run", options=options, quiet=True)
    (line,) = run.summary["warnings"]
    assert line.startswith("a discounted return of ")
    assert capsys.readouterr().err.count("warning: ") == 1
    again = ddpg.resume(run.path, steps=400, quiet=True)
    assert again.summary["warnings"] == [line]
    assert "warning: " not in capsys.readouterr().err
    assert json.loads((run.path / "summary.json").read_text())["warnings"] == [line]
