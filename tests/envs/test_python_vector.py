"""Environments that Python steps come back to where they stood, or it is said that they cannot."""

import errno
import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Any, Literal

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpg.envs import python_vector
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.envs.gymnasium_factory import GymFactory, by_callable, by_id, episode_seed
from ddpg.envs.python_vector import PythonStepResult, PythonVector
from ddpg.mistake import Mistake
from tests.gym_worlds import Alone, Puppet, Wander, factory_of, play

STROLL = "tests.gym_worlds:Stroll-v3"


def recipe(whimsical: bool = False, repeat: int = 1) -> GymFactory:
    return by_callable(lambda: Wander(whimsical), Wander(), repeat)


def go(envs: PythonVector, actions: np.ndarray) -> list[PythonStepResult]:
    return [envs.step(action) for action in actions]


@settings(max_examples=40)
@given(st.integers(0, 40), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 12))
def test_what_follows_is_what_would_have_followed(before: int, seeds: int, n: int, repeat: int, kept: int) -> None:
    actions = np.random.default_rng(before).uniform(-1, 1, (before + 30, seeds, n, 1)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(python_vector, "PRUNE_EVERY", kept)
        one = PythonVector(recipe(repeat=repeat), range(seeds), n)
        obs, over = one.reset(), np.zeros((seeds, n), bool)
        for said in go(one, actions[:before]):
            obs, over = said.obs, said.terminated | said.truncated
        history = one.history()
        other = PythonVector(recipe(repeat=repeat), range(seeds), n)
        other.reset()
        stood = other.replay_history(history, obs, over)
        np.testing.assert_array_equal(stood.obs, obs)
        np.testing.assert_array_equal(stood.terminated | stood.truncated, over)
        for expected, found in zip(go(one, actions[before:]), go(other, actions[before:]), strict=True):
            for a, b in zip(expected, found, strict=True):
                np.testing.assert_array_equal(a, b)
        for a, b in zip(one.history(), other.history(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_only_what_is_open_is_kept() -> None:
    envs = PythonVector(recipe(), [0], 2)
    envs.reset()
    go(envs, np.zeros((3 * python_vector.PRUNE_EVERY, 1, 2, 1), np.float32))
    history = envs.history()
    assert (history.lengths < 9).all()
    assert len(history.actions) == history.lengths.sum()
    assert (history.episodes > 300).all()
    assert (history.episodes + history.steps == 3 * python_vector.PRUNE_EVERY + 1).all()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_environment_that_comes_out_differently_is_cut_there(mode: Literal["sync", "async"]) -> None:
    actions = np.zeros((4, 1, 3, 1), np.float32)
    gym = recipe(whimsical=True)
    one = PythonVector(gym, [6], 3)
    one.reset()
    said = go(one, actions)[-1]
    over = said.terminated | said.truncated
    assert not over.all()
    other = PythonVector(gym, [6], 3, mode)
    other.reset()
    if mode == "async":  # where every process counts its own lives
        Wander.lives += 1
    stood = other.replay_history(one.history(), said.obs, over)
    np.testing.assert_array_equal(stood.obs, said.obs)  # what was seen stays
    assert (stood.terminated | stood.truncated).all()
    assert not stood.terminated.any()
    after = other.step(actions[0])  # the next episodes begin
    np.testing.assert_array_equal(after.obs[..., 1], 0)
    assert not (after.terminated | after.truncated).any()
    other.close()


def test_autoreset_is_gymnasiums() -> None:
    gym = by_id(STROLL)
    seed, n, steps = 3, 4, 60
    hosted = PythonVector(gym, [seed], n)
    theirs = SyncVectorEnv(
        [partial(gym.make, i, partial(episode_seed, seed, i)) for i in range(n)], autoreset_mode=AutoresetMode.NEXT_STEP
    )
    np.testing.assert_array_equal(hosted.reset()[0], theirs.reset()[0])
    rng, ends = np.random.default_rng(0), []
    for _ in range(steps):
        action = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
        got, (obs, reward, *flags, _) = hosted.step(action[None]), theirs.step(action)
        np.testing.assert_array_equal(got.obs[0], obs)
        np.testing.assert_array_equal(got.reward[0], reward.astype(np.float32))
        np.testing.assert_array_equal([got.terminated[0], got.truncated[0]], flags)
        ends.append(flags)
    kinds = {tuple(pair) for pair in np.moveaxis(np.array(ends), 1, 2).reshape(-1, 2).tolist()}
    assert kinds == {(False, False), (True, False), (False, True), (True, True)}
    theirs.close()


def test_processes_say_what_one_process_says() -> None:
    gym, before = by_id(STROLL), signal.getsignal(signal.SIGINT)
    hosted = PythonVector(gym, [5, 6], 1, "async")
    assert signal.getsignal(signal.SIGINT) is before  # ignored by the workers alone
    for one, other in zip(play(hosted, 20), play(PythonVector(gym, [5, 6], 1), 20), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def test_episodes_are_seeded_by_run_environment_and_number() -> None:
    puppets = list[Puppet]()

    def make() -> Puppet:
        puppets.append(Puppet(length=2))
        return puppets[-1]

    play(PythonVector(factory_of(make), [5, 6, 7], 2), 7)
    several, expected = [puppet.seeds for puppet in puppets[1:]], []
    for run in (5, 6, 7):
        expected += [[episode_seed(run, env, episode) for episode in range(3)] for env in (0, 1)]
    assert several == expected
    assert len({seed for seeds in several for seed in seeds}) == 18
    puppets.clear()
    play(PythonVector(factory_of(make), [7], 2), 7)
    assert [puppet.seeds for puppet in puppets[1:]] == several[4:]


def test_a_seed_among_several_meets_what_it_meets_alone() -> None:
    gym, action = by_id(STROLL), np.full((3, 2, 1), 0.1, np.float32)
    several, alone = PythonVector(gym, [5, 6, 7], 2), PythonVector(gym, [7], 2)
    np.testing.assert_array_equal(several.reset()[2:], alone.reset())
    for _ in range(30):
        for one, other in zip(several.step(action)[:4], alone.step(action[2:])[:4], strict=True):
            np.testing.assert_array_equal(one[2:], other)


def test_episodes_of_one_step() -> None:
    hosted = PythonVector(factory_of(partial(Puppet, length=1)), [0], 2)
    hosted.reset()
    action = np.zeros((1, 2, 1), np.float32)
    for i in range(6):
        said = hosted.step(action)
        assert said.terminated.all() == said.terminated.any() == (i % 2 == 0)
        assert not said.truncated.any()
        np.testing.assert_array_equal(said.reward, (i + 1) % 2)


def test_environments_end_when_they_end() -> None:
    made, ends = iter([1, 2, 3, 5]), [(True, False), (False, True), (True, True)]
    kinds = iter([(False, False), *ends])

    def make() -> Puppet:
        terminated, truncated = next(kinds)
        return Puppet(length=next(made), terminated=terminated, truncated=truncated)

    hosted = PythonVector(factory_of(make), [0], 3)
    hosted.reset()
    said = [hosted.step(np.zeros((1, 3, 1), np.float32)) for _ in range(12)]
    for env, (length, (terminated, truncated)) in enumerate(zip([2, 3, 5], ends, strict=True)):
        ended = [(i + 1) % (length + 1) == length for i in range(12)]
        boundary = [i % (length + 1) == length for i in range(12)]
        assert [bool(s.terminated[0, env]) for s in said] == [terminated and end for end in ended]
        assert [bool(s.truncated[0, env]) for s in said] == [truncated and end for end in ended]
        assert [float(s.reward[0, env]) for s in said] == [0.0 if b else 1.0 for b in boundary]


def test_closing_what_misbehaves_is_silent() -> None:
    class Stuck(Puppet):
        def close(self) -> None:
            raise RuntimeError("the lid is stuck")

    puppets = iter([Puppet(), Stuck()])
    hosted = PythonVector(factory_of(lambda: next(puppets)), [0], 1)
    hosted.reset()
    hosted.close()


RAISED = (
    r"environment 1 at its step 3 \(episode 1\): step raised RuntimeError: out of fuel \(in .*worlds.py, line \d+\)$"
)
SHUT = (
    r"environment 1 at its step 0 \(episode 1\): reset raised RuntimeError: door is shut \(in .*worlds.py, line \d+\)$"
)
DIED = r"environment 1 at step 3: its worker process died \(exit status {}\)$"


@pytest.mark.parametrize(
    ("mode", "trouble", "said"),
    [
        ("sync", "raise", RAISED),
        ("sync", "reset", SHUT),
        ("async", "raise", RAISED),
        ("async", "reset", SHUT),
        ("async", "exit", DIED.format(3)),
        ("async", "kill", DIED.format(-signal.SIGKILL)),
    ],
)
def test_trouble_of_one_among_several(mode: Literal["sync", "async"], trouble: str, said: str) -> None:
    gym = by_id(STROLL, {"trouble": trouble, "victim": episode_seed(4, 1, 0), "limit": 20})
    hosted = PythonVector(gym, [4], 2, mode)
    actions = np.full((1, 2, 1), -1.0, np.float32)

    def live() -> None:
        hosted.reset()
        for _ in range(10):
            hosted.step(actions)

    with pytest.raises(EnvironmentFailure, match=f"^{said}") as caught:
        live()
    hosted.close()
    if trouble in ("raise", "reset"):  # with the traceback in the environment, from another process too
        assert f"in {'step' if trouble == 'raise' else 'reset'}\n" in "".join(format_exception(caught.value))


def test_a_worker_that_cannot_make_its_environment(tmp_path: Path) -> None:
    gym = factory_of(partial(Alone, str(tmp_path / "port")))
    said = r"^environment \d of 'Alone' cannot be made: FileExistsError: .* \(in .*gym_worlds.py, line \d+\)$"
    with pytest.raises(EnvironmentFailure, match=said):
        PythonVector(gym, [0], 2, "async")
    gym = factory_of(partial(Alone, str(tmp_path / "another")))
    hosted = PythonVector(gym, [0], 1)
    with pytest.raises(EnvironmentFailure, match=said):
        PythonVector(gym, [0], 1)
    hosted.close()


def in_a_daemon(_: int) -> str:
    with pytest.raises(Mistake) as caught:
        PythonVector(factory_of(Puppet), [0], 2, "async")
    return str(caught.value)


def test_a_daemon_may_have_no_workers() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (message,) = pool.map(in_a_daemon, [0])
    assert message.startswith("worker processes cannot start: this one is a daemon, as those of a Pool")
    assert "\n" not in message


def test_without_shared_memory_a_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **fields: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("ddpg.envs.worker_processes.AsyncVectorEnv", refuse)
    with pytest.raises(
        Mistake, match=r"cannot start \(Read-only file system\); they need /dev/shm.*: use --collect.vec"
    ):
        PythonVector(factory_of(Puppet), [0], 2, "async")


def test_a_worker_killed_from_outside() -> None:
    hosted = PythonVector(by_id(STROLL), [0], 2, "async")
    hosted.reset()
    processes: Any = vars(hosted)["_all"]._all.processes
    os.kill(processes[1].pid, signal.SIGKILL)
    with pytest.raises(
        EnvironmentFailure, match=r"^environment 1 at step \d+: its worker process died \(exit status -9\)$"
    ):
        play(hosted, 10)
    hosted.close()
    assert not any(process.is_alive() for process in processes)
