r"""Tasks of the DeepMind Control Suite, from 64 x 64 grey pixels if they are asked for, drawn plainly.

    python -m venv dmc && dmc/bin/pip install . dm_control 'mujoco>=3.17,<4'  # 4.0 lacks fields that it reads
    cd benchmarks && MUJOCO_GL=egl ddpg train dm_control_pixels:CartpoleSwingup-v0 --steps 125000 \
        --pixels --pixels.size 64 --action_repeat 4 --collect.steps 100 --collect.updates 100 \
        --encoder conv --encoder.filters 64 --encoder.kernels 6 --encoder.strides 4 \
        --actor.schedule.steps 125000 --critic.schedule.steps 125000 --exploration.schedule.steps 25000 \
        --eval.every 2500 --eval.episodes 10

125 000 steps are 500 000 frames. CheetahRun-v0 learns more with two frames an action: `--action_repeat 2 --steps 250000
--augment.pixels 3 --eval.every 5000`, and schedules that are twice as long. Without shadows, reflections and
multisampling a picture takes a tenth of the time; drawn twice as wide and high, and shrunk, it shows what moves by less
than a pixel. Patches that overlap tell speeds better than the preset's, which touch (`dm_control_probe.py`). Where an
action is held for four frames, the pictures of a stack lie as far apart, so that they show more of a movement.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from ddpg.envs.camera import draw_plainly

SIZE = 128  # twice `--pixels.size`
TASKS = {"CartpoleSwingup-v0": ("cartpole", "swingup"), "CheetahRun-v0": ("cheetah", "run")}


class Task(gymnasium.Env):
    """Its observations in a row; drawn by its first camera."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 100}  # noqa: RUF012

    def __init__(self, domain: str, task: str, render_mode: str | None = None) -> None:
        from dm_control import suite  # pyright: ignore[reportMissingImports]

        self.render_mode = render_mode
        self._env: Any = suite.load(domain, task)
        self.model = self._env.physics.model.ptr
        draw_plainly(self)
        bounds, parts = self._env.action_spec(), self._env.observation_spec().values()
        self.action_space = spaces.Box(bounds.minimum.astype(np.float32), bounds.maximum.astype(np.float32))
        self.observation_space = spaces.Box(-np.inf, np.inf, (sum(int(np.prod(part.shape)) for part in parts),))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._env.task._random = np.random.RandomState(self.np_random.integers(2**31))
        return observed(self._env.reset()), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        moment = self._env.step(action)
        return observed(moment), float(moment.reward), False, moment.last(), {}

    def render(self) -> np.ndarray:
        return self._env.physics.render(SIZE, SIZE, camera_id=0).copy()


def observed(moment: Any) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in moment.observation.values()]).astype(np.float32)


for name, (domain, task) in TASKS.items():
    gymnasium.register(name, entry_point=f"{__name__}:Task", kwargs={"domain": domain, "task": task})
