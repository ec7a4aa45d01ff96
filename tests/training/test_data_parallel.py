"""One seed on two devices: the numbers of one device up to rounding, each having done its half."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ddpg
from ddpg.config.config import Config
from ddpg.config.presets import by_name
from ddpg.config.reading import override
from ddpg.environment import resolve
from ddpg.mistake import Mistake
from ddpg.training.backend import driver_for
from ddpg.training.data_parallel import check_devices, homes, in_parts, whole
from ddpg.training.devices import place_on_devices
from ddpg.training.driver import Driver
from ddpg.training.memory import check_accelerator, check_memory, replay_bytes
from ddpg.training.scan import Scan
from tests.tiny import SIZES
from tests.worlds import Cart

ENVS, BATCH = 6, 20
MOST = 60  # iterations of a chunk
OPTIONS = SIZES | {
    "replay.capacity": 600,
    "replay.batch": BATCH,
    "collect.envs": ENVS,
    "collect.warmup": 60,
    "collect.updates": 2,
}
PARTS: dict[str, dict[str, Any]] = {
    "ddpg": {},
    "td3": {"critics": 2, "policy_delay": 2, "smoothing.sigma": 0.2, "normalise": True},
    "categorical": {"value": "categorical", "value.atoms": 11},
    "prioritised": {"replay.sampling": "prioritised", "replay.n_step": 3},
    "batch norm": {"actor.block.norm": "batch", "critic.block.norm": "batch", "critic.action_layer": 1},
}


def config_of(devices: int, parts: dict[str, Any], envs: int = ENVS) -> Config:
    return override(by_name("ddpg"), OPTIONS | parts | {"collect.envs": envs, "devices": devices})


def turned(config: Config, *iterations: int) -> tuple[Driver, list[Any]]:
    """A driver after a warm-up, then so many and so many iterations; what it had learned after each."""
    driver, learned, t = driver_for(config, Cart()), list[Any](), 20
    driver.start(keys())
    driver.compile(longest=t, learning=False)(np.int32(0), t)
    program = driver.compile(longest=MOST, learning=True)
    for n in iterations:
        report = program(np.int32(t), n)
        learned.append((driver.read(), jax.tree.map(lambda x: x[-1], report)))
        t += n
    return driver, learned


def assert_close(one: Any, other: Any, rtol: float = 2e-3, atol: float = 2e-4) -> None:
    for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol, atol, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize(
    "parts", [pytest.param(name, marks=[] if name in ("ddpg", "prioritised") else pytest.mark.slow) for name in PARTS]
)
def test_training_is_that_of_one_device_up_to_rounding(parts: str) -> None:
    (_, one), (_, two) = (turned(config_of(devices, PARTS[parts]), 1, MOST) for devices in (1, 2))
    if parts == "batch norm":
        # It subtracts the biases before it, whose gradients are 0 but for rounding, which Adam makes steps of.
        assert_close(one[0][1], two[0][1], rtol=1e-4, atol=1e-5)
        assert_close(one[1][1], two[1][1], rtol=2e-2, atol=2e-3)
        return
    assert_close(one[0], two[0], rtol=1e-4, atol=1e-5)  # two updates
    assert_close(one[1], two[1])
    assert one[1][1].episodes == two[1][1].episodes


def keys() -> Any:
    return jnp.stack([jax.random.key(4)])


def test_each_device_has_its_half_of_minibatches_and_environments() -> None:
    driver = driver_for(config_of(2, {}), Cart())
    assert isinstance(driver, Scan)
    assert "virtual ones" in driver.notes[0]
    driver.start(keys())
    text = compiled_text(driver)
    products = set(re.findall(r"= f32\[(\d+),8\]\S* dot\(", text))
    assert {str(BATCH // 2), str(ENVS // 2)} <= products
    assert not {str(BATCH), str(ENVS)} & products
    assert "all-reduce" in text
    alone = driver_for(config_of(1, {}), Cart())
    assert isinstance(alone, Scan)
    alone.start(keys())
    assert "all-reduce" not in compiled_text(alone)


def compiled_text(scan: Scan) -> str:
    from ddpg.training.scan import _program

    (state,), (numbers,) = vars(scan)["_like"], vars(scan)["_numbers"]
    program = _program(vars(scan)["_structure"], 5, True)
    return program.lower(state, numbers, np.int32(0), np.int32(0)).compile().as_text() or ""


def test_accelerators_have_an_axis_of_one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA splits minibatches beneath that axis, too."""
    (_, one) = turned(config_of(1, {}), 40)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    driver, two = turned(config_of(2, {}), 40)
    assert_close(one, two)
    assert isinstance(driver, Scan)
    assert not driver.notes
    assert "all-reduce" in compiled_text(driver)


@pytest.mark.slow
def test_environments_that_cannot_be_divided_are_on_all() -> None:
    (_, one), (_, two) = (turned(config_of(devices, {}, envs=3), 40) for devices in (1, 2))
    assert_close(one, two)


def test_parts_and_wholes() -> None:
    x = {"even": np.arange(4.0), "odd": np.arange(3.0)}
    parts = jax.jit(lambda x: in_parts(2, x))(x)
    assert [shard.data.shape for shard in parts["even"].addressable_shards] == [(2,), (2,)]
    again = jax.jit(lambda x: whole(2, x))(parts)
    assert [shard.data.shape for shard in again["even"].addressable_shards] == [(4,), (4,)]
    assert in_parts(1, x) is whole(1, x) is x
    (on_both,) = place_on_devices({"x": np.zeros((1, 3))}, 2)
    assert on_both["x"].sharding.is_equivalent_to(next(homes(2)), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 0}, "devices 0"),
        ({"devices": 2, "seeds": 2}, "they compute one seed together, and seeds is 2; use --seeds 1"),
        ({"devices": 2, "actors.number": 1}, "not with actors, .*; use --actors 0 or --devices 1"),
        ({"devices": 3, "replay.batch": 64}, "a minibatch of 64 has not so many equal parts; use --replay.batch 66"),
    ],
)
def test_what_cannot_be_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Mistake, match=message):
        override(by_name("ddpg"), options)


def test_more_devices_than_there_are() -> None:
    check_devices(2)
    with pytest.raises(Mistake, match=r"^devices 3: JAX has 2 \(cpu\); use --devices 2, or .*num_cpu_devices., 3\)"):
        check_devices(3)


def test_a_run_goes_on_with_fewer_devices(tmp_path: Path, no_pictures: None) -> None:
    options = OPTIONS | {"devices": 2, "checkpoint.every": 120, "eval.every": 120, "collect.steps": 5}
    run = ddpg.train("gym:Pendulum-v1", steps=240, run=tmp_path / "run", options=options, quiet=True)
    assert run.config.devices == 2
    run = ddpg.resume(run.path, steps=360, options={"devices": 1}, quiet=True)
    assert (run.config.devices, run.summary["steps"]) == (1, 360)
    options |= {"devices": 1}
    alone = ddpg.train("gym:Pendulum-v1", steps=360, run=tmp_path / "one", options=options, quiet=True)
    assert_close(ddpg.load(run.path).nets, ddpg.load(alone.path).nets)


def test_seeds_that_share_an_accelerator_must_fit_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env, ten = resolve("Pendulum-v1"), override(by_name("ddpg"), {"seeds": 10})
    needed = replay_bytes(ten, env)
    check_accelerator(ten, env)  # the processor, of which check_memory knows
    monkeypatch.setattr("ddpg.training.memory.accelerator_bytes", lambda: 0.55 * needed)
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    check_accelerator(ten, env)
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    with pytest.raises(Mistake, match=r"for 10 seeds on one .*, which has 0\.0; use a smaller --replay\.capacity"):
        check_accelerator(ten, env)
    with pytest.raises(Mistake, match="which has 0"):
        ddpg.train(seeds=10, run=tmp_path / "run", quiet=True)


def test_each_virtual_device_has_a_replay_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    env, two = resolve("Pendulum-v1"), override(by_name("ddpg"), {"devices": 2})
    needed = replay_bytes(two, env)
    monkeypatch.setattr("ddpg.training.memory.available_bytes", lambda: 3.0 * needed)
    check_memory(by_name("ddpg"), env)
    with pytest.raises(Mistake, match=r"for 1 seed on 2 devices, and as much again"):
        check_memory(two, env)
