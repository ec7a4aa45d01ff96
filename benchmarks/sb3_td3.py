"""TD3 of Stable-Baselines3 with its defaults: one run in an environment of `kinds.py`, as JSON on stdout.

    python benchmarks/sb3_td3.py kinds:Drone-v0 --steps 20000 --seed 0 [--noise 0.1] [--episodes 100]

For an interpreter with stable-baselines3 and without ddpg. Twenty evaluations of ten episodes choose the best policy,
as in ddpg's runs; then the best and the last play the same episodes, greedily. `--noise` explores as the examples of
Stable-Baselines3 do; its default explores by the first hundred random actions alone.
"""

import argparse
import json
import time
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np

FIRST = 1_000  # seed of the first of the final episodes


def mean_return(envs: list[gymnasium.Env], model: Any, episodes: int, seed: int) -> float:
    """Of greedy episodes, as many side by side as there are environments."""
    total = 0.0
    for first in range(0, episodes, len(envs)):
        playing = dict(enumerate(envs[: episodes - first]))
        obs = {i: env.reset(seed=seed + first + i)[0] for i, env in playing.items()}
        while playing:
            actions, _ = model.predict(stacked(list(obs.values())), deterministic=True)
            for (i, env), action in zip(list(playing.items()), actions, strict=True):
                obs[i], reward, terminated, truncated, _ = env.step(action)
                total += float(reward)
                if terminated or truncated:
                    del playing[i], obs[i]
    return total / episodes


def stacked(obs: list[Any]) -> Any:
    return {key: np.stack([each[key] for each in obs]) for key in obs[0]} if isinstance(obs[0], dict) else np.stack(obs)


def measure(id: str, steps: int, seed: int, noise: float, episodes: int) -> dict[str, Any]:
    torch, sb3 = import_module("torch"), import_module("stable_baselines3")
    callbacks = import_module("stable_baselines3.common.callbacks")
    torch.set_num_threads(1)
    env, others = gymnasium.make(id), [gymnasium.make(id) for _ in range(10)]
    policy = "MultiInputPolicy" if isinstance(env.observation_space, gymnasium.spaces.Dict) else "MlpPolicy"
    options = {}
    if noise:
        size = env.action_space.shape or ()
        options["action_noise"] = import_module("stable_baselines3.common.noise").NormalActionNoise(
            np.zeros(size), np.full(size, noise)
        )
    model = sb3.TD3(policy, env, seed=seed, device="cpu", **options)
    best: dict[str, Any] = {"return": -np.inf}

    class Best(callbacks.BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps % (steps // 20) == 0:
                now = mean_return(others, model, 10, 0)
                if now > best["return"]:
                    best.update({"return": now, "step": self.num_timesteps, "policy": model.policy.state_dict()})
                    best["policy"] = {name: value.clone() for name, value in best["policy"].items()}
            return True

    began = time.perf_counter()
    model.learn(steps, callback=Best())
    seconds = time.perf_counter() - began
    last = mean_return(others, model, episodes, FIRST)
    model.policy.load_state_dict(best["policy"])
    chosen = mean_return(others, model, episodes, FIRST)
    return {"last": last, "best": chosen, "best_step": best["step"], "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("env")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--episodes", type=int, default=100)
    args = parser.parse_args()
    print(json.dumps(measure(args.env, args.steps, args.seed, args.noise, args.episodes)))


if __name__ == "__main__":
    main()
