"""The study of the relatives: its learners, and what it says of curves."""

import numpy as np

from ddpg.config.config import check
from ddpg.relatives.curve import LearningCurve, Relative
from ddpg.studies.family import DDPG, Family
from ddpg.studies.lineage import learners, reached, table, td3, verdict


def curve(*returns: list[float]) -> LearningCurve:
    steps = np.arange(len(returns[0])) * 1000
    return LearningCurve(steps, np.array(returns, float), np.tile(steps / 500.0, (len(returns), 1)))


def test_five_learners_of_their_own_lengths() -> None:
    rows = learners(20_000)
    assert [row.label for row in rows] == ["REINFORCE", "linear DPG", "DQN", "DDPG", "TD3"]
    assert [row.steps for row in rows] == [600_000, 200_000, 20_000, 20_000, 20_000]
    assert all(isinstance(row.relative, Relative) for row in rows)


def test_ddpg_has_no_bound_of_ours() -> None:
    (ours,) = (row.relative for row in learners(20_000) if row.label == "DDPG")
    assert ours == Family(DDPG)
    assert DDPG.agent.clip_values is None


def test_td3_has_its_ideas_and_our_sizes() -> None:
    config = td3()
    check(config)
    assert (config.agent.critics, config.agent.policy_delay, config.agent.smoothing.sigma) == (2, 2, 0.2)
    assert config.agent.actor.widths == config.agent.critic.widths == (64, 64)
    assert config.replay.batch == 64


def test_when_a_level_is_first_reached() -> None:
    assert reached(curve([-1500, -199, -900], [-1500, -900, -150])) == (2, 1500.0, 3.0)
    count, steps, seconds = reached(curve([-1500, -900, -201]))
    assert (count, steps, seconds) == (0, np.inf, np.inf)


def test_the_verdict_follows_the_curves() -> None:
    curves = {
        "REINFORCE": curve([-1500, -1400, -1300]),
        "linear DPG": curve([-1500, -900, -150]),
        "DQN": curve([-1500, -900, -140]),
        "DDPG": curve([-1500, -180, -139]),
    }
    said = verdict(curves, -128.0)
    assert "Every seed reaches −200 or more (in brackets the last return): linear DPG (−150), DQN (−140)" in said
    assert "Not every seed reaches −200: REINFORCE in 0 of 1." in said
    assert "In steps: DDPG 1000, linear DPG 2000, DQN 2000." in said
    assert "needs 2.0 times fewer steps than linear DPG" in said
    assert "linear functions" in said
    assert "five torques" in said
    lines = table(curves).rows
    assert lines[0][5:8] == ["0/1", "never", "never"]
    assert lines[3][:3] == ["DDPG", 2000, -139.0]


def test_a_learner_has_learned_if_every_seed_has() -> None:
    curves = {
        "linear DPG": curve([-1500, -180, -150], [-1500, -900, -800]),
        "DQN": curve([-1500, -1200, -1100], [-1500, -900, -800]),
        "DDPG": curve([-1500, -900, -139], [-1500, -900, -139]),
    }
    said = verdict(curves, -128.0)
    assert "Not every seed reaches −200: linear DPG in 1 of 2, DQN in 0 of 2." in said
    assert "linear functions" not in said
    assert "five torques" not in said
    assert "times" not in said


def test_who_is_slower_is_measured() -> None:
    slow, fast = curve([-1500, -900, -139]), curve([-1500, -180, -139])
    assert "needs 2.0 times as many steps as linear DPG" in verdict({"linear DPG": fast, "DDPG": slow}, -128.0)
    assert "needs as many steps as linear DPG" in verdict({"linear DPG": fast, "DDPG": fast}, -128.0)
