"""Every exported form answers as the policy in JAX does; a file that would not is never left behind."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

import ddpg
from ddpg.algorithm.agent import DPG
from ddpg.algorithm.layers import ACTIVATIONS
from ddpg.algorithm.nets import GreedyPolicy
from ddpg.algorithm.networks import NetworkConfig, Plain, Residual
from ddpg.algorithm.normaliser import RunningStats, byte_scale
from ddpg.commands import export
from ddpg.commands.export import FORMATS, Form, Format, compare, observations
from ddpg.mistake import Mistake
from ddpg.records.networks import standalone_policy
from ddpg.records.networks.npz import save_npz
from ddpg.records.networks.steps import arrays_of, policy_steps
from ddpg.training.policy import Policy
from ddpg.types import Leaf, Spec
from tests.networks import random_nets

# Of 32-bit numbers the nearest to 0.1 is above it.
ARM = Spec(obs_shape=(2, 3), action_low=(-1.0, 0.1, -5.0), action_high=(3.0, 0.5, 0.1))
PIXELS = Spec(obs_shape=(4, 3, 2), action_low=(-2.0,), action_high=(2.0,), obs_dtype="uint8")
PARTS = (Leaf(("image",), (2, 2), high=(255.0,)), Leaf(("limbs", 1), (2,), (2, 3), (0, 5)), Leaf((7,), (3,)))
ROBOT = Spec(obs_shape=(12,), action_low=(-2.0,), action_high=(2.0,), leaves=PARTS)
SPECS = {"float32": ARM, "uint8": PIXELS, "parts": ROBOT}
BLOCKS = {"plain": Plain(), "layer norm": Plain("layer"), "batch norm": Plain("batch"), "residual": Residual()}


class Made(NamedTuple):
    policy: GreedyPolicy
    spec: Spec

    def arrays(self) -> dict[str, Any]:
        return arrays_of(policy_steps(self.policy, self.spec), self.spec)

    def compare(self, form: Form) -> float:
        return compare(form, self.policy, self.spec, observations(self.spec, self.policy.stats))


def made(
    activation: Any = "relu",
    normalise: bool = False,
    dtype: str = "float32",
    factor: float = 1.0,
    block: str = "plain",
    widths: tuple[int, ...] | None = None,
) -> Made:
    spec = SPECS[dtype]
    if widths is None:
        widths = (32, 32) if block == "residual" else (32, 16)
    agent = DPG(actor=NetworkConfig(widths=widths, activation=activation, block=BLOCKS[block]))
    nets = random_nets(agent, spec)
    mean, variance = np.linspace(-2, 3, spec.obs_size), np.linspace(0, 9, spec.obs_size)  # one component never changes
    stats = RunningStats(
        jnp.float32(1000), *(jnp.asarray(x, jnp.float32).reshape(spec.obs_shape) for x in (mean, variance))
    )
    actor = jax.tree.map(lambda leaf: np.float32(factor) * leaf, nets.actor)
    return Made(GreedyPolicy(stats if normalise else byte_scale(spec), nets.encoder, actor), spec)


def forms(of: Made, folder: Path) -> dict[str, Form]:
    said = {}
    for name, (suffix, save, load) in FORMATS.items():
        save(folder / f"policy{suffix}", of.arrays())
        said[name] = load(folder / f"policy{suffix}")
    return said


def test_the_readers_take_parts_as_the_policy_does(tmp_path: Path) -> None:
    of = made(dtype="parts")
    nets = random_nets(DPG(), of.spec)._replace(encoder=of.policy.encoder, actor=of.policy.actor)
    policy, written = Policy(nets, of.policy.stats, of.spec), forms(of, tmp_path)
    random = np.random.default_rng(3)
    image, state = random.integers(0, 256, (2, 2), np.uint8), random.normal(size=3)
    obs: Any = {7: state, "limbs": ("left", [1, 6]), "image": image, "log": "more than the network takes"}
    vector = np.concatenate([image.ravel(), [0, 1], [0, 1, 0], state]).astype(np.float32)
    action = policy(obs)
    np.testing.assert_array_equal(action, policy(vector))
    np.testing.assert_array_equal(action, policy(obs | {"limbs": ["left", [1, 6]]}))  # a list for a Tuple
    for name in ("numpy", "hdf5"):
        np.testing.assert_allclose(written[name](obs), action, atol=1e-6)
        np.testing.assert_allclose(written[name](vector), action, atol=1e-6)
        for wrong in ({"image": image / 255}, {"image": image[0]}, {"image": image.astype(int) + 999}):
            with pytest.raises(ValueError, match="image"):
                written[name](obs | wrong)
        for wrong in ([1, 99], [1, 6.5], [-9, 6]):
            with pytest.raises(ValueError, match=r"limbs.* has a value that its space does not have"):
                written[name](obs | {"limbs": ("left", wrong)})
    about = {each.key: each.value for each in onnx.load(tmp_path / "policy.onnx").metadata_props}
    leaves = json.loads(about["leaves"])
    assert [(leaf["path"], leaf["slice"]) for leaf in leaves] == [
        (["image"], [0, 4]),
        (["limbs", 1], [4, 9]),
        ([7], [9, 12]),
    ]
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    (found,) = session.run(None, {"obs": standalone_policy.flatten(leaves, obs).astype(np.float32)[None]})
    np.testing.assert_allclose(np.asarray(found)[0], action, atol=1e-6)


def test_a_dimension_held_at_one_value_is_exported(tmp_path: Path) -> None:
    of = made()
    spec = replace(of.spec, action_low=(-1.0, 0.1, -5.0), action_high=(3.0, 0.1, 0.1))
    held = Made(of.policy, spec)
    for form in forms(held, tmp_path).values():
        assert held.compare(form) < 1e-5
        assert np.ptp(form(usual(held, 20))[:, 1]) == 0


@pytest.mark.parametrize("obs", [np.full((4, 3, 2), 0.5, np.float32), np.full((4, 3, 2), 256), np.full((4, 3, 2), -1)])
def test_what_are_no_bytes_is_refused_and_not_cast(obs: np.ndarray, tmp_path: Path) -> None:
    of = made(dtype="uint8")
    policy = Policy(random_nets(DPG(), of.spec), of.policy.stats, of.spec)
    for answer in (policy, forms(of, tmp_path)["numpy"]):
        with pytest.raises(ValueError, match="expected bytes from 0 to 255"):
            answer(obs)
        assert answer(np.zeros((4, 3, 2), np.int64)).shape == (1,)


def usual(of: Made, count: int) -> np.ndarray:
    random = np.random.default_rng(2)
    if of.spec.obs_dtype == "uint8":
        return random.integers(0, 256, (count, *of.spec.obs_shape)).astype(np.uint8)
    return random.normal(scale=3, size=(count, *of.spec.obs_shape)).astype(np.float32)


@pytest.mark.parametrize("dtype", SPECS)
@pytest.mark.parametrize("normalise", [False, True], ids=["as it is", "normalised"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_form_is_the_policy(activation: str, normalise: bool, dtype: str, tmp_path: Path) -> None:
    check_forms(made(activation, normalise, dtype), tmp_path)


def check_forms(of: Made, folder: Path) -> None:
    stats, encoder, actor = of.policy
    nets = random_nets(DPG(), of.spec)._replace(encoder=encoder, actor=actor)
    policy, seen = Policy(nets, stats, of.spec), observations(of.spec, stats)
    assert seen.shape == (1_064, *of.spec.obs_shape)
    assert seen.dtype == of.spec.obs_dtype
    assert np.ptp(policy(usual(of, 50)), axis=0).min() > 1e-3  # there is something to be equal to
    for form in forms(of, folder).values():
        assert of.compare(form) < 1e-5
        for count in (1, 2, 50):
            obs = usual(of, count)
            assert form(obs).dtype == np.float32
            np.testing.assert_allclose(form(obs), policy(obs), atol=1e-5)


@pytest.mark.parametrize("dtype", SPECS)
@pytest.mark.parametrize("normalise", [False, True], ids=["as it is", "normalised"])
@pytest.mark.parametrize("block", [name for name in BLOCKS if name != "plain"])
def test_every_form_is_the_policy_of_other_layers(block: str, normalise: bool, dtype: str, tmp_path: Path) -> None:
    check_forms(made("silu", normalise, dtype, block=block), tmp_path)


def test_every_form_is_a_linear_policy(tmp_path: Path) -> None:
    check_forms(made(widths=()), tmp_path)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_large_weights_are_no_mistake_of_a_form(activation: str, tmp_path: Path) -> None:
    for normalise in (False, True):
        of = made(activation, normalise, factor=20)
        for form in forms(of, tmp_path).values():
            of.compare(form)


@pytest.mark.parametrize("block", BLOCKS)
def test_large_weights_and_norms_are_none_either(block: str, tmp_path: Path) -> None:
    for normalise in (False, True):
        of = made("elu", normalise, factor=5, block=block)
        for form in forms(of, tmp_path).values():
            of.compare(form)


def test_what_is_too_large_is_cut_and_what_is_no_number_stays_none(tmp_path: Path) -> None:
    for of in (*map(made, ACTIVATIONS), *(made(block=block) for block in BLOCKS)):
        most = np.full((1, 2, 3), np.float32(1e18))
        most[0, 0] *= -1
        large = [most, most * np.float32(1e20), np.sign(most) * np.float32(np.inf)]
        for form in forms(of, tmp_path).values():
            first, *others = [form(obs) for obs in large]
            assert np.isfinite(first).all()
            assert all(np.array_equal(first, other) for other in others)
            assert np.isnan(form(np.full((1, 2, 3), np.float32(np.nan)))).all()


def test_actions_are_within_bounds_between_numbers_of_32_bits(tmp_path: Path) -> None:
    of = made(factor=50)
    low, high = np.array([of.spec.action_low, of.spec.action_high])
    for form in forms(of, tmp_path).values():
        actions = np.float64(form(usual(of, 1_000)))
        assert (low <= actions).all()
        assert (actions <= high).all()
        np.testing.assert_allclose(actions.min(axis=0), low, rtol=1e-6)
        np.testing.assert_allclose(actions.max(axis=0), high, rtol=1e-6)


def test_ranges_of_actions_as_large_as_numbers_get(tmp_path: Path) -> None:
    largest = float(np.finfo(np.float32).max)
    spec = Spec((3,), (-largest, 1e6), (largest, 1e6 + 1))
    nets = random_nets(DPG(), spec)
    of = Made(GreedyPolicy(None, nets.encoder, nets.actor), spec)
    for form in forms(of, tmp_path).values():
        of.compare(form)


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Made], Form]:
    def form(of: Made) -> Form:
        arrays = of.arrays()
        new = change(arrays[name])
        return standalone_policy.policy_of(arrays | {name: new if isinstance(new, str) else np.float32(new)})

    return form


WRONG: dict[str, Callable[[Made], Form]] = {
    "weights of three digits": changed("dense_1/weight", lambda x: np.round(x, 3)),
    "another bias": changed("dense_0/bias", lambda x: x + 1e-3),
    "another activation": changed("steps", lambda steps: steps.replace("gelu", "silu")),
    "no mean": changed("standardise_0/mean", np.zeros_like),
    "no variance": changed("standardise_0/deviation", np.ones_like),
    "no limit": changed("clip_0/high", lambda _: 1e18),
    "another range": changed("affine_0/gain", lambda x: x - 1e-3),
    "another middle": changed("affine_0/offset", lambda x: x + 1e-3),
    "a larger range": lambda of: lambda obs: standalone_policy.policy_of(of.arrays())(obs) + np.float32(1e-3),
    "no batch": lambda of: lambda obs: standalone_policy.policy_of(of.arrays())(obs)[0],
    "no numbers": lambda of: lambda obs: np.full((len(obs), of.spec.action_dim), np.nan),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_another_policy_is_refused_in_one_line(mistake: str) -> None:
    of = made("gelu", normalise=True)
    form = WRONG[mistake](of)
    with pytest.raises(ValueError, match="no file is left; choose another --format") as error:
        of.compare(form)
    assert "\n" not in str(error.value)


WRONG_NORMS: dict[str, tuple[str, Callable[[Made], Form]]] = {
    "another gain": ("layer norm", changed("affine_1/gain", lambda x: x + 1e-3)),
    "another offset": ("residual", changed("affine_0/offset", lambda x: x + 1e-3)),
    "another mean": ("batch norm", changed("standardise_1/mean", lambda x: x + 1e-3)),
    "another deviation": ("batch norm", changed("standardise_2/deviation", lambda x: x + 1e-3)),
    "not centred": ("layer norm", changed("steps", lambda x: x.replace("centre ", ""))),
    "no way past a block": ("residual", changed("steps", lambda x: x.replace("keep", "").replace("add", ""))),
    "an activation more": ("residual", changed("steps", lambda x: x.replace("keep", "relu keep", 1))),
}


@pytest.mark.parametrize("mistake", WRONG_NORMS)
def test_other_layers_are_refused_in_one_line(mistake: str) -> None:
    block, change = WRONG_NORMS[mistake]
    of = made(normalise=True, block=block)
    with pytest.raises(ValueError, match="no file is left; choose another --format") as error:
        of.compare(change(of))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("format", FORMATS)
def test_the_file_is_the_policy_of_the_seed(format: str, trained: ddpg.Run, tmp_path: Path) -> None:
    obs = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    path = tmp_path / f"mine{FORMATS[format].suffix}"
    for seed in (3, 5):
        said = ddpg.export(str(trained.path), format, path, seed)
        assert (said.path, said.format, said.observations) == (path, format, 1_064)
        assert said.difference < 1e-5
        assert [file.name for file in tmp_path.iterdir()] == [path.name]
        np.testing.assert_allclose(FORMATS[format].load(path)(obs), ddpg.load(trained.path, seed)(obs), atol=1e-5)
    written = ddpg.export(trained.path, format).path
    assert written == trained.path / f"policy{FORMATS[format].suffix}"
    np.testing.assert_allclose(FORMATS[format].load(written)(obs), ddpg.load(trained.path, 3)(obs), atol=1e-5)
    written.unlink()
    ddpg.export(trained.path, format, path, 5, best=True)
    np.testing.assert_allclose(FORMATS[format].load(path)(obs), ddpg.load(trained.path, 5, best=True)(obs), atol=1e-5)


def full(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def half(path: Path, arrays: dict[str, Any]) -> None:
    save_npz(path, arrays)
    path.write_bytes(path.read_bytes()[:-1000])
    raise OSError("HDF5 says\nseveral lines")


FAILURES = {
    "no space": (Format(".npz", full, standalone_policy.load), r"cannot be written \(No space left on device\)"),
    "half a file": (Format(".npz", half, standalone_policy.load), r"cannot be written \(HDF5 says several lines\)"),
    "another policy": (
        FORMATS["numpy"]._replace(load=lambda _: lambda obs: np.zeros((len(obs), 1))),
        "no file is left",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_leaves_what_was_there(
    failure: str, trained: ddpg.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, said = FAILURES[failure]
    monkeypatch.setitem(export.FORMATS, "numpy", form)
    path = tmp_path / "policy.npz"
    for before in ([], [path]):
        with pytest.raises(ValueError, match=said) as error:
            ddpg.export(trained.path, "numpy", path)
        assert "\n" not in str(error.value)
        assert list(tmp_path.iterdir()) == before
        path.write_bytes(b"of last week")
    assert path.read_bytes() == b"of last week"


def test_without_onnx_it_is_said_what_to_install(
    trained: ddpg.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ddpg.records.networks.onnx.find_spec", lambda name: None if name == "onnxruntime" else object()
    )
    with pytest.raises(ValueError, match="needs onnxruntime: pip install onnxruntime, or choose --format numpy"):
        ddpg.export(trained.path, "onnx", tmp_path / "policy.onnx")
    ddpg.export(trained.path, "numpy", tmp_path / "policy.npz")
    with pytest.raises(ValueError, match=r"format 'tflite', expected one of onnx, hdf5, numpy"):
        ddpg.export(trained.path, "tflite")


def test_a_policy_that_diverged_is_not_exported(
    trained: ddpg.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "load", lambda *_: SimpleNamespace(greedy=made(factor=np.inf).policy, spec=ARM))
    for name, form in FORMATS.items():
        with pytest.raises(Mistake, match="dense_0/weight has NaN or infinite values, so its training diverged"):
            ddpg.export(trained.path, name, tmp_path / f"policy{form.suffix}")
    assert not list(tmp_path.iterdir())
