"""Which environment is meant, and that no folder has a module imported."""

import sys
from typing import Any

import gymnasium
import pytest

from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.environment import gymnasium_version, resolve, resolve_for, split_id
from ddpg.envs.as_gymnasium import spec_of
from ddpg.envs.gymnasium_factory import GymFactory
from ddpg.envs.pendulum import Pendulum
from ddpg.envs.point_goal import PointGoal
from ddpg.envs.repeat import Repeat
from ddpg.envs.view import Drawn, View
from ddpg.mistake import Mistake

STROLL = "tests.gym_worlds:Stroll-v3"


@pytest.mark.parametrize(
    ("id", "prefix", "name"),
    [
        ("Pendulum-v1", "", "Pendulum-v1"),
        ("gym:Pendulum-v1", "gym", "Pendulum-v1"),
        ("jax:Pendulum-v1", "jax", "Pendulum-v1"),
        ("my_module:MyEnv-v0", "", "my_module:MyEnv-v0"),
        ("gym:jax:MyEnv-v0", "gym", "jax:MyEnv-v0"),  # of the module jax
        ("gym", "", "gym"),
    ],
)
def test_an_id_has_one_prefix_at_most(id: str, prefix: str, name: str) -> None:
    assert split_id(id) == (prefix, name)


def made(*args: Any, **kwargs: Any) -> GymFactory:
    found = resolve(*args, **kwargs)
    assert isinstance(found, GymFactory)
    return found


def test_ids_choose_between_native_and_gymnasium() -> None:
    assert resolve("Pendulum-v1") == resolve("jax:Pendulum-v1") == Pendulum()
    gym = made("gym:Pendulum-v1")
    assert (gym.id, gym.spec, gym.max_episode_steps, gym.changed) == ("Pendulum-v1", Pendulum.spec, 200, False)
    assert made("Pendulum-v1", ["g=5"]).changed
    with pytest.raises(ValueError, match=r"'Hopper-v5' does not exist; available: Pendulum-v1, PointGoal-v0; use gym:"):
        resolve("jax:Hopper-v5")
    for id, args in (("gym:PointGoal-v0", []), ("PointGoal-v0", ["k=3"])):
        with pytest.raises(ValueError, match=r"PointGoal-v0 exists in JAX alone, .*; train it as jax:PointGoal-v0$"):
            resolve(id, args)
    with pytest.raises(ValueError, match="'Pendulum-v1' takes no env-args; use gym:Pendulum-v1"):
        resolve("jax:Pendulum-v1", ["g=5"])


def test_what_exists_in_jax_alone_keeps_its_parts_unless_it_is_seen_otherwise() -> None:
    gym = gymnasium_version(resolve("jax:PointGoal-v0"))
    assert (gym.spec.leaves, spec_of(gym)) == ((), PointGoal().spec)
    seen = gym.seen(View(Drawn(size=16), stack=3))
    assert spec_of(seen) == seen.spec
    assert seen.spec.obs_dtype == "uint8"


@pytest.mark.parametrize("id", [STROLL, f"gym:{STROLL}"])
def test_a_module_of_ones_own(id: str) -> None:
    gym = made(id, ["limit=9", "mode=hard"], repeat=2)
    assert (gym.id, gym.spec.obs_shape, gym.spec.action_high, gym.repeat) == (STROLL, (2,), (3.0,), 2)
    env: Any = gym.make().unwrapped
    assert (env.limit, env.mode) == (9, "hard")


def test_what_cannot_be_made_is_said_on_one_line() -> None:
    with pytest.raises(ValueError, match=r"cannot be made: OSError: no such robot \(in .*line \d+\)$"):
        resolve(STROLL, ["mode=broken"])
    with pytest.raises(ValueError, match=r"cannot be made: TypeError: .*unexpected keyword argument 'weight'"):
        resolve(STROLL, ["weight=3"])
    for id in ("no_module_of_this_name:Walk-v3", "tests.gym_worlds:Strol-v3"):
        with pytest.raises(ValueError, match=f"environment '{id}' cannot be made: .*(No module|Strol|Error)") as caught:
            resolve(id)
        assert "\n" not in str(caught.value)


def test_unknown_ids_have_neighbours() -> None:
    with pytest.raises(ValueError, match=r"unknown environment 'Pendulum-v7'; did you mean .*Pendulum-v1"):
        resolve("Pendulum-v7")
    with pytest.raises(ValueError, match=r"unknown environment 'gym:Pendulun'; did you mean .*Pendulum-v1"):
        resolve("gym:Pendulun")
    with pytest.raises(ValueError, match=r"unknown environment 'zzz'; expected an id that gymnasium.make takes"):
        resolve("zzz")


@pytest.mark.parametrize("own", ["this:That-v0", "gym:this:That-v0", "jax:this:That-v0", "gym:jax:That-v0"])
def test_a_folder_has_no_module_imported_unless_the_user_names_it(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    sys.modules.pop("this", None)
    config = override(PRESETS["ddpg"], {"env": own})
    with pytest.raises(Mistake, match=f"imports a module, which is not done .*; add --env {own} if you trust it"):
        resolve_for(config)
    assert "this" not in sys.modules
    assert capsys.readouterr().out == ""
    with pytest.raises(Mistake, match=r"cannot be made|'this:That-v0' does not exist"):
        resolve_for(config, own)
    assert ("this" in sys.modules) == (own in ("this:That-v0", "gym:this:That-v0"))


@pytest.mark.parametrize(
    ("own", "env", "args", "g"),
    [
        ("gym:Pendulum-v1", None, (), 9.0),
        ("gym:Pendulum-v1", "Pendulum-v1", (), 9.0),
        ("Pendulum-v1", "gym:Pendulum-v1", (), 9.0),
        ("Pendulum-v1", None, ("g=5",), 5.0),
        ("MountainCarContinuous-v0", "Pendulum-v1", ("g=5",), 5.0),
    ],
)
def test_arguments_of_a_run_are_kept_where_its_id_is(
    own: str, env: str | None, args: tuple[str, ...], g: float
) -> None:
    config = override(PRESETS["ddpg"], {"env": own, "env_args": "g=9.0"})
    made = resolve_for(config, env, args)
    assert isinstance(made, GymFactory)
    with made.make() as one:
        assert getattr(one.unwrapped, "g") == g  # noqa: B009


def test_environments_that_are_no_ids() -> None:
    config = override(PRESETS["ddpg"], {"action_repeat": 2})
    repeated = resolve_for(config, Pendulum())
    assert isinstance(repeated, Repeat)
    assert resolve_for(config, repeated) is repeated
    made = resolve_for(config, lambda: gymnasium.make("Pendulum-v1"))
    assert isinstance(made, GymFactory)
    assert (made.repeat, made.changed) == (2, True)
    with pytest.raises(ValueError, match="an environment that is no id takes none"):
        resolve_for(config, Pendulum(), ["g=5"])
    assert resolve(made) is made


def test_what_python_steps_of_a_native_environment() -> None:
    own = gymnasium_version(resolve("jax:Pendulum-v1", repeat=2), 2)
    assert (own.id, own.repeat) == ("Pendulum-v1", 2)
    assert gymnasium_version(own) is own


def test_an_id_of_a_version_of_thousands_of_digits_is_unknown() -> None:
    with pytest.raises(Mistake, match="unknown environment"):
        resolve("Pendulum-v" + 5_000 * "9")


@pytest.mark.parametrize("nonsense", [3, None, lambda: 3])
def test_what_is_no_environment(nonsense: Any) -> None:
    with pytest.raises(Mistake, match=r"env (3|None): expected an id, an environment as ddpg"):
        resolve(nonsense)
