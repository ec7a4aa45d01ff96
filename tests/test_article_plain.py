"""The article's loop learns, and one update of it is the compiled update."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.config.presets import by_name
from ddpg.envs.pendulum import Pendulum
from ddpg.types import Transition
from tests.networks import init_agent

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "article_plain.py"


@pytest.fixture
def plain() -> ModuleType:
    spec = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fill(agent: Any, capacity: int) -> None:
    """Store so many transitions of random numbers."""
    random = np.random.default_rng(1)
    for _ in range(capacity):
        s, s_ = random.normal(size=(2, 3))
        agent.store_transition(s, random.uniform(-1, 1, 1), float(random.uniform(-16, 0)), s_)


def test_its_update_is_the_compiled_update_of_the_preset(plain: ModuleType) -> None:
    """Networks, targets and optimisers after each of three minibatches, drawn as `learn` draws them."""
    config, agent = by_name("article"), plain.Agent(0)
    assert (config.replay.capacity, config.replay.batch) == (plain.MEMORY_CAPACITY, plain.BATCH_SIZE)
    state = init_agent(config.agent, jax.random.key(5), Pendulum().spec)
    online = state.online
    agent.networks = online.actor, online.actor, online.critic, online.critic
    fill(agent, plain.MEMORY_CAPACITY)
    same_draws = np.random.default_rng(7)
    agent.random = np.random.default_rng(7)
    for count in range(3):
        rows = agent.memory[same_draws.integers(plain.MEMORY_CAPACITY, size=plain.BATCH_SIZE)]
        rows = jnp.asarray(rows)
        discount, weight = jnp.full(len(rows), config.gamma), jnp.ones(len(rows))
        batch = Transition(rows[:, :3], rows[:, 3:4], rows[:, 4], discount, rows[:, 5:], weight)
        state, *_ = jax.jit(config.agent.update)(state, batch, jnp.zeros((len(rows), 0)), jnp.int32(count))
        agent.learn()
    expected = state.online.actor, state.target.actor, state.online.critic, state.target.critic
    for one, other in ((agent.networks, expected), (agent.optimisers, (state.actor_opt, state.critic_opt))):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert np.abs(agent.networks[0].layers[0].weight - online.actor.layers[0].weight).max() > 1e-3


def test_noise_of_the_behaviour_policy_is_the_presets(plain: ModuleType) -> None:
    config, agent = by_name("article"), plain.Agent(3)
    exploration, s = config.agent.exploration, np.array([1.0, 0.0, 0.1], np.float32)
    assert agent.var == np.mean(exploration.sigma)
    fill(agent, 5)
    for _ in range(4):
        agent.learn()
    scale = exploration.schedule(np.int64(config.learning_starts + 4))
    assert agent.var == pytest.approx(float(np.mean(exploration.sigma) * scale))
    agent.var, agent.random = 0.3, np.random.default_rng(0)
    mean = agent.get_action(s, greedy=True)
    drawn = np.concatenate([agent.get_action(s) for _ in range(50)])
    noise = 0.3 * np.random.default_rng(0).standard_normal(50)
    np.testing.assert_allclose(drawn, np.clip(mean + noise, -1, 1), rtol=1e-5)
    np.testing.assert_array_equal(agent.get_action(s, greedy=True), mean)


def test_a_debugger_steps_into_its_update(plain: ModuleType) -> None:
    compiled, eager = plain.Agent(0), plain.Agent(0)
    fill(compiled, 50)
    fill(eager, 50)
    compiled.learn()
    with jax.disable_jit():
        eager.get_action(np.zeros(3, np.float32))
        eager.random = np.random.default_rng(0)
        eager.learn()
    for a, b in zip(jax.tree.leaves(compiled.networks), jax.tree.leaves(eager.networks), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_memory_forgets_the_oldest(plain: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "MEMORY_CAPACITY", 3)
    agent = plain.Agent(0)
    for i in range(4):
        agent.store_transition(np.full(3, i), np.array([0.5]), -1.0 * i, np.full(3, i + 1))
    assert agent.pointer == 4
    np.testing.assert_array_equal(agent.memory[:, 0], [3, 1, 2])
    np.testing.assert_array_equal(agent.memory[0], [3, 3, 3, 0.5, -3, 4, 4, 4])


def test_it_learns() -> None:
    """6000 steps with a memory of 2000; four seeds had greedy returns of -143 to -185."""
    # In a process of its own: checks of shapes in every call would take most of the time.
    code = "import article_plain as it; it.MEMORY_CAPACITY = 2000; it.main(['--episodes', '30', '--seed', '1'])"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=EXAMPLE.parent, check=True, capture_output=True, text=True)
    *episodes, greedy = done.stdout.splitlines()
    returns = [float(line.split("return")[1].split()[0]) for line in episodes]
    assert len(returns) == 30
    assert max(returns[:10]) < -700  # nothing is learned before the memory is full
    assert float(greedy.split()[-1]) > -300


def test_every_tenth_episode_is_shown(
    plain: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    really_make, shown = plain.gymnasium.make, []

    class Window(plain.gymnasium.Wrapper):
        def step(self, action: Any) -> Any:
            shown.append(self.render().shape)
            return super().step(action)

    def make(id: str, render_mode: str | None = None) -> Any:
        return Window(really_make(id, render_mode="rgb_array")) if render_mode == "human" else really_make(id)

    monkeypatch.setattr(plain.gymnasium, "make", make)
    monkeypatch.setattr(plain, "MAX_STEPS", 2)
    plain.main(["--episodes", "21", "--render"])
    assert len(capsys.readouterr().out.splitlines()) == 22
    assert shown == [(500, 500, 3)] * 4


def test_the_tutorials_table_quotes_the_example() -> None:
    """Every line in its right column is in the file."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    table = page.split("| Line of the article | Line here |")[1].split("\n\n")[0]
    code = " ".join(EXAMPLE.read_text(encoding="utf-8").split())
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:] if not row.startswith("| **")]
    quoted = [line for _, here in rows for line in re.findall(r"(?<!\[)`([^`]+)`(?!\])", here)]
    assert len(quoted) > 30
    assert [line for line in quoted if line not in code] == []
