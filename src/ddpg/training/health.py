"""What the numbers of a run warn of: each kind once, in one line with its remedy; docs/saturation.md explains them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Shaped

from ddpg.algorithm.nets import GreedyPolicy
from ddpg.config.config import Config
from ddpg.records.networks.standalone_policy import network_of
from ddpg.records.networks.steps import arrays_of, critic_steps, policy_steps
from ddpg.terminal import one_decimal, thousands
from ddpg.training.best import Best, saved_networks
from ddpg.training.driver import Learned, Report
from ddpg.training.evaluation import Evaluation
from ddpg.types import Spec

PATIENCE = 3  # log points in a row that show it: one may be chance
STUCK = 0.5  # share of the action's dimensions that stay at a bound
FEW = 5  # episodes of an evaluation
GAINED = 0.5  # of the size of random actions' return, by which a policy is better that counts as learned
FALLEN = 0.25  # of the way from random actions to the best return, what is left of it
TAU = 0.025  # of the mean activity of a layer, below which a unit is dormant
STATES = 100  # observations on which units are looked at
ASSESSED = 0.25  # share of the updates' steps after which a policy must have been assessed
ACTIVATIONS = {"relu", "tanh", "elu", "silu", "gelu"}
REMEDY = "use --critics 2, a smaller --critic.lr or --critic.block.norm layer"
PERSISTENT = {"ou", "pink"}  # noise that keeps its direction, so that data lack what the greedy policy would do there


class HealthState(NamedTuple):
    """What the log points so far have shown of each seed [S]."""

    lowest_reward: np.ndarray
    highest_reward: np.ndarray
    random_return: np.ndarray  # the lower of the first evaluation and the first exploring episodes
    return_size: np.ndarray  # the largest mean |undiscounted return| of an evaluation, in units of the critic
    bias: np.ndarray  # |Q - return| of the last evaluation
    beyond: np.ndarray  # log points in a row: Q beyond what rewards allow
    growing: np.ndarray  # its bias larger than returns, and growing
    stuck: np.ndarray
    fallen: np.ndarray


def init_health(seeds: int) -> HealthState:
    nan, none = np.full(seeds, np.nan), np.zeros(seeds, np.int64)
    return HealthState(-nan, nan, nan, np.zeros(seeds), nan, *[none] * 4)


class Symptom(NamedTuple):
    """A kind of warning: which seeds show it, and the line for one of them."""

    kind: str
    shown: np.ndarray  # [S]
    line: Callable[[int], str]


def check_health(
    state: HealthState,
    config: Config,
    spec: Spec,
    report: Report,
    evaluation: Evaluation,
    learned: Learned,
    best: Best,
    step: int,
) -> tuple[HealthState, dict[str, str]]:
    """Add the log point of a step; also return the line of each kind of warning that it gives, of the first such seed.

    `best` includes this evaluation.
    """
    state = _added(state, config, spec, report, evaluation, learned, best)
    lines = dict[str, str]()
    for symptom in _symptoms(state, config, spec, report, evaluation, learned, best, step):
        if symptom.shown.any():
            i = int(np.argmax(symptom.shown))
            seed = f"seed {config.seed_range[i]}: " if config.seeds > 1 else ""
            lines[symptom.kind] = f"{seed}{symptom.line(i)}"
    return state, lines


def q_bounds(state: HealthState, config: Config, learned: Learned) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest Q [S] that the rewards so far allow, in the units of the updates.

    An episode may end, so that no reward follows: a return between 0 and a reward for ever.
    """
    horizon = learned.reward_scales_of_updates(config.reward_scale) / max(1 - config.gamma, 1e-6)
    return horizon * np.fmin(state.lowest_reward, 0), horizon * np.fmax(state.highest_reward, 0)


def _added(
    state: HealthState,
    config: Config,
    spec: Spec,
    report: Report,
    evaluation: Evaluation,
    learned: Learned,
    best: Best,
) -> HealthState:
    mean, episodes = evaluation.mean_returns(), evaluation.returns.shape[1]
    error = np.asarray(evaluation.returns, float).std(axis=1) / np.sqrt(episodes)
    if episodes < FEW:  # which tell little of how much they differ
        error = np.fmax(error, np.abs(best.returns - state.random_return) / 10 + np.abs(mean) / 10)
    size = np.abs(np.asarray(evaluation.discounted, float)).mean(axis=1)
    bias, q = np.abs(np.asarray(evaluation.q_bias, float).mean(axis=1)), np.asarray(report.metrics.q)
    returns = learned.reward_scales(config.reward_scale) * np.abs(np.asarray(evaluation.returns, float)).mean(axis=1)
    largest = np.fmax(state.return_size, returns)
    low, high = (np.where(np.isfinite(x), x, np.nan) for x in (report.lowest_reward, report.highest_reward))
    low, high = np.fmin(state.lowest_reward, low), np.fmax(state.highest_reward, high)
    first = np.where(np.isnan(state.random_return), np.fmin(mean, report.episode_return), state.random_return)
    state = state._replace(lowest_reward=low, highest_reward=high, random_return=first, return_size=largest)
    lowest_q, highest_q = q_bounds(state, config, learned)
    slack = 0.1 * size + 0.01 * (highest_q - lowest_q) * (1 - config.gamma)
    gain = best.returns - first
    # What was good before learning, or little better than random actions, is chance.
    learned_any = (best.steps > config.learning_starts) & (gain > GAINED * np.abs(first))
    dimensions = spec.action_dim * np.asarray(report.metrics.stuck) + 0.1  # that are stuck in nearly all updates

    def in_a_row(count: np.ndarray, now: np.ndarray) -> np.ndarray:
        return np.where(now, count + 1, 0)

    return state._replace(
        bias=bias,
        beyond=in_a_row(state.beyond, (q > highest_q + slack) | (q < lowest_q - slack)),
        growing=in_a_row(state.growing, (bias > state.bias) & (bias > 2 * np.fmax(largest, 1))),
        stuck=in_a_row(state.stuck, np.floor(dimensions) >= max(1, STUCK * spec.action_dim)),
        fallen=in_a_row(
            state.fallen,
            (mean < first + FALLEN * gain) & (gain > 5 * error) & (best.returns - mean > 5 * error) & learned_any,
        ),
    )


def _symptoms(
    state: HealthState,
    config: Config,
    spec: Spec,
    report: Report,
    evaluation: Evaluation,
    learned: Learned,
    best: Best,
    step: int,
) -> Iterator[Symptom]:
    last = step >= config.steps  # no other evaluation can confirm a collapse
    q, bias = np.asarray(report.metrics.q), np.asarray(evaluation.q_bias).mean(axis=1)
    low, high = q_bounds(state, config, learned)
    now, remedy = evaluation.mean_returns(), REMEDY
    if config.agent.exploration.kind in PERSISTENT:
        remedy = "use noise that fades, as with --exploration.schedule linear, or --exploration gaussian"
    yield Symptom(
        "q_bounds",
        state.beyond >= PATIENCE,
        lambda i: f"Q is {q[i]:.3g}, but the rewards so far allow only {low[i]:.4g} to {high[i]:.4g}; {remedy}",
    )
    yield Symptom(
        "q_bias",
        state.growing >= PATIENCE,
        lambda i: (
            f"Q differs from the return that follows by {bias[i]:+.3g}, more at each evaluation, and whole returns are "
            f"of about {state.return_size[i]:.3g}; {remedy}"
        ),
    )
    yield Symptom(
        "stuck",
        state.stuck >= PATIENCE,
        lambda i: (
            f"{report.metrics.stuck[i]:.0%} of the action's dimensions stay at one bound in every state; if the task "
            f"does not want that, use a smaller --actor.lr, --actor.final_init 3e-3 or --actor.l2 1e-2"
        ),
    )
    yield Symptom(
        "collapse",
        state.fallen >= (1 if last else 2),
        lambda i: (
            f"the return fell to {one_decimal(float(now[i]))}, from {one_decimal(float(best.returns[i]))} at step "
            f"{thousands(int(best.steps[i]))}; that policy is kept (--best); "
            f"for steadier training use --critics 2 or --preset td3"
        ),
    )
    if learned.score is not None:
        learning = (step - config.learning_starts) / (config.steps - config.learning_starts)
        yield Symptom(
            "assessment",
            np.isneginf(learned.score) & (learning >= ASSESSED),
            lambda _: (
                f"no policy has been assessed by step {thousands(step)}, so the first still acts: collect.assess "
                f"{config.collect.assess} waits for as many ends of episodes in each environment; use a smaller one, "
                f"0 for none, or a time limit, as with --env-args max_episode_steps=1000"
            ),
        )
    dormant = [dormant_share(learned, i, config, spec, np.asarray(evaluation.ends)) for i in range(config.seeds)]
    yield Symptom(
        "dormant",
        np.array([share == 1 for share, _ in dormant]),
        lambda i: (
            f"all units of a layer of the {dormant[i][1]} are 0 in every state, so its output is constant; use a "
            f"smaller --{dormant[i][1]}.lr or --{dormant[i][1]}.activation elu, and train again"
        ),
    )
    bounds = config.agent.value.bounds
    outside = np.array([_furthest(returns, *bounds) for returns in np.asarray(evaluation.discounted, float)])
    unscaled = "" if config.reward_scale == 1 else " --reward_scale 1"
    yield Symptom(
        "support",
        ~np.isnan(outside),
        lambda i: (
            f"a discounted return of {outside[i]:.4g} lies outside the support from {bounds[0]:g} to "
            f"{bounds[1]:g} and is cut; use a wider one, or "
            f"--value.low none --value.high none{unscaled} to have it found"
        ),
    )


def _furthest(returns: np.ndarray, low: float, high: float) -> float:
    """The return that lies furthest outside the value's bounds; NaN if none does."""
    outside = returns[(returns < low) | (returns > high)]
    return outside[np.argmax(np.abs(outside - (low + high) / 2))] if outside.size else np.nan


def dormant_share(
    learned: Learned, i: int, config: Config, spec: Spec, ends: Shaped[np.ndarray, "s two e *obs"]
) -> tuple[float, str]:
    """The largest share of dormant units in a hidden layer of a seed's networks, and which network it is.

    A unit is dormant if its mean |activation| is at most TAU of its layer's (Sokar et al. 2023, definition 3.1).
    """
    saved, obs = saved_networks(learned, i), np.concatenate(ends[i])[-STATES:]
    policy = jax.tree.map(np.asarray, GreedyPolicy(saved.stats, saved.online.encoder, saved.online.actor))
    shares = [(0.0, "actor")]
    for name, steps in (
        ("actor", policy_steps(policy, spec)),
        ("critic", critic_steps(saved.online, saved.stats, spec, config.agent.value, 1.0)),
    ):
        final = max(place for place, step in enumerate(steps) if step.kind == "dense")
        for place, step in enumerate(steps[:final]):
            if step.kind in ACTIVATIONS:
                x = np.abs(network_of(arrays_of(steps[: place + 1], spec))(obs, policy(obs)))
                activity = x.mean(axis=(0, 1, 2) if x.ndim == 4 else -2)  # a filter is one unit, wherever it looks
                dormant = activity <= TAU * activity.mean(axis=-1, keepdims=True)
                shares.append((float(dormant.mean(axis=-1).max()), name))
    return max(shares)
