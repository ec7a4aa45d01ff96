"""Every exported form answers as the policy in JAX does; a file that would not is never left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ddpg
from ddpg.algorithm.agent import Nets
from ddpg.algorithm.layers import ACTIVATIONS, BatchNorm, LayerNorm, Running
from ddpg.algorithm.networks import Actor, Network, Plain, Residual
from ddpg.algorithm.normaliser import RunningStats
from ddpg.commands import export
from ddpg.commands.export import FORMATS, Form, Format, compare, observations
from ddpg.records.networks import standalone_policy as npz_reader
from ddpg.records.networks.npz import arrays_of, save_npz
from ddpg.training.policy import Policy
from ddpg.types import Spec

# Of 32-bit numbers the nearest to 0.1 is above it.
ARM = Spec(obs_shape=(2, 3), action_low=(-1.0, 0.1, -5.0), action_high=(3.0, 0.5, 0.1))
PIXELS = Spec(obs_shape=(4, 3, 2), action_low=(-2.0,), action_high=(2.0,), obs_dtype="uint8")
SPECS = {"float32": ARM, "uint8": PIXELS}
BLOCKS = {"plain": Plain(), "layer norm": Plain("layer"), "batch norm": Plain("batch"), "residual": Residual()}


class Made(NamedTuple):
    actor: Actor
    stats: RunningStats | None
    spec: Spec


def made(
    activation: Any = "relu",
    normalise: bool = False,
    dtype: str = "float32",
    factor: float = 1.0,
    block: str = "plain",
) -> Made:
    spec, widths = SPECS[dtype], (32, 32) if block == "residual" else (32, 16)
    actor = lived(Network(widths=widths, activation=activation, block=BLOCKS[block]).actor(jax.random.key(0), spec))
    mean, variance = np.linspace(-2, 3, spec.obs_size), np.linspace(0, 9, spec.obs_size)  # one component never changes
    stats = RunningStats(
        jnp.float32(1000), *(jnp.asarray(x, jnp.float32).reshape(spec.obs_shape) for x in (mean, variance))
    )
    return Made(jax.tree.map(lambda leaf: factor * leaf, actor), stats if normalise else None, spec)


def lived(actor: Actor) -> Actor:
    """With norms that have learned and seen something."""
    random = np.random.default_rng(1)

    def norm(node: Any) -> Any:
        if not isinstance(node, LayerNorm | BatchNorm):
            return node
        scale, shift, mean = random.normal(loc=[[1], [0], [0]], size=(3, node.scale.size)).astype(np.float32)
        variance = np.linspace(0.1, 9, node.scale.size, dtype=np.float32)
        return (
            LayerNorm(scale, shift) if isinstance(node, LayerNorm) else BatchNorm(scale, shift, Running(mean, variance))
        )

    return jax.tree.map(norm, actor, is_leaf=lambda node: isinstance(node, LayerNorm | BatchNorm))


def forms(of: Made, folder: Path) -> dict[str, Form]:
    said = {}
    for name, (suffix, save, load) in FORMATS.items():
        save(folder / f"policy{suffix}", *of)
        said[name] = load(folder / f"policy{suffix}")
    return said


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
    critic = Network().critic(jax.random.key(1), of.spec, 1, 1)
    policy, seen = Policy(Nets(of.actor, critic), of.stats, of.spec), observations(of.spec, of.stats)
    assert seen.shape == (1_064, *of.spec.obs_shape)
    assert seen.dtype == of.spec.obs_dtype
    assert np.ptp(policy(usual(of, 50)), axis=0).min() > 1e-3  # there is something to be equal to
    for form in forms(of, folder).values():
        assert compare(form, *of, seen) < 1e-5
        for count in (1, 2, 50):
            obs = usual(of, count)
            assert form(obs).dtype == np.float32
            np.testing.assert_allclose(form(obs), policy(obs), atol=1e-5)


@pytest.mark.parametrize("dtype", SPECS)
@pytest.mark.parametrize("normalise", [False, True], ids=["as it is", "normalised"])
@pytest.mark.parametrize("block", [name for name in BLOCKS if name != "plain"])
def test_every_form_is_the_policy_of_other_layers(block: str, normalise: bool, dtype: str, tmp_path: Path) -> None:
    check_forms(made("silu", normalise, dtype, block=block), tmp_path)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_large_weights_are_no_mistake_of_a_form(activation: str, tmp_path: Path) -> None:
    for normalise in (False, True):
        of = made(activation, normalise, factor=20)
        for form in forms(of, tmp_path).values():
            compare(form, *of, observations(of.spec, of.stats))


@pytest.mark.parametrize("block", BLOCKS)
def test_large_weights_and_norms_are_none_either(block: str, tmp_path: Path) -> None:
    for normalise in (False, True):
        of = made("elu", normalise, factor=5, block=block)
        for form in forms(of, tmp_path).values():
            compare(form, *of, observations(of.spec, of.stats))


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
    of = Made(Network().actor(jax.random.key(0), spec), None, spec)
    for form in forms(of, tmp_path).values():
        compare(form, *of, observations(spec, None))


def changed(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[Made], Form]:
    def form(of: Made) -> Form:
        arrays = arrays_of(*of)
        return npz_reader.policy_of(arrays | {name: np.asarray(change(arrays[name])).astype(arrays[name].dtype.type)})

    return form


WRONG: dict[str, Callable[[Made], Form]] = {
    "weights of three digits": changed("weight_1", lambda x: np.round(x, 3)),
    "another bias": changed("bias_0", lambda x: x + 1e-3),
    "another activation": changed("activation", lambda _: "silu"),
    "no mean": changed("shift", np.zeros_like),
    "no variance": changed("scale", np.ones_like),
    "no limit": changed("limit", lambda _: 1e18),
    "another range": changed("action_high", lambda x: x - 1e-3),
    "a larger range": changed("action_high", lambda x: x + 1e-3),
    "no batch": lambda of: lambda obs: npz_reader.policy_of(arrays_of(*of))(obs)[0],
    "no numbers": lambda of: lambda obs: np.full((len(obs), of.spec.action_dim), np.nan),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_another_policy_is_refused_in_one_line(mistake: str) -> None:
    of = made("gelu", normalise=True)
    form = WRONG[mistake](of)
    with pytest.raises(ValueError, match="no file is left; choose another --format") as error:
        compare(form, *of, observations(of.spec, of.stats))
    assert "\n" not in str(error.value)


WRONG_NORMS: dict[str, tuple[str, Callable[[Made], Form]]] = {
    "another gain": ("layer norm", changed("gain_1", lambda x: x + 1e-3)),
    "another offset": ("residual", changed("offset_0", lambda x: x + 1e-3)),
    "another mean": ("batch norm", changed("mean_0", lambda x: x + 1e-3)),
    "another deviation": ("batch norm", changed("deviation_1", lambda x: x + 1e-3)),
    "no way past a block": ("residual", changed("steps", lambda x: str(x).replace("keep", "").replace("add", ""))),
    "an activation more": ("residual", changed("steps", lambda x: str(x).replace("keep", "activation keep", 1))),
}


@pytest.mark.parametrize("mistake", WRONG_NORMS)
def test_other_layers_are_refused_in_one_line(mistake: str) -> None:
    block, change = WRONG_NORMS[mistake]
    of = made(normalise=True, block=block)
    with pytest.raises(ValueError, match="no file is left; choose another --format") as error:
        compare(change(of), *of, observations(of.spec, of.stats))
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


def full(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def half(path: Path, *of: Any) -> None:
    save_npz(path, *of)
    path.write_bytes(path.read_bytes()[:-1000])
    raise OSError("HDF5 says\nseveral lines")


FAILURES = {
    "no space": (Format(".npz", full, npz_reader.load), r"cannot be written \(No space left on device\)"),
    "half a file": (Format(".npz", half, npz_reader.load), r"cannot be written \(HDF5 says several lines\)"),
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
    with pytest.raises(ValueError, match=r"needs onnxruntime: pip install 'ddpg\[onnx\]', or choose --format numpy"):
        ddpg.export(trained.path, "onnx", tmp_path / "policy.onnx")
    ddpg.export(trained.path, "numpy", tmp_path / "policy.npz")
    with pytest.raises(ValueError, match=r"format 'tflite', expected one of onnx, hdf5, numpy"):
        ddpg.export(trained.path, "tflite")


def test_a_policy_that_diverged_is_not_exported(tmp_path: Path) -> None:
    of = made(factor=np.inf)
    for name in ("onnx", "numpy"):
        with pytest.raises(
            ValueError, match="weight_0 has values that are no finite numbers, so its training diverged"
        ):
            FORMATS[name].save(tmp_path / "policy", *of)
    FORMATS["hdf5"].save(tmp_path / "policy", *of)
    with pytest.raises(ValueError, match="diverged"):
        FORMATS["hdf5"].load(tmp_path / "policy")
