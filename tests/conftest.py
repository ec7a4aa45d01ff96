"""Before any test: shapes checked in every function of ddpg, two CPU devices, and compiled programs kept on disk."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import install_import_hook

from tests.tiny import TINY

if TYPE_CHECKING:
    import ddpg

# Every module with shapes in its signatures; before ddpg is imported for the first time.
SRC = Path(__file__).parents[1] / "src"
SHAPED = [path.relative_to(SRC) for path in SRC.rglob("*.py") if "from jaxtyping import" in path.read_text()]
install_import_hook([".".join(path.with_suffix("").parts) for path in SHAPED], "beartype.beartype")

hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("suite")

# Files that compile most are run first, so that no process is left with a long one while the others have ended.
FIRST = [
    "test_docs.py",
    "test_resume.py",
    "test_agent.py",
    "test_train.py",
    "test_loop.py",
    "test_networks.py",
    "test_host.py",
    "test_probes.py",
]


EMITTERS = "xla_cpu_use_fusion_emitters"


def xla_has(option: str) -> bool:
    """Whether XLA has an option of compilation, which newer versions may not."""
    try:
        jax.jit(lambda x: x, compiler_options={option: False})(0)
    except jax.errors.JaxRuntimeError:
        return False
    return True


def pytest_configure(config: pytest.Config) -> None:
    from ddpg.training.devices import ON_CPU, cache_programs

    if hasattr(config, "cache"):  # not under -p no:cacheprovider
        cache_programs(str(config.cache.mkdir("jax")))
    # Most of the suite's time is XLA's; what takes minutes more is compiled as users have it.
    quick = config.option.markexpr == "not slow"
    jax.config.update("jax_disable_most_optimizations", quick)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 2)
    assert jax.device_count() == 2  # starts JAX, so that nothing can change its devices any more
    if quick and xla_has(EMITTERS):
        ON_CPU[EMITTERS] = False  # the older ones, which take 0.4 of the time
        if config.getoption("numprocesses", 0):  # for what tests compile themselves: XLA reads its flags as it starts
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --{EMITTERS}=false"
    gc.freeze()  # what is imported is no garbage, so that collections need not look through it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: i for i, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))


def bits(leaf: Any) -> np.ndarray:
    """An array as NumPy has it, random keys as the words they are."""
    return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)


@pytest.fixture(scope="session")
def assert_identical() -> Callable[[Any, Any], None]:
    """Asserts that two trees are equal bit for bit, and names the first leaf that is not."""

    def compare(one: Any, other: Any) -> None:
        assert jax.tree.structure(one) == jax.tree.structure(other)
        for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
            a, b = bits(a), bits(b)
            assert (a.shape, a.dtype) == (b.shape, b.dtype), jax.tree_util.keystr(path)
            if a.tobytes() != b.tobytes():  # NaN equals itself here
                np.testing.assert_array_equal(a, b, jax.tree_util.keystr(path))
                raise AssertionError(f"{jax.tree_util.keystr(path)}: the same numbers in other bits")

    return compare


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """Compiled programs are dropped if a module leaves many: each has memory mappings, and Linux grants 65 530."""
    yield
    maps = Path("/proc/self/maps")
    if not maps.exists() or maps.read_bytes().count(b"\n") > 10_000:
        jax.clear_caches()


@pytest.fixture(autouse=True, scope="session")
def unhurried() -> Iterator[None]:
    """No clock decides where a run stops: chunks of compiled iterations are whole, and nothing is abandoned."""
    from ddpg.training import interruption, signals

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interruption, "PIECE", 1e9)
        patch.setattr(interruption, "FIRST", 10**9)
        patch.setattr(signals.Stop, "now", lambda self: False)
        yield


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run ends with an empty curve and no film, which take longer than the run."""
    monkeypatch.setattr("ddpg.training.session.Session.draw", lambda self, warn: self.folder.curve.touch())


@pytest.fixture
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """All seeds are computed on the first device: every other compiles the same programs for itself."""
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)
    monkeypatch.setattr(jax, "device_count", lambda: 1)


@pytest.fixture
def newer_emitters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop in code as users have it: the older emitters round a chunk's random numbers by how many it draws."""
    from ddpg.training.devices import ON_CPU

    if EMITTERS in ON_CPU:
        monkeypatch.setitem(ON_CPU, EMITTERS, True)


@pytest.fixture(scope="session")
def cached_programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables of a process of its own that uses the same cache of compiled programs."""
    names = (
        "jax_compilation_cache_dir",
        "jax_compilation_cache_max_size",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_disable_most_optimizations",
    )
    variables = {name.upper(): str(jax.config.values[name]) for name in names}
    if jax.config.values["jax_compilation_cache_dir"] is None:
        variables["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path_factory.mktemp("jax"))
    return variables


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> "ddpg.Run":
    """600 steps of seeds 3, 4 and 5, evaluated after every hundred."""
    import ddpg

    with pytest.MonkeyPatch.context() as patch:  # so that the film is whole, however slow the machine
        patch.setattr("ddpg.training.session.film_seconds", lambda *_, **__: 60.0)
        return ddpg.train(
            "Pendulum-v1", steps=600, seed=3, seeds=3, run=tmp_path_factory.mktemp("tiny") / "run", options=TINY
        )
