"""Numbers that are inputs of compiled programs: split and put back, in programs that settings share."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ddpg
from ddpg.algorithm.agent import DPG
from ddpg.algorithm.exploration import OrnsteinUhlenbeck
from ddpg.algorithm.initialisers import Normal, Orthogonal
from ddpg.algorithm.layers import STATIC
from ddpg.algorithm.networks import NetworkConfig
from ddpg.algorithm.smoothing import TargetSmoothing
from ddpg.algorithm.values import Scalar
from ddpg.config.config import CheckpointConfig, CollectionConfig, Config
from ddpg.config.presets import PRESETS
from ddpg.experience.replay import Replay
from ddpg.experience.sampling import Prioritised
from ddpg.hyperparameters import HOLE, equals, split, with_numbers
from ddpg.schedules import Exponential, Linear
from ddpg.training.backend import loop_for
from ddpg.training.loop import Loop, TrainState
from ddpg.training.scan import Scan
from tests.tiny import PAIR, TINY
from tests.worlds import Cart


@dataclass(frozen=True)
class Inner:
    scale: float = 0.5
    off: float = 0.0
    whole: float = 1.0
    count: int = 3
    each: tuple[float, ...] = (0.1, 0.2)


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    rate: float | None = 0.25
    missing: float | None = None
    bound: float = field(default=0.75, metadata=STATIC)
    fixed: Inner = field(default=Inner(), metadata=STATIC)


def test_split_takes_numbers_alone() -> None:
    structure, numbers = split(Outer())
    np.testing.assert_array_equal(numbers, np.array([0.5, 0.25], np.float32))
    assert structure.inner.scale is HOLE
    assert structure.rate is HOLE
    assert replace(structure.inner, scale=0.5) == Inner()
    assert (structure.missing, structure.bound, structure.fixed) == (None, 0.75, Inner())
    assert with_numbers(structure, numbers.tolist()) == Outer()


def test_structure_does_not_depend_on_numbers() -> None:
    one, other = split(Outer())[0], split(Outer(Inner(scale=0.3), rate=2.0))[0]
    assert {one: 1}[other] == 1
    for else_ in (Outer(rate=None), Outer(rate=1.0), Outer(Inner(off=0.1)), Outer(Inner(count=4)), Outer(bound=0.5)):
        assert split(else_)[0] != one


def test_zero_and_one_are_known_while_tracing() -> None:
    @jax.jit
    def traced(x: Any) -> Any:
        return x if equals(x, 0) or equals(x, 1) else 2 * x

    assert traced(1.0) == 2
    asked = equals(0.0, 0), equals(1, 1), equals(0.5, 1), equals(None, 0), equals(1.0, 0)
    assert asked == (True, True, False, False, False)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_put_back(preset: str) -> None:
    loop = loop_for(PRESETS[preset], Cart())
    structure, numbers = split(loop)
    assert len(numbers) >= 5  # two learning rates, tau, gamma, sigma
    again = split(with_numbers(structure, numbers.tolist()))
    assert again[0] == structure
    np.testing.assert_array_equal(again[1], numbers)


# Every number that a part has, and none 0 or 1.
NETWORK = NetworkConfig(widths=(8,), init=Normal(std=0.2), final_init=0.01, l2=0.02, weight_decay=0.03, lr=0.01)
ALL = Config(
    agent=DPG(
        actor=replace(NETWORK, schedule=Linear(final=0.2, steps=10)),
        critic=replace(NETWORK, init=Orthogonal(gain=0.9), schedule=Exponential(rate=0.9, final=0.1)),
        value=Scalar(huber=0.3),
        exploration=OrnsteinUhlenbeck(theta=0.2, sigma=0.3, dt=0.5),
        smoothing=TargetSmoothing(sigma=0.2, clip=0.3),
        preactivation=0.1,
        tau=0.1,
        tau_actor=0.2,
    ),
    replay=Replay(capacity=100, batch=8, n_step=2, sampling=Prioritised(alpha=0.5, beta=0.3, floor=0.02)),
    gamma=0.9,
    reward_scale=0.7,
    collect=CollectionConfig(steps=4, updates=3, warmup=8),
    checkpoint=CheckpointConfig(share=None),
)


def ended(loop: Loop) -> TrainState:
    """A seed after twenty iterations."""
    scan = Scan(loop)
    scan.start(jnp.stack([jax.random.key(0)]))
    scan.compile(longest=20, learning=True)(np.int32(0), 20)
    return scan.snapshot()


@pytest.mark.slow
def test_inputs_compute_what_constants_do(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = ended(loop_for(ALL, Cart()))
    monkeypatch.setattr("ddpg.training.scan.split", lambda part: (part, np.zeros(0, np.float32)))
    constants = ended(loop_for(ALL, Cart()))
    for (path, a), b in zip(jax.tree.leaves_with_path(inputs), jax.tree.leaves(constants), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=jax.tree_util.keystr(path))


def test_every_number_changes_what_is_learned_and_nothing_is_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before, (structure, numbers), traces = ended(loop_for(ALL, Cart())), split(ALL), 0
    update = DPG.update

    def counted(*args: Any) -> Any:
        nonlocal traces
        traces += 1
        return update(*args)

    monkeypatch.setattr(DPG, "update", counted)
    for i in range(len(numbers)):
        other = numbers.copy()
        other[i] *= 1.25
        after = ended(loop_for(with_numbers(structure, other.tolist()), Cart()))
        same = [np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True)]
        assert not all(same), f"number {i} of {numbers}"
    assert traces == 0


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("env", "options"), [("Pendulum-v1", TINY), ("gym:Pendulum-v1", PAIR)])
def test_a_second_training_with_other_numbers_compiles_nothing(
    env: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"actor.lr": 3e-4, "critic.lr": 3e-3, "tau": 0.05, "gamma": 0.9, "exploration.sigma": 0.4}
    first = ddpg.train(env, steps=200, run=tmp_path / "first", options=options, quiet=True)
    compiled = list[str]()

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        second = ddpg.train(env, steps=200, run=tmp_path / "second", options=options | others, quiet=True)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert "/jax/core/compile/backend_compile_duration" not in compiled
    assert first.summary["returns"] != second.summary["returns"]
