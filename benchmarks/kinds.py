"""Environments of eight kinds that users bring: `doctor.py` trains in them. Small, in pure Python and NumPy.

ids such as kinds:Drone-v0, with benchmarks on PYTHONPATH. Pendulum-v1, the eighth, is Gymnasium's.
"""

import math
import time
from abc import abstractmethod
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

UP = np.array([0.0, 0.0, 2.0])
Step = tuple[Any, float, bool, bool, dict[str, Any]]


def box(low: list[float], high: list[float]) -> spaces.Box:
    return spaces.Box(np.array(low, np.float32), np.array(high, np.float32))


def reals(n: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (n,), np.float32)


class Plant(gymnasium.Env):
    """What is common to them: `begin` draws a start, `move` is one step, `view` an observation."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay  # seconds of each step

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        self.begin(self.np_random)
        return self.view(), {}

    def step(self, action: np.ndarray) -> Step:
        if self.delay:
            time.sleep(self.delay)
        self.t += 1
        reward, terminated = self.move(np.asarray(action, float))
        return self.view(), float(reward), bool(terminated), False, {}

    @abstractmethod
    def begin(self, rng: np.random.Generator) -> None: ...

    @abstractmethod
    def move(self, action: np.ndarray) -> tuple[float, bool]: ...

    @abstractmethod
    def view(self) -> Any: ...


class Drone(Plant):
    """Fly to a goal and hover there, by thrust, roll and pitch; a crash ends the episode and costs 10."""

    observation_space = reals(11)
    action_space = box([-1, -1, -1], [1, 1, 1])

    def begin(self, rng: np.random.Generator) -> None:
        self.place, self.goal = rng.uniform(-1, 1, 3) + UP, rng.uniform(-1, 1, 3) + UP
        self.speed, self.tilt = rng.normal(0, 0.2, 3), rng.normal(0, 0.1, 2)

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        self.tilt = self.tilt + 0.05 * 3.0 * action[1:]
        roll, pitch = self.tilt
        thrust = 9.81 * (1 + 0.8 * action[0])
        upright = math.cos(roll) * math.cos(pitch)
        force = np.array([thrust * math.sin(pitch), -thrust * math.sin(roll), thrust * upright - 9.81])
        self.speed = self.speed + 0.05 * (force - 0.2 * self.speed)
        self.place = self.place + 0.05 * self.speed
        off = float(np.linalg.norm(self.place - self.goal))
        crashed = self.place[2] < 0 or off > 5 or max(abs(roll), abs(pitch)) > 1.2
        return math.exp(-off) - 0.02 * float(action @ action) - 10.0 * crashed, crashed

    def view(self) -> np.ndarray:
        return np.concatenate([self.goal - self.place, self.speed, self.tilt, self.place]).astype(np.float32)


class Tank(Plant):
    """Hold level and temperature of a tank by inflows of hot and cold water; no flow can be negative."""

    observation_space = reals(4)
    action_space = box([0, 0], [4, 1.5])  # litres per second: hot, cold

    def begin(self, rng: np.random.Generator) -> None:
        self.level, self.heat = rng.uniform(20, 80), rng.uniform(15, 60)
        self.wanted, self.warm = rng.uniform(30, 70), rng.uniform(30, 50)

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        hot, cold = action
        out = 0.25 * math.sqrt(max(self.level, 0.0))
        inside = max(self.level, 1.0)
        self.heat += (hot * (70 - self.heat) + cold * (10 - self.heat)) / inside
        self.level = min(max(self.level + hot + cold - out, 0.0), 100.0)
        return math.exp(-abs(self.level - self.wanted) / 20 - abs(self.heat - self.warm) / 10), False

    def view(self) -> np.ndarray:
        return np.array([self.level, self.heat, self.wanted, self.warm], np.float32)


class Spring(Plant):
    """Swing a mass on a spring to a goal 3.5 times beyond where the force alone can hold it: 1 there, else 0."""

    observation_space = reals(2)
    action_space = box([-1], [1])

    def begin(self, rng: np.random.Generator) -> None:
        self.x, self.v = rng.uniform(-0.2, 0.2, 2)

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        self.v += 0.1 * (0.4 * action[0] - 2 * self.x - 0.1 * self.v)
        self.x += 0.1 * self.v
        return float(self.x > 0.7), self.x > 0.7

    def view(self) -> np.ndarray:
        return np.array([self.x, self.v], np.float32)


class Rod(Plant):
    """Bring a rod of eight cells to a profile of temperatures by two heaters; every step takes a while."""

    observation_space = reals(10)
    action_space = box([-1, -1], [1, 1])

    def __init__(self, delay: float = 0.002) -> None:
        super().__init__(delay)

    def begin(self, rng: np.random.Generator) -> None:
        self.cells, self.wanted = rng.uniform(-1, 1, 8), rng.uniform(-0.5, 0.5, 2)

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        for _ in range(4):
            around = np.concatenate([self.cells[:1], self.cells, self.cells[-1:]])
            self.cells = self.cells + 0.2 * (around[2:] - 2 * self.cells + around[:-2]) - 0.02 * self.cells
            self.cells[[1, 6]] += 0.1 * action
        profile = np.repeat(self.wanted, 4)
        return -float(np.abs(self.cells - profile).mean()), False

    def view(self) -> np.ndarray:
        return np.concatenate([self.cells, self.wanted]).astype(np.float32)


class Microgrid(Plant):
    """Buy power for a day in quarters of an hour: charge a battery and heat two zones while the price changes."""

    observation_space = spaces.Dict(
        {
            "zones": spaces.Box(-50.0, 100.0, (2,), np.float32),
            "battery": spaces.Box(0.0, 10.0, (1,), np.float32),
            "price": spaces.Box(0.0, 1.0, (2,), np.float32),  # now, and in an hour
            "weekend": spaces.MultiBinary(1),
        }
    )
    action_space = box([-2500, 0, 0], [2500, 4000, 4000])  # watts

    def begin(self, rng: np.random.Generator) -> None:
        self.zones, self.battery = rng.uniform(15, 23, 2), rng.uniform(0, 10)
        self.weekend, self.shift, self.outside = int(rng.integers(2)), rng.uniform(0, 2 * math.pi), rng.uniform(-5, 10)

    def price(self, t: int) -> float:
        return 0.3 + (0.1 if self.weekend else 0.25) * math.sin(2 * math.pi * t / 48 + self.shift)

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        charge = float(np.clip(action[0] / 1000, -4 * self.battery, 4 * (10 - self.battery)))  # kW
        self.battery += 0.25 * charge * (0.95 if charge > 0 else 1.0)
        heat = action[1:] / 1000
        self.zones = self.zones + 0.6 * heat - 0.05 * (self.zones - self.outside)
        cost = 0.25 * (charge + float(heat.sum())) * self.price(self.t)
        comfort = float(np.abs(self.zones - 20).mean())
        return -cost - 0.2 * comfort, False

    def view(self) -> dict[str, np.ndarray]:
        return {
            "zones": self.zones.astype(np.float32),
            "battery": np.array([self.battery], np.float32),
            "price": np.array([self.price(self.t), self.price(self.t + 4)], np.float32),
            "weekend": np.array([self.weekend], np.int8),
        }


class Thermostat(Plant):
    """Four rooms in a row, a radiator in each: hold four setpoints for a day at little power."""

    observation_space = reals(9)
    action_space = box([0, 0, 0, 0], [1, 1, 1, 1])

    def begin(self, rng: np.random.Generator) -> None:
        self.rooms, self.wanted = rng.uniform(12, 24, 4), rng.uniform(17, 22, 4)
        self.outside = rng.uniform(-5, 10)

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        beside = np.concatenate([self.rooms[:1], self.rooms, self.rooms[-1:]])
        between = beside[2:] - 2 * self.rooms + beside[:-2]
        self.rooms = self.rooms + 3.0 * action + 0.1 * between - 0.06 * (self.rooms - self.outside)
        return -float(np.abs(self.rooms - self.wanted).mean()) - 0.1 * float(action.sum()), False

    def view(self) -> np.ndarray:
        return np.concatenate([self.rooms, self.wanted, [self.outside]]).astype(np.float32)


class Ship(Plant):
    """Steer a slow ship to a line 30 lengths away and along it: episodes of a thousand steps."""

    observation_space = reals(4)
    action_space = box([-0.6], [0.6])  # rudder, radians

    def begin(self, rng: np.random.Generator) -> None:
        self.off, self.heading = rng.uniform(-30, 30), rng.uniform(-1, 1)
        self.turning, self.current = 0.0, rng.uniform(-0.02, 0.02)

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        self.turning += 0.05 * (0.15 * float(action[0]) - self.turning)
        self.heading = math.remainder(self.heading + 0.2 * self.turning, 2 * math.pi)
        self.off += 0.1 * math.sin(self.heading) + self.current
        return math.cos(self.heading) * math.exp(-abs(self.off) / 10), False

    def view(self) -> np.ndarray:
        return np.array([self.off, math.cos(self.heading), math.sin(self.heading), self.turning], np.float32)


for plant, limit in (
    (Drone, 250),
    (Tank, 200),
    (Spring, 200),
    (Rod, 100),
    (Microgrid, 96),
    (Thermostat, 96),
    (Ship, 1000),
):
    gymnasium.register(f"{plant.__name__}-v0", entry_point=f"kinds:{plant.__name__}", max_episode_steps=limit)
