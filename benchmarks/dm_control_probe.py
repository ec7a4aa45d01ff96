"""How well encoders tell the cart-pole's state from three pictures in a row: what an agent could know.

    python benchmarks/dm_control_probe.py [--out benchmarks/results/dm_control_probe.md]

In the environment that `dm_control_pixels.py` describes, two frames between pictures. Each encoder learns with the
trunk, the hidden layers, the random shifts and the falling learning rate of the preset `pixels` to name position, angle
and both speeds, from 4 000 minibatches of 64. Errors are root mean squares on other episodes, relative to the standard
deviation of what is named. `aliased` pictures are drawn in their own size instead of twice that.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dm_control_pixels
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ddpg.config.presets import PRESETS
from ddpg.config.reading import override
from ddpg.envs.camera import Camera
from ddpg.envs.view import Drawn
from ddpg.training.devices import configure_jax
from ddpg.types import Spec

SIZE, STACK, TRAIN, TEST, BATCH, MINIBATCHES, LIMIT = 64, 3, 20_000, 3_000, 64, 4_000, 1.3  # LIMIT: the picture's edge
NAMES = ("position", "cosine", "sine", "speed", "angular speed")
OVER = {"encoder": "conv", "encoder.filters": "64", "encoder.kernels": "6", "encoder.strides": "4"}
RUNS: dict[str, tuple[bool, dict[str, Any]]] = {  # whether pictures are aliased, and options
    "`patches`, 8 × 8, aliased": (True, {}),
    "`patches`, 8 × 8": (False, {}),
    "`patches`, 4 × 4, then 2 × 2": (False, {"encoder.filters": "32,64", "encoder.patches": "4,2"}),
    "`conv`, 64 of 6 × 6, stride 4": (False, OVER),
    "`conv`, 64 of 8 × 8, stride 4": (False, OVER | {"encoder.kernels": "8"}),
    "`conv`, three of 32 of 3 × 3, stride 2": (
        False,
        {"encoder": "conv", "encoder.filters": "32", "encoder.kernels": "3", "encoder.strides": "2,2,2"},
    ),
}


def collected(size: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """So many pictures, drawn in `size`, with the state of each, and whether it is one of the first two of its row."""
    dm_control_pixels.SIZE = size
    env = dm_control_pixels.Task("cartpole", "swingup")
    camera, draw = Camera(env, Drawn(size=SIZE)), np.random.default_rng(seed)
    pictures, states, early, physics = list[np.ndarray](), list[np.ndarray](), list[bool](), env._env.physics
    while len(pictures) < count:
        env.reset(seed=seed * 1_000_000 + len(pictures))
        action, since = np.zeros(1, np.float32), 0
        for _ in range(250):
            if draw.random() < 0.25:
                action = draw.uniform(-1, 1, 1)
            if draw.random() < 0.01:
                physics.data.qpos[:] = draw.uniform((-1.2, -np.pi), (1.2, np.pi))
                physics.data.qvel[:] = draw.uniform((-2, -6), (2, 6))
                since = 0
            env.step(action)
            state, *_ = env.step(action)  # two frames between pictures, as for DrQ-v2
            pictures.append(camera()[..., 0])
            states.append(state)
            early.append(since < STACK - 1)
            since += 1
    return np.array(pictures), np.array(states), np.array(early)


def errors(data: Sequence[Any], options: dict[str, Any]) -> np.ndarray:
    """Of every number that is to be named."""
    (pictures, states, early), (others, true, new) = data
    rows, test = (np.flatnonzero(~e & (np.abs(s[:, 0]) < LIMIT)) for e, s in ((early, states), (new, true)))
    middle, spread = states[rows].mean(axis=0), states[rows].std(axis=0)
    agent = override(PRESETS["pixels"], options).agent
    spec = Spec((SIZE, SIZE, STACK), (-1.0,), (1.0,), "uint8", stack=STACK)
    keys = jax.random.split(jax.random.key(0), 3)
    inputs = agent.encoder.sizes(spec)[0]
    networks: Any = agent.encoder.create(keys[0], spec), agent.critic.init_critic(keys[1], inputs, 1, 1, len(NAMES))
    pixels, wanted, rows = jnp.asarray(pictures), jnp.asarray((states - middle) / spread), jnp.asarray(rows)

    def seen(pixels: Any, rows: Any) -> Any:
        return jnp.stack([pixels[rows - i] for i in reversed(range(STACK))], axis=-1)

    def named(networks: Any, obs: Any) -> Any:
        encoder, critic = networks
        return critic(encoder.state(obs.astype(jnp.float32) / 255), jnp.zeros((len(obs), 1)))[0]

    optimiser = optax.adam(optax.linear_schedule(agent.critic.lr, agent.critic.lr / 10, MINIBATCHES))

    def step(state: Any, key: Any) -> tuple[Any, None]:
        networks, moments = state
        of_rows, of_shift = jax.random.split(key)
        drawn = jax.random.choice(of_rows, rows, (BATCH,))
        obs = agent.augment(seen(pixels, drawn), jax.random.bits(of_shift, (agent.augment.words,), jnp.uint32))
        grad = jax.grad(lambda networks: jnp.mean(jnp.square(named(networks, obs) - wanted[drawn])))(networks)
        change, moments = optimiser.update(grad, moments)
        return (optax.apply_updates(networks, change), moments), None

    start = networks, optimiser.init(networks)
    (networks, _), _ = jax.jit(lambda s, k: jax.lax.scan(step, s, k))(start, jax.random.split(keys[2], MINIBATCHES))
    name, others = jax.jit(named), jnp.asarray(others)
    parts = [np.asarray(name(networks, seen(others, part))) for part in np.array_split(test, 8)]
    return np.sqrt(np.mean(np.square(np.concatenate(parts) - (true[test] - middle) / spread), axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/dm_control_probe.md"))
    args = parser.parse_args()
    configure_jax(1, 1e6)
    data = {alias: tuple(collected(SIZE if alias else 2 * SIZE, n, seed) for seed, n in ((1, TRAIN), (2, TEST)))
            for alias in (True, False)}  # fmt: skip
    lines = ["# What encoders tell of the cart-pole", ""]
    lines += ["`python benchmarks/dm_control_probe.py`, which says what the errors are.", ""]
    lines += [f"| Encoder | {' | '.join(NAMES)} |", "|---|" + "---:|" * len(NAMES)]
    for name, (aliased, options) in RUNS.items():
        lines.append(f"| {name} | {' | '.join(f'{error:.3f}' for error in errors(data[aliased], options))} |")
        print(lines[-1], flush=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
