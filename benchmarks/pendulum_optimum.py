"""The best that can be done on Pendulum-v1, by dynamic programming: the shipped table, and an oracle for Q and mu.

    python benchmarks/pendulum_optimum.py [--n-theta 2000 --n-theta-dot 1601 --n-action 21] [--out TABLE.npz]
    python benchmarks/pendulum_optimum.py --gamma 0.9 --n-theta 600 --n-theta-dot 481

Finite horizon (200 steps, undiscounted), backwards from V_200 = 0 over a grid of states:

    V_t(s) = max_a r(s, a) + V_{t+1}(f(s, a)),   f and r from Pendulum.dynamics, V bilinear between grid points.

Interpolation errs in V, so the table does not hold V: it holds the returns that the greedy policy of V *reaches* in
the environment itself from a fine grid of starts. Actions are in [-1, 1] throughout.

The second command says what a discount costs: how far the best policy of the endless discounted problem is from that
optimum, over 200 undiscounted steps.
"""

import argparse
from dataclasses import dataclass
from functools import partial
from math import pi
from pathlib import Path
from time import perf_counter

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from ddpg.envs.pendulum import Pendulum, PendulumState
from ddpg.envs.pendulum_plan import Grid, grid, lookahead

ENV = Pendulum()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Solution:
    """What the best policy is worth; all methods take batches.

    `following[t]` is the value of the states that step t leads to, V_{t+1}; a stationary solution has only one,
    and ignores t.
    """

    following: Float[Array, "t theta theta_dot"]
    gamma: float

    @jax.jit
    def q(
        self,
        theta: Float[Array, "*#b"],
        theta_dot: Float[Array, "*#b"],
        action: Float[Array, "*#b"],
        t: int | Int[Array, ""],
    ) -> Float[Array, "*#b"]:
        """Q*_t(s, a) by one step of lookahead; shapes that broadcast, steps t in 0 .. 199."""
        v = self.following[jnp.minimum(t, len(self.following) - 1)]
        return lookahead(v, self.gamma, theta, theta_dot, action)

    @jax.jit
    def act(
        self, theta: Float[Array, "*#b"], theta_dot: Float[Array, "*#b"], t: int | Int[Array, ""]
    ) -> Float[Array, "*#b"]:
        """mu*_t(s) = argmax_a Q*_t(s, a), to 1/200 of the range: the best of 41 actions, then of 21 around it."""
        coarse = jnp.linspace(-1.0, 1.0, 41)
        theta, theta_dot = jnp.asarray(theta)[..., None], jnp.asarray(theta_dot)[..., None]
        a = coarse[jnp.argmax(self.q(theta, theta_dot, coarse, t), axis=-1)]
        fine = jnp.clip(a[..., None] + jnp.linspace(-0.05, 0.05, 21), -1.0, 1.0)
        best = jnp.argmax(self.q(theta, theta_dot, fine, t), axis=-1)
        return jnp.take_along_axis(fine, best[..., None], axis=-1)[..., 0]

    @jax.jit
    def value(
        self, theta: Float[Array, "*#b"], theta_dot: Float[Array, "*#b"], t: int | Int[Array, ""]
    ) -> Float[Array, "*#b"]:
        """V*_t(s) = max_a Q*_t(s, a)."""
        return self.q(theta, theta_dot, self.act(theta, theta_dot, t), t)


def solve(n_theta: int, n_theta_dot: int, n_action: int, gamma: float | None = None) -> Solution:
    """The 200-step undiscounted problem, or with `gamma` the stationary fixed point of the endless discounted one.

    Upright and at rest must be a point of the grid, where the value is exactly 0: `n_theta` even, the others odd.
    """
    if n_theta % 2 or not n_theta_dot % 2 or not n_action % 2:
        raise ValueError(
            f"grid {n_theta} x {n_theta_dot} x {n_action}: want an even, an odd and an odd number of points"
        )
    nothing, actions = jnp.zeros((n_theta, n_theta_dot)), jnp.linspace(-1.0, 1.0, n_action)
    if gamma is None:
        return Solution(_backwards(nothing, actions), 1.0)
    return Solution(_fixed_point(nothing, actions, gamma)[None], gamma)


@jax.jit
def _backwards(v: Grid, actions: Float[Array, " a"]) -> Float[Array, "t theta theta_dot"]:
    steps = ENV.max_episode_steps
    return jax.lax.scan(lambda v, _: (backup(v, 1.0, actions), v), v, length=steps, reverse=True)[1]


@jax.jit
def _fixed_point(v: Grid, actions: Float[Array, " a"], gamma: float) -> Grid:
    # A sweep that changes V by less than d leaves it within d gamma / (1 - gamma) of the fixed point.
    def sweep(carry: tuple[Grid, Float[Array, ""]]) -> tuple[Grid, Float[Array, ""]]:
        v = backup(carry[0], gamma, actions)
        return v, jnp.abs(v - carry[0]).max()

    return jax.lax.while_loop(lambda carry: carry[1] > 2e-4, sweep, (v, jnp.array(jnp.inf)))[0]


def backup(v: Grid, gamma: float | Float[Array, ""], actions: Float[Array, " a"]) -> Grid:
    """One Bellman backup of every grid point."""
    theta, theta_dot = grid(v)

    # One action at a time: a single maximum over a trailing axis of actions takes three times as long on a CPU.
    def better(k: Int[Array, ""], best: Grid) -> Grid:
        return jnp.maximum(best, lookahead(v, gamma, theta, theta_dot, actions[k]))

    return jax.lax.fori_loop(0, len(actions), better, jnp.full_like(v, -jnp.inf))


@partial(jax.jit, static_argnames="steps")
def rollout(
    solution: Solution, theta: Float[Array, " b"], theta_dot: Float[Array, " b"], push: float = 0.0,
    steps: int = ENV.max_episode_steps, gamma: float | None = None,
) -> Float[Array, " b"]:  # fmt: skip
    """Returns, discounted by the solution's gamma or another, that its greedy policy reaches in the environment itself.

    A nonzero `push` is the action of the first five steps, before the policy takes over.
    """

    def step(carry: tuple[PendulumState, Array], t: Array) -> tuple[tuple[PendulumState, Array], None]:
        state, total = carry
        action = jnp.where((push != 0) & (t < 5), push, solution.act(state.theta, state.theta_dot, t))
        state, _, reward, _, _ = jax.vmap(ENV.step)(state, action[:, None])
        return (state, total + (solution.gamma if gamma is None else gamma) ** t * reward), None

    start = PendulumState(theta, theta_dot, jnp.zeros(theta.shape, jnp.int32))
    return jax.lax.scan(step, (start, jnp.zeros(theta.shape)), jnp.arange(steps))[0][1]


def tabulate(solution: Solution, n_theta: int, n_theta_dot: int) -> Float[np.ndarray, "theta theta_dot"]:
    """Best returns reached over theta in [-pi, pi) and theta_dot in [0, 1]; mirrored starts are worth the same.

    V falls by a hundred within a cell where a start can just be caught or just not (upright, 0.4 rad off), and where
    it just needs one swing more. There interpolation deceives the policy; a firm push first takes it off the edge.
    """
    turn, theta_dot = np.linspace(-pi, pi, n_theta, endpoint=False), np.linspace(0, 1, n_theta_dot)
    theta, theta_dot = np.meshgrid(turn, theta_dot, indexing="ij")
    theta, theta_dot = theta.ravel().astype(np.float32), theta_dot.ravel().astype(np.float32)
    reached = [rollout(solution, theta, theta_dot, push) for push in (0.0, -1.0, 1.0)]
    return np.max(reached, axis=0).reshape(n_theta, n_theta_dot)


def cost_of_discount(n_theta: int, n_theta_dot: int, n_action: int, gamma: float, seed: int) -> None:
    solution = solve(n_theta, n_theta_dot, n_action, gamma)
    starts, _ = jax.vmap(ENV.reset)(jax.random.split(jax.random.key(seed), 2000))
    reached = np.asarray(rollout(solution, starts.theta, starts.theta_dot, gamma=1.0))
    gap = float(np.mean(ENV.optimum(starts.theta, starts.theta_dot) - reached))
    print(f"{len(reached)} fresh starts: the best policy for gamma {gamma:g} stays {gap:.1f} below the optimum")


def main(n_theta: int, n_theta_dot: int, n_action: int, rows: int, columns: int, seed: int, out: Path | None) -> None:
    """Solve, write a table of rows x columns starts to `out` if given, and hold the shipped table to fresh starts."""
    began = perf_counter()
    solution = jax.block_until_ready(solve(n_theta, n_theta_dot, n_action))
    print(f"solved {n_theta} x {n_theta_dot} x {n_action} in {perf_counter() - began:.0f} s")
    if out:
        table = tabulate(solution, rows, columns)
        np.savez_compressed(out, cost_in_hundredths=np.round(-100 * table).astype(np.uint16))
        print(f"wrote {out}, {out.stat().st_size / 1000:.0f} kB, after {perf_counter() - began:.0f} s")
    starts, _ = jax.vmap(ENV.reset)(jax.random.split(jax.random.key(seed), 2000))
    reached = np.asarray(rollout(solution, starts.theta, starts.theta_dot))
    values = np.asarray(solution.value(starts.theta, starts.theta_dot, 0))
    print(f"{len(reached)} fresh starts: reached {reached.mean():.2f}, standard deviation {reached.std():.1f}")
    for name, claimed in (("V_0", values), ("shipped table", ENV.optimum(starts.theta, starts.theta_dot))):
        low, median, high = np.quantile(error := claimed - reached, (0.01, 0.5, 0.99))
        print(f"{name}: mean {claimed.mean():.2f}; minus reached: mean {error.mean():+.3f}, median {median:+.4f},")
        print(f"  standard deviation {error.std():.2f}, 1 % .. 99 % {low:+.2f} .. {high:+.2f}")
    everywhere = ENV.optimum(*np.meshgrid(np.linspace(-pi, pi, 9973), np.linspace(-1, 1, 401)))
    print(f"mean of the shipped table over all starts: {everywhere.mean():.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name, value in (("n-theta", 2000), ("n-theta-dot", 1601), ("n-action", 21), ("rows", 2400), ("columns", 61)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--gamma", type=float, help="say only what this discount costs")
    given = vars(parser.parse_args())
    if (gamma := given.pop("gamma")) is None:
        main(**given)
    else:
        cost_of_discount(given["n_theta"], given["n_theta_dot"], given["n_action"], gamma, given["seed"])
