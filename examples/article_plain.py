"""The article's own loop on our networks and optimiser: plain Python, one step at a time.

    python examples/article_plain.py [--episodes 100] [--seed 0] [--render]

It is DDPG as the preset `article` has it, slower than `ddpg train` and simpler: NumPy arrays are the replay memory, and
a debugger stops at any line, with JAX_DISABLE_JIT=1 inside `update` too. `--render` shows every tenth episode.
docs/tutorial.md sets the article's listings beside this file.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from ddpg.algorithm.initialisers import Normal
from ddpg.algorithm.networks import Actor, Critic, NetworkConfig
from ddpg.algorithm.optimiser import gradient_step, init_optimiser, soft_update

MAX_STEPS, MEMORY_CAPACITY, BATCH_SIZE = 200, 10_000, 32
GAMMA, TAU, VAR, VAR_DECAY = 0.9, 0.01, 1.0, 0.9995  # VAR is a standard deviation, in units of ACTION_RANGE
STATE_DIM, ACTION_DIM, ACTION_RANGE = 3, 1, 2.0  # the networks' actions are in [-1, 1], the torque is in [-2, 2] N m
ACTOR = NetworkConfig(widths=(64, 64), activation="relu", init=Normal(std=0.3, bias=0.1), lr=1e-3)
CRITIC = NetworkConfig(widths=(64, 64), activation="relu", init=Normal(std=0.3, bias=0.1), lr=2e-3)

Networks = tuple[Actor, Actor, Critic, Critic]  # actor, actor_target, critic, critic_target

mu = jax.jit(Actor.__call__)


@jax.jit
def update(networks: Networks, optimisers: tuple[Any, Any], rows: np.ndarray) -> tuple[Networks, tuple[Any, Any]]:
    """Steps 5 to 9 on a minibatch, rows [b, 8] of the memory."""
    (actor, actor_target, critic, critic_target), (actor_opt, critic_opt) = networks, optimisers
    ends = np.cumsum([STATE_DIM, ACTION_DIM, 1])
    states, actions, rewards, states_ = jnp.split(rows, ends, axis=1)

    actions_ = actor_target(states_)
    q_ = critic_target(states_, actions_)
    target = rewards + GAMMA * q_

    def td_error(critic: Critic) -> jax.Array:
        q_pred = critic(states, actions)
        return jnp.mean(jnp.square(target - q_pred))

    critic_grads = jax.grad(td_error)(critic)
    critic, critic_opt = gradient_step(CRITIC, critic, critic_grads, critic_opt)

    def actor_loss(actor: Actor) -> jax.Array:
        q = critic(states, actor(states))
        return -jnp.mean(q)  # maximise q

    actor_grads = jax.grad(actor_loss)(actor)
    actor, actor_opt = gradient_step(ACTOR, actor, actor_grads, actor_opt)

    actor_target = soft_update(actor, actor_target, TAU)
    critic_target = soft_update(critic, critic_target, TAU)
    return (actor, actor_target, critic, critic_target), (actor_opt, critic_opt)


class Agent:
    """Four networks, two optimisers, and a memory of [state, action, reward, next state] in rows."""

    def __init__(self, seed: int) -> None:
        actor_key, critic_key = jax.random.split(jax.random.key(seed))
        actor = ACTOR.init_actor(actor_key, STATE_DIM, ACTION_DIM)
        critic = CRITIC.init_critic(critic_key, STATE_DIM, ACTION_DIM, members=1, outputs=1)
        self.networks = actor, actor, critic, critic  # the targets begin as copies: nothing changes an array in place
        self.optimisers = init_optimiser(ACTOR, actor), init_optimiser(CRITIC, critic)
        self.memory = np.zeros((MEMORY_CAPACITY, 2 * STATE_DIM + ACTION_DIM + 1), np.float32)
        self.pointer, self.var, self.random = 0, VAR, np.random.default_rng(seed)

    def get_action(self, s: np.ndarray, greedy: bool = False) -> np.ndarray:
        actor = self.networks[0]
        a = np.asarray(mu(actor, s[None]))[0]
        return a if greedy else np.clip(self.random.normal(a, self.var), -1.0, 1.0)

    def store_transition(self, s: np.ndarray, a: np.ndarray, r: float, s_: np.ndarray) -> None:
        self.memory[self.pointer % MEMORY_CAPACITY] = np.concatenate([s, a, [r], s_])
        self.pointer += 1

    def learn(self) -> None:
        self.var *= VAR_DECAY
        rows = self.memory[self.random.integers(MEMORY_CAPACITY, size=BATCH_SIZE)]
        self.networks, self.optimisers = update(self.networks, self.optimisers, rows)


def play(env: gymnasium.Env, agent: Agent, seed: int) -> float:
    """The return of one greedy episode."""
    total, (state, _), done = 0.0, env.reset(seed=seed), False
    while not done:
        state, reward, terminated, truncated, _ = env.step(ACTION_RANGE * agent.get_action(state, greedy=True))
        total, done = total + float(reward), terminated or truncated
    return total


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description="Train DDPG on Pendulum by the article's loop.")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--render", action="store_true", help="show every tenth episode")
    args = parser.parse_args(argv)
    hidden = gymnasium.make("Pendulum-v1")
    shown = gymnasium.make("Pendulum-v1", render_mode="human") if args.render else hidden
    agent = Agent(args.seed)

    for episode in range(args.episodes):
        env = shown if episode % 10 == 9 else hidden
        state, _ = env.reset(seed=args.seed + episode)
        episode_return = 0.0
        for _step in range(MAX_STEPS):
            action = agent.get_action(state)
            state_, reward, terminated, truncated, _ = env.step(ACTION_RANGE * action)
            agent.store_transition(state, action, float(reward), state_)
            if agent.pointer > MEMORY_CAPACITY:
                agent.learn()
            state = state_
            episode_return += float(reward)
            if terminated or truncated:
                break
        print(f"episode {episode + 1:3}/{args.episodes}   return {episode_return:8.1f}   noise {agent.var:.2f}")

    returns = [play(hidden, agent, args.seed + args.episodes + i) for i in range(10)]  # starts it has not seen
    print(f"greedy return of 10 episodes: {np.mean(returns):.1f}")
    for env in (hidden, shown):
        env.close()


if __name__ == "__main__":
    main()
