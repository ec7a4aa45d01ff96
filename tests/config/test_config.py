"""Parts check themselves, and whatever does not go together is refused in one line with the fix."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from ddpg.algorithm.agent import DPG
from ddpg.algorithm.networks import NetworkConfig, Plain
from ddpg.config.config import Config, check
from ddpg.config.reading import override
from ddpg.mistake import Mistake


def mistake_in(**changes: Any) -> str:
    with pytest.raises(ValueError, match=r"use|leave") as error:
        override(Config(), {name.replace("__", "."): value for name, value in changes.items()})
    (line,) = str(error.value).splitlines()
    return line


def test_parts_that_do_not_go_together() -> None:
    assert "actor.widths 16,32: residual blocks" in mistake_in(actor__block="residual", actor__widths="16,32")
    for part, value in {"actor.action_layer": 1, "actor.block": "residual", "actor.block.norm": "layer"}.items():
        mistake = mistake_in(**{part.replace(".", "__"): value, "actor__widths": "none"})
        assert "actor.widths none: there " in mistake
        assert f"; use --{part} " in mistake
    assert "critic.action_layer 1" in mistake_in(critic__block="residual", critic__action_layer="1")
    assert "exploration parameters" in mistake_in(exploration="parameters", actor__block__norm="batch")
    assert "critic.block.norm batch" in mistake_in(critic__block__norm="batch")
    assert "replay.batch 1: actor.block.norm" in mistake_in(actor__block__norm="batch", replay__batch="1")
    assert "exploration parameters" in mistake_in(collect__assess="1", exploration="parameters")
    assert "normalise changes" in mistake_in(collect__assess="1", normalise="true")
    assert "--collect.vector sync" in mistake_in(collect__assess="1", collect__vector="async")
    assert "until step 1000 actions" in mistake_in(collect__assess="1", collect__learning_starts="500")
    assert "exploration.low 0.5 is above" in mistake_in(exploration="per_env", exploration__low="0.5")
    assert "value.low is missing" in mistake_in(value="categorical", value__high="3")
    assert "value.low 4 is not below" in mistake_in(value="categorical", value__low="4", value__high="3")
    assert "reward_scale 0.1" in mistake_in(value="categorical", reward_scale="0.1")
    assert "value.high is missing" in mistake_in(value="categorical", value__low="3")
    assert "actor.action_layer 1: only a critic" in mistake_in(actor__action_layer="1")
    assert "replay.batch 64 is larger than replay.capacity 32" in mistake_in(replay__capacity="32")
    assert "replay.capacity 100 cannot hold 2 blocks" in mistake_in(replay__capacity="100", collect__steps="60")


def test_times_that_do_not_follow_each_other() -> None:
    assert "collect.warmup 30000 is longer than the run" in mistake_in(collect__warmup="30000")
    assert "nothing would be learned; use --steps above 20000" in mistake_in(collect__learning_starts="20000")
    assert "before a minibatch is stored; use --collect.learning_starts" in mistake_in(collect__learning_starts="63")


@dataclass(frozen=True)
class Picky:
    """A part of somebody's own, with a rule of its own."""

    limit: int = 3

    def check(self, path: str) -> None:
        if self.limit > 3:
            raise Mistake(f"{path}.limit {self.limit}: expected at most 3; use --{path}.limit 3")


@dataclass(frozen=True)
class Group:
    part: Picky = Picky()
    limit: int = 3

    def check(self, path: str) -> None:
        if self.limit != self.part.limit:
            raise Mistake(f"{path}.limit {self.limit}: expected that of {path}.part")


@dataclass(frozen=True)
class Whole:
    """It has no rules."""

    agent: Group = Group()
    group: Group = Group()


def test_a_part_anywhere_in_the_tree_is_checked_under_its_path() -> None:
    check(Whole())
    with pytest.raises(Mistake, match=r"^group\.part\.limit 4: expected at most 3; use --group\.part\.limit 3$"):
        check(Whole(group=Group(Picky(4))))  # the inner part is checked first
    with pytest.raises(Mistake, match=r"^group\.limit 2: expected that of group\.part$"):
        check(Whole(group=Group(limit=2)))
    with pytest.raises(Mistake, match=r"^part\.limit 4"):  # options leave out "agent."
        check(Whole(agent=Group(Picky(4))))


def test_an_agent_is_checked_without_a_configuration() -> None:
    batch = NetworkConfig(block=Plain(norm="batch"))
    with pytest.raises(Mistake, match=r"^critic\.block\.norm batch"):
        check(replace(DPG(), critic=batch))
    with pytest.raises(Mistake, match=r"^critic\.block\.norm batch"):
        check(replace(Config(), agent=replace(DPG(), critic=batch)))
