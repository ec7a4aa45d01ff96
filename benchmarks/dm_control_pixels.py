r"""Tasks of the DeepMind Control Suite from 64 x 64 grey pixels, drawn plainly, every action held for two frames.

    python -m venv dmc && dmc/bin/pip install . dm_control 'mujoco>=3.17,<4'  # 4.0 lacks fields that it reads
    cd benchmarks && MUJOCO_GL=egl ddpg train dm_control_pixels:CartpoleSwingup-v0 --steps 250000 \
        --collect.steps 100 --collect.updates 50 --actor.schedule.steps 250000 --critic.schedule.steps 250000 \
        --exploration.schedule.steps 50000

250 000 steps are 500 000 frames, and 125 000 updates. Without shadows, reflections and multisampling a picture takes a
tenth of the time.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SIZE, REPEAT = 64, 2
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)
TASKS = {"CartpoleSwingup-v0": ("cartpole", "swingup"), "CheetahRun-v0": ("cheetah", "run")}


class Picture(gymnasium.Env):
    """[64, 64, 1] of the task's first camera; rewards of both frames are added."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, domain: str, task: str, render_mode: str | None = None) -> None:
        from dm_control import suite  # pyright: ignore[reportMissingImports]

        self.render_mode = render_mode
        self._env: Any = suite.load(domain, task)
        model = self._env.physics.model
        model.vis.quality.offsamples = model.vis.quality.shadowsize = 0
        model.mat_reflectance[:] = 0
        bounds = self._env.action_spec()
        self.action_space = spaces.Box(bounds.minimum.astype(np.float32), bounds.maximum.astype(np.float32))
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 1), np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._env.task._random = np.random.RandomState(self.np_random.integers(2**31))
        self._env.reset()
        return self._grey(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward, ended = 0.0, False
        for _ in range(REPEAT):
            if not ended:
                moment = self._env.step(action)
                reward, ended = reward + float(moment.reward), moment.last()
        return self._grey(), reward, False, ended, {}

    def _grey(self) -> np.ndarray:
        return np.round(self.render() @ LUMA).astype(np.uint8)[..., None]

    def render(self) -> np.ndarray:
        return self._env.physics.render(SIZE, SIZE, camera_id=0).copy()


for name, (domain, task) in TASKS.items():
    gymnasium.register(name, entry_point=f"{__name__}:Picture", kwargs={"domain": domain, "task": task})
