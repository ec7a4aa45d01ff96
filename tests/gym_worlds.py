"""The environments for Gymnasium that tests define; worker processes import them from here."""

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from ddpg.envs.gymnasium_edge import CheckedEnv
from ddpg.envs.gymnasium_factory import GymFactory, by_callable
from ddpg.envs.python_vector import PythonVector

PLANE, UNIT = spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(-1.0, 1.0, (1,))
GymStep = tuple[Any, Any, Any, Any, dict[str, Any]]
GymReset = tuple[Any, dict[str, Any]]


class GymWalk(gymnasium.Env):
    """x <- x + a from 0; an episode ends above 1 and is truncated after 6 steps, both at once too."""

    observation_space, action_space = PLANE, UNIT

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        self.x, self.t = np.float32(0), 0
        return np.zeros(2, np.float32), {}

    def step(self, action: np.ndarray) -> GymStep:
        self.x, self.t = self.x + np.float32(action[0]), self.t + 1
        obs = np.array([self.x, self.t], np.float32)
        return obs, float(10 * self.x + 1), bool(self.x > 1), self.t >= 6, {}


def answer(what: Any) -> Any:
    return what() if callable(what) else what


class Puppet(gymnasium.Env):
    """Answers what a test wants, a value or a function; episodes last `length` steps and end as in its arguments."""

    def __init__(
        self,
        obs: spaces.Space = PLANE,
        action: spaces.Space = UNIT,
        says: Any = (0.0, 0.0),
        rewards: Any = 1.0,
        length: int = 5,
        terminated: Any = True,
        truncated: Any = False,
    ) -> None:
        self.observation_space, self.action_space = obs, action
        self.says, self.rewards, self.length, self.ends = says, rewards, length, (terminated, truncated)
        self.got, self.seeds = list[Any](), list[int | None]()

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        self.t = 0
        self.seeds.append(seed)
        return answer(self.says), {}

    def step(self, action: np.ndarray) -> GymStep:
        self.t += 1
        self.got.append(action)
        over = self.t >= self.length
        terminated, truncated = self.ends if over else (False, False)
        return answer(self.says), answer(self.rewards), terminated, truncated, {}


def factory_of(make: Callable[[], gymnasium.Env], repeat: int = 1) -> GymFactory:
    return by_callable(make, make(), repeat)


def checked(repeat: int = 1, **fields: Any) -> tuple[CheckedEnv, Puppet]:
    """A puppet behind the edge, and the puppet."""
    puppet = Puppet(**fields)
    return factory_of(lambda: puppet, repeat).make(), puppet


def play(envs: PythonVector, steps: int) -> list[np.ndarray]:
    """What S x N environments answer to a reset and to random steps."""
    rng, answers = np.random.default_rng(0), [envs.reset()]
    seeds, n = answers[0].shape[:2]
    for _ in range(steps):
        action = rng.uniform(-1, 1, (seeds, n, 1)).astype(np.float32)
        answers += [np.array(part) for part in envs.step(action)]
    envs.close()
    return answers


class Alone(Puppet):
    """A simulator that takes a port, here a file, so that there is one at a time."""

    def __init__(self, port: str, **fields: Any) -> None:
        super().__init__(**fields)
        self.port = port
        os.close(os.open(port, os.O_CREAT | os.O_EXCL))

    def close(self) -> None:
        os.unlink(self.port)


class Stroll(gymnasium.Env):
    """Random steps; ends beyond 1, truncated after `limit`; the episode seeded `victim` has `trouble` at its step 3."""

    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space: spaces.Space = spaces.Box(-1, 3, (1,))

    def __init__(self, limit: int = 6, mode: str = "easy", trouble: str = "none", victim: int | None = None) -> None:
        if mode == "broken":
            raise OSError("no such\nrobot")
        self.limit, self.mode, self.trouble, self.victim = limit, mode, trouble, victim

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        super().reset(seed=seed)
        self.x, self.t, self.seed = self.np_random.normal() / 2, 0, seed
        if self.trouble == "reset" and seed == self.victim:
            raise RuntimeError("door is shut")
        return np.array([self.x, 0.0]), {}

    def step(self, action: np.ndarray) -> GymStep:
        self.t += 1
        if self.seed == self.victim and self.t == 3:
            match self.trouble:
                case "exit":
                    os._exit(3)
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "raise":
                    raise RuntimeError("out of\nfuel")
        self.x += 0.5 * action[0] + 0.3 * self.np_random.normal()
        return np.array([self.x, self.t]), float(self.x), bool(self.x > 1), self.t >= self.limit, {}


class Wander(gymnasium.Env):
    """A random walk with episodes of random length, ended in either way; `whimsical` ones never repeat an episode."""

    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = UNIT
    lives = 0

    def __init__(self, whimsical: bool = False) -> None:
        Wander.lives += 1
        self.whim = 0.001 * Wander.lives * whimsical

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        super().reset(seed=seed)
        self.x, self.t, self.length = 0.0, 0, int(self.np_random.integers(1, 9))
        return self.observe(), {}

    def step(self, action: np.ndarray) -> GymStep:
        self.t += 1
        self.x += float(action[0]) + self.np_random.normal() + self.whim
        over = self.t >= self.length
        return self.observe(), self.x, over and self.length % 2 == 0, over and self.length % 2 == 1, {}

    def observe(self) -> np.ndarray:
        return np.array([self.x, self.t])


class Unrepeatable(gymnasium.Env):
    """Observes the steps that all of its kind have made, so no episode can be had twice; it has no end."""

    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (1,))
    action_space = UNIT
    steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> GymStep:
        Unrepeatable.steps += 1
        return np.array([Unrepeatable.steps], np.float32), 0.0, False, False, {}


class Drift(gymnasium.Env):
    """x <- 0.9 x + 0.1 a, rewarded by -x^2, ten steps long; instance number `victim` has `trouble` at its step `at`."""

    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space: spaces.Space = spaces.Box(np.array([-2.0]), np.array([1.0]), dtype=np.float64)
    instances = 0

    def __init__(self, trouble: str = "none", victim: int = -1, at: int = 0) -> None:
        self.trouble = trouble if victim == Drift.instances else "none"
        self.at, self.life = at, 0
        Drift.instances += 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        super().reset(seed=seed)
        self.x, self.t = self.np_random.normal(), 0
        if self.trouble == "reset" and self.life >= self.at:
            raise RuntimeError("door is shut")
        return self.observe(), {}

    def step(self, action: np.ndarray) -> GymStep:
        self.life, self.t = self.life + 1, self.t + 1
        self.x = 0.9 * self.x + 0.1 * action[0]
        obs, reward = self.observe(), -(float(self.x) ** 2)
        if self.life == self.at:
            match self.trouble:
                case "raise":
                    raise RuntimeError("out of\nfuel")
                case "exit":
                    os._exit(3)
                case "press":
                    os.kill(os.getpid(), signal.SIGINT)
                case "obs":
                    obs = np.array([0.0, np.nan])
                case "shape":
                    obs = np.zeros(3)
                case "dtype":
                    obs = np.array(["a", "b"])
                case "reward":
                    reward = np.inf
        return obs, reward, False, self.t >= 10, {}

    def observe(self) -> np.ndarray:
        scale = 1e30 if self.trouble == "huge" else 1.0
        return scale * np.array([self.x, 0.5 + self.t / 10])


ENDS = {"terminated": (True, False), "truncated": (False, True), "both": (True, True)}
Script = Sequence[tuple[int, str]]  # of each episode, its steps and how it ends


class Scripted(gymnasium.Env):
    """Plays its script again and again; observations are (environment, episode, step), rewards a function of them."""

    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space: spaces.Space = spaces.Box(-1.0, 1.0, (2,), np.float64)

    def __init__(self, number: int, script: Script) -> None:
        self.number, self.script, self.episode = number, script, -1
        self.got = dict[tuple[int, int], np.ndarray]()

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        self.episode, self.t = self.episode + 1, 0
        return self.observe(), {}

    def step(self, action: np.ndarray) -> GymStep:
        length, how = self.script[self.episode % len(self.script)]
        assert self.t < length, "stepped after its end"
        self.got[self.episode, self.t] = action
        self.t += 1
        terminated, truncated = ENDS[how] if self.t == length else (False, False)
        return self.observe(), scripted_reward(self.number, self.episode, self.t), terminated, truncated, {}

    def observe(self) -> np.ndarray:
        return np.array([self.number, self.episode, self.t], np.float64)


def scripted_reward(number: int, episode: int, t: int) -> float:
    """The reward of the step that leads to t."""
    return float(np.sin(100 * number + 10 * episode + t))


class GymPointGoal(gymnasium.Env):
    """`ddpg.envs.point_goal` in NumPy, with the observations of gymnasium-robotics."""

    action_space = spaces.Box(-1.0, 1.0, (2,))
    observation_space = spaces.Dict(
        {name: spaces.Box(-1.0, 1.0, (2,)) for name in ("observation", "desired_goal", "achieved_goal")}
    )

    def __init__(self, radius: float = 0.05, length: int = 50) -> None:
        self.radius, self.length = radius, length

    def reset(self, *, seed: int | None = None, options: Any = None) -> GymReset:
        super().reset(seed=seed)
        self.x, self.goal = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
        self.t = 0
        return self.observe(), {}

    def step(self, action: np.ndarray) -> GymStep:
        self.x, self.t = np.clip(self.x + np.clip(action, -1, 1).astype(np.float32) / np.float32(10), -1, 1), self.t + 1
        reward = float(self.compute_reward(self.x, self.goal, {}))
        return self.observe(), reward, False, self.t >= self.length, {"is_success": reward == 0}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return -(np.linalg.norm(achieved_goal - desired_goal, axis=-1) > self.radius).astype(np.float32)

    def observe(self) -> dict[str, np.ndarray]:
        return {"observation": self.x.copy(), "desired_goal": self.goal.copy(), "achieved_goal": self.x.copy()}


gymnasium.register("Stroll-v3", f"{__name__}:Stroll", disable_env_checker=True)
gymnasium.register("Drift-v0", f"{__name__}:Drift", disable_env_checker=True)
